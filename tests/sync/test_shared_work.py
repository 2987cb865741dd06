"""Two runs of sync that share the work through a database."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import psycopg

from mirror.app import open_app
from mirror.cluster.claims import DatabaseClaim, DatabaseClaims
from mirror.config import load_config, resolve_secrets
from mirror.core.reporting.report import ActionReport, RepositoryReport
from mirror.emulator import Fault
from mirror.overview import read_overview
from mirror.system_clock import SystemClock
from support import process
from support.clock import START, MachineClock
from support.postgres import opened
from support.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.config import Config, Secrets
    from mirror.core.reporting.report import Report
    from mirror.emulator import RequestRecord

MIRRORS = '[[mirrors]]\nsource = "octo/*"\ntarget = "mirrors/{repo}"\n'
NAMES = [f"tool-{number}" for number in range(6)]


def settings(world: World, url: str) -> tuple[Config, Secrets]:
    """The world's configuration, with its ledger in a database."""
    text = world.config_file.read_text()
    text = text.replace(f'directory = "{world.ledger}"', 'url = "env:LEDGER_URL"')
    world.config_file.write_text(text)
    environ = {**world.environ, "LEDGER_URL": url, "XDG_STATE_HOME": str(world.directory)}
    config = load_config(world.config_file, environ)
    return config, resolve_secrets(config, environ)


def releases(world: World) -> None:
    for name in NAMES:
        world.source.add_repository(f"octo/{name}")
        world.source.add_release(f"octo/{name}", "v1", assets={"a.txt": f"{name}\n"})


async def run(config: Config, secrets: Secrets, *patterns: str) -> Report:
    async with open_app(config, secrets, clock=SystemClock()) as app:
        return await app.sync(patterns)


def rows(url: str) -> dict[str, tuple[object, ...]]:
    """The published settings of mirrors and listings, when they are due, and their claims."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT key, settings, next_due, number FROM mirrors")
        return {str(row[0]): row[1:] for row in found}


async def test_two_at_once(tmp_path: Path, postgres_url: str) -> None:
    """Everything arrives once, neither waits for ever, and both reports tell every action."""
    async with World(tmp_path, MIRRORS) as world:
        releases(world)
        config, secrets = settings(world, postgres_url)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(config, secrets)) for _ in range(2)]
        for report in (task.result() for task in tasks):
            assert not report.failed
            assert report.to_json()["totals"]["assets_uploaded"] == len(NAMES)
        for name in NAMES:
            (release,) = world.target.releases(f"mirrors/{name}")
            assert [asset.name for asset in release.assets] == ["a.txt"]
        again = await run(config, secrets)
        assert {repo.status for repo in again.repositories} == {"unchanged"}
        statuses = (await read_overview(config, secrets)).statuses
        assert [status.state for status in statuses] == ["ok"] * len(NAMES)


async def test_what_a_killed_process_did_is_in_the_report(
    tmp_path: Path, postgres_url: str
) -> None:
    """What it told before it died, together with what was done after it."""
    done = ActionReport("create-release", "done", "v0")
    async with World(tmp_path, MIRRORS) as world, opened(postgres_url, SystemClock()) as database:
        releases(world)
        config, secrets = settings(world, postgres_url)
        await run(config, secrets)
        for name in ("tool-2", "tool-3"):
            world.source.add_release(f"octo/{name}", "v2", assets={"a.txt": "2\n"})
        ((published,),) = await database.query(
            "SELECT settings FROM mirrors WHERE key = 'mirrors/tool-3'"
        )
        dead = await DatabaseClaims(database, SystemClock(), "dead", {}).take(
            "mirrors/tool-3", published, START, accepts=False
        )
        assert isinstance(dead, DatabaseClaim)
        others_run = asyncio.Event()

        def look(record: RequestRecord) -> None:
            if "tool-2" in record.path:
                others_run.set()

        world.target.on_request(look)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(run(config, secrets))
            await others_run.wait()
            await dead.tell(
                RepositoryReport("github:octo/tool-3", "mirrors/tool-3", "interrupted", (done,))
            )
            await database.query("UPDATE mirrors SET claimed_until = now() WHERE owner = 'dead'")
        (found,) = [repo for repo in task.result().repositories if repo.target == "mirrors/tool-3"]
        assert found.status == "ok"
        assert found.actions[0] == done
        assert "publish-release" in {action.action for action in found.actions[1:]}


async def test_what_a_killed_process_had_not_told_is_in_the_next_report(
    tmp_path: Path, postgres_url: str
) -> None:
    """All that it did up to the moment at which it was killed, each action once."""
    clock = MachineClock()
    async with World(tmp_path, clock=clock, ledger_url=postgres_url) as world:
        world.environ["XDG_STATE_HOME"] = str(tmp_path)
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={"a": b"a", "b": b"b"})

        async def kill(running: asyncio.subprocess.Process) -> None:
            def look(record: RequestRecord) -> None:
                if record.method == "PATCH" and running.returncode is None:
                    running.kill()

            world.target.on_request(look)

        killed = await process.run(world, "sync", during=kill)
        assert killed.status == -signal.SIGKILL
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("UPDATE mirrors SET claimed_until = now() - interval '1 s'")
        (repository,) = (await run(*settings(world, postgres_url))).repositories
        assert repository.status == "ok"
        assert sorted((one.action, one.asset or "") for one in repository.actions) == [
            ("create-release", ""),
            ("create-repository", ""),
            ("create-tag", ""),
            ("publish-release", ""),
            ("upload-asset", "a"),
            ("upload-asset", "b"),
        ]
        assert world.same() == []


async def test_a_start_publishes_its_settings(tmp_path: Path, postgres_url: str) -> None:
    """Those of the whole file, whatever is selected; the same once more changes nothing."""
    explicit = '[[mirrors]]\nsource = "octo/tool-1"\ntarget = "mirrors/one"\n'
    async with World(tmp_path, MIRRORS + explicit) as world:
        releases(world)
        config, secrets = settings(world, postgres_url)
        await run(config, secrets, "octo/tool-1")
        first = rows(postgres_url)
        keys = {"github:octo", "mirrors/one", *(f"mirrors/{name}" for name in NAMES)}
        assert first.keys() == keys - {"mirrors/tool-1"}
        assert all(row[0] for row in first.values())
        assert {key for key, row in first.items() if row[2]} == {"mirrors/one"}
        await run(config, secrets, "octo/tool-1")
        again = rows(postgres_url)
        assert {key: row[:2] for key, row in again.items()} == {
            key: row[:2] for key, row in first.items()
        }

        world.write_config(MIRRORS)
        config, secrets = settings(world, postgres_url)
        async with open_app(config, secrets, clock=SystemClock()) as app:
            for read in (app.plan, app.verify):
                await read()
                assert rows(postgres_url) == again
            await app.verify(["octo/tool-2"], repair=True)
        after = rows(postgres_url)
        assert after["mirrors/one"][0] is None
        assert after["mirrors/tool-1"][0]


async def test_what_a_later_start_has_other_settings_of_is_left_to_it(
    tmp_path: Path, postgres_url: str
) -> None:
    """Changed and removed mirrors are reported, with what to do; what is the same goes on."""
    alone = "\n[sync]\nrepositories = 1\n"
    mirror = '[[mirrors]]\nsource = "octo/{0}"\ntarget = "mirrors/{0}"\n'
    async with World(tmp_path, "".join(map(mirror.format, NAMES)), extra=alone) as world:
        releases(world)
        earlier = settings(world, postgres_url)
        changed = mirror.format(NAMES[4]) + 'assets.exclude = ["b"]\n'
        world.write_config("".join(map(mirror.format, NAMES[:4])) + changed)
        later = settings(world, postgres_url)
        stall = Fault(kind="stall", route="storage-download", at_byte=1)
        world.source.faults.add(stall)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(run(*earlier))
            while not world.source.faults.stalling:  # noqa: ASYNC110 - of a socket
                await asyncio.sleep(0.01)
            report = await run(*later, "octo/tool-4")
            world.source.faults.resume()
        assert not report.failed
        found = {repo.target: repo for repo in task.result().repositories}
        failed = [target for target, repo in found.items() if repo.status == "failed"]
        assert failed == ["mirrors/tool-4", "mirrors/tool-5"]
        (changed_, removed) = [found[target].failures[0] for target in failed if target]
        assert (changed_.kind, removed.kind) == ("policy", "policy")
        assert "with other settings of this mirror" in changed_.error
        assert "without this mirror" in removed.error
        assert "bring this machine's configuration up to date" in removed.error
        assert "mirrors/tool-5" not in world.target.names


async def test_a_dead_claim_is_waited_for(tmp_path: Path, postgres_url: str) -> None:
    """A mirror that a dead process had is run once its claim has ended; the others at once."""
    async with World(tmp_path, MIRRORS) as world:
        releases(world)
        config, secrets = settings(world, postgres_url)
        await run(config, secrets)
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(
                "UPDATE mirrors SET owner = 'dead', number = number + 1, began_at = now(),"
                " claimed_until = now() + interval '1 s' WHERE key = 'mirrors/tool-3'"
            )
        report = await run(config, secrets)
        assert len(report.repositories) == len(NAMES)
        assert {repo.status for repo in report.repositories} == {"unchanged"}


async def test_plan_begins_with_what_was_sent_and_tells_nothing(
    tmp_path: Path, postgres_url: str
) -> None:
    """It keeps what is left of the limits, and writes nothing to the database."""
    async with World(tmp_path, MIRRORS) as world:
        world.source_limits = "points_per_minute = 900\n"
        world.write_config()
        releases(world)
        config, secrets = settings(world, postgres_url)
        await run(config, secrets)
        sent = len([one for one in world.source.requests if one.origin == "api"])
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            version = connection.execute("SELECT key, version FROM limits ORDER BY key").fetchall()
            async with open_app(config, secrets, clock=SystemClock()) as app:
                assert not (await app.plan()).failed
                (allowance,) = (one for one in app.shared.allowances.values() if one.points.limited)
                assert sum(cost for _, cost in allowance.points.sent()) >= sent
            after = connection.execute("SELECT key, version FROM limits ORDER BY key").fetchall()
        assert after == version
