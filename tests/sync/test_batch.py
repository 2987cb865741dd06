"""A pass as a whole: every mirror is told, whatever becomes of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.core.reporting.report import Report

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


async def test_more_are_asked_for_at_once_than_are_compared(tmp_path: Path) -> None:
    """Whether mirrors changed is asked on all connections; ``repositories`` are compared at once."""
    async with World(tmp_path, THREE, extra="[sync]\nrepositories = 1\n") as world:

        def publish(tag: str) -> None:
            for n in range(3):
                world.source.add_release(f"octo/tool-{n}", tag, assets={"a.bin": b"abc"})

        def asked() -> list[str]:
            """The repository of each request."""
            paths = [r.path for r in world.source.requests if "/repos/" in r.path]
            return [path.split("/repos/")[1].split("/")[1] for path in paths]

        def in_turn(names: list[str]) -> list[str]:
            """Without repetitions in a row."""
            return [name for n, name in enumerate(names) if n == 0 or name != names[n - 1]]

        for n in range(3):
            world.source.add_repository(f"octo/tool-{n}")
        publish("v1")
        one_by_one = [f"tool-{n}" for n in range(3)]
        world.source.reset_requests()
        assert (await world.sync()).status == "ok"
        assert in_turn(asked()) == one_by_one  # a first comparison reads everything
        publish("v2")
        world.source.reset_requests()
        assert (await world.sync()).status == "ok"
        assert sorted(asked()[:3]) == one_by_one
        assert sorted(in_turn(asked()[3:])) == one_by_one
