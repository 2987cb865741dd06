"""Who may work on a mirror, where several processes share the work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from mirror.core.ledger.index import IndexEntry
    from mirror.core.reporting.inheritance import KilledRun
    from mirror.core.reporting.report import ActionReport, RepositoryReport


class ClaimTimes(NamedTuple):
    """How long a claim is valid; tests with real processes shorten it.

    Attributes:
        lease: Seconds for which a claim is valid unless it is renewed: the time until a dead
            process's mirrors are taken over.
        renew_every: Seconds between two renewals: three may fail.
        margin: Seconds before its end at which a claim counts as lost: whatever was sent is answered
            by then, or its connection is closed.
        look_every: Seconds between two heartbeats, which also learn what other processes did.
    """

    lease: float = 45.0
    renew_every: float = 10.0
    margin: float = 10.0
    look_every: float = 5.0


TIMES = ClaimTimes()


class Claim(Protocol):
    """The right to work on one mirror, for as long as it is renewed.

    Attributes:
        key: The mirror's.
        number: Greater than that of every earlier claim of the mirror.
        settings: The mirror's, as they were published last.
        entry: The mirror's entry of the index when the claim was taken; ``None`` for none.
        lost: Another process may work on the mirror now.
        overlapped: Other runs did something between ``since`` and this claim.
        requested: Somebody asked for this run: what failed is tried again at once.
        full: Somebody asked for a run that trusts no stored ETag and no quarantine.
    """

    key: str
    number: int
    settings: str | None
    entry: IndexEntry | None
    lost: bool
    overlapped: bool
    requested: bool
    full: bool

    def check(self) -> None:
        """Before something is changed at the target, see that enough time is left.

        Raises:
            ClaimLost: Another process may work on the mirror now, or soon.
        """
        ...

    async def tell(self, report: RepositoryReport) -> None:
        """Save what the run has done so far, for those who wait for it: it may be killed."""
        ...

    async def intend(self, actions: Sequence[ActionReport], report: RepositoryReport) -> None:
        """Save what the run is about to do, and what it tells so far, before anything is changed.

        By that a later run can find out what this one did before it was killed.
        """
        ...

    async def killed(self) -> Sequence[KilledRun]:
        """The runs that did not end, of the last day; the oldest first.

        This run reports what they did, if it ends.
        """
        ...

    def held(self) -> AbstractAsyncContextManager[None]:
        """Cancel the block as soon as the claim is lost.

        Raises:
            ClaimLost: It was lost; the block was cancelled.
        """
        ...


class JobSettings(NamedTuple):
    """What one configuration says of a mirror, or of a listing of an owner's repositories.

    Attributes:
        key: The mirror's, or the listing's (``github:hashicorp``).
        settings: A fingerprint of all that matters.
        source: The name of the source host.
        listing: The key of the listing that found the mirror; empty for one configured by name, and
            for a listing.
        next_tick: When its timetable has it due next; ``None`` for never, and where a process has
            no timetable.
    """

    key: str
    settings: str
    source: str
    listing: str
    next_tick: datetime | None


@dataclass(frozen=True, slots=True)
class FinishedElsewhere:
    """A run of another process that counts as one's own.

    Attributes:
        entry: The mirror's entry of the index after it.
        report: What it did; ``None`` if nothing had changed.
    """

    entry: IndexEntry | None
    report: RepositoryReport | None


class Superseded(NamedTuple):
    """A process that started or reloaded later has other settings of a mirror.

    Attributes:
        removed: It has no such mirror.
    """

    removed: bool


class SharedSettings(Protocol):
    """The settings of all mirrors, for all processes: those of the last start or reload."""

    async def next_generation(self, *, patience: float) -> int:
        """A number greater than all before; drawn before what is published is read.

        Args:
            patience: Seconds to wait for an unavailable database.
        """
        ...

    async def publish(
        self,
        generation: int,
        jobs: Sequence[JobSettings],
        *,
        listing: str | None = None,
        patience: float,
    ) -> None:
        """Have all processes use these settings; what is new or changed is due at once.

        Args:
            generation: Nothing is published if a greater one was.
            jobs: All of the configuration; or a listing and its mirrors, which are published as
                long as the listing has these settings.
            listing: That listing; other rows are left alone.
            patience: Seconds to wait for an unavailable database.
        """
        ...


class Claims(Protocol):
    """Hands out claims: at most one at a time for each mirror, whatever happens to a process."""

    def renewed(self) -> AbstractAsyncContextManager[None]:
        """Renew the claims of this process while the block runs."""
        ...

    async def now(self) -> datetime:
        """The time by the clock that all processes share."""
        ...

    async def take(
        self, key: str, settings: str, since: datetime, *, accepts: bool = True
    ) -> Claim | FinishedElsewhere | Superseded | None:
        """Claim a mirror; waits while the database is unavailable.

        Args:
            key: The mirror's.
            settings: Those of this process, which it has published.
            since: When the pass began.
            accepts: A run of another process that began later counts as one of the pass.

        Returns:
            ``None`` while another process has the mirror.
        """
        ...

    async def release(
        self,
        claim: Claim,
        entry: IndexEntry | None,
        report: RepositoryReport | None,
        *,
        finished: bool,
        next_due: datetime | None = None,
    ) -> bool:
        """Save the entry and the report, and give the claim back.

        Args:
            claim: Which.
            entry: The mirror's entry of the index; ``None`` to keep what is stored.
            report: For those who wait for the run; ``None`` if nothing changed.
            finished: The run was not cut short, so that it counts for others.
            next_due: When the mirror is due again, unless a run was requested or other settings were
                published meanwhile; ``None`` to leave that as it is.

        Returns:
            ``False`` if the claim had been lost: nothing was saved.
        """
        ...

    async def reports(self, key: str, since: datetime) -> list[RepositoryReport]:
        """What runs of a mirror did that ended since then, or were cut short; the oldest first."""
        ...
