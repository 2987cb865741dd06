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
