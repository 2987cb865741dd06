"""Looks at a bundle: what is in it, and whether every byte is what its index says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mirror.bundle import documents, layout, mirrored
from mirror.bundle.directory import sha256_of
from mirror.bundle.documents import RepositoryDocument
from mirror.bundle.references import own, size_of
from mirror.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from mirror.bundle.directory import BundleDirectory
    from mirror.bundle.layout import Descriptor, Index, Manifest


@dataclass(slots=True)
class Verified:
    """What was found.

    Attributes:
        blobs: Number of blobs that are good.
        size: Their bytes.
        damaged: Names of what is damaged, by release, repository or file.
        absent: Names of what is not there, by release or repository.
        pruned: Number of assets whose bytes are not there and need not be.
    """

    blobs: int = 0
    size: int = 0
    damaged: dict[str, list[str]] = field(default_factory=dict)
    absent: dict[str, list[str]] = field(default_factory=dict)
    pruned: int = 0


class Verification:
    """Reads every byte that an index refers to. It blocks.

    Args:
        directory: The bundle.
        index: Its index.
        pruned: Keys of assets whose bytes need not be there.
        moved: Called with the number of bytes, whenever some were read.
    """

    def __init__(
        self,
        directory: BundleDirectory,
        index: Index,
        pruned: Collection[str] = (),
        moved: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._directory = directory
        self._index = index
        self._pruned = pruned
        self._moved = moved
        self._states: dict[str, str] = {}
        self._result = Verified()

    def run(self) -> Verified:
        """See what is good, what is damaged, and what is absent."""
        if not self._directory.is_marked():
            self._result.damaged[layout.MARKER_FILE] = ["the mark of an OCI image layout"]
        for descriptor in own(self._index):
            name = name_of(descriptor)
            if self._check(name, "its manifest", descriptor) != "good":
                continue
            try:
                manifest = self._directory.manifest(descriptor)
            except BundleError:
                self._result.damaged.setdefault(name, []).append("its manifest")
                continue
            self._check(name, "its description", manifest.config)
            for layer in manifest.layers:
                pruned = documents.asset_key(descriptor, layer) in self._pruned
                self._check(name, title(layer), layer, pruned=pruned)
        return self._result

    def _check(self, name: str, what: str, descriptor: Descriptor, *, pruned: bool = False) -> str:
        state = self._states.get(descriptor.digest)
        if state is None:
            state = self._states[descriptor.digest] = self._state(descriptor)
            if state == "good":
                self._result.blobs += 1
                self._result.size += descriptor.size
        if state == "absent" and pruned:
            self._result.pruned += 1
        elif state == "absent":
            self._result.absent.setdefault(name, []).append(what)
        elif state == "damaged":
            self._result.damaged.setdefault(name, []).append(what)
        return state

    def _state(self, descriptor: Descriptor) -> str:
        path = self._directory.place(descriptor)
        try:
            found = sha256_of(path, self._moved)
        except (FileNotFoundError, NotADirectoryError):
            return "absent"
        except BundleError:
            return "damaged"
        return "good" if found == descriptor.sha256 else "damaged"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a bundle has of one repository.

    Attributes:
        repository: Its name in the bundle.
        source: Its name and host at the source.
        complete: Whether the source's listing was read to its end, and all of it is here.
        releases: Number of releases.
        newest: The tag of the newest one; empty where there is none.
        assets: Number of assets.
        size: Bytes of all assets.
        absent: Number of assets that wait for their bytes.
        pruned: Number of assets whose bytes were removed because they are mirrored.
    """

    repository: str
    source: str
    complete: bool
    releases: int
    newest: str
    assets: int
    size: int
    absent: int
    pruned: int


def repositories(directory: BundleDirectory, index: Index) -> Iterator[Shown]:
    """What a bundle has of each repository. It blocks.

    Raises:
        BundleError: A document is missing or damaged.
    """
    found: dict[str, list[tuple[Descriptor, Manifest]]] = {}
    pruned = mirrored.pruned_assets(directory.path)
    for descriptor in own(index):
        key = str(descriptor.repository)
        found.setdefault(key, []).append((descriptor, directory.manifest(descriptor)))
    for name, entries in sorted(found.items()):
        about = None
        releases: list[tuple[Descriptor, Manifest]] = []
        for descriptor, manifest in entries:
            if descriptor.artifact_type == layout.REPOSITORY_TYPE:
                about = directory.document(manifest.config, RepositoryDocument, "a repository")
            elif descriptor.artifact_type == layout.RELEASE_TYPE:
                releases.append((descriptor, manifest))
        releases.sort(key=lambda pair: pair[0].number(layout.RELEASE_ID))
        pairs = [(release, layer) for release, m in releases for layer in m.contents]
        gone = [pair for pair in pairs if size_of(directory.place(pair[1])) != pair[1].size]
        needless = sum(documents.asset_key(*pair) in pruned for pair in gone)
        yield Shown(
            repository=name,
            source=f"{about.source}/{about.full_name}" if about else "",
            complete=bool(about and about.complete),
            releases=len(releases),
            newest=_tag(releases[-1][0]) if releases else "",
            assets=len(pairs),
            size=sum(layer.size for _, layer in pairs),
            absent=len(gone) - needless,
            pruned=needless,
        )


def _tag(descriptor: Descriptor) -> str:
    return name_of(descriptor).partition(":")[2] or name_of(descriptor)


def name_of(descriptor: Descriptor) -> str:
    """The name of a release or repository in the index."""
    return descriptor.annotations.get(layout.REF_NAME, str(descriptor.repository))


def title(layer: Descriptor) -> str:
    """What a layer is to people: the name of an asset."""
    if layer.media_type == layout.EMPTY_TYPE:
        return "its empty layer"
    return layer.annotations.get(layout.TITLE, "git history")
