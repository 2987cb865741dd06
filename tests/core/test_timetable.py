from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.core.timetable import Moment, Timetable, seconds_between

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"]
LINES = [
    "* * * * *",
    "*/15 * * * *",
    "0 * * * *",
    "30 2 * * *",
    "15,45 0-3 * * *",
    "0 0 1 * *",
    "5 */6 * * 1-5",
    "0 0 * * 5L",
]


@dataclass
class Times:
    """Both scales of time, moved by hand."""

    zone: ZoneInfo
    wall: datetime
    monotonic: float = 1000.0

    @property
    def now(self) -> Moment:
        return Moment(self.wall.astimezone(self.zone), self.monotonic)

    def pass_by(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.monotonic += seconds

    def run(
        self, table: Timetable, seconds: float, success: float, step: float = 30.0
    ) -> list[str]:
        """The local times of the ticks while so much time passes."""
        ticker = table.ticker(self.now, success, 0.0)
        end = self.monotonic + seconds
        found = []
        while self.monotonic < end:
            self.pass_by(max(0.001, min(step, ticker.wait(self.now))))
            if ticker.turn(self.now, 0.0) is not None:
                found.append(f"{self.now.now:%d %H:%M %Z}")
        return found


def just(moment: datetime) -> float:
    """A success at a moment."""
    return moment.timestamp()


# --- intervals -----------------------------------------------------------------------------------


@given(
    st.floats(0.5, 7200),
    st.floats(0, 600),
    st.integers(0, 2**32),
    st.lists(st.floats(0, 3.0), max_size=60),
)
def test_a_grid_never_drifts(interval: float, jitter: float, seed: int, steps: list[float]) -> None:
    """Every tick belongs to a point of one grid, each point at most once, in order and not before it."""
    times = Times(ZoneInfo("UTC"), START)
    table, dice = Timetable(interval, None, jitter), random.Random(seed)  # noqa: S311 - a dice
    origin = times.monotonic
    ticker = table.ticker(times.now, 0, dice.random())
    before = -1
    for step in steps:
        at = ticker.turn(times.now, dice.random())
        if at is not None:
            number = round((at - origin) / interval)
            assert at == pytest.approx(origin + number * interval)
            assert number > before
            assert times.monotonic >= at
            before = number
        wait = ticker.wait(times.now)
        assert 0 <= wait <= interval + min(jitter, interval / 2) + 1e-6
        times.pass_by(step * interval)


def test_ticks_are_put_off_without_moving_the_grid() -> None:
    """Whatever the dice says, the thousandth tick belongs to the thousandth point."""
    times = Times(ZoneInfo("UTC"), START)
    table, dice = Timetable(900.0, None, 30.0), random.Random(7)  # noqa: S311 - a dice
    ticker = table.ticker(times.now, 0, 0.0)
    ticks: list[float] = []
    while len(ticks) < 1000:
        times.pass_by(ticker.wait(times.now))
        if (at := ticker.turn(times.now, dice.random())) is not None:
            ticks.append(times.monotonic - 1000.0 - len(ticks) * 900.0)
            assert at == 1000.0 + (len(ticks) - 1) * 900.0
    assert ticks[0] == 0
    assert all(0 <= late < 30 for late in ticks)
    assert max(ticks) > 25


def test_missed_ticks_are_one() -> None:
    """A loop that hung for an hour does not catch up on what it missed."""
    times = Times(ZoneInfo("UTC"), START)
    ticker = Timetable(60.0).ticker(times.now, 0, 0.0)
    assert ticker.turn(times.now, 0.0) == 1000
    times.pass_by(3630)
    assert ticker.turn(times.now, 0.0) == 1000 + 3600
    assert ticker.turn(times.now, 0.0) is None
    assert ticker.wait(times.now) == 30


@pytest.mark.parametrize("jump", [-1e8, -7200.0, -60.0, 60.0, 7200.0, 1e8])
def test_an_interval_does_not_heed_the_time_of_day(jump: float) -> None:
    """A clock that is set moves no tick of an interval."""
    times = Times(ZoneInfo("UTC"), START)
    ticker = Timetable(900.0).ticker(times.now, just(START), 0.0)
    times.pass_by(400)
    times.wall += timedelta(seconds=jump)
    assert ticker.wait(times.now) == pytest.approx(500)
    times.pass_by(499)
    assert ticker.turn(times.now, 0.0) is None
    times.pass_by(1)
    assert ticker.turn(times.now, 0.0) == pytest.approx(1900)


@pytest.mark.parametrize(
    ("age", "first"), [(None, 0), (0, 900), (100, 800), (900, 0), (5000, 0), (-50, 0)]
)
def test_what_is_due_is_done_at_start(age: float | None, first: float) -> None:
    """An interval that has passed is due; the rest of one is waited for; a future success is none."""
    table = Timetable(900.0, None, 30.0)
    success = 0.0 if age is None else just(START) - age
    assert table.first(success, START) == first
    assert table.ticker(Moment(START, 0), success, 0.0).wait(Moment(START, 0)) == first


# --- schedules -----------------------------------------------------------------------------------


def ticks(line: str, zone: str, start: datetime, hours: float) -> list[str]:
    times = Times(ZoneInfo(zone), start)
    return times.run(Timetable(None, line), hours * 3600, just(start))


def test_a_time_that_does_not_exist_comes_when_clocks_were_set_forward() -> None:
    """02:30 does not exist on 29 March 2026 in Berlin: it is 03:00, and once."""
    start = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
    assert ticks("30 2 * * *", "Europe/Berlin", start, 48) == ["29 03:00 CEST", "30 02:30 CEST"]
    assert ticks("15,45 2 * * *", "Europe/Berlin", start, 24) == ["29 03:00 CEST"]


def test_a_time_that_comes_twice_is_kept_once() -> None:
    """02:30 comes twice on 25 October 2026 in Berlin: the first one counts."""
    start = datetime(2026, 10, 24, 12, 0, tzinfo=UTC)
    assert ticks("30 2 * * *", "Europe/Berlin", start, 48) == ["25 02:30 CEST", "26 02:30 CET"]
    # Begun in the second hour of that name, it does not come again.
    second = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)
    assert f"{second.astimezone(ZoneInfo('Europe/Berlin')):%H:%M %Z}" == "02:10 CET"
    assert ticks("30 2 * * *", "Europe/Berlin", second, 20) == []


def test_lines_with_a_star_follow_the_time_that_passes() -> None:
    """Every hour is every hour, also when one is missing or comes twice."""
    spring = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    autumn = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
    assert ticks("0 * * * *", "Europe/Berlin", spring, 2.1) == ["29 03:00 CEST", "29 04:00 CEST"]
    assert ticks("0 * * * *", "Europe/Berlin", autumn, 3.1) == [
        "25 02:00 CEST",
        "25 02:00 CET",
        "25 03:00 CET",
    ]


@given(
    st.sampled_from(ZONES),
    st.sampled_from(LINES),
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),  # noqa: DTZ001 - made aware below
)
def test_the_next_occurrence_is_after_now(zone: str, line: str, start: datetime) -> None:
    """Occurrences are in order, none twice, none in the past, in every zone."""
    table, place = Timetable(None, line), ZoneInfo(zone)
    now = start.replace(tzinfo=UTC)
    for _ in range(8):
        found = table.occurrence(now.astimezone(place))
        assert found is not None
        assert found > now
        now = found


def test_what_was_missed_is_done_once_at_start() -> None:
    """An occurrence since the last success is due; without one it is waited for."""
    table = Timetable(None, "0 3 * * *")
    now = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
    assert table.first(just(now - timedelta(hours=7)), now) == 0
    assert table.first(just(now - timedelta(hours=5)), now) == 18 * 3600
    assert table.first(0.0, now) == 0
    times = Times(ZoneInfo("UTC"), now)
    assert times.run(table, 20 * 3600, 0.0) == ["21 09:00 UTC", "22 03:00 UTC"]


@pytest.mark.parametrize("jump", [timedelta(minutes=20), timedelta(hours=30), timedelta(days=900)])
def test_a_clock_that_is_set_forward_runs_once_what_it_skipped(jump: timedelta) -> None:
    """However many occurrences were skipped: one tick, at once."""
    times = Times(ZoneInfo("Europe/Berlin"), START)
    ticker = Timetable(None, "*/10 * * * *").ticker(times.now, just(START), 0.0)
    times.pass_by(60)
    assert ticker.turn(times.now, 0.0) is None
    times.wall += jump
    assert ticker.turn(times.now, 0.0) == times.monotonic
    assert ticker.turn(times.now, 0.0) is None
    assert 0 < ticker.wait(times.now) <= 600


@pytest.mark.parametrize("line", ["*/10 * * * *", "0 3 * * *", "0 0 * * 1"])
@pytest.mark.parametrize("jump", [timedelta(hours=4), timedelta(days=9), timedelta(days=900)])
def test_a_clock_that_is_set_back_waits_no_longer_than_from_there(
    line: str, jump: timedelta
) -> None:
    """The next tick is the first occurrence after the new now, not the one that was waited for."""
    times = Times(ZoneInfo("Europe/Berlin"), START)
    table = Timetable(None, line)
    ticker = table.ticker(times.now, just(START - timedelta(days=30)), 0.0)
    assert ticker.turn(times.now, 0.0) is not None
    times.wall -= jump
    assert ticker.turn(times.now, 0.0) is None
    expected = table.occurrence(times.now.now)
    assert expected is not None
    assert ticker.wait(times.now) == pytest.approx(seconds_between(times.now.now, expected))


@pytest.mark.parametrize(
    ("line", "back", "wait"),
    [
        ("0 9 * * *", timedelta(seconds=1), 86401),
        ("0 9 * * *", timedelta(hours=2), 86400 + 7200),
        ("* * * * *", timedelta(seconds=50), 110),
        ("* * * * *", timedelta(minutes=30), 60),
        ("0,30 8-18 * * *", timedelta(minutes=20), 50 * 60),
        ("0,30 8-18 * * *", timedelta(hours=2), 3600),
    ],
)
def test_a_correction_of_the_clock_repeats_nothing(line: str, back: timedelta, wait: float) -> None:
    """A clock that is set back a little does not do the same occurrence twice, nor stand still."""
    times = Times(ZoneInfo("UTC"), START)
    ticker = Timetable(None, line).ticker(times.now, just(START - timedelta(seconds=1)), 0.0)
    assert ticker.turn(times.now, 0.0) is not None
    times.wall -= back
    assert ticker.turn(times.now, 0.0) is None
    assert ticker.wait(times.now) == wait


@given(st.lists(st.floats(-3e7, 3e7), max_size=20), st.sampled_from(["*/5 * * * *", "0 3 * * *"]))
def test_whatever_is_done_to_the_clock_it_ticks_again(jumps: list[float], line: str) -> None:
    """After any jumps the wait is at most two gaps of the line, and every wait ends in a tick."""
    times = Times(ZoneInfo("Europe/Berlin"), START)
    ticker = Timetable(None, line, 30.0).ticker(times.now, just(START), 0.5)
    gap = 300 if line.startswith("*") else 25 * 3600
    for jump in jumps:
        times.wall += timedelta(seconds=jump)
        ticker.turn(times.now, 0.5)
        wait = ticker.wait(times.now)
        assert wait <= 2 * gap + 30
        times.pass_by(wait + 0.001)
        assert ticker.turn(times.now, 0.5) is not None


def test_a_schedule_is_put_off_by_chance_too() -> None:
    """By the jitter at most, and by no more than half of the gap to the next occurrence."""
    times = Times(ZoneInfo("UTC"), START + timedelta(seconds=1))
    ticker = Timetable(None, "* * * * *", 300.0).ticker(times.now, just(START), 0.999)
    assert ticker.wait(times.now) == pytest.approx(59 + 29.97)
    times.pass_by(59 + 29.98)
    assert ticker.turn(times.now, 0.0) == pytest.approx(1000 + 59, abs=0.1)
    assert ticker.wait(times.now) == pytest.approx(60 - 29.98)


@pytest.mark.parametrize(("interval", "schedule"), [(None, None), (60.0, "* * * * *"), (0.0, None)])
def test_a_timetable_is_one_thing(interval: float | None, schedule: str | None) -> None:
    """An interval or a schedule: neither both nor none."""
    with pytest.raises(ValueError, match="interval"):
        Timetable(interval, schedule)


@pytest.mark.parametrize(
    ("table", "gap"),
    [
        (Timetable(900.0), 900.0),
        (Timetable(None, "*/5 * * * *"), 300.0),
        (Timetable(None, "0 3 * * *"), 86400.0),
    ],
)
def test_the_time_between_two_ticks(table: Timetable, gap: float) -> None:
    """Whatever says when it ticks."""
    assert table.gap(datetime(2026, 11, 21, 9, 0, tzinfo=UTC)) == gap


@pytest.mark.parametrize(
    "table",
    [
        Timetable(900.0, None, 30.0),
        Timetable(60.0, None, 600.0),
        Timetable(None, "*/5 * * * *", 90.0),
    ],
)
def test_shared_ticks_are_the_same_everywhere(table: Timetable) -> None:
    """Whoever asks, and whenever within a gap: the next tick is after now, one a gap, delayed."""
    now = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
    gap = table.gap(now)
    ticks = []
    for _ in range(50):
        tick = table.shared_tick(now, "seed")
        assert tick
        assert tick > now
        assert table.shared_tick(now + (tick - now) / 2, "seed") == tick
        ticks.append(tick)
        now = tick
    between = [(later - tick).total_seconds() for tick, later in pairwise(ticks)]
    assert all(0 < seconds <= 1.5 * gap for seconds in between)
    assert len(set(between)) > 1
    assert sum(between) / len(between) == pytest.approx(gap, rel=0.05)


def test_shared_ticks_depend_on_the_seed() -> None:
    """Two clusters do not begin at the same moment."""
    now = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
    table = Timetable(900.0, None, 30.0)
    assert table.shared_tick(now, "one") != table.shared_tick(now, "other")
