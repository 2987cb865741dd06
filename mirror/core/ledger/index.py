"""The index: one entry per mirror and per wildcard, all that a pass with nothing to do reads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct, field

from mirror.core.domain.release import ADDRESS
from mirror.core.failure import Failure, Quarantined, may_be_final
from mirror.core.json_types import Moment, RepositoryName, Seconds, WholeNumber, mismatch
from mirror.core.ledger.backoff import FailedItem
from mirror.core.ledger.encoding import VERSION, Version, as_declared, decode, encode
from mirror.errors import LedgerCorrupt, LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MirrorName = Annotated[str, Meta(pattern=rf"\A[^:]*:{ADDRESS}\Z")]
"""``NAME:OWNER/REPO``."""


class PageProof(Struct, frozen=True, array_like=True, gc=False):
    """One page of a listing, as it was read.

    Attributes:
        url: Its address on the host.
        etag: As the host sent it; empty for none.
        content: A fingerprint of its items, without counters.
        items: How many items it had; ``None`` in proofs stored before this was recorded.
    """

    url: str
    etag: str
    content: str
    items: WholeNumber | None = None


class ProofCounts(NamedTuple):
    """Numbers of assets of published releases by proof, the strongest first.

    Attributes:
        bytes: Their SHA-256 is the source's.
        sent: They were hashed in transit, and the target reports no digest.
        assumed: Matched by name and size; nothing proves their bytes.
    """

    bytes: WholeNumber
    sent: WholeNumber
    assumed: WholeNumber


NO_PROOF = ProofCounts(0, 0, 0)


class Event(Struct, frozen=True, array_like=True, gc=False):
    """One thing that happened to a mirror in one session.

    Attributes:
        at: When its session ended (seconds since the epoch).
        kind: ``published``, ``replaced``, ``deleted``, ``failed`` or ``recovered``; any word is read.
        number: How many releases or assets it happened to.
        release, asset: The first of them; empty for the mirror as a whole.
        text: Of a failure: what happened.
    """

    at: Moment
    kind: str
    number: WholeNumber = 1
    release: str = ""
    asset: str = ""
    text: str = ""


class IndexEntry(Struct, gc=False):
    """All that a pass needs to know about a mirror in which nothing changed.

    Attributes:
        source: ``NAME:OWNER/REPO``.
        settings: A fingerprint of the settings that matter.
        credential: A fingerprint of the source's credential, which ETags depend on.
        target_url: The target host's API address.
        pages: The source's listing when a pass last left nothing undone but what is delayed; empty
            for no proof.
        listed: The source's listing when the mirror as a whole failed last; empty if it did not, or
            if that could not be read either.
        passed_at: When the last pass began (seconds since the epoch).
        audited_at: When both sides were last read (seconds since the epoch).
        settled_at: When a pass last left nothing undone; what is quarantined is settled (seconds
            since the epoch).
        succeeded_at: When a pass last left nothing failed, blocked, waiting or quarantined (seconds
            since the epoch).
        target_checked_at: When the target was last read (seconds since the epoch).
        failure: What made the last pass fail; ``None`` if it did not.
        error: The same in the form that former code reads; only :class:`Index` uses it.
        failed: Every item that failed when it was last tried, and when it is tried again.
        refused: The source's releases for which the target last refused a request for want of a
            permission: they are tried after the others, in this order.
        releases, assets, bytes: What the target holds of this mirror.
        proof: What is known of the bytes of those assets; refuted ones are not counted.
        newest: When the newest selected release was published at the source (ISO 8601).
        newest_tag: Its tag.
        newest_visible: When it was seen published at the target; ``None`` until then.
        since: When the mirror was first synced (seconds since the epoch).
        wake_at: When a release that is too young now will be old enough (seconds since the
            epoch); 0 for none.
        warnings, quarantined: Repeated in every report.
        told: A failure notification was sent, and no recovery notification yet.
        history: The results of the last sessions, a letter each, the newest at the end.
        events: What people want to know of the last sessions, the newest at the end.
    """

    source: MirrorName
    target: RepositoryName
    settings: str = ""
    credential: str = ""
    target_url: str = ""
    source_id: WholeNumber = 0
    pages: tuple[PageProof, ...] = ()
    listed: tuple[PageProof, ...] = ()
    audited_at: Moment = 0.0
    settled_at: Moment = 0.0
    succeeded_at: Moment = 0.0
    target_checked_at: Moment = 0.0
    error: str = ""
    failure: Failure | None = None
    failed: tuple[FailedItem, ...] = ()
    refused: tuple[WholeNumber, ...] = ()
    passed_at: Moment = 0.0
    releases: WholeNumber = 0
    assets: WholeNumber = 0
    bytes: WholeNumber = 0
    proof: ProofCounts = NO_PROOF
    newest: str | None = None
    newest_tag: str | None = None
    newest_visible: str | None = None
    since: Moment = 0.0
    wake_at: Moment = 0.0
    warnings: tuple[str, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    told: bool = False
    history: str = ""
    events: tuple[Event, ...] = ()

    @property
    def checked(self) -> datetime | None:
        """When the target was last read; ``None`` for never."""
        return (
            datetime.fromtimestamp(self.target_checked_at, UTC) if self.target_checked_at else None
        )


class _EntryDocument(IndexEntry, kw_only=True):
    version: Version


def decode_entry(content: bytes) -> IndexEntry:
    """Read an entry that is stored by itself.

    Raises:
        LedgerTooNew: A later version of this program wrote it.
        LedgerCorrupt: It is not an entry; the path in it is named.
    """
    entry = as_declared(decode(content, _EntryDocument), IndexEntry)
    _lift(entry)
    return entry


def encode_entry(entry: IndexEntry) -> bytes:
    """Write an entry by itself; reading it back gives an equal one."""
    entry.error = entry.failure.line if entry.failure else ""
    return encode(as_declared(entry, _EntryDocument, version=VERSION))


class HostRecord(Struct, frozen=True):
    """What is known of a host beside its mirrors; times are seconds since the epoch.

    Attributes:
        credential: A fingerprint of it.
        token_expires_at: As the host last told; 0 where it told no time.
        points: What the last minute's requests cost, summed up by the second: (latest time, points).
        writes: Requests of the last hour that created content, summed up by the minute.
        paced_by: The limit that requests last waited for: ``900 points a minute``.
        paced_until: When that wait ends.
    """

    credential: str = ""
    token_expires_at: Moment = 0.0
    points: tuple[tuple[Moment, WholeNumber], ...] = ()
    writes: tuple[tuple[Moment, WholeNumber], ...] = ()
    paced_by: str = ""
    paced_until: Moment = 0.0


class PassRecord(Struct, frozen=True):
    """One past pass, for the history on the status page.

    Attributes:
        started_at: Seconds since the epoch.
        seconds: How long it took.
        mirrors: Number of mirrors.
        unchanged, failed: How many of them.
        bytes: Bytes uploaded.
        requests: Requests to all hosts.
    """

    started_at: Moment
    seconds: Seconds
    mirrors: WholeNumber = 0
    unchanged: WholeNumber = 0
    failed: WholeNumber = 0
    bytes: WholeNumber = 0
    requests: WholeNumber = 0


def merged_passes(passes: Iterable[PassRecord]) -> tuple[PassRecord, ...]:
    """Past passes, with the parts of several processes in what was due at one time as one."""
    found: dict[float, PassRecord] = {}
    for one in passes:
        before = found.get(one.started_at, PassRecord(one.started_at, 0.0))
        found[one.started_at] = PassRecord(
            one.started_at,
            max(one.seconds, before.seconds),
            one.mirrors + before.mirrors,
            one.unchanged + before.unchanged,
            one.failed + before.failed,
            one.bytes + before.bytes,
            one.requests + before.requests,
        )
    return tuple(found.values())


class Told(Struct, frozen=True):
    """A failure notification that was sent for something without an entry in the index.

    Attributes:
        command: ``sync``, or ``verify`` for what a repair could not fix.
        source: ``NAME:OWNER/REPO``, or a wildcard.
        target: ``OWNER/REPO``; ``None`` for a wildcard.
    """

    command: str
    source: str
    target: str | None


PASSES_KEPT = 60
"""Past passes that the index keeps."""


class ListingEntry(Struct):
    """The result of a wildcard: the pages of an owner's repositories, and the repositories.

    Attributes:
        repositories: ``[owner/name, id, fork, archived]`` of each.
    """

    credential: str
    pages: tuple[PageProof, ...] = ()
    repositories: tuple[tuple[RepositoryName, WholeNumber, bool, bool], ...] = ()


class Index(Struct):
    """An entry per mirror by its target's key, and a listing per wildcard.

    Attributes:
        finished_at: When a pass last ended (seconds since the epoch).
        passes: The last ones, the newest at the end.
        told: Failure notifications that were sent for anything but a mirror with an entry.
        hosts: By configured name.
    """

    mirrors: dict[str, IndexEntry] = field(default_factory=dict)
    listings: dict[str, ListingEntry] = field(default_factory=dict)
    finished_at: Moment = 0.0
    passes: tuple[PassRecord, ...] = ()
    told: tuple[Told, ...] = ()
    hosts: dict[str, HostRecord] = field(default_factory=dict)

    def remember(self, record: PassRecord) -> None:
        """Record a pass that ended."""
        self.finished_at = record.started_at + record.seconds
        self.passes = (*self.passes, record)[-PASSES_KEPT:]

    @classmethod
    def decode(cls, content: bytes) -> Index:
        """Read the index.

        Raises:
            LedgerTooNew: A later version of this program wrote it.
            LedgerCorrupt: It is not an index; the path in it is named.
        """
        try:
            document = decode(content, _IndexDocument)
        except LedgerCorrupt:
            _name_the_entry(content)
            raise
        if document.version == 1:  # older than any proof
            for entry in document.mirrors.values():
                entry.proof = ProofCounts(0, 0, entry.assets)
        _restore(document.mirrors.values(), {})
        return as_declared(document, cls)

    @classmethod
    def decode_lines(cls, lines: Iterable[bytes]) -> Index | None:
        """Read the index a line at a time, so that text and entries are not in memory together.

        Returns:
            The index; ``None`` if it is not in the lines that :meth:`pieces` writes: then
            :meth:`decode` reads it, or says what is wrong.
        """
        rest = iter(lines)
        first, last = next(rest, b""), b""
        if not first.endswith(_OPENED):
            return None
        mirrors: dict[str, IndexEntry] = {}
        known: dict[Any, Any] = {}
        more = True
        try:
            for line in rest:
                if line.startswith(b"}"):
                    last = line
                    break
                if not more:
                    return None
                some = _SOME_ENTRIES.decode(b"{%b}" % line.rstrip(b",\n"))
                more = line.endswith(b",\n")
                _restore(some.values(), known)
                mirrors.update(some)
            document = decode(b"".join((first, last, *rest)), _IndexDocument)
        except (ValueError, RecursionError, LedgerError):
            return None
        if more or document.version == 1:
            return None
        document.mirrors = mirrors
        return as_declared(document, cls)

    def encode(self) -> bytes:
        """Write the document; reading it back gives an equal index."""
        return b"".join(self.pieces())

    def pieces(self, most: int = 250) -> Iterator[bytes]:
        """Write the document in pieces, each when it is asked for: as a whole, it is large.

        What changes meanwhile is written as it is when its piece is asked for, but an entry that is
        added meanwhile is left out.

        Args:
            most: Entries in a piece; more are written in one line each.
        """
        document = as_declared(self, _IndexDocument, version=VERSION)
        if len(self.mirrors) <= most:
            _describe_failures(self.mirrors.values())
            yield encode(document)
            return
        document.mirrors = {}
        before, _, after = encode(document).partition(b'"mirrors":{}')
        separator, keys = b"\n", list(self.mirrors)
        yield before + _OPENED[:-1]
        for start in range(0, len(keys), most):
            some = {k: self.mirrors[k] for k in keys[start : start + most] if k in self.mirrors}
            if some:
                _describe_failures(some.values())
                yield separator + encode(some)[1:-1]
                separator = b",\n"
        yield b"\n}" + after


_OPENED = b'"mirrors":{\n'
"""Ends the first line of an index that is written in lines."""


def _describe_failures(entries: Iterable[IndexEntry]) -> None:
    """Add what former code reads."""
    for entry in entries:
        entry.error = entry.failure.line if entry.failure else ""


def _restore(entries: Iterable[IndexEntry], known: dict[Any, Any]) -> None:
    """Make entries of what was read.

    Args:
        entries: As they were read.
        known: Values of other entries: thousands of mirrors share few texts and times.
    """
    shared = known.setdefault
    for entry in entries:
        if entry.error and entry.failure is None:  # former code stored a sentence
            entry.failure = Failure("internal", entry.error)
        if entry.quarantined:
            _lift(entry)
        entry.settings = shared(entry.settings, entry.settings)
        entry.credential = shared(entry.credential, entry.credential)
        entry.target_url = shared(entry.target_url, entry.target_url)
        entry.history = shared(entry.history, entry.history)
        entry.passed_at = shared(entry.passed_at, entry.passed_at)
        entry.settled_at = shared(entry.settled_at, entry.settled_at)
        entry.succeeded_at = shared(entry.succeeded_at, entry.succeeded_at)
        entry.audited_at = shared(entry.audited_at, entry.audited_at)
        entry.target_checked_at = shared(entry.target_checked_at, entry.target_checked_at)
        entry.since = shared(entry.since, entry.since)


def _lift(entry: IndexEntry) -> None:
    """Have the next pass try what earlier versions quarantined and this one does not."""
    kept = tuple(item for item in entry.quarantined if may_be_final(item.kind))
    if len(kept) < len(entry.quarantined):
        lifted = next(item for item in entry.quarantined if item not in kept)
        entry.failure = entry.failure or lifted.failure
        entry.quarantined, entry.pages = kept, ()


class _IndexDocument(Index, kw_only=True):
    version: Version
    mirrors: dict[str, IndexEntry]
    listings: dict[str, ListingEntry]
    finished_at: Moment


_SOME_ENTRIES = msgspec.json.Decoder(dict[str, IndexEntry])


class _Entries(Struct):
    mirrors: dict[str, Any]
    listings: dict[str, Any]


def _name_the_entry(content: bytes) -> None:
    """Raise the error of the first entry that does not match: msgspec leaves out keys in paths."""
    try:
        document = msgspec.json.decode(content, type=_Entries)
    except (ValueError, RecursionError):
        return  # then the entries are not the reason
    parts: tuple[tuple[str, dict[str, Any], Any], ...] = (
        ("mirrors", document.mirrors, IndexEntry),
        ("listings", document.listings, ListingEntry),
    )
    for part, entries, shape in parts:
        for key, entry in entries.items():
            try:
                msgspec.convert(entry, shape)
            except msgspec.ValidationError as error:
                raise LedgerCorrupt(mismatch(error, f"{part}[{key!r}]")) from error
