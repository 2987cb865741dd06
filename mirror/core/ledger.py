"""What was mirrored, as documents: memory with proof, never the truth.

A ledger has one document for each mirrored target repository, and one small index, which is all
that a pass with nothing to do needs. Here they are values and their JSON; where they are kept is
a matter of a :class:`LedgerStore`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any, Protocol

from mirror.core.report import Quarantined
from mirror.errors import LedgerCorrupt, LedgerTooNew

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from mirror.core.release import Asset

VERSION = 1


@dataclass(slots=True)
class AssetEntry:
    """An asset of the source and its copy.

    Attributes:
        target_id: The copy's id at the target.
        target_name: Its name there: servers rename.
        size: In bytes, of the copy as it was verified.
        sha256: Of the bytes that went through, hexadecimal; ``None`` for a copy that was found.
        source_digest: The source's SHA-256 when it was copied, where the source gave one.
        source_updated_at: ISO 8601, as the source gave it when it was copied.
        created: This mirror uploaded the copy.
    """

    source_id: int
    source_name: str
    target_id: int
    target_name: str
    size: int
    sha256: str | None = None
    source_digest: str | None = None
    source_updated_at: str | None = None
    created: bool = True


@dataclass(slots=True)
class ReleaseEntry:
    """A release of the source and its copy.

    Attributes:
        created: This mirror made the copy.
        followed: Its text and flags are kept equal to the source's.
        published: The copy was published, and when this mirror saw or did so (ISO 8601, UTC).
        assets: By the id of the source's asset.
    """

    source_id: int
    target_id: int
    tag: str
    created: bool = True
    followed: bool = True
    published: str | None = None
    assets: dict[int, AssetEntry] = field(default_factory=dict)


@dataclass(slots=True)
class Ledger:
    """What is known of one target repository.

    Attributes:
        source: The mirror's source (``github:cli/cli``).
        source_id: The source repository's number, ``0`` while unknown.
        target_url: The target host's API address: a document of another host is not ours.
        target_id: The target repository's number, ``0`` while it does not exist.
        created_repository: This mirror made the target repository.
        releases: By the id of the source's release.
        quarantined: What failed for good, by ``(release id, asset id or 0)``, with the fingerprint
            of what failed: while it is the same, it is not tried again.
    """

    source: str
    target: str
    target_url: str
    source_id: int = 0
    target_id: int = 0
    created_repository: bool = False
    releases: dict[int, ReleaseEntry] = field(default_factory=dict)
    quarantined: dict[tuple[int, int], QuarantineEntry] = field(default_factory=dict)

    @classmethod
    def from_json(cls, document: Any) -> Ledger:
        """Read a document.

        Raises:
            LedgerTooNew: A later version of this program wrote it.
            LedgerCorrupt: It is no ledger document.
        """
        check_version(document)
        try:
            return cls(
                source=_text(document["source"]),
                target=_text(document["target"]),
                target_url=_text(document["target_url"]),
                source_id=_integer(document["source_id"]),
                target_id=_integer(document["target_id"]),
                created_repository=_flag(document["created_repository"]),
                releases={
                    entry.source_id: entry for entry in map(_release, _list(document["releases"]))
                },
                quarantined={
                    (entry.release_id, entry.asset_id): entry
                    for entry in map(_quarantine, _list(document["quarantined"]))
                },
            )
        except _MALFORMED as error:
            raise LedgerCorrupt(f"not a ledger document: {error!r}") from error

    def to_json(self) -> dict[str, Any]:
        """The document; reading it back gives an equal ledger."""
        return {
            "version": VERSION,
            "source": self.source,
            "source_id": self.source_id,
            "target": self.target,
            "target_url": self.target_url,
            "target_id": self.target_id,
            "created_repository": self.created_repository,
            "releases": [
                {
                    **_without(entry, "assets"),
                    "assets": [_without(a) for a in entry.assets.values()],
                }
                for entry in self.releases.values()
            ],
            "quarantined": [_without(entry) for entry in self.quarantined.values()],
        }

    def totals(self) -> tuple[int, int, int]:
        """Published releases, their assets, and the bytes of those."""
        published = [entry for entry in self.releases.values() if entry.published]
        sizes = [asset.size for entry in published for asset in entry.assets.values()]
        return len(published), len(sizes), sum(sizes)


@dataclass(slots=True)
class QuarantineEntry:
    """What failed for good.

    Attributes:
        asset_id: The source asset's id, ``0`` where the release itself failed.
        facts: A fingerprint of what failed; another one is tried.
        since: When it failed first (ISO 8601, UTC).
    """

    release_id: int
    asset_id: int
    facts: str
    error: str
    since: str
    release: str
    asset: str | None = None

    def report(self) -> Quarantined:
        """As reports tell it."""
        return Quarantined(
            release=self.release, asset=self.asset, error=self.error, since=self.since
        )


@dataclass(frozen=True, slots=True)
class PageProof:
    """One page of a listing, as it was read.

    Attributes:
        url: Its address on the host.
        etag: The host's, sent back as it came; empty where it gave none.
        content: A fingerprint of what it held, without counters.
    """

    url: str
    etag: str
    content: str


@dataclass(slots=True)
class IndexEntry:
    """All that a pass needs to know of a mirror in which nothing changed.

    Attributes:
        source: ``NAME:OWNER/REPO``.
        settings: A fingerprint of the settings that matter.
        credential: A fingerprint of the source's credential: ETags differ by it.
        target_url: The target host's API address.
        pages: The source's listing when a pass last left nothing undone; empty for no proof.
        audited_at: When both sides were last looked at (seconds since the epoch).
        succeeded_at: When a pass last left nothing undone (seconds since the epoch).
        error: What made the last pass fail; empty if it did not.
        releases, assets, bytes: What the target holds of this mirror.
        newest: The publication of the newest selected release at the source (ISO 8601).
        warnings, quarantined: What every report repeats.
    """

    source: str
    target: str
    settings: str = ""
    credential: str = ""
    target_url: str = ""
    source_id: int = 0
    pages: tuple[PageProof, ...] = ()
    audited_at: float = 0.0
    succeeded_at: float = 0.0
    error: str = ""
    releases: int = 0
    assets: int = 0
    bytes: int = 0
    newest: str | None = None
    warnings: tuple[str, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()

    @classmethod
    def from_json(cls, document: Any) -> IndexEntry:
        """Read one entry of the index.

        Raises:
            LedgerCorrupt: It is none.
        """
        try:
            return _index_entry(document)
        except _MALFORMED as error:
            raise LedgerCorrupt(f"not an entry of the index: {error!r}") from error

    def to_json(self) -> dict[str, Any]:
        """As it stands in the index."""
        return {
            **_without(self, "pages", "quarantined", "warnings"),
            "pages": [[page.url, page.etag, page.content] for page in self.pages],
            "warnings": list(self.warnings),
            "quarantined": [item.to_json() for item in self.quarantined],
        }


@dataclass(slots=True)
class ListingEntry:
    """What a wildcard found: the pages of an owner's repositories, and what they held.

    Attributes:
        repositories: ``[owner/name, id, fork, archived]`` of each.
    """

    credential: str
    pages: tuple[PageProof, ...] = ()
    repositories: tuple[tuple[str, int, bool, bool], ...] = ()

    @classmethod
    def from_json(cls, document: Any) -> ListingEntry:
        """Read one listing of the index.

        Raises:
            LedgerCorrupt: It is none.
        """
        try:
            return cls(
                credential=_text(document["credential"]),
                pages=_pages(document["pages"]),
                repositories=tuple(
                    (_text(name), _integer(number), _flag(fork), _flag(archived))
                    for name, number, fork, archived in map(_list, _list(document["repositories"]))
                ),
            )
        except _MALFORMED as error:
            raise LedgerCorrupt(f"not a listing of the index: {error!r}") from error

    def to_json(self) -> dict[str, Any]:
        """As it stands in the index."""
        return {
            "credential": self.credential,
            "pages": [[page.url, page.etag, page.content] for page in self.pages],
            "repositories": [list(repository) for repository in self.repositories],
        }


@dataclass(slots=True)
class Index:
    """The small file: an entry for each mirror by its target's key, a listing for each wildcard.

    Attributes:
        finished_at: When a pass last ended (seconds since the epoch).
    """

    mirrors: dict[str, IndexEntry] = field(default_factory=dict)
    listings: dict[str, ListingEntry] = field(default_factory=dict)
    finished_at: float = 0.0

    @classmethod
    def from_json(cls, document: Any) -> Index:
        """Read the index.

        Raises:
            LedgerTooNew: A later version of this program wrote it.
            LedgerCorrupt: It is no index.
        """
        check_version(document)
        try:
            return cls(
                mirrors={k: IndexEntry.from_json(v) for k, v in document["mirrors"].items()},
                listings={k: ListingEntry.from_json(v) for k, v in document["listings"].items()},
                finished_at=_number(document["finished_at"]),
            )
        except _MALFORMED as error:
            raise LedgerCorrupt(f"not an index: {error!r}") from error

    def to_json(self) -> dict[str, Any]:
        """The document; reading it back gives an equal index."""
        return {
            "version": VERSION,
            "finished_at": self.finished_at,
            "mirrors": {k: v.to_json() for k, v in self.mirrors.items()},
            "listings": {k: v.to_json() for k, v in self.listings.items()},
        }


class LedgerStore(Protocol):
    """Where the documents and the index are kept. A document's key is the target's, case-folded."""

    def lock(self, wait: float) -> AbstractAsyncContextManager[None]:
        """Hold the store against other processes while the block runs.

        Args:
            wait: How many seconds to wait for another holder; 0 for not at all.

        Raises:
            LedgerLocked: Another process held it to the end.
            LedgerError: The store cannot be written.
        """
        ...

    async def load_index(self) -> Index:
        """Read the index; an empty one where there is none, or where it was unreadable."""
        ...

    async def save_index(self, index: Index) -> None:
        """Keep the index: after it returns, a crash leaves this one; before, the old or this one."""
        ...

    async def load(self, key: str) -> Ledger | None:
        """Read a document; ``None`` where there is none, or where it was unreadable (set aside)."""
        ...

    async def save(self, key: str, ledger: Ledger) -> None:
        """Keep a document, as safely as the index."""
        ...

    async def set_aside(self, key: str, reason: str) -> None:
        """Move a document out of the way, for a person to look at."""
        ...


def same_content(entry: AssetEntry, asset: Asset) -> bool:
    """Whether an asset of the source is still what was copied, as far as the source can tell.

    An id never gets other bytes; a new id under the same name is an asset that was replaced,
    even where the size is the same, unless both digests are known and agree.
    """
    if asset.size != entry.size:
        return False
    known = entry.source_digest or entry.sha256
    if asset.sha256 and known:
        return asset.sha256 == known
    return asset.id == entry.source_id


def check_version(document: Any) -> None:
    """Refuse what is no document, and what a later version of this program wrote."""
    version = document.get("version") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise LedgerCorrupt("not a document of a ledger: it has no version")
    if version > VERSION:
        raise LedgerTooNew(
            f"written by a later release-mirror (document version {version}, this one knows"
            f" {VERSION}): upgrade release-mirror, or give it another [ledger] directory"
        )


def _without(value: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__ if name not in names}


def _index_entry(document: Any) -> IndexEntry:
    entry = IndexEntry(
        **{
            **document,
            "pages": _pages(document["pages"]),
            "quarantined": tuple(map(_quarantined, _list(document["quarantined"]))),
            "warnings": tuple(map(_text, _list(document["warnings"]))),
            "audited_at": _number(document["audited_at"]),
            "succeeded_at": _number(document["succeeded_at"]),
        }
    )
    for text in (
        entry.source,
        entry.target,
        entry.settings,
        entry.credential,
        entry.target_url,
        entry.error,
    ):
        _text(text)
    for number in (entry.source_id, entry.releases, entry.assets, entry.bytes):
        _integer(number)
    _perhaps_text(entry.newest)
    return entry


def _release(item: Any) -> ReleaseEntry:
    assets = {asset.source_id: asset for asset in map(_asset, _list(item["assets"]))}
    entry = ReleaseEntry(**{**item, "assets": assets})
    _integer(entry.source_id)
    _integer(entry.target_id)
    _text(entry.tag)
    _flag(entry.created)
    _flag(entry.followed)
    _perhaps_text(entry.published)
    return entry


def _asset(item: Any) -> AssetEntry:
    entry = AssetEntry(**item)
    # One expression, without calls of our own: a document has thousands of these.
    if not (
        type(entry.source_id) is int
        and type(entry.source_name) is str
        and type(entry.target_id) is int
        and type(entry.target_name) is str
        and type(entry.size) is int
        and type(entry.sha256) in _PERHAPS_TEXT
        and type(entry.source_digest) in _PERHAPS_TEXT
        and type(entry.source_updated_at) in _PERHAPS_TEXT
        and type(entry.created) is bool
    ):
        raise TypeError(f"a wrong type in an asset: {item!r:.200}")
    return entry


def _quarantine(item: Any) -> QuarantineEntry:
    entry = QuarantineEntry(**item)
    _integer(entry.release_id)
    _integer(entry.asset_id)
    for text in (entry.facts, entry.error, entry.since, entry.release):
        _text(text)
    _perhaps_text(entry.asset)
    return entry


def _quarantined(item: Any) -> Quarantined:
    entry = Quarantined(**item)
    _text(entry.error)
    _text(entry.since)
    _perhaps_text(entry.release)
    _perhaps_text(entry.asset)
    return entry


def _pages(items: Any) -> tuple[PageProof, ...]:
    pages = tuple(PageProof(*_list(item)) for item in _list(items))
    for page in pages:
        for text in (page.url, page.etag, page.content):
            _text(text)
    return pages


_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
_PERHAPS_TEXT = frozenset({str, type(None)})


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text expected, not {type(value).__name__}")
    return value


def _perhaps_text(value: object) -> None:
    if value is not None:
        _text(value)


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"a whole number expected, not {type(value).__name__}")
    return value


def _number(value: object) -> float:
    number = value if isinstance(value, float) else float(_integer(value))
    if not isfinite(number):
        raise ValueError(f"a number expected, not {number}")
    return number


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"true or false expected, not {type(value).__name__}")
    return value


def _list(value: object) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"a list expected, not {type(value).__name__}")
    return value
