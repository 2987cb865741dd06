"""When a mirror is due: every so many seconds, or by a cron line."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from cronsim import CronSim

# If the clock is set back by less than this, what was done is not done again; otherwise the new
# time is simply used. Lines with a `*` in the first two fields follow elapsed time, so they must not
# stand still. Debian's cron does both the same way.
_REPEATED_HOURS = timedelta(hours=3)
_REPEATED_MINUTE = timedelta(minutes=1)

_A_YEAR = 366 * 86400.0


@dataclass(frozen=True, slots=True)
class Moment:
    """The time on both clocks.

    Attributes:
        now: The time of day, aware, in the zone of schedules.
        monotonic: Seconds that never go back.
    """

    now: datetime
    monotonic: float


@dataclass(frozen=True, slots=True)
class Timetable:
    """When mirrors are due: every so many seconds, or by a cron line.

    Attributes:
        interval: Seconds from one tick to the next; ``None`` if there is a schedule.
        schedule: A cron line of five fields, in local time, that is due at some time.
        jitter: The longest random delay of a tick, seconds.
    """

    interval: float | None = None
    schedule: str | None = None
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if (self.interval is None) == (self.schedule is None):
            raise ValueError("either an interval or a schedule, and not both")
        if self.interval is not None and self.interval <= 0:
            raise ValueError(f"an interval above 0, not {self.interval}")

    def first(self, success: float, now: datetime) -> float:
        """Seconds to the first tick; 0 if it is due, infinity if there is none.

        Args:
            success: The last success, seconds since the epoch; 0 for never. One in the future
                proves nothing: the clock was wrong once.
            now: Aware, in the zone of schedules.
        """
        if not 0 < success <= now.timestamp():
            return 0.0
        if self.interval is not None:
            return max(0.0, success + self.interval - now.timestamp())
        found = self.occurrence(datetime.fromtimestamp(success, UTC).astimezone(now.tzinfo))
        return max(0.0, seconds_between(now, found)) if found else math.inf

    def occurrence(self, after: datetime) -> datetime | None:
        """The schedule's first time after another, in UTC; ``None`` if there is none.

        Args:
            after: Aware, in the zone of schedules.
        """
        if self.schedule is None:
            return None
        earliest = after.astimezone(UTC)
        # At the end of DST, cronsim sees the repeated hour once only, so that what it finds in the
        # second one may have passed. At the start of DST, it finds all times of the skipped hour
        # at the same moment.
        for found in CronSim(self.schedule, after):
            if (moment := found.astimezone(UTC)) > earliest:
                return moment
        return None

    def gap(self, now: datetime) -> float:
        """Seconds between the next two ticks; a year if there are none.

        Args:
            now: Aware, in the zone of schedules.
        """
        if self.interval is not None:
            return self.interval
        following = self.occurrence(now)
        after = self.occurrence(following.astimezone(now.tzinfo)) if following else None
        return seconds_between(following, after) if following and after else _A_YEAR

    def tolerance(self, gap: timedelta) -> timedelta:
        """How far the clock may be set back without repeating what was done.

        Args:
            gap: From the last scheduled time to the next.
        """
        fields = (self.schedule or "* *").split()
        follows_time = fields[0].startswith("*") or fields[1].startswith("*")
        return min(gap, _REPEATED_MINUTE if follows_time else _REPEATED_HOURS)

    def delay(self, gap: float, chance: float) -> float:
        """The random delay of one tick, seconds.

        Args:
            gap: Seconds to the next tick; the delay is at most half of them.
            chance: In [0, 1).
        """
        return chance * min(self.jitter, gap / 2)

    def shared_tick(self, now: datetime, seed: str) -> datetime | None:
        """The first tick after now, the same in every process; ``None`` if there is none.

        Args:
            now: Aware, in the zone of schedules.
            seed: Decides where an interval begins, and the delay of each tick.
        """
        if self.interval is not None:
            origin = _chance(seed) * self.interval
            number = math.floor((now.timestamp() - origin) / self.interval)
            while True:
                delay = self.delay(self.interval, _chance(f"{seed} {number}"))
                tick = datetime.fromtimestamp(origin + number * self.interval + delay, UTC)
                if tick > now:
                    return tick
                number += 1
        moment = now - timedelta(seconds=self.jitter)
        while found := self.occurrence(moment):
            moment = found.astimezone(now.tzinfo)
            gap = self.gap(moment) if self.jitter else 0.0
            tick_at = found + timedelta(seconds=self.delay(gap, _chance(f"{seed} {found}")))
            if tick_at > now:
                return tick_at
        return None

    def ticker(self, moment: Moment, success: float, chance: float) -> Ticker:
        """Start following this timetable.

        Args:
            moment: Now.
            success: When the mirror that is most behind last succeeded, seconds since the epoch;
                0 for never. If it is due, the first tick comes at once.
            chance: In [0, 1).
        """
        if self.interval is not None:
            return _IntervalTicker(self, self.interval, moment, success, chance)
        return _ScheduleTicker(self, moment, success, chance)


class Ticker(Protocol):
    """Follows a timetable; it must be called often enough."""

    def turn(self, moment: Moment, chance: float) -> float | None:
        """Whether it ticks now; all ticks that were missed are one.

        Args:
            moment: Now.
            chance: In [0, 1), for the delay of the tick after this one.

        Returns:
            When the tick was due before its delay (monotonic), or ``None``.
        """

    def wait(self, moment: Moment) -> float:
        """Seconds to the next tick; infinity for none."""


class _IntervalTicker:
    """Ticks at ``origin + n * interval``, each with a delay of its own, so that errors never add up."""

    def __init__(
        self, table: Timetable, interval: float, moment: Moment, success: float, chance: float
    ) -> None:
        self._table = table
        self._interval = interval
        first = table.first(success, moment.now)
        self._origin = moment.monotonic + first
        self._number = 0
        self._delay = table.delay(interval, chance) if first > 0 else 0.0

    def turn(self, moment: Moment, chance: float) -> float | None:
        if moment.monotonic < self._base + self._delay:
            return None
        self._number = self._number_at(moment.monotonic)
        base = self._base
        self._number += 1
        self._delay = self._table.delay(self._interval, chance)
        return base

    def wait(self, moment: Moment) -> float:
        return max(0.0, self._base + self._delay - moment.monotonic)

    @property
    def _base(self) -> float:
        return self._origin + self._number * self._interval

    def _number_at(self, now: float) -> int:
        """The number of the last tick that is due, but none that has passed."""
        return max(self._number, math.floor(self._steps(now)))

    def _steps(self, now: float) -> float:
        return (now - self._origin) / self._interval


class _ScheduleTicker:
    """Ticks at the times of a cron line, also when the clock is set."""

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

    def wait(self, moment: Moment) -> float:
        if self._next is None:
            return math.inf
        return max(0.0, seconds_between(moment.now, self._next) + self._delay)

    def _set_back(self, now: datetime) -> bool:
        gap = self._next - self._after if self._next else timedelta(0)
        return self._after - now > self._table.tolerance(gap)

    def _move(self, now: datetime, chance: float) -> None:
        """Go on to the first time after now."""
        self._after = now.astimezone(UTC)
        self._next = self._table.occurrence(now)
        self._delay = 0.0
        if self._next and self._table.jitter:
            following = self._table.occurrence(self._next.astimezone(now.tzinfo))
            gap = (following - self._next).total_seconds() if following else math.inf
            self._delay = self._table.delay(gap, chance)


def _chance(seed: str) -> float:
    """A number in [0, 1) that is the same in every process."""
    return random.Random(seed).random()  # noqa: S311 - it spreads load, and keeps no secret


def seconds_between(earlier: datetime, later: datetime) -> float:
    """Elapsed seconds, also across a change of DST."""
    return (later.astimezone(UTC) - earlier.astimezone(UTC)).total_seconds()
