"""What was mirrored, as documents: memory with proof, never the truth.

A ledger has one document for each mirrored target repository, and one small index, which is all
that a pass with nothing to do needs. Here they are values and their JSON; where they are kept is
a matter of a :class:`LedgerStore`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from mirror.core.ledger.decoding import (
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
from mirror.core.ledger.index import (
    Index,
    IndexEntry,
    ListingEntry,
    PageProof,
    ProofCounts,
    check_names,
)
from mirror.core.reporting.report import Quarantined
from mirror.errors import LedgerCorrupt

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from mirror.core.domain.release import Asset

__all__ = [
    "VERSION",
    "AssetEntry",
    "Index",
    "IndexEntry",
    "Ledger",
    "LedgerStore",
    "ListingEntry",
    "PageProof",
    "Proof",
    "ProofCounts",
    "QuarantineEntry",
    "ReleaseEntry",
    "check_version",
    "same_content",
]

Proof = Literal["bytes", "sent", "assumed", "refuted"]
"""What is known of a copy's bytes.

``bytes``: their SHA-256 is the source's, by the target's digest or by reading them back.
``sent``: they were hashed on their way, and the target shows their size; it tells no digest.
``assumed``: name and size are equal, and there is nothing else to compare.
``refuted``: they were read, and are not the source's.
"""
_KNOWN_PROOFS = frozenset(get_args(Proof))


@dataclass(slots=True)
class AssetEntry:
    """The record of one asset at the target: which bytes it holds, and who put it there.

    Hosts never change the bytes of an asset's id, so that a record stays true for as long as the
    asset exists, whatever its name is by then.

    Attributes:
        source_id: The source's asset whose bytes it holds.
        source_name: The source's name for it when the copy last had the right name.
        target_id: The copy's id at the target.
        target_name: The copy's name at that time, as the server made it.
        size: In bytes.
        sha256: Of its bytes, hexadecimal; ``None`` where nothing proves them.
        source_digest: The source's SHA-256 when it was copied, where the source gave one.
        source_updated_at: ISO 8601, as the source gave it when it was copied.
        created: This mirror uploaded the copy.
        target_created_at: The copy's date of creation (ISO 8601): with the id, its identity.
        proof: What is known of its bytes.
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
    target_created_at: str | None = None
    proof: Proof = "assumed"


@dataclass(slots=True)
class ReleaseEntry:
    """A release of the source and its copy.

    Attributes:
        created: This mirror made the copy.
        followed: Its text and flags are kept equal to the source's.
        published: The copy was published, and when this mirror saw or did so (ISO 8601, UTC).
        commit: Of the source's tag when it was last looked at, where that was known.
        assets: By the id of the target's asset, also of former copies that still exist.
        in_place: Names whose asset was about to be deleted and uploaded anew under the same name:
            what has such a name and is not recorded is the rest of that.
    """

    source_id: int
    target_id: int
    tag: str
    created: bool = True
    followed: bool = True
    published: str | None = None
    commit: str | None = None
    assets: dict[int, AssetEntry] = field(default_factory=dict)
    in_place: tuple[str, ...] = ()

    def note(self, entry: AssetEntry) -> None:
        """Add the record of a copy, or replace the one of the same copy."""
        self.assets[entry.target_id] = entry


@dataclass(slots=True)
class Ledger:
    """What is known of one target repository.

    Attributes:
        source: The mirror's source (``github:cli/cli``).
        source_id: The source repository's number, ``0`` while unknown.
        target_url: The target host's API address: a document of another host is not ours.
        target_id: The target repository's number, ``0`` while it does not exist.
        created_repository: This mirror made the target repository.
        creating_repository: It was about to: one that is there and empty is its own.
        working_since: The target's time when a run began to change it (ISO 8601); empty once a
            run has ended with nothing left undone. What was published since then may be that run's.
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
    creating_repository: bool = False
    working_since: str = ""
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
                creating_repository=flag(document.get("creating_repository", False)),
                working_since=text_of(document.get("working_since", "")),
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
            "creating_repository": self.creating_repository,
            "working_since": self.working_since,
            "releases": [
                {
                    **fields_of(entry, "assets", "in_place"),
                    "in_place": list(entry.in_place),
                    "assets": [fields_of(a) for a in entry.assets.values()],
                }
                for entry in self.releases.values()
            ],
            "quarantined": [fields_of(entry) for entry in self.quarantined.values()],
        }

    def settle(self) -> None:
        """Nothing is left of what a run may have begun and not noted."""
        self.working_since = ""
        for entry in self.releases.values():
            entry.in_place = ()

    def totals(self) -> tuple[int, int, int]:
        """Published releases, their assets, and the bytes of those."""
        published = [entry for entry in self.releases.values() if entry.published]
        sizes = [asset.size for entry in published for asset in entry.assets.values()]
        return len(published), len(sizes), sum(sizes)

    def proofs(self) -> ProofCounts:
        """How many assets of published releases are proven how; what was refuted is not counted."""
        published = [entry for entry in self.releases.values() if entry.published]
        count = Counter(asset.proof for entry in published for asset in entry.assets.values())
        return ProofCounts(count["bytes"], count["sent"], count["assumed"])


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
    assets = {asset.target_id: asset for asset in map(_asset, list_of(item["assets"]))}
    in_place = tuple(map(text_of, list_of(item.get("in_place", ()))))
    entry = ReleaseEntry(**{**item, "assets": assets, "in_place": in_place})
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
    if item.get("proof", "assumed") not in _KNOWN_PROOFS:
        raise ValueError("an unknown proof of an asset's bytes")
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
        and type(entry.target_created_at) in PERHAPS_TEXT
        and type(entry.created) is bool
    ):
        raise TypeError(f"a wrong type in an asset: {item!r:.200}")
    if "proof" not in item and not entry.created and entry.sha256 != entry.source_digest:
        entry.sha256 = None  # before version 2 it could be the target's own word
    return entry


def _quarantine(item: Any) -> QuarantineEntry:
    entry = QuarantineEntry(**item)
    integer(entry.release_id)
    integer(entry.asset_id)
    for text in (entry.facts, entry.error, entry.since, entry.release):
        text_of(text)
    perhaps_text(entry.asset)
    return entry
