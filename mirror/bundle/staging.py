"""The releases of one repository of a bundle while a pass changes them: nobody else sees that.

What is not in the index yet is kept as a file per release, so that a run that was killed is
continued as at a server, where its drafts would be.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct, field

from mirror.bundle import documents, layout
from mirror.bundle.directory import on_disk, read_file
from mirror.bundle.documents import (
    AssetDocument,
    HistoryDocument,
    ReleaseDocument,
    RepositoryDocument,
    TagDocument,
)
from mirror.bundle.layout import Descriptor, Manifest
from mirror.bundle.new_blobs import NewBlobs
from mirror.core.domain.asset_names import is_temporary
from mirror.core.domain.release import ABSENT, Asset, Digest, Release
from mirror.core.text.body import with_marker
from mirror.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from mirror.bundle.writable_directory import WritableDirectory
    from mirror.core.domain.release import RepoRef
    from mirror.core.host import Received


log = structlog.get_logger()


class StagedRelease(Struct):
    """A release as the pass that writes it sees it.

    Attributes:
        copy: The writer's id of it.
        body: With the writer's marker, while it is a draft.
        marker: That marker; empty for a published one.
        assets: By the writer's ids; each has the id of the source's asset.
        document: As it is in the index; ``None`` where it is not there yet.
    """

    copy: int
    tag_name: str
    name: str = ""
    body: str = ""
    draft: bool = True
    prerelease: bool = False
    marker: str = ""
    assets: dict[int, AssetDocument] = field(default_factory=dict)
    document: ReleaseDocument | None = None

    def release(self) -> Release:
        """As a host describes a release."""
        return Release(
            id=self.copy,
            tag=self.tag_name,
            name=self.name,
            body=self.body,
            draft=self.draft,
            prerelease=self.prerelease,
            assets=tuple(as_copy(_asset(asset), n) for n, asset in self.assets.items()),
        )


class Staging:
    """The releases of a repository, as a pass finds and changes them.

    Args:
        repo: The repository.
        directory: The bundle.
        descriptors: What the index says of the repository.
    """

    def __init__(
        self, repo: RepoRef, directory: WritableDirectory, descriptors: Sequence[Descriptor]
    ) -> None:
        self.repo = repo
        self.about: RepositoryDocument | None = None
        self.releases: dict[int, StagedRelease] = {}
        self.history: dict[str, HistoryDocument] = {}
        self.git_bundles: list[Descriptor] = []
        self._directory = directory
        self._new = NewBlobs(directory)
        self.descriptors = descriptors
        self._changed: set[int] = set()
        self._lost: set[int] = set()  # assets without all of their bytes, by the writer's ids

    # Everything below blocks, but for what only changes memory.

    @property
    def _files(self) -> Path:
        owner, _, name = self.repo.key.partition("/")
        return self._directory.staging / "releases" / owner / name

    @classmethod
    def load(
        cls, repo: RepoRef, directory: WritableDirectory, descriptors: Sequence[Descriptor]
    ) -> Staging:
        """Read what is in the index, and what a run that was killed has left.

        A release whose documents are missing or damaged is left out: it is made again.
        """
        staging = cls(repo, directory, descriptors)
        for descriptor in descriptors:
            try:
                staging._add(descriptor)
            except BundleError as error:
                log.warning("bundle.damaged", repository=str(repo), error=str(error))
        with on_disk(staging._files):
            paths = sorted(staging._files.glob("*.json")) if staging._files.is_dir() else []
        for path in paths:
            with suppress(
                BundleError
            ):  # cut off by a power failure, perhaps: then it is made again
                content = read_file(path, layout.LARGEST_DOCUMENT)
                left = layout.decode(content, StagedRelease, path.name)
                staging.releases[left.copy] = left
                staging._changed.add(left.copy)
        staging._find_lost_bytes()
        return staging

    def _find_lost_bytes(self) -> None:
        for release in self.releases.values():
            for number, asset in release.assets.items():
                if self._directory.size_of(_asset(asset).sha256) != asset.size:
                    self._lost.add(number)

    def _add(self, descriptor: Descriptor) -> None:
        if descriptor.artifact_type == layout.REPOSITORY_TYPE:
            manifest = self._directory.manifest(descriptor)
            self.about = self._directory.document(
                manifest.config, RepositoryDocument, "a repository"
            )
            self.history, self.git_bundles = dict(self.about.history), manifest.contents
        elif descriptor.artifact_type == layout.RELEASE_TYPE:
            found = _from_index(self._directory, descriptor)
            self.releases[found.copy] = found

    def shown(self, release: StagedRelease) -> Release:
        """As a host describes a release.

        An asset whose blob was absent or had another size when the releases were loaded is absent,
        and so is replaced, even if another one brings the same blob meanwhile.
        """
        told = release.release()
        return replace(told, assets=tuple(map(self._as_found, told.assets)))

    def _as_found(self, asset: Asset) -> Asset:
        return replace(asset, state=ABSENT) if asset.id in self._lost else asset

    def create(self, fields: Mapping[str, object], marker: str) -> StagedRelease:
        """A new draft."""
        release = StagedRelease(max(self.releases, default=0) + 1, "", marker=marker)
        self.releases[release.copy] = release
        self.change(release, fields)
        return release

    def change(self, release: StagedRelease, fields: Mapping[str, object]) -> None:
        """Change some fields of a release."""
        for name in ("tag_name", "name", "body", "draft", "prerelease"):
            if name in fields:
                setattr(release, name, fields[name])
        self._changed.add(release.copy)

    def add(self, release: StagedRelease, asset: Asset) -> int:
        """Add an asset, whose id is the source's; the writer's id of it."""
        used = {number for other in self.releases.values() for number in other.assets}
        number = asset.id if asset.id not in used else max(used) + 1
        release.assets[number] = AssetDocument.of(asset)
        self._lost.discard(number)
        self._changed.add(release.copy)
        return number

    def remove(self, release: StagedRelease) -> None:
        """Remove a release; it stays in the index until the next commit."""
        del self.releases[release.copy]
        self._changed.discard(release.copy)
        self._path(release.copy).unlink(missing_ok=True)

    def touch(self, release: StagedRelease) -> None:
        """An asset of it was changed."""
        self._changed.add(release.copy)

    def asset(self, number: int) -> tuple[StagedRelease, AssetDocument] | None:
        """An asset by the writer's id, and its release."""
        found = (r for r in self.releases.values() if number in r.assets)
        return next(((release, release.assets[number]) for release in found), None)

    def save(self, release: StagedRelease, content: bytes) -> None:
        """Keep a release that is not in the index yet; a crash may lose it, and costs work only.

        Args:
            release: Which.
            content: The release, encoded.
        """
        path = self._path(release.copy)
        with on_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            part = self._directory.staging / f"{uuid.uuid4().hex}.part"
            part.write_bytes(content)
            part.replace(path)

    def _path(self, copy: int) -> Path:
        return self._files / f"{copy}.json"

    def settle(self, received: Received) -> Sequence[Descriptor] | None:
        """Store what the index is to say of the repository now.

        Returns:
            The descriptors; ``None`` where the index says so already.
        """
        with self._new:
            descriptors = self._settled(received)
        digests = sorted(d.digest for d in descriptors)
        return None if digests == sorted(d.digest for d in self.descriptors) else descriptors

    def _settled(self, received: Received) -> Sequence[Descriptor]:
        originals = {release.id: release for release in received.source.releases}
        sources = {copy.id: number for number, copy in received.copies.items()}
        descriptors: list[Descriptor] = []
        visible: dict[int, StagedRelease] = {}  # by the source's id
        for copy, staged in sorted(self.releases.items()):
            number = sources.get(copy, staged.document.id if staged.document else None)
            original = originals.get(number) if number is not None else None
            document = ReleaseDocument.of(original) if original else staged.document
            ready = not staged.draft or (
                document is not None and document.draft and document.id not in received.unfinished
            )
            if document is None or not ready:
                continue
            staged.document = document
            known = received.copies.get(document.id)
            descriptors.append(self._store(staged, document, known.assets if known else {}))
            visible[document.id] = staged
        complete = received.source.complete and visible.keys() >= set(received.selected)
        return [*descriptors, self._describe(received, visible, complete=complete)]

    def forget(self, received: Received) -> None:
        """After a commit, drop what nobody continues: it is in the index, or nobody's draft."""
        known = {copy.id for copy in received.copies.values()}
        for copy in sorted(self._changed):
            staged = self.releases.get(copy)
            done = staged is None or (staged.document is not None and not _is_mid_exchange(staged))
            if done or copy not in known:
                self._path(copy).unlink(missing_ok=True)
        with suppress(OSError):
            if not any(self._files.iterdir()):
                for empty in (self._files, *self._files.parents[:2]):
                    empty.rmdir()

    def _store(
        self, staged: StagedRelease, document: ReleaseDocument, sources: Mapping[int, int]
    ) -> Descriptor:
        layers = []
        for number, asset in sorted(staged.assets.items()):
            if not is_temporary(asset.name):
                of_source = replace(_asset(asset), id=stored_id(sources.get(number, asset.id)))
                layers.append(documents.asset_layer(of_source, number))
        notes = {layout.RELEASE_COPY: str(staged.copy)}
        if staged.draft:
            notes[layout.RELEASE_MARKER] = staged.marker
        return self._manifest(layout.RELEASE_TYPE, document, layers, notes)

    def _describe(
        self, received: Received, visible: Mapping[int, StagedRelease], *, complete: bool
    ) -> Descriptor:
        source, repository = received.source, received.source.repository
        tags: dict[str, TagDocument] = {}
        for staged in visible.values():
            document = staged.document
            if document is None or document.draft:
                continue
            tag = document.tag_name
            before = self.about.tags.get(tag) if self.about else None
            commit = source.tags.get(tag) or (before.commit if before else None)
            if commit:
                tags[tag] = TagDocument(commit, document.created_at)
        about = RepositoryDocument(
            id=repository.id,
            full_name=str(repository.ref),
            source=received.source_url,
            html_url=repository.html_url,
            description=repository.description,
            default_branch=repository.default_branch,
            private=repository.private,
            fork=repository.fork,
            archived=repository.archived,
            latest=source.latest,
            complete=complete,
            tags=dict(sorted(tags.items())),
            history=dict(sorted(self.history.items())),
        )
        return self._manifest(layout.REPOSITORY_TYPE, about, self.git_bundles)

    def _manifest(
        self,
        artifact_type: str,
        document: ReleaseDocument | RepositoryDocument,
        layers: Iterable[Descriptor] = (),
        notes: Mapping[str, str] | None = None,
    ) -> Descriptor:
        config = layout.encode(document)
        described = Descriptor.of(config, f"{artifact_type}+json")
        manifest = Manifest.of(artifact_type, described, layers, notes)
        content = layout.encode(manifest)
        self._new.add_document(config)
        if not manifest.contents:
            self._new.add_document(layout.EMPTY)
        self._new.add_document(content)
        if isinstance(document, ReleaseDocument):
            return documents.release_descriptor(self.repo, document, content)
        return documents.repository_descriptor(self.repo, document, content)


def stored_id(number: int) -> int:
    """The id of an asset in a bundle; source archives have one below 0 at their source."""
    return number if number >= 0 else documents.FIRST_ARCHIVE - number


def _is_mid_exchange(staged: StagedRelease) -> bool:
    """Whether an asset is there that has not got its name yet."""
    return any(is_temporary(asset.name) for asset in staged.assets.values())


def _from_index(directory: WritableDirectory, descriptor: Descriptor) -> StagedRelease:
    manifest = directory.manifest(descriptor)
    document = directory.document(manifest.config, ReleaseDocument, "a release")
    told = document.release(manifest.contents)
    marker = manifest.annotations.get(layout.RELEASE_MARKER, "")
    copies = (layer.number(layout.ASSET_COPY) for layer in manifest.contents)
    return StagedRelease(
        copy=layout.number_of(manifest.annotations, layout.RELEASE_COPY) or document.id,
        tag_name=document.tag_name,
        name=document.name,
        body=with_marker(document.body, marker) if document.draft else document.body,
        draft=document.draft,
        prerelease=document.prerelease,
        marker=marker,
        assets={
            copy or asset.id: AssetDocument.of(asset)
            for copy, asset in zip(copies, told.assets, strict=True)
        },
        document=document,
    )


def _asset(document: AssetDocument) -> Asset:
    digest = Digest.parse(document.digest)
    return Asset(
        id=document.id,
        name=document.name,
        size=document.size,
        content_type=document.content_type,
        label=document.label,
        sha256=digest.sha256 if digest else None,
        created_at=document.created_at,
        updated_at=document.updated_at,
    )


def as_copy(asset: Asset, number: int) -> Asset:
    """An asset as the writer is shown it: the dates are the source's, and say nothing of the copy."""
    return replace(asset, id=number, created_at=None, updated_at=None)
