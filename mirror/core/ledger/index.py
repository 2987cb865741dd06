"""The small file that a pass with nothing to do needs: an entry for each mirror and wildcard."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from mirror.core.domain.release import RepoRef
from mirror.core.ledger.decoding import (
    LARGEST,
    MALFORMED,
    VERSION,
    check_version,
    fields_of,
    flag,
    integer,
    list_of,
    moment_of,
    perhaps_text,
    seconds_of,
    text_of,
)
from mirror.core.reporting.report import Quarantined
from mirror.errors import LedgerCorrupt

if TYPE_CHECKING:
    from mirror.core.reporting.report import Report


@dataclass(frozen=True, slots=True)
class PageProof:
    """One page of a listing, as it was read.

    Attributes:
        url: Its address on the host.
        etag: The host's, sent back as it came; empty where it gave none.
        content: A fingerprint of what it held, without counters.
        items: How many items it held; ``None`` in proofs that were stored before this was noted.
    """

    url: str
    etag: str
    content: str
    items: int | None = None

    def to_json(self) -> list[str | int | None]:
        """As it stands in the index."""
        return [self.url, self.etag, self.content, self.items]


class ProofCounts(NamedTuple):
    """How many assets of published releases are proven how, the surest first.

    Attributes:
        bytes: Their SHA-256 is the source's.
        sent: They were hashed in transit, and the target reports no digest.
        assumed: Matched by name and size; nothing proves their bytes.
    """

    bytes: int
    sent: int
    assumed: int


NO_PROOF = ProofCounts(0, 0, 0)


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
        proof: What is known of the bytes of those assets. It is less than ``assets`` by those
            whose bytes were read and are not the source's.
        newest: The publication of the newest selected release at the source (ISO 8601).
        newest_visible: When it was seen published at the target; ``None`` while it is not.
        since: When the mirror was first looked at (seconds since the epoch).
        wake_at: When a release that is too young now will be old enough (seconds since the
            epoch); 0 for none.
        warnings, quarantined: What every report repeats.
        told: People were told that it is in trouble, and not yet that it is well again.
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
    proof: ProofCounts = NO_PROOF
    newest: str | None = None
    newest_visible: str | None = None
    since: float = 0.0
    wake_at: float = 0.0
    warnings: tuple[str, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    told: bool = False

    @classmethod
    def from_json(cls, document: Any) -> IndexEntry:
        """Read one entry of the index.

        Raises:
            LedgerCorrupt: It is none.
        """
        try:
            return _index_entry(document)
        except MALFORMED as error:
            raise LedgerCorrupt(f"not an entry of the index: {error!r}") from error

    def to_json(self) -> dict[str, Any]:
        """As it stands in the index."""
        return {
            **fields_of(self, "pages", "proof", "quarantined", "warnings"),
            "proof": list(self.proof),
            "pages": [page.to_json() for page in self.pages],
            "warnings": list(self.warnings),
            "quarantined": [item.to_json() for item in self.quarantined],
        }


@dataclass(frozen=True, slots=True)
class PassRecord:
    """One pass of the past, for a picture of the last ones.

    Attributes:
        started_at: Seconds since the epoch.
        seconds: How long it took.
        mirrors: Those that it was about.
        unchanged, failed: How many of them.
        bytes: That were uploaded.
        requests: To all hosts.
    """

    started_at: float
    seconds: float
    mirrors: int = 0
    unchanged: int = 0
    failed: int = 0
    bytes: int = 0
    requests: int = 0

    @classmethod
    def of(cls, report: Report) -> PassRecord:
        """What is worth remembering of a pass."""
        totals = report.totals()
        return cls(
            started_at=round(report.started_at.timestamp(), 3),
            seconds=round((report.finished_at - report.started_at).total_seconds(), 3),
            mirrors=totals["repositories"],
            unchanged=totals["unchanged"],
            failed=sum(repo.status == "failed" for repo in report.repositories),
            bytes=totals["bytes_uploaded"],
            requests=sum(count.total for count in report.requests.values()),
        )


@dataclass(frozen=True, slots=True)
class Told:
    """What people were told is in trouble, where there is no entry to remember it by.

    Attributes:
        command: ``sync``, or ``verify`` for what a repair left.
        source: ``NAME:OWNER/REPO``, or a wildcard.
        target: ``OWNER/REPO``; ``None`` for a wildcard.
    """

    command: str
    source: str
    target: str | None


PASSES_KEPT = 60
"""Passes of the past that the index remembers."""


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
                credential=text_of(document["credential"]),
                pages=_pages(document["pages"]),
                repositories=tuple(
                    (str(RepoRef.parse(text_of(name))), integer(number), flag(fork), flag(archived))
                    for name, number, fork, archived in map(
                        list_of, list_of(document["repositories"])
                    )
                ),
            )
        except MALFORMED as error:
            raise LedgerCorrupt(f"not a listing of the index: {error!r}") from error

    def to_json(self) -> dict[str, Any]:
        """As it stands in the index."""
        return {
            "credential": self.credential,
            "pages": [page.to_json() for page in self.pages],
            "repositories": [list(repository) for repository in self.repositories],
        }


@dataclass(slots=True)
class Index:
    """The small file: an entry for each mirror by its target's key, a listing for each wildcard.

    Attributes:
        finished_at: When a pass last ended (seconds since the epoch).
        passes: The last ones, the newest at the end.
        told: What people were told of beside the mirrors.
    """

    mirrors: dict[str, IndexEntry] = field(default_factory=dict)
    listings: dict[str, ListingEntry] = field(default_factory=dict)
    finished_at: float = 0.0
    passes: tuple[PassRecord, ...] = ()
    told: tuple[Told, ...] = ()

    def remember(self, report: Report) -> None:
        """Note a pass that ended."""
        self.finished_at = report.finished_at.timestamp()
        self.passes = (*self.passes, PassRecord.of(report))[-PASSES_KEPT:]

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
                finished_at=moment_of(document["finished_at"]),
                passes=tuple(map(_pass, list_of(document.get("passes", [])))),
                told=tuple(map(_told, list_of(document.get("told", [])))),
            )
        except MALFORMED as error:
            raise LedgerCorrupt(f"not an index: {error!r}") from error

    def to_json(self) -> dict[str, Any]:
        """The document; reading it back gives an equal index."""
        return {
            "version": VERSION,
            "finished_at": self.finished_at,
            "passes": [fields_of(item) for item in self.passes],
            "told": [fields_of(item) for item in self.told],
            "mirrors": {k: v.to_json() for k, v in self.mirrors.items()},
            "listings": {k: v.to_json() for k, v in self.listings.items()},
        }


def check_names(source: str, target: str) -> None:
    """Refuse what names no mirror: ``NAME:OWNER/REPO`` and ``OWNER/REPO``."""
    for address in (source.partition(":")[2], target):
        if not RepoRef.possible(address):
            raise ValueError(f"not the names of a mirror: {source[:200]!r}, {target[:200]!r}")


def _index_entry(document: Any) -> IndexEntry:
    # Asked of thousands of entries before a pass begins: what is nearly always good is seen at once.
    entry = IndexEntry(**document)
    entry.pages = _pages(document["pages"])
    entry.quarantined = tuple(map(_quarantined, list_of(document["quarantined"])))
    entry.warnings = tuple(map(text_of, list_of(document["warnings"])))
    entry.audited_at = moment_of(document["audited_at"])
    entry.succeeded_at = moment_of(document["succeeded_at"])
    entry.since = moment_of(entry.since)
    entry.wake_at = moment_of(entry.wake_at)
    flag(entry.told)
    texts = (
        entry.source,
        entry.target,
        entry.settings,
        entry.credential,
        entry.target_url,
        entry.error,
    )
    if set(map(type, texts)) != {str}:
        for text in texts:
            text_of(text)
    check_names(entry.source, entry.target)
    # An index without the counts is older than any proof.
    entry.proof = ProofCounts(*list_of(document.get("proof", (0, 0, entry.assets))))
    numbers = (entry.source_id, entry.releases, entry.assets, entry.bytes, *entry.proof)
    if set(map(type, numbers)) != {int} or max(map(abs, numbers)) > LARGEST:
        for number in numbers:
            integer(number)
    perhaps_text(entry.newest)
    perhaps_text(entry.newest_visible)
    return entry


def _pass(item: Any) -> PassRecord:
    record = PassRecord(**item)
    moment_of(record.started_at)
    seconds_of(record.seconds)
    for whole in (record.mirrors, record.unchanged, record.failed, record.bytes, record.requests):
        integer(whole)
    return record


def _told(item: Any) -> Told:
    told = Told(**item)
    text_of(told.command)
    text_of(told.source)
    perhaps_text(told.target)
    return told


def _quarantined(item: Any) -> Quarantined:
    entry = Quarantined(**item)
    text_of(entry.error)
    text_of(entry.since)
    perhaps_text(entry.release)
    perhaps_text(entry.asset)
    return entry


def _pages(items: Any) -> tuple[PageProof, ...]:
    pages = tuple(PageProof(*list_of(item)) for item in list_of(items))
    for page in pages:
        for text in (page.url, page.etag, page.content):
            text_of(text)
        if page.items is not None:
            integer(page.items)
    return pages
