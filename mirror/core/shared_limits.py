"""What several processes have sent with one credential, and how much each of them may send next.

One record for each credential is kept where all of them can reach it. A process takes a block of it
in advance and reports later what became of it, so that no request waits for the record. All times
in a record are seconds since the epoch by the clock of whoever keeps the record, a database.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Unit = Literal["points", "writes"]
UNITS: tuple[Unit, ...] = get_args(Unit)

HOLD = 20.0
"""Seconds for which a process may hold a block without a report. After that it counts as dead, and
what it held as sent at the last moment."""

USE = HOLD - 2.0
"""Seconds, from before it asked, for which a process uses its block: what it sends at the last
moment arrives before the block counts as sent."""

SPACING = 0.75
"""Seconds between two looks at a limit that is used up, by all waiting processes together."""

LONGEST_SPACING = 5.0
"""Seconds between two looks of one waiting process, however many there are."""

RESOLUTION = 0.5
"""Seconds; what was sent within them counts as one, at the latest moment."""

_HOUR_RESOLUTION = 10.0
"""As before, of what was sent more than a minute ago."""

_MINUTE, _HOUR = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class Rates:
    """How much may be sent with the credential; 0 for no limit.

    Attributes:
        points_per_minute: A read costs 1, everything else 5.
        writes_per_minute, writes_per_hour: Requests that create content.
    """

    points_per_minute: float = 0
    writes_per_minute: float = 0
    writes_per_hour: float = 0

    def windows(self, unit: Unit) -> list[tuple[float, float]]:
        """The limits of a unit: (maximum, seconds)."""
        if unit == "points":
            limits = [(self.points_per_minute, _MINUTE)]
        else:
            limits = [(self.writes_per_minute, _MINUTE), (self.writes_per_hour, _HOUR)]
        return [(limit, seconds) for limit, seconds in limits if limit > 0]


class Held(Struct, frozen=True, array_like=True):
    """What one process holds: in hand, or sent and not answered yet.

    Attributes:
        lapses: When it counts as sent unless the process reports before.
    """

    points: float
    writes: float
    lapses: float

    def of(self, unit: Unit) -> float:
        """What it holds of a unit."""
        return self.points if unit == "points" else self.writes


class Refusal(Struct, frozen=True):
    """A credential that the host refused (401).

    Attributes:
        credential: Its fingerprint.
        detail: What happened, in words.
        hint: As of the failure that it became.
    """

    credential: str
    detail: str
    hint: str | None = None


class LimitRecord(Struct, frozen=True):
    """The shared record of one credential.

    Attributes:
        points, writes: What was sent: (time, cost), the earliest first.
        holders: Processes that reported lately.
        news: Grows with each pause and each refusal, and when they end.
        paused_until: No request before; 0 for no pause.
        refusal: Of the credential, until it was accepted again.
    """

    points: tuple[tuple[float, float], ...] = ()
    writes: tuple[tuple[float, float], ...] = ()
    holders: dict[str, Held] = {}
    news: int = 0
    paused_until: float = 0.0
    refusal: Refusal | None = None

    def sent(self, unit: Unit) -> tuple[tuple[float, float], ...]:
        """What was sent of a unit."""
        return self.points if unit == "points" else self.writes


@dataclass(frozen=True, slots=True)
class UnitReport:
    """What a process tells of one unit.

    Attributes:
        held: What it keeps: in hand, or sent and not answered yet.
        answered: What was answered since its last report: (seconds ago, cost).
        need: Cost of the request that waits longest; 0 for none.
        waiting: Cost of all that wait.
        stock: What it would like to have in hand beyond that.
    """

    held: float = 0.0
    answered: Sequence[tuple[float, float]] = ()
    need: float = 0.0
    waiting: float = 0.0
    stock: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """What a process tells, and asks for.

    Attributes:
        holder: Its name, unique.
        units: By unit; one without a limit is left out.
        pause: Seconds for which the host asked for no requests; 0 for nothing new.
        refusal: The host refused the credential; ``None`` for nothing new.
        accepted: The host accepts the credential again.
        leaves: It ends: what it still holds counts as sent now.
    """

    holder: str
    units: Mapping[Unit, UnitReport] = field(default_factory=dict)
    pause: float = 0.0
    refusal: Refusal | None = None
    accepted: bool = False
    leaves: bool = False


class Grant(NamedTuple):
    """What a process gets of one unit.

    Attributes:
        amount: In addition to what it held.
        wait: Seconds until what it needs may fit.
        spacing: Seconds to wait on average beyond that; 0 if what it needs was granted.
        limit: What it waits for: (maximum, seconds).
    """

    amount: float = 0.0
    wait: float = 0.0
    spacing: float = 0.0
    limit: tuple[float, float] = (0.0, 0.0)


def settle(
    record: LimitRecord, now: float, report: Report, rates: Rates
) -> tuple[LimitRecord, dict[Unit, Grant]]:
    """Take a report into the record, and grant what fits.

    What was reported, what is held, and what is granted never exceed a limit in any of its periods:
    a request counts as held until it was answered, and from then on for the whole period.

    Args:
        record: As it is.
        now: By the clock of whoever keeps the record.
        report: Of one process.
        rates: The limits.

    Returns:
        The record afterwards, and what was granted.
    """
    # What lapsed, by unit: a process that died may have sent its block at the last moment.
    alive = {name: held for name, held in record.holders.items() if held.lapses > now}
    lapsed = [held for name, held in record.holders.items() if name not in alive]
    before = alive.pop(report.holder, None)
    sent: dict[Unit, list[tuple[float, float]]] = {}
    grants: dict[Unit, Grant] = {}
    held: dict[Unit, float] = dict.fromkeys(UNITS, 0.0)
    for unit in UNITS:
        told = report.units.get(unit, UnitReport())
        entries = [*record.sent(unit), *((one.lapses, one.of(unit)) for one in lapsed)]
        entries += [(now - age, cost) for age, cost in told.answered]
        held[unit] = told.held
        if report.leaves:
            entries.append((now, held[unit]))
            held[unit] = 0.0
        windows = rates.windows(unit)
        longest = max((seconds for _, seconds in windows), default=0.0)
        sent[unit] = _compact(entries, now, longest)
        if windows and not report.leaves:
            others = [(one.lapses, one.of(unit)) for one in alive.values()]
            grants[unit] = _grant(sent[unit], others, now, told, windows)
            held[unit] += grants[unit].amount
    holders = alive
    asks = any(told.need for told in report.units.values())
    if not report.leaves and (asks or any(held.values())):
        lapses = now + HOLD
        if before and not any(held.values()) and before.lapses > now + HOLD / 2:
            lapses = before.lapses  # it only waits: nothing has to be saved
        holders[report.holder] = Held(held["points"], held["writes"], lapses)
    after = replace(
        record, points=tuple(sent["points"]), writes=tuple(sent["writes"]), holders=holders
    )
    return _with_news(after, now, report), grants


def worth_saving(before: LimitRecord, after: LimitRecord, report: Report) -> bool:
    """Whether a record has to be saved: something was told, granted, returned, or has lapsed."""
    answered = any(told.answered for told in report.units.values())
    return answered or before.holders != after.holders or before.news != after.news


def _with_news(record: LimitRecord, now: float, report: Report) -> LimitRecord:
    paused_until = record.paused_until if record.paused_until > now else 0.0
    refusal = record.refusal
    news = record.news
    # Several processes may have been told the same, in answers that came one after the other.
    if report.pause > 0 and now + report.pause > paused_until + RESOLUTION:
        paused_until = now + report.pause
        news += 1
    refused = refusal.credential if refusal else None
    if report.refusal and report.refusal.credential != refused:
        refusal = report.refusal
        news += 1
    elif report.accepted and refusal:
        refusal = None
        news += 1
    return replace(record, paused_until=paused_until, refusal=refusal, news=news)


def _grant(
    sent: Sequence[tuple[float, float]],
    others: Sequence[tuple[float, float]],
    now: float,
    told: UnitReport,
    windows: Sequence[tuple[float, float]],
) -> Grant:
    """What fits into all windows of a unit."""
    processes = len(others) + 1
    held = told.held + sum(amount for _, amount in others)
    free, limit = min(
        (maximum - held - sum(cost for moment, cost in sent if moment + seconds > now), maximum)
        for maximum, seconds in windows
    )
    free, need = max(0.0, free), min(told.need, *(maximum for maximum, _ in windows))
    if need > free:
        waits = ((_wait(sent, others, now, need, held, window), window) for window in windows)
        wait, window = max(waits)
        spacing = min(SPACING * processes, LONGEST_SPACING)
        return Grant(0.0, wait, spacing, window)
    needed = min(max(told.waiting, need), free)
    # Half of what is left stays for others to find, so that blocks shrink as a limit is used up.
    spare = math.floor((free - needed) / (2 * processes))
    return Grant(min(needed + min(math.floor(told.stock), spare), limit))


def _wait(
    sent: Sequence[tuple[float, float]],
    others: Sequence[tuple[float, float]],
    now: float,
    need: float,
    held: float,
    window: tuple[float, float],
) -> float:
    """Seconds until a cost fits into one window, if nobody reports or takes anything before."""
    maximum, seconds = window
    ends = sorted([*sent, *others])
    live = [(moment, cost) for moment, cost in ends if moment + seconds > now]
    counted = sum(cost for moment, cost in sent if moment + seconds > now)
    excess = held + counted + need - maximum
    if excess <= 0:
        return 0.0
    for moment, cost in live:
        if (moment, cost) in others and moment > now:
            return 0.0  # somebody may return what it holds at any time
        excess -= cost
        if excess <= 0:
            return moment + seconds - now
    return 0.0  # what this process holds itself is in the way


def _compact(
    entries: Sequence[tuple[float, float]], now: float, longest: float
) -> list[tuple[float, float]]:
    """What still counts, in order, merged so that a record stays small; never earlier than it was.

    What is later than now (the clock was set back) counts as sent now.
    """
    merged: dict[float, float] = {}
    for told, cost in sorted(entries):
        moment = min(told, now)
        if moment + longest <= now:
            continue  # over: rounding must not bring it back
        step = RESOLUTION if moment > now - _MINUTE else _HOUR_RESOLUTION
        moment = min(math.ceil(moment / step) * step, now)
        if cost > 0:
            merged[moment] = merged.get(moment, 0.0) + cost
    return sorted(merged.items())
