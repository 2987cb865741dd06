"""A pass of the service: one tick of a timetable, from the asking to the last session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from mirror.core.reporting.report import RepositoryReport
    from mirror.core.timetable import Timetable
    from mirror.daemon.jobs import Answer


@dataclass(frozen=True, slots=True)
class Group:
    """The mirrors that share a timetable.

    Attributes:
        interval: What they are set to, seconds; 0 for those that follow the service.
        timetable: When they are looked at.
        sources: The names of the hosts that they are read from; each is listed by itself, so that
            one that is slow or closed delays no mirror of another.
        succeeded_at: When the one of them that is most behind last succeeded, seconds since the
            epoch; 0 for never.
    """

    interval: float
    timetable: Timetable
    sources: tuple[str, ...]
    succeeded_at: float = 0.0


@dataclass(frozen=True, slots=True)
class PassEnd:
    """What a pass came to.

    Attributes:
        started_at: When it was asked for (aware, UTC).
        seconds: From there to its end.
        group: Whose mirrors it was about.
        reports: Of its sessions, and of what could not be listed.
        asked: Mirrors that it was about.
        held: Of these, those that were left out because they failed before, or because their
            host takes no work since an earlier pass.
        busy: Of these, those that an earlier pass is still about, or that ran already.
    """

    started_at: datetime
    seconds: float
    group: Group
    reports: tuple[RepositoryReport, ...]
    asked: int
    held: int = 0
    busy: int = 0

    @property
    def good(self) -> bool:
        """Whether nothing failed, is quarantined, was interrupted or left out because of trouble."""
        return not self.held and all(
            report.status in {"ok", "unchanged"} and not report.failures and not report.quarantined
            for report in self.reports
        )


@dataclass(slots=True, eq=False)
class OpenPass:
    """A pass that has not ended.

    Attributes:
        began: When it was asked for, monotonic.
        sources: Hosts whose mirrors are not known yet.
        keys: Mirrors whose session it waits for.
        late: Mirrors that were running when they were asked for.
    """

    group: Group
    started_at: datetime
    began: float
    sources: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    late: list[str] = field(default_factory=list)
    reports: list[RepositoryReport] = field(default_factory=list)
    asked: int = 0
    held: int = 0
    busy: int = 0

    @property
    def over(self) -> bool:
        """Whether it waits for nothing."""
        return not self.sources and not self.keys

    @property
    def worth_telling(self) -> bool:
        """Whether it did something, or had nothing to do; not if others did all of it."""
        return bool(self.reports) or not self.asked

    def note(self, key: str, answer: Answer) -> None:
        """Count a mirror that was asked for."""
        self.asked += 1
        if answer == "asked":
            self.keys.add(key)
        elif answer == "held":
            self.held += 1
        else:
            self.busy += 1
            if answer == "running":
                self.late.append(key)

    def leave_out(self, count: int, *, held: bool) -> None:
        """Count mirrors that another pass is about."""
        self.asked += count
        if held:
            self.held += count
        else:
            self.busy += count

    def end(self, now: float) -> PassEnd:
        """What it came to."""
        return PassEnd(
            self.started_at,
            now - self.began,
            self.group,
            tuple(self.reports),
            self.asked,
            self.held,
            self.busy,
        )
