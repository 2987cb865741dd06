"""What holds whatever goes wrong, and where the contract says otherwise."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from faults.exceptions import LAGS, actions_stay, expectation
from faults.healthy import healthy, ids, promise, state_of, watch_latest

if TYPE_CHECKING:
    from faults.cells import Cell
    from faults.healthy import Healthy
    from mirror.core.reporting.report import Report
    from support.world import World

LONGEST = 20.0
"""Seconds of real time that two passes may take at most, however they fail."""

MORE_REQUESTS = {"once": 40, "thrice": 80, "a while": 80, "ever": 300}
"""Requests that a fault may cost beyond those of a good day."""

LONGEST_WAIT = {"once": 1300.0, "thrice": 3 * 1300.0, "a while": 120.0, "ever": 6 * 3600.0}
"""Seconds of virtual time."""


@dataclass
class Result:
    """What a cell came to: figures, and every law that it broke."""

    broken: list[str]
    outcome: str = ""
    requests: int = 0
    waited: float = 0.0


async def live(cell: Cell, world: World, stranger: str) -> Result:
    """Bring a world to the pass, break it, and see what it leaves; then let all be well."""
    story, good = cell.story, healthy(cell.story)
    await story.prepare(world)
    promise(world, story, good.state)
    latest = watch_latest(world, story, good.state)
    before = ids(world, story.targets)
    for host in (world.source, world.target):
        host.reset_requests()
    began = world.clock.seconds
    host = world.source if cell.used.role == "source" else world.target
    host.faults.add(
        cell.kind.faults(
            cell.used,
            cell.hits,
            match=cell.used.match,
            stranger=stranger,
            now=world.clock.now().timestamp(),
        )
    )
    result = Result([])
    try:
        async with asyncio.timeout(LONGEST):
            report = await world.sync(full=story.full)
    except TimeoutError:
        result.broken.append(f"the pass did not end in {LONGEST:g} s")
        return result
    result.outcome = report.status
    result.requests = world.source.count() + world.target.count()
    result.waited = world.clock.seconds - began
    fired = host.faults.fired
    result.broken += _of_broken_pass(cell, world, report, good, fired)
    result.broken += _bounds(cell, result, good)
    result.broken += _of_always(cell, world, good, before, "after the broken pass")
    host.faults.clear()
    _wait_for_delayed(world, report)
    await _heal(cell, world, good, before, result)
    result.broken += sorted(set(latest))
    return result


def _wait_for_delayed(world: World, report: Report) -> None:
    """Let the time pass after which what failed twice in the same way is tried again."""
    failures = [failure for repo in report.repositories for failure in repo.failures]
    times = [datetime.fromisoformat(f.next_attempt) for f in failures if f.next_attempt]
    if times:
        world.clock.advance(max(0.0, (max(times) - world.clock.now()).total_seconds()))


async def _heal(
    cell: Cell, world: World, good: Healthy, before: dict[tuple[str, ...], int], result: Result
) -> None:
    """A clean pass repairs everything, and the one after it has nothing to do."""
    report = await world.sync(full=expectation(cell).audit)
    if report.status not in {"ok", "unchanged"}:
        result.broken.append(f"the next clean pass fails: {_failures(report)}")
    result.broken += _of_always(cell, world, good, before, "after the clean pass")
    result.broken += [f"after the clean pass {text}" for text in _differences(cell, world, good)]
    if report.status != "unchanged":
        report = await world.sync()
    if report.status != "unchanged":
        result.broken.append(f"nothing was left to do, and a pass was {report.status}")


def _of_broken_pass(
    cell: Cell, world: World, report: Report, good: Healthy, fired: int
) -> list[str]:
    broken = []
    failures = _failures(report)
    if not fired and cell.kind.name != LAGS:  # there may be nothing new to hide
        broken.append("the fault never happened")
    if any("internal error" in text for text in failures):
        broken.append(f"crashed: {failures}")
    if report.status == "failed" and not failures:
        broken.append("failed without a named failure")
    expected = expectation(cell)
    if expected.passes and report.status != "ok":
        broken.append(f"{report.status}: {failures}")
    if expected.passes is False and report.status == "ok":
        broken.append("the pass succeeded")
    if report.status == "ok" and expected.same:
        broken += [f"said ok, and {text}" for text in _differences(cell, world, good)]
    if expected.others and cell.used.match:
        name = cell.story.targets[1]
        if (now := state_of(world, name)) != good.state[name]:
            broken.append(f"the other mirror is not there: {now}")
    return broken


def _bounds(cell: Cell, result: Result, good: Healthy) -> list[str]:
    broken = []
    if result.requests > good.requests + MORE_REQUESTS[cell.hits]:
        broken.append(f"took {result.requests} requests instead of {good.requests}")
    if result.waited > LONGEST_WAIT[cell.hits]:
        broken.append(f"waited {result.waited:g} s")
    return broken


def _of_always(
    cell: Cell, world: World, good: Healthy, before: dict[tuple[str, ...], int], when: str
) -> list[str]:
    """Nothing is seen half, made twice, or taken away."""
    broken = [f"{when} seen: {text}" for text in world.target.violations]
    for name in cell.story.targets:
        if name not in world.target.names:
            continue
        tags = Counter(release.tag for release in world.target.releases(name))
        broken += [f"{when} {name} has {n} of {tag}" for tag, n in tags.items() if n > 1]
        wrong = _wrong_bytes(world, name, good)
        broken += [f"{when} {text}" for text in wrong]
    here = ids(world, cell.story.targets)
    broken += [
        f"{when} {' '.join(place)} was {before[place]} and is {here.get(place)}"
        for place in good.kept
        if here.get(place) != before.get(place)
    ]
    return broken


def _wrong_bytes(world: World, name: str, good: Healthy) -> list[str]:
    """Assets that are uploaded and are neither what was nor what is to come."""
    known = {
        asset[2]
        for state in good.state.values()
        for release in state["releases"]
        for asset in release[-1]
    }
    known |= good.former
    return [
        f"{release.tag}/{asset.name} holds bytes of nobody"
        for release in world.target.releases(name)
        for asset in release.assets
        if asset.state == "uploaded" and asset.sha256 not in known
    ]


def _differences(cell: Cell, world: World, good: Healthy) -> list[str]:
    found = []
    for name in cell.story.targets:
        now, wanted = state_of(world, name), good.state[name]
        if now == wanted:
            continue
        if now is None:
            found.append(f"{name} is not there")
            continue
        found += [
            f"{name}: {key} is {_short(now[key], wanted[key])}"
            for key in wanted
            if now[key] != wanted[key] and not (key == "actions" and actions_stay(cell))
        ]
    return found


def _short(now: Any, wanted: Any) -> str:
    if isinstance(now, list) and isinstance(wanted, list):
        return f"{[n for n in now if n not in wanted]} for {[w for w in wanted if w not in now]}"
    return f"{now!r} for {wanted!r}"


def _failures(report: Report) -> list[str]:
    return [failure.error for repo in report.repositories for failure in repo.failures]
