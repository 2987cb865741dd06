"""A pass as a whole: every mirror is told, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mirror.emulator import Emulator, Fault, GitHubState
from support.world import SOURCE_TOKEN, World

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.core.reporting.report import Report
    from mirror.emulator import RequestRecord

TWICE = """[[mirrors]]
source = "octo/tool"
target = "nobody/tool"

[[mirrors]]
source = "octo/tool"
target = "mirrors/tool"
"""


def statuses(report: Report) -> dict[str | None, str]:
    return {repo.target: repo.status for repo in report.repositories}


async def test_one_source_with_two_targets_is_told_twice(tmp_path: Path) -> None:
    """A failure of one target is not hidden by the success of the other, in either order."""
    turned = "\n\n".join(reversed(TWICE.strip().split("\n\n")))
    for number, mirrors in enumerate((TWICE, turned)):
        (tmp_path / str(number)).mkdir()
        async with World(tmp_path / str(number), mirrors) as world:
            world.source.add_repository("octo/tool")
            world.source.add_release("octo/tool", "v1", assets={"a.bin": b"abc"})
            report = await world.sync()
            assert statuses(report) == {"nobody/tool": "failed", "mirrors/tool": "ok"}
            assert report.failed
            assert report.totals()["repositories"] == 2


THREE = "\n".join(
    f'[[mirrors]]\nsource = "octo/tool-{n}"\ntarget = "mirrors/tool-{n}"' for n in range(3)
)
NAMES = [f"tool-{n}" for n in range(3)]
ONE_AT_A_TIME = "[sync]\nrepositories = 1\n"


def publish(world: World, tag: str) -> None:
    for name in NAMES:
        if f"octo/{name}" not in world.source.names:
            world.source.add_repository(f"octo/{name}")
        world.source.add_release(f"octo/{name}", tag, assets={"a.bin": b"abc"})
    world.source.reset_requests()


def asked(world: World) -> list[str]:
    """The repository of each request to the source."""
    paths = [r.path for r in world.source.requests if "/repos/" in r.path]
    return [path.split("/repos/")[1].split("/")[1] for path in paths]


def in_turn(names: list[str]) -> list[str]:
    """Without repetitions in a row."""
    return [name for n, name in enumerate(names) if n == 0 or name != names[n - 1]]


async def test_more_are_asked_at_once_than_are_compared(tmp_path: Path) -> None:
    """Whether mirrors changed is asked on all connections; ``repositories`` are compared at once."""
    async with World(tmp_path, THREE, extra=ONE_AT_A_TIME) as world:
        publish(world, "v1")
        assert (await world.sync()).status == "ok"
        assert in_turn(asked(world)) == NAMES  # a first comparison reads everything
        publish(world, "v2")
        assert (await world.sync()).status == "ok"
        assert sorted(asked(world)[:3]) == NAMES
        assert sorted(in_turn(asked(world)[3:])) == NAMES
        assert all(world.same(f"octo/{name}", f"mirrors/{name}") == [] for name in NAMES)


async def test_after_a_stop_nothing_more_is_compared(tmp_path: Path) -> None:
    """Those that wait for their turn are told as interrupted, and compared by the next pass."""
    async with World(tmp_path, THREE, extra=ONE_AT_A_TIME) as world:
        publish(world, "v1")
        await world.sync()
        publish(world, "v2")

        def stop(record: RequestRecord) -> None:
            if record.route == "get-repository" and world.app:
                world.app.stop.request()

        world.source.on_request(stop)
        report = await world.sync()
        assert [repo.status for repo in report.repositories] == ["interrupted"] * 3
        assert len(in_turn(asked(world)[3:])) == 1
        world.source.log.request_hooks.remove(stop)
        assert (await world.sync()).status == "ok"
        assert all(world.same(f"octo/{name}", f"mirrors/{name}") == [] for name in NAMES)


async def test_a_host_that_is_slow_takes_no_turn_of_another(tmp_path: Path) -> None:
    """Each source is asked by itself, and all are told in the order of the configuration."""
    other = GitHubState(kind="github")
    other.add_token(SOURCE_TOKEN, login="reader", admin=True)
    other.add_repository("octo/other")
    other.add_release("octo/other", "v1", assets={"a.bin": b"abc"})
    async with Emulator(other) as host:
        last = f"""
[sources.other]
url = "{host.url}"
api_url = "{host.api_url}"
token = "env:SOURCE_TOKEN"

[[mirrors]]
from = "other"
source = "octo/other"
target = "mirrors/other"
"""
        async with World(tmp_path, THREE, extra=ONE_AT_A_TIME) as world:
            world.source_limits = "\nmax_connections = 1\n"
            world.write_config(THREE.replace("[[mirrors]]", '[[mirrors]]\nfrom = "github"') + last)
            publish(world, "v1")
            first = await world.sync()
            other.add_release("octo/other", "v2", assets={"a.bin": b"abcd"})
            world.source.faults.add(Fault(kind="stall", route="list-releases", at_byte=0))

            def resume(record: RequestRecord) -> None:
                if record.method == "PATCH":
                    world.source.faults.resume()

            world.target.on_request(resume)
            async with asyncio.timeout(30):
                second = await world.sync()
            for report in (first, second):
                sources = [repo.source.partition("/")[2] for repo in report.repositories]
                assert sources == [*NAMES, "other"]
            assert set(world.published("mirrors/other")) == {"v1", "v2"}
