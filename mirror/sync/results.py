"""Collects the outcomes of a plan and makes the report of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from mirror.core.execution.action import moves_bytes
from mirror.core.execution.outcome import Outcome
from mirror.core.failure import Failure
from mirror.core.ledger.backoff import with_next_attempts
from mirror.core.reporting.report import ActionReport, RepositoryReport, Status
from mirror.core.text.wording import count
from mirror.errors import NotTried

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mirror.core.domain.release import Asset, Release
    from mirror.core.execution.action import Action, Plan
    from mirror.core.ledger.backoff import FailedItem
    from mirror.core.ledger.document import Ledger


class Results:
    """What became of one plan.

    Attributes:
        stopped: Why the host was disabled in the middle; ``None`` if it was not.
        interrupted: A stop was requested before the plan was carried out.
        fresh: Failures that were quarantined in this pass.
        failed: The items that failed, and when they are tried again.
        inherited: What a run that was killed had done and not told.
    """

    def __init__(self, source: str, target: str, plan: Plan) -> None:
        self._source = source
        self._target = target
        self._plan = plan
        self._outcomes: list[Outcome] = []
        self._steps: list[Outcome] = []
        self.stopped: Failure | None = None
        self.interrupted = False
        self.fresh: list[Failure] = []
        self.failed: tuple[FailedItem, ...] = ()
        self.inherited: tuple[ActionReport, ...] = ()
        self._failures: list[Failure] = []

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self._outcomes.append(outcome)

    def add_step(self, outcome: Outcome) -> None:
        """Note what was done of an action that did not end; the report tells it."""
        self._steps.append(outcome)

    def add_failure(self, failure: Failure) -> None:
        """Count what failed beside the actions of the plan."""
        self._failures.append(failure)

    @property
    def planned_bytes(self) -> int:
        """Bytes that the plan moves."""
        return sum(_bytes(action) or 0 for _, action in self._plan.actions())

    @property
    def unfinished(self) -> bool:
        """Some actions were not attempted: the host was disabled, or a stop was requested."""
        return len(self._outcomes) < len(self._plan.actions())

    def all_failures(self) -> list[Failure]:
        """Failures known from the plan, then those of the execution."""
        # Where the host was given up, its failure is told once, not one for each write in flight.
        carried_out = (*self._outcomes, *(self._steps if self.interrupted else ()))
        learnt = [outcome.failure for outcome in carried_out if outcome.failure]
        failures = [*self._plan.obstacles, *learnt, *self._failures]
        return with_next_attempts(failures, self.failed)

    def unfinished_releases(self) -> set[int]:
        """The ids of the source's releases that lack something which may arrive in a later pass."""
        waiting = {failure.release_id for failure in self.all_failures() if not failure.final}
        done = Counter(o.source.id for o in self._outcomes if o.source and o.status == "done")
        planned = Counter(release.id for release, _ in self._plan.actions() if release)
        return waiting | {number for number, count in planned.items() if done[number] < count}

    def refused(self, before: Sequence[int]) -> tuple[int, ...]:
        """Releases for which the target refused a request, in this pass or when they were last tried.

        Args:
            before: Those of earlier passes.

        Returns:
            What was not tried for longest comes first.
        """
        ours = [outcome for outcome in self._outcomes if outcome.source]
        tried = {o.source.id for o in ours if o.source and o.status != "skipped"}
        now = {o.failure.release_id for o in ours if o.failure and o.failure.state == "blocked"}
        planned = {release.id for release, _ in self._plan.actions() if release}
        untried = [number for number in before if number not in tried | now]
        return tuple(number for number in (*untried, *sorted(now)) if number in planned)

    @property
    def undone(self) -> bool:
        """Whether the next pass has to look again: something failed for now, or waits."""
        return (
            self.unfinished
            or any(not failure.final for failure in self.all_failures())
            or any(outcome.later for outcome in self._outcomes)
        )

    @property
    def only_delayed(self) -> bool:
        """Whether all that is undone is tried again later than in the next pass."""
        if self.unfinished or any(outcome.later for outcome in self._outcomes):
            return False
        return all(failure.final or failure.next_attempt for failure in self.all_failures())

    @property
    def failure(self) -> Failure | None:
        """The first failure, one that is not final if there is any; ``None`` without a failure."""
        later = (Failure.of(NotTried(o.later)) for o in self._outcomes if o.later)
        failures = [*self.all_failures(), *later]
        return self.stopped or min(failures, key=lambda failure: failure.final, default=None)

    def summary(self) -> dict[str, Any]:
        """Counts for one line of a log."""
        done = Counter(o.action.name for o in self._outcomes if o.status == "done")
        return {
            **{name.replace("-", "_"): count for name, count in sorted(done.items())},
            "failures": len(self.failures()),
        }

    def failures(self) -> list[Failure]:
        """All but those quarantined by an earlier pass."""
        fresh = set(map(id, self.fresh))
        return [item for item in self.all_failures() if not item.final or id(item) in fresh]

    def report(self, ledger: Ledger) -> RepositoryReport:
        """As the pass reports it."""
        quarantined = tuple(entry.report() for entry in ledger.quarantined.values())
        failures = tuple(self.failures())
        status: Status = "ok"
        later = [outcome for outcome in self._outcomes if outcome.later]
        if self.interrupted:
            status = "interrupted"
        elif failures or quarantined or later or self.unfinished:
            status = "failed"
        elif not (self._outcomes or self.inherited):
            status = "unchanged"
        told = (
            f"{outcome.source.tag}: {outcome.warning}" if outcome.source else outcome.warning
            for outcome in self._outcomes
            if outcome.warning
        )
        warnings = (*self._plan.warnings, *self._plan.news, *told)
        warnings += tuple(_not_tried(later))
        if self.stopped:
            warnings += (f"not finished: {self.stopped.detail}",)
        return RepositoryReport(
            self._source,
            self._target,
            status,
            actions=(
                *self.inherited,
                *map(_action_report, (*self._outcomes, *self._steps)),
            ),
            failures=failures,
            warnings=warnings,
            notes=self._plan.notes,
            quarantined=quarantined,
            stopped=self.stopped.detail if self.stopped else "",
        )


def planned_actions(plan: Plan) -> tuple[ActionReport, ...]:
    """The actions of a plan, as reports name them."""
    return tuple(
        _action_report(Outcome(action, "planned", release)) for release, action in plan.actions()
    )


def planned_report(
    source: str, target: str, plan: Plan, ledger: Ledger, requests: Mapping[str, int]
) -> RepositoryReport:
    """What a plan would do, as ``plan`` reports it."""
    known = ledger.quarantined
    settled = [
        item for item in plan.obstacles if item.final and (item.release_id, item.asset_id) in known
    ]
    failures = tuple(item for item in plan.obstacles if item not in settled)
    quarantined = tuple(known[item.release_id, item.asset_id].report() for item in settled)
    actions = planned_actions(plan)
    status: Status = "ok" if actions else "unchanged"
    return RepositoryReport(
        source,
        target,
        "failed" if failures or quarantined else status,
        actions=actions,
        failures=failures,
        warnings=(*plan.warnings, *plan.news),
        notes=plan.notes,
        quarantined=quarantined,
        estimated_requests=requests,
    )


def _not_tried(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What was left to the next pass, for each reason."""
    for reason in dict.fromkeys(outcome.later for outcome in outcomes):
        actions = [outcome.action for outcome in outcomes if outcome.later == reason]
        noun = "asset" if all(map(moves_bytes, actions)) else "action"
        yield f"not tried: {count(len(actions), noun)}: {reason}"


def _action_report(outcome: Outcome) -> ActionReport:
    action = outcome.action
    asset = getattr(action, "asset", None) or getattr(action, "target", None)
    name = asset.name if asset is not None and hasattr(asset, "size") else None
    return ActionReport(
        action.name,
        outcome.status,
        release=_tag(outcome.source, action),
        asset=name,
        target_asset=outcome.asset.name if outcome.asset else None,
        bytes=_bytes(action, outcome.asset),
        sha256=outcome.sha256,
    )


def _tag(source: Release | None, action: Action) -> str | None:
    return source.tag if source else getattr(action, "tag", None)


def _bytes(action: Action, copy: Asset | None = None) -> int | None:
    """Bytes that an action moves; ``None`` for none, and for what nobody knows beforehand."""
    if not moves_bytes(action):
        return None
    return action.asset.size or (copy.size if copy else None)
