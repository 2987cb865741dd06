"""When a mirror is due: every so many seconds, or by a cron line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from cronsim import CronSim

if TYPE_CHECKING:
    from collections.abc import Iterable


LONGEST_HOLD = 3600.0
"""Seconds that a mirror is held back after failures, unless its interval is longer."""

# What was done is not done again when the clock is set back by less than this; beyond it the new
# time is simply believed. Lines with a `*` in the first two fields follow the time that passes, so
# that they must not stand still. Both as Debian's cron does it.
_REPEATED_HOURS = timedelta(hours=3)
_REPEATED_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Moment:
    """The time on both scales.

    Attributes:
        now: The time of day, aware, in the zone that schedules are read in.
        monotonic: Seconds, never going back.
    """

    now: datetime
    monotonic: float


@dataclass(frozen=True, slots=True)
class Timetable:
    """When to look: every so many seconds, or by a cron line.

    Attributes:
        interval: Seconds from one tick to the next; ``None`` where there is a schedule.
        schedule: A cron line of five fields, in local time, that comes due at some time.
        jitter: The most that a tick is put off by chance, seconds.
    """

    interval: float | None = None
    schedule: str | None = None
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if (self.interval is None) == (self.schedule is None):
            raise ValueError("either an interval or a schedule, and not both")
        if self.interval is not None and self.interval <= 0:
            raise ValueError(f"an interval above 0, not {self.interval}")

    def due_at_start(self, successes: Iterable[float], now: datetime) -> bool:
        """Whether something is to be done at once.

        Args:
            successes: When each mirror last succeeded, seconds since the epoch; 0 for never.
            now: Aware, in the zone that schedules are read in.
        """
        return any(self.first(success, now) <= 0 for success in successes)

    def first(self, success: float, now: datetime) -> float:
        """Seconds to the first tick; 0 where it is due, infinity where there is none.

        Args:
            success: The last one, seconds since the epoch; 0 for never. One that lies in the
                future proves nothing, since the clock was wrong once.
            now: As in :meth:`due_at_start`.
        """
        if not 0 < success <= now.timestamp():
            return 0.0
        if self.interval is not None:
            return max(0.0, success + self.interval - now.timestamp())
        found = self.occurrence(datetime.fromtimestamp(success, UTC).astimezone(now.tzinfo))
        return max(0.0, seconds_between(now, found)) if found else math.inf

    def occurrence(self, after: datetime) -> datetime | None:
        """The schedule's first moment after another, in UTC; ``None`` where there is none.

        Args:
            after: Aware, in the zone that the schedule is read in.
        """
        if self.schedule is None:
            return None
        earliest = after.astimezone(UTC)
        # When clocks are set back, the line's reader knows an hour of the wall once only, so that
        # what it finds in the second one may have passed; and before they are set forward it
        # finds all that does not exist at the same moment.
        for found in CronSim(self.schedule, after):
            if (moment := found.astimezone(UTC)) > earliest:
                return moment
        return None

    def patience(self, gap: timedelta) -> timedelta:
        """How far the clock may be set back without what was done being done again.

        Args:
            gap: From the last moment to the next.
        """
        fields = (self.schedule or "* *").split()
        follows_time = fields[0].startswith("*") or fields[1].startswith("*")
        return min(gap, _REPEATED_MINUTE if follows_time else _REPEATED_HOURS)

    def put_off(self, gap: float, chance: float) -> float:
        """Seconds that one tick comes after its moment.

        Args:
            gap: Seconds to the next moment; no more than half of them are taken.
            chance: In [0, 1).
        """
        return chance * min(self.jitter, gap / 2)

    def hold(self, failures: int) -> float:
        """Seconds after the moment of a run that failed before which the next is not heeded.

        Args:
            failures: In a row.
        """
        doublings = 2.0 ** min(max(0, failures - 1), 30)
        if self.interval is None:
            return min(60.0 * doublings, LONGEST_HOLD) - 1.0  # a clock is corrected now and then
        held = min(self.interval * doublings, max(self.interval, LONGEST_HOLD))
        return held - self.interval / 1000  # moments of a grid are compared, as numbers can be

    def ticker(self, moment: Moment, success: float, chance: float) -> Ticker:
        """Begin to keep this timetable.

        Args:
            moment: Now.
            success: When the mirror that is most behind last succeeded, seconds since the epoch;
                0 for never. What is due ticks at once.
            chance: In [0, 1).
        """
        if self.interval is not None:
            return _Grid(self, self.interval, moment, success, chance)
        return _Line(self, moment, success, chance)


class Ticker(Protocol):
    """A timetable that is being kept; it is shown the time, often enough."""

    def turn(self, moment: Moment, chance: float) -> float | None:
        """Tell whether it ticks now; what was missed is one tick.

        Args:
            moment: Now.
            chance: In [0, 1), to put off the tick after this one.

        Returns:
            The tick's moment before it was put off, on the monotonic scale, or ``None``.
        """

    def wait(self, moment: Moment, at: float = -math.inf) -> float:
        """Seconds to the next tick, infinity for none.

        Args:
            moment: Now.
            at: On the monotonic scale: the first tick whose moment is not before this.
        """


class _Grid:
    """Ticks at ``origin + n * interval``, each put off a little: sums of errors do not arise."""

    def __init__(
        self, table: Timetable, interval: float, moment: Moment, success: float, chance: float
    ) -> None:
        self._table = table
        self._interval = interval
        first = table.first(success, moment.now)
        self._origin = moment.monotonic + first
        self._number = 0
        self._delay = table.put_off(interval, chance) if first > 0 else 0.0

    def turn(self, moment: Moment, chance: float) -> float | None:
        if moment.monotonic < self._base + self._delay:
            return None
        self._number = self._number_at(moment.monotonic)
        base = self._base
        self._number += 1
        self._delay = self._table.put_off(self._interval, chance)
        return base

    def wait(self, moment: Moment, at: float = -math.inf) -> float:
        if at <= self._base:
            return max(0.0, self._base + self._delay - moment.monotonic)
        return max(
            0.0, self._origin + math.ceil(self._steps(at)) * self._interval - moment.monotonic
        )

    @property
    def _base(self) -> float:
        return self._origin + self._number * self._interval

    def _number_at(self, now: float) -> int:
        """The last one that is not after now, and none that was there already."""
        return max(self._number, math.floor(self._steps(now)))

    def _steps(self, now: float) -> float:
        return (now - self._origin) / self._interval


class _Line:
    """Ticks at the moments of a cron line, by the time of day, whatever is done to the clock."""

    def __init__(self, table: Timetable, moment: Moment, success: float, chance: float) -> None:
        self._table = table
        self._after = moment.now.astimezone(UTC)
        self._next: datetime | None = None
        self._delay = 0.0
        if table.first(success, moment.now) <= 0:
            self._next = self._after
        else:
            self._move(moment.now, chance)

    def turn(self, moment: Moment, chance: float) -> float | None:
        now = moment.now.astimezone(UTC)
        if self._set_back(now):
            self._move(moment.now, chance)
        if self._next is None or now < self._next + timedelta(seconds=self._delay):
            return None
        late = (now - self._next).total_seconds()
        base = moment.monotonic - min(late, self._delay)
        self._move(moment.now, chance)
        return base

    def wait(self, moment: Moment, at: float = -math.inf) -> float:
        if self._next is None:
            return math.inf
        left = seconds_between(moment.now, self._next)
        if at <= moment.monotonic + left:
            return max(0.0, left + self._delay)
        held = moment.now.astimezone(UTC) + timedelta(seconds=at - moment.monotonic)
        found = self._table.occurrence(held.astimezone(moment.now.tzinfo))
        return seconds_between(moment.now, found) if found else math.inf

    def _set_back(self, now: datetime) -> bool:
        gap = self._next - self._after if self._next else timedelta(0)
        return self._after - now > self._table.patience(gap)

    def _move(self, now: datetime, chance: float) -> None:
        """Nothing up to now is waited for any more."""
        self._after = now.astimezone(UTC)
        self._next = self._table.occurrence(now)
        self._delay = 0.0
        if self._next and self._table.jitter:
            following = self._table.occurrence(self._next.astimezone(now.tzinfo))
            gap = (following - self._next).total_seconds() if following else math.inf
            self._delay = self._table.put_off(gap, chance)


def seconds_between(earlier: datetime, later: datetime) -> float:
    """Seconds that pass, also where the clocks are changed in between."""
    return (later.astimezone(UTC) - earlier.astimezone(UTC)).total_seconds()
