"""What is asked for: by timetables, by people, by hosts that tell of a release.

Decisions only, as in :mod:`mirror.daemon.jobs`: nothing is awaited here, and no clock is read.
"""

from __future__ import annotations

import math
from datetime import UTC
from typing import TYPE_CHECKING

from mirror.daemon.hands import gates_of
from mirror.daemon.jobs import Ask, Jobs
from mirror.daemon.listings import Call, Known, Listing
from mirror.daemon.passes import OpenPass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mirror.core.domain.expansion import Mirror
    from mirror.core.reporting.report import RepositoryReport
    from mirror.core.timetable import Moment, Ticker
    from mirror.daemon.hands import Hands
    from mirror.daemon.hosts import HostGate
    from mirror.daemon.jobs import Ending, Job
    from mirror.daemon.passes import Group, PassEnd
    from mirror.sync.discovery import Discovery


class Rounds:
    """Timetables → listings → jobs → passes that end.

    Args:
        hands: Knows the mirrors and the gates of their hosts.
        tell: Is told of every pass that ended.
        at_once: Sessions at a time.

    Attributes:
        jobs: The mirrors that wait and run.
        listings: By the interval of their group and the name of their source.
    """

    def __init__(self, hands: Hands, tell: Callable[[PassEnd], None], *, at_once: int) -> None:
        self._hands = hands
        self._tell = tell
        self._known = Known(hands.known())
        self._groups: dict[float, tuple[Group, Ticker]] = {}
        self.jobs = Jobs(self._gates, self._hold, at_once=at_once)
        self.listings: dict[tuple[float, str], Listing] = {}

    # --- who asks --------------------------------------------------------------------------------

    def tick(self, moment: Moment, chance: Callable[[], float]) -> None:
        """Ask for the groups whose timetable ticks.

        Args:
            moment: Now.
            chance: Gives numbers in [0, 1).
        """
        for group, ticker in self._groups.values():
            if (at := ticker.turn(moment, chance())) is not None:
                self._begin_pass(group, group.sources, Call(at, whole=True), moment)

    def request_all(self, source: str | None, moment: Moment, *, full: bool) -> bool:
        """Ask for every mirror, or every one of a source; whether there is something to ask for."""
        asked = False
        for group, _ in self._groups.values():
            sources = [name for name in group.sources if source in {None, name}]
            if sources:
                call = Call(moment.monotonic, whole=True, full=full, explicit=True)
                self._begin_pass(group, sources, call, moment)
                asked = True
        return asked

    def request_one(self, source: str, repo: str, moment: Moment, *, full: bool) -> bool:
        """Ask for a repository, looking for it if it is not known; whether it could be there."""
        now = moment.monotonic
        mirrors = self._known.named(source, repo)
        for mirror in mirrors:
            self.jobs.ask(mirror, Ask(now, full=full, explicit=True, urgent=True))
        if mirrors:
            return True
        found = [
            listing
            for listing in self.listings.values()
            if listing.source == source and self._hands.may_hold(listing.group, source, repo)
        ]
        for listing in found:
            listing.ask(Call(now, repos=frozenset({repo.casefold()}), full=full))
        return bool(found)

    # --- when ------------------------------------------------------------------------------------

    def until_tick(self, moment: Moment) -> float:
        """Seconds to the next tick; infinity for none."""
        return min((ticker.wait(moment) for _, ticker in self._groups.values()), default=math.inf)

    def mirror(self, key: str) -> Mirror | None:
        """The mirror that is known by a key."""
        return self._known.mirrors.get(key)

    def until_run(self, mirror: Mirror, moment: Moment) -> float:
        """Seconds to a mirror's next run, as far as that can be told; infinity for never."""
        job = self.jobs.get(mirror.key)
        if job is not None and job.ask is not None and job.run is None:
            return job.closed_for()
        found = self._groups.get(mirror.interval)
        if found is None or (job is not None and job.gone):
            return math.inf
        return found[1].wait(moment, job.not_before if job else -math.inf)

    # --- what became of it -----------------------------------------------------------------------

    def listings_to_start(self) -> list[tuple[Listing, Call]]:
        """Those that are asked for and whose host takes work; they count as under way from here."""
        started = []
        for listing in self.listings.values():
            call = listing.call
            if call is None or listing.under_way is not None:
                continue
            if not self._hands.gates[listing.source].closed_for():
                listing.under_way, listing.call = call, None
                started.append((listing, call))
        return started

    def listed(self, listing: Listing, found: Discovery, moment: Moment) -> bool:
        """Ask for the mirrors that were found.

        Returns:
            Whether that was of use: not if another configuration is in force, which has taken the
            call over, nor if the host was given up; then it is made once more.
        """
        call, listing.under_way, listing.task = listing.under_way, None, None
        if call is None or self._standing(listing) is not listing:
            return False
        if found.failed and self._hands.gates[listing.source].given_up:
            listing.call = call.merged(listing.call)
            return False
        self._learn(listing, found, moment)
        if call.whole:
            self._ask_all(call, found.mirrors)
        for repo in call.repos:
            for mirror in self._known.named(listing.source, repo):
                ask = Ask(call.at, full=call.full, explicit=True, urgent=True)
                self.jobs.ask(mirror, ask)
        for waiting in call.of:
            waiting.sources.discard(listing.source)
            waiting.reports += found.failed
            self._settle(waiting, moment)
        return True

    def ended(self, job: Job, report: RepositoryReport, moment: Moment) -> None:
        """Note the end of a session."""
        run = job.run
        if not self.jobs.end(job, _ending(report)):
            return
        for waiting in run.of if run else ():
            waiting.keys.discard(job.mirror.key)
            waiting.reports.append(report)
            self._settle(waiting, moment)

    def replace(
        self, groups: Sequence[Group], hands: Hands, moment: Moment, chance: Callable[[], float]
    ) -> None:
        """Go on with another configuration."""
        self._hands = hands
        self._known = Known(hands.known())
        for waiting, key in self.jobs.replace(self._known.mirrors):
            waiting.keys.discard(key)
            self._settle(waiting, moment)
        self.take_over(groups, moment, chance)

    def take_over(
        self, groups: Sequence[Group], moment: Moment, chance: Callable[[], float]
    ) -> None:
        """Keep these timetables from now on; one that has not changed goes on as it is."""
        before, self._groups = self._groups, {}
        older, self.listings = self.listings, {}
        due: list[Group] = []
        for group in groups:
            for source in group.sources:
                self.listings[group.interval, source] = Listing(group, source)
            kept = before.get(group.interval)
            if kept is None or kept[0].timetable != group.timetable:
                ticker = group.timetable.ticker(moment, group.succeeded_at, chance())
                self._groups[group.interval] = (group, ticker)
                continue
            self._groups[group.interval] = (group, kept[1])
            if group.timetable.first(group.succeeded_at, moment.now) <= 0:
                due.append(group)
        for listing in older.values():
            self._hand_over(listing, moment)
        for group in due:
            self._begin_pass(group, group.sources, Call(moment.monotonic, whole=True), moment)

    # --- inside ----------------------------------------------------------------------------------

    def _begin_pass(self, group: Group, sources: Iterable[str], call: Call, moment: Moment) -> None:
        opened = OpenPass(group, moment.now.astimezone(UTC), moment.monotonic)
        for source in sources:
            if not self.listings[group.interval, source].ask(call, opened):
                # An earlier pass still waits to know what there is.
                known = max(1, self._known.of(group, source))
                closed = self._hands.gates[source].closed_for() > 0
                opened.leave_out(known, held=closed)
        self._settle(opened, moment)

    def _settle(self, waiting: OpenPass, moment: Moment) -> None:
        """See whether a pass is over."""
        if not waiting.over:
            return
        if waiting.worth_telling:
            self._tell(waiting.end(moment.monotonic))
            return
        # All of its mirrors were running: it is about their next runs, or there would never be a
        # pass where every session takes longer than the interval.
        late, waiting.late = waiting.late, []
        attached = {key for key in late if self.jobs.attach(key, waiting)}
        waiting.keys |= attached
        waiting.busy -= len(attached)

    def _learn(self, listing: Listing, found: Discovery, moment: Moment) -> None:
        whole = not any(report.target is None for report in found.failed)
        for key in self._known.learn(listing.group, listing.source, found.mirrors, whole=whole):
            for waiting in self.jobs.forget(key):
                waiting.keys.discard(key)
                self._settle(waiting, moment)

    def _ask_all(self, call: Call, mirrors: Iterable[Mirror]) -> None:
        ask = Ask(call.at, full=call.full, explicit=call.explicit, of=call.of)
        for mirror in mirrors:
            answer = self.jobs.ask(mirror, ask)
            for waiting in call.of:
                waiting.note(mirror.key, answer)

    def _standing(self, like: Listing) -> Listing | None:
        """The listing of the same group and source in the configuration that is in force."""
        return self.listings.get((like.group.interval, like.source))

    def _hand_over(self, older: Listing, moment: Moment) -> None:
        """What was asked for and not listed yet is listed by the new configuration."""
        newer = self._standing(older)
        for call in (older.under_way, older.call):
            if call is not None and newer is not None:
                newer.call = call.merged(newer.call)
            elif call is not None:
                for waiting in call.of:
                    waiting.sources.discard(older.source)
                    self._settle(waiting, moment)

    def _gates(self, mirror: Mirror) -> Sequence[HostGate]:
        return gates_of(self._hands, mirror)

    def _hold(self, mirror: Mirror, failures: int) -> float:
        found = self._groups.get(mirror.interval)
        return found[0].timetable.hold(failures) if found else 0.0


def _ending(report: RepositoryReport) -> Ending:
    if report.stopped:
        return "stopped"
    if report.status == "interrupted":
        return "cut"
    return "failed" if report.status == "failed" and report.failures else "well"
