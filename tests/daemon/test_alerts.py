"""What operators are given for Prometheus and Grafana, held against the metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mirror.core.reporting.status import MirrorStatus
from mirror.core.reporting.workers import Worker
from mirror.daemon.gauges import ClusterState
from mirror.daemon.metrics import HostState, Metrics, Present
from mirror.github import RateLimit

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).parents[2]
PROMETHEUS = TOP / "config" / "prometheus"
ALERTS = PROMETHEUS / "alerts.yml"
DASHBOARD = TOP / "config" / "grafana" / "dashboard.json"
REFERENCE = TOP / "docs" / "reference" / "metrics.md"
GUIDE = TOP / "docs" / "guides" / "monitoring.md"
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
OURS = "release_mirror_"
NAME = re.compile(r"\b(?:release_mirror|process|python_gc)_[a-z_]+\b")

promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed"
)


def families() -> dict[str, set[str]]:
    """Each family that there is, with the names of its samples."""
    status = MirrorStatus("github:a/x", "m/x", "ok", NOW, 1, 1, 1, None, (), (), NOW, NOW, NOW)
    host = HostState("github", limit=RateLimit(limit=1, remaining=1, reset=1))
    cluster = ClusterState([Worker("host:1", "1", NOW, NOW)], 1, 1.0, {})
    present = Present(NOW, True, (status,), (host,), interval=900, cluster=cluster)
    text = Metrics("1").scrape(present)().decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        ends = {
            "counter": ["_total"],
            "histogram": ["_bucket", "_sum", "_count"],
        }.get(family.type, [""])
        found[family.name] = {family.name + end for end in ends}
    return found


def samples() -> set[str]:
    return {name for names in families().values() for name in names}


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads(DASHBOARD.read_text())
    found: list[dict[str, Any]] = dashboard["panels"]
    return found


def queries() -> Iterator[tuple[str, str]]:
    """The title and the query of everything that the dashboard asks for."""
    for panel in panels():
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    dashboard = json.loads(DASHBOARD.read_text())
    for annotation in dashboard["annotations"]["list"]:
        if "expr" in annotation:
            yield annotation["name"], annotation["expr"]


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_of_an_alert_exists() -> None:
    """A misspelt name is an alert that never fires."""
    text = re.sub(r"^ *#.*", "", ALERTS.read_text(), flags=re.MULTILINE)
    names = set(NAME.findall(text))
    assert len(names) >= 10
    assert names <= samples()


def test_every_metric_of_the_dashboard_exists() -> None:
    """A misspelt name is an empty panel."""
    names = {name for _, query in queries() for name in NAME.findall(query)}
    assert len(names) >= 25
    assert names <= samples()
    variables = json.loads(DASHBOARD.read_text())["templating"]["list"]
    asked = {name for one in variables for name in NAME.findall(str(one["query"]))}
    assert asked == {"release_mirror_build_info"}


def test_every_metric_is_in_the_reference() -> None:
    """And the reference names none that does not exist; a histogram is named once."""
    named = {name for name in NAME.findall(REFERENCE.read_text()) if name.startswith(OURS)}
    known = families().items()
    once = {family if len(names) > 1 else names.pop() for family, names in known}
    assert named == {name for name in once if name.startswith(OURS)}


def test_every_alert_is_in_the_guide() -> None:
    """Who is woken finds what to do."""
    alerts = re.findall(r"- alert: (\w+)", ALERTS.read_text())
    assert len(alerts) == len(set(alerts)) >= 9
    assert [alert for alert in alerts if f"`{alert}`" not in GUIDE.read_text()] == []


def test_the_dashboard_can_be_imported() -> None:
    """Numbers are unique, panels lie side by side, and every query asks the chosen data source."""
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["id"] is None
    assert dashboard["schemaVersion"] >= 38  # Grafana 10
    assert [one["name"] for one in dashboard["templating"]["list"]] == [
        "datasource",
        "job",
        "instance",
    ]
    numbers = [panel["id"] for panel in panels()]
    assert len(numbers) == len(set(numbers))
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        for target in panel.get("targets", []):
            assert target["datasource"] == panel["datasource"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert 'instance=~"$instance"' in target["expr"]


@promtool
def test_promtool_takes_the_alerts() -> None:
    """Prometheus itself can read them."""
    run("promtool", "check", "rules", "--lint-fatal", str(ALERTS))


@promtool
def test_the_alerts_fire_when_they_should() -> None:
    """And not when all is well, nor at once."""
    run("promtool", "test", "rules", str(PROMETHEUS / "alerts_test.yml"))


@promtool
def test_promtool_takes_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    """Each query of a panel is one that Prometheus understands."""
    rules = [
        {"record": f"query:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, (_, query) in enumerate(queries())
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    run("promtool", "check", "rules", str(file))


@promtool
def test_promtool_takes_the_metrics() -> None:
    """No complaint of the linter about names, types or texts of ours."""
    present = Present(NOW, ready=True, hosts=(HostState("github", limit=RateLimit(limit=1)),))
    text = Metrics("1").scrape(present)()
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60, check=False
    )
    complaints = (done.stdout + done.stderr).decode().splitlines()
    assert [line for line in complaints if line.startswith(OURS)] == []
