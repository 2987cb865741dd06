"""What `plan` prints: each action of a small plan, counts of a large one."""

from __future__ import annotations

import pytest

from mirror.cli.render.plan_text import LINES, plan_tables
from mirror.cli.render.sync_text import news
from mirror.core.failure import Failure
from mirror.core.reporting.report import (
    ActionReport,
)
from support.reports import repo, report, text


def test_a_quiet_plan_tells_no_past() -> None:
    """What `plan --quiet` tells is still to be done."""
    action = ActionReport("upload-asset", "planned", "v1", "a.zip", bytes=1000)
    odd = repo(
        1, "failed", actions=(action,), failures=(Failure("rejected", "no", "upload-asset", "v2"),)
    )
    shown = text(news(report(odd, command="plan")))
    assert "1 asset to upload (1.0 kB)" in shown
    assert "uploaded" not in shown


@pytest.mark.parametrize("releases", [2, LINES])
def test_plan(releases: int) -> None:
    """A small plan lists each action, a large one a line for each release; both tell the cost."""
    actions = tuple(
        action
        for number in range(releases)
        for action in (
            ActionReport("create-release", "planned", f"v{number}"),
            ActionReport("upload-asset", "planned", f"v{number}", "a.zip", bytes=1000),
            ActionReport("publish-release", "planned", f"v{number}"),
        )
    )
    cost = {"github": releases, "target": 4 * releases}
    planned = repo(1, "ok", actions=actions, estimated_requests=cost)
    shown = text(plan_tables(report(planned, command="plan")))
    if releases == 2:
        assert "    upload a.zip (1.0 kB)" in shown
    else:
        assert "  v7: new, 1 asset (1.0 kB)" in shown
    assert f"Would publish {releases} releases, update 0, upload {releases} assets" in shown
    assert f"{4 * releases} to target" in shown
    assert "Nothing to do" in text(plan_tables(report(repo(1), command="plan")))
