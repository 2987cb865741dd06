"""What was mirrored, as documents: memory with proof, never the truth.

A ledger has one document for each mirrored target repository, and one small index, which is all
that a pass with nothing to do needs. Here they are values and their JSON; where they are kept is
a matter of a :class:`LedgerStore`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from mirror.core.document import (
    LARGEST,
    MALFORMED,
    PERHAPS_TEXT,
    VERSION,
    check_version,
    fields_of,
    flag,
    integer,
    list_of,
    perhaps_text,
    text_of,
)
from mirror.core.index import Index, IndexEntry, ListingEntry, PageProof, check_names
from mirror.core.report import Quarantined
from mirror.errors import LedgerCorrupt

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from mirror.core.release import Asset

__all__ = [
    "VERSION",
    "AssetEntry",
    "Index",
    "IndexEntry",
    "Ledger",
    "LedgerStore",
    "ListingEntry",
    "PageProof",
    "QuarantineEntry",
    "ReleaseEntry",
    "check_version",
    "same_content",
]


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
        commit: Of the source's tag when it was last looked at, where that was known.
        assets: By the id of the source's asset.
    """

    source_id: int
    target_id: int
    tag: str
    created: bool = True
    followed: bool = True
    published: str | None = None
    commit: str | None = None
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
            check_names(text_of(document["source"]), text_of(document["target"]))
            return cls(
                source=text_of(document["source"]),
                target=text_of(document["target"]),
                target_url=text_of(document["target_url"]),
                source_id=integer(document["source_id"]),
                target_id=integer(document["target_id"]),
                created_repository=flag(document["created_repository"]),
                releases={
                    entry.source_id: entry for entry in map(_release, list_of(document["releases"]))
                },
                quarantined={
                    (entry.release_id, entry.asset_id): entry
                    for entry in map(_quarantine, list_of(document["quarantined"]))
                },
            )
        except MALFORMED as error:
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
                    **fields_of(entry, "assets"),
                    "assets": [fields_of(a) for a in entry.assets.values()],
                }
                for entry in self.releases.values()
            ],
            "quarantined": [fields_of(entry) for entry in self.quarantined.values()],
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


def _release(item: Any) -> ReleaseEntry:
    assets = {asset.source_id: asset for asset in map(_asset, list_of(item["assets"]))}
    entry = ReleaseEntry(**{**item, "assets": assets})
    integer(entry.source_id)
    integer(entry.target_id)
    text_of(entry.tag)
    flag(entry.created)
    flag(entry.followed)
    perhaps_text(entry.published)
    perhaps_text(entry.commit)
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
        and 0 <= entry.size <= LARGEST
        and type(entry.sha256) in PERHAPS_TEXT
        and type(entry.source_digest) in PERHAPS_TEXT
        and type(entry.source_updated_at) in PERHAPS_TEXT
        and type(entry.created) is bool
    ):
        raise TypeError(f"a wrong type in an asset: {item!r:.200}")
    return entry


def _quarantine(item: Any) -> QuarantineEntry:
    entry = QuarantineEntry(**item)
    integer(entry.release_id)
    integer(entry.asset_id)
    for text in (entry.facts, entry.error, entry.since, entry.release):
        text_of(text)
    perhaps_text(entry.asset)
    return entry
