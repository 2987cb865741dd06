"""What was mirrored, as documents: memory with proof, never the truth.

A ledger has one document for each mirrored target repository, and one small index, which is all
that a pass with nothing to do needs. Here they are values and their JSON; where they are kept is
a matter of a :class:`LedgerStore`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct, field

from mirror.core.failure import Quarantined
from mirror.core.json_types import Count, RepositoryName, WholeNumber
from mirror.core.ledger.encoding import VERSION, as_declared, decode, encode
from mirror.core.ledger.index import (
    Index,
    IndexEntry,
    ListingEntry,
    MirrorName,
    PageProof,
    ProofCounts,
)
from mirror.errors import FailureKind

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
    "same_content",
]

Proof = Literal["bytes", "sent", "assumed", "refuted"]
"""What is known of a copy's bytes.

``bytes``: their SHA-256 is the source's, by the target's digest or by reading them back.
``sent``: they were hashed on their way, and the target shows their size; it tells no digest.
``assumed``: name and size are equal, and there is nothing else to compare.
``refuted``: they were read, and are not the source's.
"""


class AssetEntry(Struct):
    """The record of one asset at the target: which bytes it holds, and who put it there.

    Hosts never change the bytes of an asset's id, so that a record stays true for as long as the
    asset exists, whatever its name is by then.

    Attributes:
        source_id: The source's asset whose bytes it holds.
        source_name: The source's name for it when the copy last had the right name.
        target_id: The copy's id at the target.
        target_name: The copy's name at that time, as the server made it.
        new_name: The source's name that the copy was about to be given: an answer may be lost.
        size: In bytes.
        sha256: Of its bytes, hexadecimal; ``None`` where nothing proves them.
        source_digest: The source's SHA-256 when it was copied, where the source gave one.
        source_updated_at: ISO 8601, as the source gave it when it was copied.
        created: This mirror uploaded the copy.
        target_created_at: The copy's date of creation (ISO 8601): with the id, its identity.
        proof: What is known of its bytes.
    """

    source_id: WholeNumber
    source_name: str
    target_id: WholeNumber
    target_name: str
    size: Count
    sha256: str | None = None
    source_digest: str | None = None
    source_updated_at: str | None = None
    created: bool = True
    target_created_at: str | None = None
    proof: Proof = "assumed"
    new_name: str | None = None


class QuarantineEntry(Struct):
    """What failed for good.

    Attributes:
        asset_id: The source asset's id, ``0`` where the release itself failed.
        facts: A fingerprint of what failed; another one is tried.
        since: When it failed first (ISO 8601, UTC).
        kind: What kind of failure it is; documents of before do not say.
    """

    release_id: WholeNumber
    asset_id: WholeNumber
    facts: str
    error: str
    since: str
    release: str
    asset: str | None = None
    kind: FailureKind = "rejected"

    def report(self) -> Quarantined:
        """As reports show it."""
        return Quarantined(self.error, self.since, self.release, self.asset, self.kind)


class _ReleaseFields(Struct):
    source_id: WholeNumber
    target_id: WholeNumber
    tag: str
    created: bool = True
    followed: bool = True
    published: str | None = None
    commit: str | None = None
    in_place: tuple[str, ...] = ()


class ReleaseEntry(_ReleaseFields):
    """A release of the source and its copy.

    Attributes:
        created: This mirror made the copy.
        followed: Its text and flags are kept equal to the source's.
        published: The copy was published, and when this mirror saw or did so (ISO 8601, UTC).
        commit: Of the source's tag when it was last looked at, where that was known.
        in_place: Names whose asset was about to be deleted and uploaded again under the same name:
            an asset of such a name that is not recorded is the rest of that upload.
        assets: By the id of the target's asset, also of former copies that still exist.
    """

    assets: dict[int, AssetEntry] = field(default_factory=dict)

    def note(self, entry: AssetEntry) -> None:
        """Add the record of a copy, or replace the one of the same copy."""
        self.assets[entry.target_id] = entry


class _ReleaseDocument(_ReleaseFields, kw_only=True):
    assets: list[AssetEntry]


class _LedgerFields(Struct):
    source: MirrorName
    target: RepositoryName
    target_url: str
    source_id: WholeNumber = 0
    target_id: WholeNumber = 0
    created_repository: bool = False
    creating_repository: bool = False
    working_since: str = ""


class _LedgerDocument(_LedgerFields, kw_only=True):
    version: int
    source_id: WholeNumber
    target_id: WholeNumber
    created_repository: bool
    releases: list[_ReleaseDocument]
    quarantined: list[QuarantineEntry]


class Ledger(_LedgerFields):
    """What is known of one target repository.

    Attributes:
        source: The mirror's source (``github:cli/cli``).
        target_url: The target host's API address: a document of another host is not ours.
        source_id: The source repository's number, ``0`` while unknown.
        target_id: The target repository's number, ``0`` while it does not exist.
        created_repository: This mirror made the target repository.
        creating_repository: It was about to: one that is there and empty is its own.
        working_since: The target's time when a run began to change it (ISO 8601); empty once a
            run has ended with nothing left undone. What was published since then may be that run's.
        releases: By the id of the source's release.
        quarantined: What failed for good, by ``(release id, asset id or 0)``, with the fingerprint
            of what failed: while it is the same, it is not tried again.
    """

    releases: dict[int, ReleaseEntry] = field(default_factory=dict)
    quarantined: dict[tuple[int, int], QuarantineEntry] = field(default_factory=dict)

    @classmethod
    def decode(cls, content: bytes) -> Ledger:
        """Read a document.

        Raises:
            LedgerTooNew: A later version of this program wrote it.
            LedgerCorrupt: It is not a ledger document; the path in it is named.
        """
        document = decode(content, _LedgerDocument)
        if document.version == 1:
            for release in document.releases:
                for asset in release.assets:
                    if not asset.created and asset.sha256 != asset.source_digest:
                        asset.sha256 = None  # in version 1 it may be the target's own claim
        return as_declared(
            document,
            cls,
            releases={
                release.source_id: as_declared(
                    release,
                    ReleaseEntry,
                    assets={asset.target_id: asset for asset in release.assets},
                )
                for release in document.releases
            },
            quarantined={(item.release_id, item.asset_id): item for item in document.quarantined},
        )

    def encode(self) -> bytes:
        """Write the document; reading it back gives an equal ledger."""
        document = as_declared(
            self,
            _LedgerDocument,
            version=VERSION,
            releases=[
                as_declared(release, _ReleaseDocument, assets=list(release.assets.values()))
                for release in self.releases.values()
            ],
            quarantined=list(self.quarantined.values()),
        )
        return encode(document)

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
