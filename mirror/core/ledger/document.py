"""The ledger's documents: what was mirrored, with proof. The target itself is the truth.

A ledger has one document per target repository, and one small index, which is all that a pass with
nothing to do reads. This module declares them and their JSON; a :class:`LedgerStore` stores them.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from msgspec import Struct, field

from mirror.core.failure import Quarantined, StoredHint, StoredKind, known_kind, may_be_final
from mirror.core.json_types import Count, RepositoryName, WholeNumber
from mirror.core.ledger.encoding import VERSION, Version, as_declared, decode, encode
from mirror.core.ledger.index import (
    Index,
    IndexEntry,
    ListingEntry,
    MirrorName,
    PageProof,
    ProofCounts,
)
from mirror.errors import LedgerError

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
    "document_key",
    "entry_of",
    "same_content",
]

Proof = Literal["bytes", "sent", "assumed", "refuted"]
"""What is known of a copy's bytes.

``bytes``: their SHA-256 is the source's, by the target's digest or by reading them back.
``sent``: they were hashed in transit, and the target shows their size, but reports no digest.
``assumed``: name and size match, and there is nothing else to compare.
``refuted``: they were read, and differ from the source's.
"""

if TYPE_CHECKING:
    StoredProof = Proof
else:
    StoredProof = str  # any word is read: one of other code must not cost the document


_PROOFS = frozenset(get_args(Proof))


class AssetEntry(Struct):
    """The record of one asset at the target: its bytes, and who uploaded it.

    Hosts never change the bytes of an asset id, so a record stays true as long as the asset
    exists, whatever its name.

    Attributes:
        source_id: The asset of the source that it is a copy of.
        source_name: The source's name for it when the copy last had the right name.
        target_id: The copy's id at the target.
        target_name: The copy's name at that time, as the server made it.
        new_name: The source's name that the copy was about to be given: an answer may be lost.
        size: In bytes.
        sha256: Of its bytes, hexadecimal; ``None`` if nothing proves them.
        source_digest: The source's SHA-256 when it was copied, if the source reported one.
        source_updated_at: ISO 8601, as the source gave it when it was copied.
        created: This mirror uploaded the copy.
        target_created_at: When the copy was created (ISO 8601); with the id, its identity.
        proof: What is known of its bytes; ``assumed`` for a word of other code.
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
    proof: StoredProof = "assumed"
    new_name: str | None = None

    def __post_init__(self) -> None:
        if self.proof not in _PROOFS:
            self.proof = "assumed"


class QuarantineEntry(Struct):
    """A permanent failure.

    Attributes:
        asset_id: The source asset's id, ``0`` if the release itself failed.
        facts: A fingerprint of what failed; anything else is tried again.
        since: When it failed first (ISO 8601, UTC).
        kind: What kind of failure it is; ``internal`` if it is unknown, and ``rejected`` in
            documents stored before this was recorded.
        hint: Which advice applies, if not that of the kind.
    """

    release_id: WholeNumber
    asset_id: WholeNumber
    facts: str
    error: str
    since: str
    release: str
    asset: str | None = None
    kind: StoredKind = "rejected"
    hint: StoredHint | None = None

    def __post_init__(self) -> None:
        self.kind = known_kind(self.kind)

    def report(self) -> Quarantined:
        """As reports show it."""
        return Quarantined(self.error, self.since, self.release, self.asset, self.kind, self.hint)


class _ReleaseFields(Struct):
    source_id: WholeNumber
    target_id: WholeNumber
    tag: str
    created: bool = True
    followed: bool = True
    published: str | None = None
    commit: str | None = None
    in_place: tuple[str, ...] = ()
    immutable: bool = False
    latest_instead: WholeNumber | None = None


class ReleaseEntry(_ReleaseFields):
    """A release of the source and its copy.

    Attributes:
        created: This mirror made the copy.
        followed: Its text and flags are kept equal to the source's.
        published: When this mirror published the copy or saw it published (ISO 8601, UTC).
        commit: The commit of the source's tag when it was last read, if known.
        in_place: Names whose asset was about to be deleted and uploaded again under the same name:
            an asset of such a name that is not recorded is the rest of that upload.
        immutable: The copy is immutable: should it be gone, its tag cannot be used again.
        latest_instead: The target's release that stayed the latest although this one was to be (0 for
            none); ``None`` if the target heeds it.
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
    burned_tags: tuple[str, ...] = ()


class _LedgerDocument(_LedgerFields, kw_only=True):
    version: Version
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
        created_repository: This mirror created the target repository.
        creating_repository: It was about to: if the repository exists and is empty, it is ours.
        working_since: The target's time when a run began to change it (ISO 8601); empty after a
            run that left nothing undone. What was published since may be that run's.
        burned_tags: Tags that the target refused, or will refuse, for ever: an immutable release that
            was deleted had them.
        releases: By the id of the source's release.
        quarantined: Permanent failures by ``(release id, asset id or 0)``. They are not tried again
            while the fingerprint of what failed is the same.
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
            quarantined={
                (item.release_id, item.asset_id): item
                for item in document.quarantined
                if may_be_final(item.kind)  # earlier versions quarantined more
            },
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
        """Forget what a run may have begun without recording: it has ended with nothing undone."""
        self.working_since = ""
        for entry in self.releases.values():
            entry.in_place = ()

    def totals(self) -> tuple[int, int, int]:
        """Published releases, their assets, and the bytes of those."""
        published = [entry for entry in self.releases.values() if entry.published]
        sizes = [asset.size for entry in published for asset in entry.assets.values()]
        return len(published), len(sizes), sum(sizes)

    def proofs(self) -> ProofCounts:
        """Count the assets of published releases by proof; refuted ones are not counted."""
        published = [entry for entry in self.releases.values() if entry.published]
        count = Counter(asset.proof for entry in published for asset in entry.assets.values())
        return ProofCounts(count["bytes"], count["sent"], count["assumed"])


def entry_of(ledger: Ledger) -> IndexEntry:
    """An index entry with a document's figures, and with nothing that a pass would trust."""
    releases, assets, size = ledger.totals()
    return IndexEntry(
        source=ledger.source,
        target=ledger.target,
        target_url=ledger.target_url,
        source_id=ledger.source_id,
        releases=releases,
        assets=assets,
        bytes=size,
        proof=ledger.proofs(),
        quarantined=tuple(entry.report() for entry in ledger.quarantined.values()),
    )


_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]{1,100}")


def document_key(key: str) -> str:
    """The key that a document is stored under, whatever the case of the repository's name.

    Raises:
        LedgerError: It is not the name of a repository.
    """
    owner, slash, name = key.partition("/")
    good = slash and _OWNER.fullmatch(owner) and _REPOSITORY.fullmatch(name)
    if not good or name in {".", ".."}:
        raise LedgerError(f"not the OWNER/REPO of a ledger document: {key[:250]!r}")
    return key.lower()


class LedgerStore(Protocol):
    """Stores the documents and the index. A document's key is the target's, case-folded."""

    async def exists(self) -> bool:
        """Whether there is a ledger; ``False`` before the first run.

        Raises:
            LedgerError: It is not accessible.
        """
        ...

    def lock(self, wait: float = 0.0) -> AbstractAsyncContextManager[None]:
        """Make the ledger ready to be written while the block runs, and create it if need be.

        Files are locked against other processes; in a database, claims do that for each mirror.

        Args:
            wait: Seconds to wait for another holder; 0 to fail at once.

        Raises:
            LedgerLocked: Another process still holds it.
            LedgerError: The store cannot be written.
        """
        ...

    def notifying(self) -> AbstractAsyncContextManager[None]:
        """Keep other processes from notifying people while the block runs.

        Raises:
            LedgerLocked: Another process may be at it.
            LedgerError: The store cannot be written.
        """
        ...

    async def load_index(self) -> Index:
        """Read the index; if it is missing or unreadable, one without any proof."""
        ...

    async def save_index(self, index: Index) -> None:
        """Save the index; a crash leaves the old or the new one, and after returning the new one."""
        ...

    async def save_entry(self, index: Index, key: str) -> None:
        """Save at least one mirror's entry of the index.

        Raises:
            ClaimLost: Another process may work on the mirror now.
        """
        ...

    async def save_shared(self, index: Index) -> None:
        """Save at least what the index holds besides the mirrors, and whom people were told of."""
        ...

    async def keys(self) -> list[str]:
        """The keys of all documents, in order."""
        ...

    async def load(self, key: str) -> Ledger | None:
        """Read a document; ``None`` if it is missing or unreadable (then it is set aside)."""
        ...

    async def save(self, key: str, ledger: Ledger) -> None:
        """Save a document, as safely as the index.

        Raises:
            ClaimLost: Another process may work on the mirror now.
        """
        ...

    async def set_aside(self, key: str, reason: str) -> None:
        """Put a document away so that a person can look at it; does nothing if there is none."""
        ...


def same_content(entry: AssetEntry, asset: Asset) -> bool:
    """Whether an asset of the source is still what was copied, as far as the source tells.

    The bytes of an id never change. A new id under the same name is a replaced asset, even if the
    size is the same, unless both digests are known and equal.
    """
    if asset.size != entry.size:
        return False
    known = entry.source_digest or entry.sha256
    if asset.sha256 and known:
        return asset.sha256 == known
    return asset.id == entry.source_id


def proof_of(entry: AssetEntry | None, copy: Asset, sha256: str | None) -> Proof:
    """What is known of a copy's bytes.

    Args:
        entry: What was recorded before.
        copy: The copy as the target shows it now.
        sha256: Of the bytes that it should hold, where that is known.
    """
    if sha256 is not None and copy.sha256 == sha256:
        return "bytes"
    if entry is not None and entry.proof == "bytes":
        return "bytes"
    return "sent" if sha256 is not None and entry is not None and entry.created else "assumed"
