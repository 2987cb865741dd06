"""A pass that is interrupted at any moment reports exactly what the target's log says it did."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from mirror.app import open_app
from mirror.config import load_config, resolve_secrets
from mirror.emulator import Generated
from support.seed import EVERYTHING, SEED
from support.tamper import tamper
from support.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.core.reporting.report import Report
    from mirror.emulator import RequestRecord

MOMENTS = 50
EVENTS = 65
"""The whole pass has a few more."""
QUICK = 6
"""Of these, those that are tried by default."""

MIRRORS = """
[[mirrors]]
source = "octo/known"
target = "mirrors/known"
on_delete = "delete"

[[mirrors]]
source = "octo/new"
target = "mirrors/new"
"""


def _data(number: int, size: int = 40_000) -> Generated:
    return Generated(seed=number, size=size + number)


def seed(world: World) -> None:
    """One mirror that is known already, and one that begins with its repository."""
    for name in ("octo/known", "octo/new"):
        world.source.add_repository(name)
    for number in (1, 2):
        assets = {f"part-{part}.bin": _data(10 * number + part) for part in range(3)}
        world.source.add_release("octo/known", f"v{number}", assets=assets)


def change(world: World) -> None:
    """Give a pass some of everything to do."""
    source = world.source
    source.replace_asset("octo/known", "v1", "part-0.bin", _data(50))
    source.add_asset("octo/known", "v1", "part-9.bin", _data(51))
    source.delete_asset("octo/known", "v2", "part-1.bin")
    source.edit_release("octo/known", "v2", body="Edited.")
    for name in ("octo/known", "octo/new"):
        for number in (3, 4):
            assets = {f"part-{part}.bin": _data(10 * number + part) for part in range(3)}
            source.add_release(name, f"v{number}", assets=assets)


async def interrupted(world: World, at: int | str, *, second: bool, repair: bool = False) -> Report:
    """Run a pass, or a repair, that gets the first signal, and perhaps the second, at an event of the target.

    Events are the beginnings of requests, and what is read of the bodies of uploads; ``at`` is the
    number of one, or a route: its first request.
    """
    config = load_config(world.config_file, world.environ)
    async with open_app(config, resolve_secrets(config, world.environ), clock=world.clock) as app:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(app.verify(repair=True) if repair else app.sync())
            events = 0

            def count(record: object, *_: object) -> None:
                nonlocal events, at
                events += 1
                if at in {events, getattr(record, "route", None)}:
                    at = 0
                    app.stop.request()
                    if second:
                        running.cancel()

            world.target.on_request(count)
            world.target.on_bytes(count)
            with suppress(asyncio.CancelledError):
                await running
        report = app.report()
        assert report is not None
        return report


def of_the_log(records: list[RequestRecord]) -> Counter[str]:
    """What the target's log says was done."""
    done: Counter[str] = Counter()
    for record in records:
        if not 200 <= record.status < 300:
            continue
        match record.route:
            case "create-org-repository" | "create-repository":
                done["repositories"] += 1
            case "create-ref":
                done["tags"] += 1
            case "create-release":
                done["drafts"] += 1
            case "update-release":
                done["finished releases"] += 1
            case "upload-asset":
                done["uploads"] += 1
                done["bytes"] += record.bytes_in
            case "delete-asset":
                done["deleted assets"] += 1
            case _:
                pass
    return done


def of_the_report(report: Report) -> Counter[str]:
    """What the report says was done."""
    done: Counter[str] = Counter()
    names = {
        "create-repository": "repositories",
        "create-tag": "tags",
        "create-release": "drafts",
        "publish-release": "finished releases",
        "update-release": "finished releases",
        "upload-asset": "uploads",
        "delete-asset": "deleted assets",
    }
    for repository in report.repositories:
        for action in repository.actions:
            if action.status != "done":
                continue
            if action.action == "replace-asset":
                done["deleted assets"] += 1
                done["uploads"] += action.bytes is not None
                done["bytes"] += action.bytes or 0
            elif action.action in names:
                done[names[action.action]] += 1
                done["bytes"] += action.bytes or 0
    return +done


def moments() -> list[int]:
    dice = random.Random(SEED)  # noqa: S311 - the same places every time
    chosen = dice.sample(range(1, EVENTS), MOMENTS)
    return chosen if EVERYTHING else chosen[:QUICK]


@pytest.mark.parametrize("second", [False, True], ids=["first-signal", "second-signal"])
@pytest.mark.parametrize("at", moments())
async def test_the_report_is_what_the_log_says(at: int, second: bool, tmp_path: Path) -> None:
    """Whatever was done is in the report, and nothing else; the next pass finishes the rest."""
    async with World(tmp_path, MIRRORS) as world:
        seed(world)
        assert (await world.sync()).status == "ok"
        change(world)
        world.target.reset_requests()
        report = await interrupted(world, at, second=second)
        await world.let_go()
        log = list(world.target.requests)
        assert of_the_report(report) == of_the_log(log)
        finished = await world.sync(full=True)
        assert finished.status in {"ok", "unchanged"}, finished.to_json()
        assert world.same("octo/known", "mirrors/known") == []
        assert world.same("octo/new", "mirrors/new") == []
        new = report.totals()["releases_created"] + finished.totals()["releases_created"]
        assert new == 4


@pytest.mark.parametrize("second", [False, True], ids=["first-signal", "second-signal"])
@pytest.mark.parametrize("route", ["upload-asset", "delete-asset", "update-asset"])
async def test_a_repair_that_is_interrupted_reports_what_it_did(
    route: str, second: bool, tmp_path: Path
) -> None:
    """The same holds for `verify --repair`, whichever step of a replacement is cut off."""
    async with World(tmp_path, MIRRORS) as world:
        seed(world)
        assert (await world.sync()).status == "ok"
        tamper(world.target, "mirrors/known", "v1", "part-1.bin")
        tamper(world.target, "mirrors/known", "v2", "part-2.bin")
        world.target.reset_requests()
        report = await interrupted(world, route, second=second, repair=True)
        await world.let_go()
        assert of_the_report(report) == of_the_log(list(world.target.requests))
        assert of_the_report(report)
