from __future__ import annotations

import random
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.core.quota import Quota
from mirror.core.shared_limits import (
    HOLD,
    USE,
    LimitRecord,
    Rates,
    Refusal,
    Report,
    Unit,
    UnitReport,
    settle,
    worth_saving,
)

RATES = Rates(points_per_minute=90)


@dataclass
class Process:
    """One process that sends as much as it may, at most ``at_once`` requests at the same time."""

    name: str
    at_once: int
    cost: int
    seconds: float  # that a request takes
    offset: float  # of its clock
    rates: Rates = RATES
    dead: bool = False
    stopped_until: float = 0.0
    in_flight: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.quota = Quota(self.rates.points_per_minute, "points")
        for _ in range(self.at_once):
            self.quota.enqueue(self.cost)
        self.quota.ask(self.cost)


class Cluster:
    """Processes, their shared record, and the host, which counts at the moment it is sent to."""

    def __init__(self, processes: list[Process], seed: int, rates: Rates = RATES) -> None:
        self.processes, self.rates = processes, rates
        self.record = LimitRecord()
        self.counted: list[tuple[float, float]] = []
        self.now = 0.0
        self.reports = 0
        self._random = random.Random(seed)  # noqa: S311 - a simulation

    def run(self, seconds: float, step: float = 0.1) -> None:
        end = self.now + seconds
        while self.now < end:
            for process in self._random.sample(self.processes, len(self.processes)):
                if not process.dead and process.stopped_until <= self.now:
                    self._turn(process)
            self.now += step

    def _turn(self, process: Process) -> None:
        quota, mine = process.quota, self.now + process.offset
        for answered_at in [one for one in process.in_flight if one <= self.now]:
            process.in_flight.remove(answered_at)
            quota.answered(mine, process.cost)
            quota.enqueue(process.cost)
        for _ in range(3):
            while len(process.in_flight) < process.at_once and quota.take(mine, process.cost):
                quota.leave(process.cost)
                process.in_flight.append(self.now + process.seconds)
                self.counted.append(
                    (self.now + process.seconds * self._random.random(), process.cost)
                )
            if len(process.in_flight) < process.at_once:
                quota.ask(process.cost)
            if quota.due_in(mine):
                return
            self.reports += 1
            told = quota.report(mine)
            report = Report(process.name, {"points": told})
            self.record, grants = settle(self.record, self.now, report, self.rates)
            quota.granted(mine, grants["points"], "90 points a minute", self._random.random())

    def most(self) -> float:
        """What the host counted at most in any 60 seconds."""
        counted = sorted(self.counted)
        return max(
            sum(cost for moment, cost in counted if begin <= moment < begin + 60)
            for begin, _ in counted
        )


processes = st.lists(
    st.tuples(st.integers(1, 8), st.sampled_from((1, 5)), st.floats(0.05, 4), st.floats(-1e6, 1e6)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=25, deadline=None)
@given(processes, st.integers(0, 2**32), st.floats(1, 60))
def test_any_minute_holds_at_most_the_limit(
    shapes: list[tuple[int, int, float, float]], seed: int, moment: float
) -> None:
    """However many processes ask, whatever their clocks say, and when one dies with its block."""
    cluster = Cluster([Process(str(i), *shape) for i, shape in enumerate(shapes)], seed)
    cluster.run(moment, step=0.5)
    cluster.processes[0].dead = True
    cluster.run(130, step=0.5)
    assert cluster.most() <= RATES.points_per_minute


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 30), st.floats(1, 90))
def test_a_process_that_was_stopped_uses_nothing_of_its_old_block(
    seed: int, moment: float, seconds: float
) -> None:
    """It may wake up at any time: its block is over before others may have it."""
    cluster = Cluster([Process("a", 4, 1, 0.2, 0), Process("b", 4, 1, 0.2, 77)], seed)
    cluster.run(moment, step=0.5)
    cluster.processes[0].stopped_until = cluster.now + seconds
    cluster.run(150, step=0.5)
    assert cluster.most() <= RATES.points_per_minute


def test_four_processes_use_nearly_all_of_the_limit() -> None:
    """At least 95 % once the limit is used up, with several requests for each report."""
    rates = Rates(points_per_minute=900)
    shapes = [Process(name, 16, 1, 0.1, i * 1000.0, rates) for i, name in enumerate("abcd")]
    cluster = Cluster(shapes, 7, rates)
    cluster.run(360)
    steady = sum(cost for moment, cost in cluster.counted if 60 <= moment < 360)
    assert cluster.most() <= 900
    assert steady >= 0.95 * 900 * 5
    assert cluster.reports * 3 <= len(cluster.counted)


def test_a_dead_process_returns_its_block_by_time() -> None:
    """Its block counts as sent when its hold lapses, and a minute later it is free."""
    told: dict[Unit, UnitReport] = {"points": UnitReport(need=1, waiting=90)}
    record, grants = settle(LimitRecord(), 1000, Report("dead", told), RATES)
    assert grants["points"].amount == 90
    wish = Report("other", {"points": UnitReport(need=1, waiting=90)})
    for now in (1000 + HOLD - 1, 1000 + HOLD + 59):
        record, grants = settle(record, now, wish, RATES)
        assert grants["points"].amount == 0
    assert settle(record, 1000 + HOLD + 61, wish, RATES)[1]["points"].amount == 90
    assert USE < HOLD


def test_what_fits_is_granted_at_once() -> None:
    """Also the last of it; and what costs more than the limit when nothing else is in the window."""
    told: dict[Unit, UnitReport] = {"points": UnitReport(need=1, waiting=1, stock=1000)}
    record, grants = settle(LimitRecord(), 0, Report("a", told), RATES)
    assert 1 < grants["points"].amount < 60  # some is left for others
    rest = RATES.points_per_minute - grants["points"].amount
    told = {"points": UnitReport(need=rest, waiting=rest, stock=1000)}
    assert settle(record, 0, Report("b", told), RATES)[1]["points"].amount == rest
    told = {"points": UnitReport(need=500, waiting=500)}
    assert settle(LimitRecord(), 0, Report("b", told), RATES)[1]["points"].amount == 90


def test_what_is_over_is_not_rounded_back() -> None:
    """What was sent a minute ago is free at once, however rarely anybody reports."""
    sent: dict[Unit, UnitReport] = {"points": UnitReport(answered=[(0.0, 90.0)])}
    record, _ = settle(LimitRecord(), 1000.25, Report("a", sent), RATES)
    asks = Report("a", {"points": UnitReport(need=90, waiting=90)})
    _, early = settle(record, 1060.0, asks, RATES)
    _, later = settle(record, 1061.0, asks, RATES)
    assert (early["points"].amount, later["points"].amount) == (0, 90)


def test_what_is_returned_is_free_at_once() -> None:
    """A process that leaves keeps nothing but what it had sent."""
    told: dict[Unit, UnitReport] = {"points": UnitReport(need=1, waiting=90)}
    record, _ = settle(LimitRecord(), 0, Report("a", told), RATES)
    record, _ = settle(record, 1, Report("a", {"points": UnitReport(held=30)}, leaves=True), RATES)
    assert not record.holders
    grant = settle(record, 2, Report("b", told), RATES)[1]["points"]
    assert (
        grant.amount,
        settle(record, 2, Report("b", {"points": UnitReport(need=60, waiting=60)}), RATES)[1][
            "points"
        ].amount,
    ) == (60, 60)


def test_both_limits_of_writes_count() -> None:
    """The hour's limit holds when the minute's would not."""
    rates = Rates(writes_per_minute=80, writes_per_hour=100)
    told: dict[Unit, UnitReport] = {"writes": UnitReport(need=1, waiting=80)}
    record, grants = settle(LimitRecord(), 0, Report("a", told), rates)
    assert grants["writes"].amount == 80
    record, _ = settle(record, 1, Report("a", {"writes": UnitReport(answered=[(1, 80)])}), rates)
    record, grants = settle(record, 100, Report("a", told), rates)
    assert grants["writes"].amount == 20
    record, grants = settle(
        record, 101, Report("a", {"writes": UnitReport(20, need=1, waiting=1)}), rates
    )
    assert grants["writes"].limit == (100, 3600)
    assert 3490 < grants["writes"].wait < 3510


def test_pauses_and_refusals_are_news_once() -> None:
    """The later end of two pauses counts; a refusal lasts until the credential is accepted again."""
    record, _ = settle(LimitRecord(), 100, Report("a", pause=60), RATES)
    again, _ = settle(record, 101, Report("b", pause=30), RATES)
    assert (record.news, again.news, again.paused_until) == (1, 1, 160)
    refusal = Refusal("token", "Bad credentials")
    refused, _ = settle(again, 102, Report("a", refusal=refusal), RATES)
    same, _ = settle(refused, 103, Report("b", refusal=refusal), RATES)
    assert (same.news, same.refusal) == (2, refusal)
    accepted, _ = settle(same, 104, Report("b", accepted=True), RATES)
    assert (accepted.news, accepted.refusal) == (3, None)
    assert settle(accepted, 105, Report("a", accepted=True), RATES)[0].news == 3


def test_a_look_saves_nothing() -> None:
    """A process that holds nothing and has nothing to tell writes nothing, however often it looks."""
    report = Report("a", {"points": UnitReport()})
    after, _ = settle(LimitRecord(points=((0.0, 3.0),)), 30, report, RATES)
    assert not worth_saving(LimitRecord(points=((0.0, 3.0),)), after, report)


def test_a_lost_reply_is_told_again() -> None:
    """What a lost report told is told by the next one, and what it was granted is not used."""
    quota = Quota(90, "points")
    quota.enqueue(1)
    quota.granted(
        0,
        settle(LimitRecord(), 0, Report("a", {"points": quota.report(0)}), RATES)[1]["points"],
        "",
        0,
    )
    quota.ask(1)
    record, grants = settle(LimitRecord(), 0, Report("a", {"points": quota.report(0)}), RATES)
    quota.granted(0, grants["points"], "", 0)
    assert quota.take(1, 1)
    quota.leave(1)
    quota.answered(2, 1)
    told = quota.report(9)
    quota.unknown(9, told, retry_at=10)
    assert [cost for _, cost in quota.report(10).answered] == [1]
    assert record.holders
