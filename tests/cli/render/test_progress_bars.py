"""The display at one moment: what it counts, and that it fits."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from mirror.cli.render.progress_bars import SHOWN, draw, names
from mirror.core.reporting.progress import Progress
from mirror.core.reporting.report import RepositoryReport


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def shown(progress: Progress, now: float, width: int = 80) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=False, color_system=None)
    console.print(draw(progress, now, width))
    return out.getvalue().splitlines()


def begun(time: Time, transfers: int, name: str = "tool.tar.gz") -> Progress:
    progress = Progress(time)
    progress.mirrors_found(3)
    progress.mirror_started("github:octo/tool")
    progress.bytes_planned("github:octo/tool", 1000 * transfers)
    for number in range(transfers):
        progress.transfer_started(number, "github:octo/tool", "m/t", "v1.0.0", name, 1000)
    return progress


def test_speed_and_time_left() -> None:
    """Done, planned, speed over the last seconds, and what that leaves."""
    time = Time()
    progress = begun(time, 2)
    for _ in range(4):
        time.now += 1
        for transfer in (0, 1):
            progress.transfer_moved(transfer, progress.transfers[transfer].done + 100)
    first, *_ = shown(progress, time.now)
    assert first.startswith("0/3 mirrors · 800 B of at least 2.0 kB")
    assert "233 B/s" in first or "200 B/s" in first
    assert first.endswith("left")


def test_total_and_time_left_grow_until_every_mirror_is_planned() -> None:
    """They are what is known so far, and said to be, until no mirror can add to them."""
    time = Time()
    progress = begun(time, 1)  # one of three mirrors knows its work
    progress.transfer_moved(0, 0)
    time.now += 1
    progress.transfer_moved(0, 100)
    assert " of at least 1.0 kB · 100 B/s · at least 9.0 s left" in shown(progress, time.now)[0]
    progress.mirror_started("github:octo/idle")
    progress.mirror_started("github:octo/other")
    progress.mirror_finished(RepositoryReport("github:octo/idle", "b", "unchanged"))
    assert progress.grows
    progress.bytes_planned("github:octo/other", 0)
    assert " of 1.0 kB (10%) · 100 B/s · 9.0 s left" in shown(progress, time.now)[0]
    progress.mirror_finished(RepositoryReport("github:octo/other", "c", "ok"))
    assert not progress.grows


def test_a_failed_transfer_is_not_done() -> None:
    """Bytes of a transfer that failed do not count: they have to move again."""
    progress = begun(Time(), 2)
    progress.transfer_moved(0, 900)
    progress.transfer_moved(1, 900)
    progress.transfer_finished(0, good=False)
    progress.transfer_finished(1, good=True)
    assert progress.bytes_done() == 1000
    assert progress.transfers == {}
    progress.transfer_moved(7, 1)  # unknown: ignored
    progress.mirror_finished(RepositoryReport("a", "b", "failed"))
    assert (progress.finished, progress.failed) == (1, 1)


def test_each_transfer_tells_its_phase() -> None:
    """Until the first byte it connects, then it uploads, and after the last byte it waits."""
    time = Time()
    progress = begun(time, 3)
    progress.transfer_moved(1, 299)
    progress.transfer_moved(2, 1000)
    time.now += 1
    progress.transfer_moved(1, 599)
    _, *narrow = shown(progress, time.now, 80)
    assert [line.split("kB", 1)[1].strip() for line in narrow] == [
        "connecting",
        "599 B/s",
        "awaiting answer",
    ]
    assert [line.count("━") for line in narrow] == [0, 7, 12]
    assert " 59% " in narrow[1]
    _, *wide = shown(progress, time.now, 200)
    assert wide[2].endswith("waiting for the target's answer")
    assert [line.count("━") + line.count("╌") for line in wide] == [86] * 3


def test_an_unknown_size_has_no_percentage() -> None:
    """Nothing is said about how much of it is done, and nothing is awaited."""
    progress = begun(Time(), 0)
    progress.transfer_started(1, "github:octo/tool", "m/t", "v1", "source.tar.gz", 0)
    progress.transfer_moved(1, 500)
    line = shown(progress, 100.0, 200)[1]
    assert "%" not in line
    assert "uploading" in line


def test_comparing_uploads_nothing() -> None:
    """``verify`` reads; its display does not speak of uploads."""
    progress = begun(Time(), 1)
    progress.transfer_moved(0, 500)
    out = io.StringIO()
    console = Console(file=out, width=200, force_terminal=False, color_system=None)
    console.print(draw(progress, 100.0, 200, compares=True))
    assert out.getvalue().startswith("Comparing: 0/3 mirrors")
    assert "uploading" not in out.getvalue()


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (64, "octo/tool v1.12.0 tool_1.12.0_linux_amd64.tar.gz"),
        (36, "tool v1.12.0 …2.0_linux_amd64.tar.gz"),
        (18, "tool v…0 …4.tar.gz"),
    ],
)
def test_names_are_cut_where_they_tell_least(room: int, expected: str) -> None:
    """First goes the owner, then the beginning of the asset's name, then the rest."""
    assert names("octo/tool", "v1.12.0", "tool_1.12.0_linux_amd64.tar.gz", room) == expected


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_fits(width: int) -> None:
    """No line is wider than the terminal, the many are counted, and names are harmless."""
    progress = begun(Time(), SHOWN + 5, "[bold]\x1b[2J" + "very-long-name-" * 10 + ".zip")
    lines = shown(progress, 101.0, width)
    assert len(lines) == 1 + SHOWN + 1
    assert lines[-1].strip() == "and 5 more"
    assert all(cell_len(line) <= width for line in lines)
    assert "\x1b" not in "".join(lines)


def test_a_paced_pass_explains_itself() -> None:
    """Which limit requests wait for, and for how long; nothing once the wait is over."""
    time = Time()
    progress = begun(time, 0)
    progress.paced("github.com", "900 points a minute", 12.0)
    assert "paced: 900 points a minute on github.com, ready again in 12 s" in shown(progress, 100.0)
    assert "paced: 900 points a minute on github.com, ready again in 3 s" in shown(progress, 109.2)
    assert not [line for line in shown(progress, 114.0) if "paced" in line]
