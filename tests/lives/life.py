# ruff: noqa: S311 - dice, not secrets
"""One life: two hosts, events, disturbed passes, quiet passes; deterministic by its seed."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lives import disturbances, events
from lives.adapter import (
    AUDIT_INTERVAL,
    Disk,
    PassResult,
    Process,
    Saved,
    SkippingLoop,
    run_pass,
)
from lives.disturbances import BEFORE_THE_PASS, Disturbance, Disturbed
from lives.oracle import Oracle, Violation
from lives.settings import Settings
from lives.simulator import NAMINGS, Host, Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lives.events import Event

QUIET_PASSES = 4
DIGESTS = {
    (False, False): "neither",
    (True, False): "source",
    (False, True): "target",
    (True, True): "both",
}


@dataclass(frozen=True)
class Step:
    """What people do, then one pass.

    Attributes:
        verify: ``verify --repair`` instead of ``sync``.
        soon: The pass begins within seconds, as after a restart.
        seed: Of everything that has no seed of its own: how long requests take, and so on.
    """

    events: tuple[Event, ...]
    disturbances: tuple[Disturbance, ...]
    seed: int
    full: bool = False
    verify: bool = False
    soon: bool = False
    audit: bool = False


@dataclass(frozen=True)
class Setup:
    """The two hosts, and the settings at first.

    Attributes:
        theirs: The target repository is people's, and tags arrive in it by git.
    """

    source: Rules
    target: Rules
    settings: Settings
    theirs: bool = False

    @property
    def digests(self) -> str:
        return DIGESTS[self.source.digests, self.target.digests]


@dataclass(frozen=True)
class Script:
    """A life before it is lived."""

    seed: int
    setup: Setup
    steps: tuple[Step, ...]

    @property
    def size(self) -> int:
        return sum(1 + len(step.events) + len(step.disturbances) for step in self.steps)


@dataclass
class Outcome:
    """What came of a life.

    Attributes:
        happened: The kinds of disturbances that took effect.
    """

    script: Script
    violations: list[Violation]
    happened: list[str]
    story: list[str]


def draw(seed: int) -> Script:
    """Any life."""
    dice = random.Random(seed)
    naming = dice.choice(list(NAMINGS)[1:])
    lag = dice.choice((2.0, 8.0, 20.0)) if dice.random() < 0.15 else 0.0
    whole = dice.random() < 0.5
    target = Rules(
        digests=dice.random() < 0.5,
        naming=naming,
        renaming=dice.choice(list(NAMINGS)[1:]) if dice.random() < 0.06 else naming,
        lag=lag,
        lags_whole=whole,
        page=dice.choice((2, 3, 100, 100)),
        limit=dice.choice((5, 6)) if dice.random() < 0.03 else 1000,
    )
    writers = {"people"} if dice.random() < 0.8 else {"people", "mirror"}
    source = Rules(
        digests=dice.random() < 0.5,
        naming="kept",
        renaming="kept",
        page=dice.choice((1, 2, 3, 100, 100)),
        writers=frozenset(writers),
    )
    settings = Settings()
    for _ in range(dice.choice((0, 0, 1, 2))):
        settings = events.any_change(settings, dice)
    setup = Setup(source, target, settings, theirs=dice.random() < 0.3)
    steps = [_draw_step(dice, first=n == 0) for n in range(dice.randint(2, 6))]
    if dice.random() < 0.12:
        tale = dice.choice(_TALES)
        first = 0 if tale is _late_draft else 1
        steps[first : first + 1] = tale(dice)
    return Script(seed, setup, tuple(steps))


def _there_and_back(dice: random.Random) -> list[Step]:
    """Other settings, a pass that is killed in the middle of its work, and the former settings."""
    kill = Disturbance(dice.choice(("kill-before", "kill-after", "stop")), dice.randint(1, 4))
    return [
        _step(dice),
        _step(dice, "deselect", wrong=(kill,)),
        _step(dice, "take-back"),
    ]


def _deleted_with_theirs(dice: random.Random) -> list[Step]:
    """Somebody attaches a file to a release, or to what it was, while it is being deleted."""
    meddle = Disturbance("meddle", dice.randint(3, 12))
    return [
        _step(dice, "publish", "follow-deletions"),
        _step(dice, "delete-release", *dice.choice(((), ("attach",))), wrong=(meddle,)),
    ]


def _late_draft(dice: random.Random) -> list[Step]:
    """A release appears at the end of a list whose beginning did not change."""
    return [_step(dice, "draft", "publish"), _step(dice, "publish-draft")]


def _round_and_round(dice: random.Random) -> list[Step]:
    """Names rotate, a pass fails in the middle of it, and names rotate once more."""
    kinds = (
        "kill-before",
        "kill-after",
        "status-500",
        "status-502-done",
        "lost-after",
        "slow-patch",
    )
    steps = [_step(dice, "add-asset", "add-asset", "add-asset")]
    for _ in range(dice.randint(1, 3)):
        times = dice.choice((1, 7))
        wrong = Disturbance(dice.choice(kinds), dice.randint(1, 8), times)
        steps.append(_step(dice, dice.choice(("rotate", "rename-onto-freed")), wrong=(wrong,)))
    return steps


_TALES = (_there_and_back, _deleted_with_theirs, _late_draft, _round_and_round)


def _step(dice: random.Random, *kinds: str, wrong: tuple[Disturbance, ...] = ()) -> Step:
    happenings = tuple(events.Event(kind, dice.getrandbits(40)) for kind in kinds)
    return Step(happenings, wrong, dice.getrandbits(40))


def _draw_step(dice: random.Random, *, first: bool) -> Step:
    count = dice.choice((0, 1, 1, 2, 2, 3, 4)) + (1 if first else 0)
    happenings = [events.draw(dice) for _ in range(count)]
    if first:
        happenings[0] = happenings[0]._replace(kind="publish")
    wrong = dice.choices((0, 1, 2), (45, 40, 15))[0]
    return Step(
        tuple(happenings),
        tuple(disturbances.draw(dice) for _ in range(wrong)),
        dice.getrandbits(40),
        full=dice.random() < 0.1,
        verify=dice.random() < 0.1,
        soon=dice.random() < 0.2,
        audit=dice.random() < 0.1,
    )


class World:
    """All that there is in a life."""

    def __init__(self, script: Script, clock: Callable[[], float]) -> None:
        setup = script.setup
        self.now = clock
        self.source = Host(
            "https://source.example", "octo/tool", replace(setup.source), clock, 1000
        )
        self.target = Host(
            "https://target.example", "mirrors/tool", replace(setup.target), clock, 50_000
        )
        self.settings = setup.settings
        self.past_settings: list[Settings] = []
        self.tags_are_pushed = setup.theirs
        self.versions = 0
        self.written = 0
        self.disk = Disk()
        self.source.found()
        if setup.theirs:
            self.target.found("A repository of people's")
            self.target.push_tag("start", self.target.commit("start", 0.0), 0.0)
        self.oracle = Oracle(self.source, self.target, lambda: self.settings)


@dataclass
class Life:
    """Lives a script.

    Args:
        tell: Takes the story, line by line.
    """

    script: Script
    requests_told: bool = False
    story: list[str] = field(default_factory=list)
    happened: list[str] = field(default_factory=list)

    def run(self) -> Outcome:
        """Live it to the end, or to its first violation."""
        before = random.getstate()
        random.seed(self.script.seed)  # waits of the program itself
        loop = SkippingLoop()
        try:
            loop.run_until_complete(self._live())
        finally:
            loop.close()
            random.setstate(before)
        return Outcome(self.script, self.world.oracle.violations, self.happened, self.story)

    async def _live(self) -> None:
        self.world = World(self.script, asyncio.get_running_loop().time)
        setup = self.script.setup
        self._say(f"life {self.script.seed}: digests at {setup.digests}; {setup}")
        for number, step in enumerate(self.script.steps, 1):
            await self._step(number, step)
            if self.world.oracle.violations:
                return
        await self._quiet()

    async def _step(self, number: int, step: Step) -> None:
        dice = random.Random(step.seed)
        for event in step.events:
            await asyncio.sleep(dice.uniform(1.0, 120.0))
            self._happen(event)
        # Lists have caught up with what people did; with what a killed pass did perhaps not.
        soon = step.soon and not step.events
        await asyncio.sleep(dice.uniform(0.5, 10.0) if soon else dice.uniform(60.0, 900.0))
        if step.audit:
            await asyncio.sleep(AUDIT_INTERVAL)
        for item in step.disturbances:
            if item.kind in BEFORE_THE_PASS:
                self._damage(item, dice)
        command = "verify" if step.verify else "sync"
        told = ", ".join(map(str, step.disturbances)) or "undisturbed"
        self._say(f"pass {number}: {command}{' --full' if step.full else ''}, {told}")
        await self._pass(command, dice, step.disturbances, full=step.full)

    def _happen(self, event: Event) -> None:
        if told := events.happen(self.world, event):
            self._say(f"  {told}")

    def _damage(self, item: Disturbance, dice: random.Random) -> None:
        """The ledger is lost, or an earlier state of it is put back."""
        disk, oracle = self.world.disk, self.world.oracle
        if item.kind == "lost-ledger":
            index = disk.now.listing if dice.random() < 0.3 else None
            disk.put_back(Saved(float("-inf"), float("-inf"), {}, index))
            oracle.forget(float("-inf"))
            self._say(f"  the ledger is lost{'' if index is None else ', its index is not'}")
        elif len(disk.states) > 1:
            old = disk.states[int(len(disk.states) * dice.random() ** 0.5) - 1]
            disk.put_back(old)
            oracle.forget(old.knows if old.documents else float("-inf"))
            self._say(f"  the ledger of second {old.at:.0f} is put back")
        else:
            return
        self.happened.append(item.kind)

    async def _pass(
        self, command: str, dice: random.Random, wrong: tuple[Disturbance, ...], *, full: bool
    ) -> PassResult:
        world = self.world

        def meddle() -> None:
            event = events.Event(dice.choice(events.MEDDLING), dice.getrandbits(40))
            if told := events.happen(world, event):
                self._say(f"      meanwhile {told}")

        process = Process()
        weather = Disturbed(process, dice, wrong, meddle)
        if self.requests_told:
            weather.trace = self._say
        world.oracle.before_pass()
        result = await run_pass(
            command, world.source, world.target, world.settings, world.disk, weather, full=full
        )
        self.happened.extend(dict.fromkeys(weather.happened))
        if result.status == "killed":
            world.oracle.killed(world.disk.now.at)
            world.disk.fall_behind()
        elif result.looked:
            world.disk.catch_up()
        self._say(f"  -> {result.status}: {_done(result)}")
        for trouble in result.troubles:
            self._say(f"     {trouble.what} {trouble.release} {trouble.asset}: {trouble.text}")
        for warning in result.warnings:
            self._say(f"     warning: {warning}")
        if self.requests_told:
            self._picture()
        world.oracle.after_pass(result)
        return result

    async def _quiet(self) -> None:
        """Nothing happens any more; the first pass looks at everything."""
        oracle = self.world.oracle
        await asyncio.sleep(AUDIT_INTERVAL + 3600.0)
        last = PassResult("sync", "none")
        for number in range(QUIET_PASSES):
            self._say(f"quiet pass {number + 1}")
            last = await self._pass("sync", random.Random(number), (), full=False)
            if oracle.violations:
                return
            await asyncio.sleep(900.0)
        if oracle.awaits_audit():
            await asyncio.sleep(AUDIT_INTERVAL)
            last = await self._pass("sync", random.Random(QUIET_PASSES), (), full=False)
            last.done.clear()
        oracle.at_end(last)

    def _picture(self) -> None:
        for host, name in ((self.world.source, "source"), (self.world.target, "target")):
            for release in host.releases.values():
                kind = "draft" if release.draft else "release"
                assets = ", ".join(
                    f"{a.name}#{a.id}={a.data[:8].decode() or a.state}x{len(a.data) // 8}"
                    f"{f' [{a.label}]' if a.label else ''}{' (theirs)' if (name, a.by) == ('target', 'people') else ''}"
                    for a in release.assets.values()
                )
                self._say(
                    f"     {name} {kind} {release.tag}#{release.id} by {release.by}: {assets}"
                )

    def _say(self, text: str) -> None:
        self.story.append(text)


def _done(result: PassResult) -> str:
    return (
        ", ".join(f"{t.what} {t.release} {t.asset}".strip() for t in result.done) or "nothing done"
    )


def live(script: Script, *, requests_told: bool = False) -> Outcome:
    """Live one life."""
    return Life(script, requests_told).run()


def shrink(script: Script, kind: str) -> Script:
    """The same failure from less: leave out steps, events, disturbances and peculiarities."""

    def fails(candidate: Script) -> bool:
        return any(violation.kind == kind for violation in live(candidate).violations)

    shrunk = True
    while shrunk:
        shrunk = False
        for candidate in _smaller(script):
            if fails(candidate):
                script, shrunk = candidate, True
                break
    return script


def _smaller(script: Script) -> list[Script]:
    """Every life that lacks one thing of this one."""
    found = [replace(script, steps=steps) for steps in _fewer_steps(script.steps)]
    setup = script.setup
    found += [
        replace(script, setup=replace(setup, source=rules)) for rules in _plainer(setup.source)
    ]
    found += [
        replace(script, setup=replace(setup, target=rules)) for rules in _plainer(setup.target)
    ]
    if setup.settings != Settings():
        found.append(replace(script, setup=replace(setup, settings=Settings())))
    if setup.theirs:
        found.append(replace(script, setup=replace(setup, theirs=False)))
    return found


def _fewer_steps(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    for n in range(len(steps)):
        yield (*steps[:n], *steps[n + 1 :])
    for n in range(len(steps) - 1):  # the events of two passes before one
        joined = replace(steps[n + 1], events=(*steps[n].events, *steps[n + 1].events))
        yield (*steps[:n], joined, *steps[n + 2 :])
    for n, step in enumerate(steps):
        for simpler in _simpler(step):
            yield (*steps[:n], simpler, *steps[n + 1 :])


def _simpler(step: Step) -> Iterator[Step]:
    for n in range(len(step.events)):
        yield replace(step, events=(*step.events[:n], *step.events[n + 1 :]))
    for n in range(len(step.disturbances)):
        left = (*step.disturbances[:n], *step.disturbances[n + 1 :])
        yield replace(step, disturbances=left)
    if step.full:
        yield replace(step, full=False)
    if step.verify:
        yield replace(step, verify=False)
    if step.soon:
        yield replace(step, soon=False)
    if step.audit:
        yield replace(step, audit=False)


def _plainer(rules: Rules) -> Iterator[Rules]:
    plain = Rules()
    if rules.lag:
        yield replace(rules, lag=0.0)
    if rules.page != plain.page:
        yield replace(rules, page=plain.page)
    if rules.limit != plain.limit:
        yield replace(rules, limit=plain.limit)
