"""The live progress display: bytes done and left, speed, and the transfers in flight."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from rich.console import ConsoleRenderable, Group
from rich.live import Live
from rich.text import Text

from mirror.cli.render.terminal import console
from mirror.core.text.sanitise import shorten
from mirror.core.text.wording import count, duration, paced, size

if TYPE_CHECKING:
    from mirror.core.reporting.progress import Progress, Transfer

SHOWN = 8
"""Maximum transfers to show; the others are only counted."""

PER_SECOND = 8
_BAR = 10


def live_display(progress: Progress, title: str = "") -> Live:
    """A context in which progress is drawn at the bottom of the terminal, on standard error.

    Other output to standard error appears above it; it is cleared at the end.
    """
    out = console(sys.stderr)
    return Live(
        console=out,
        get_renderable=lambda: draw(progress, time.monotonic(), out.width, title),
        refresh_per_second=PER_SECOND,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=True,
        vertical_overflow="crop",
    )


def draw(progress: Progress, now: float, width: int, title: str = "") -> ConsoleRenderable:
    """The display at one moment, no line wider than the terminal."""
    lines = [Text(_overall(progress, now, title), no_wrap=True, overflow="ellipsis", style="bold")]
    # Another thread draws: transfers may start and end meanwhile.
    in_flight = list(progress.transfers.values())
    lines += [
        Text(_line(transfer, now, width), no_wrap=True, overflow="ellipsis")
        for transfer in in_flight[:SHOWN]
    ]
    if len(in_flight) > SHOWN:
        lines.append(Text(f"  and {len(in_flight) - SHOWN} more", style="dim"))
    for host, (limit, ends) in list(progress.waits.items()):
        if now < ends + 1:  # when many wait, one after the other, it does not flicker
            text = paced(limit, host, ends - now)
            lines.append(Text(text, no_wrap=True, overflow="ellipsis", style="dim"))
    return Group(*lines)


def _overall(progress: Progress, now: float, title: str) -> str:
    if not progress.mirrors:
        return f"{title or 'Reading the sources'} …"
    parts = [f"{progress.finished}/{count(progress.mirrors, 'mirror')}"]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    done, planned = progress.bytes_done(), progress.planned
    if planned > 0:
        least = "at least " if progress.grows else ""
        parts.append(f"{size(done)} of {least}{size(planned)}")
        speed = progress.speed.at(now)
        if progress.transfers and speed > 0:
            parts.append(f"{size(speed)}/s")
            parts.append(f"{least}{duration(max(0, planned - done) / speed)} left")
    text = " · ".join(parts)
    return f"{title}: {text}" if title else text


def _line(transfer: Transfer, now: float, width: int) -> str:
    share = min(1.0, transfer.done / transfer.size) if transfer.size else 1.0
    filled = round(share * _BAR)
    bar = "━" * filled + "╌" * (_BAR - filled)
    figures = f"{bar} {size(transfer.size):>9} {size(transfer.speed.at(now)):>9}/s"
    room = max(width - len(figures) - 4, 12)
    repo = transfer.source.partition(":")[2] or transfer.source
    name = names(repo, transfer.release, transfer.asset, room)
    return f"  {name:<{room}} {figures}"


def names(repo: str, release: str, asset: str, room: int) -> str:
    """Repository, release and asset in ``room`` columns; the asset's name gets most of them."""
    for_asset = max(room // 2, room - len(repo) - len(release) - 2)
    shown_asset = shorten(asset, for_asset)
    rest = room - len(shown_asset) - 2
    for_release = max(min(len(release), rest // 3), rest - len(repo), 1)
    shown_release = shorten(release, for_release)
    shown_repo = shorten(repo, max(rest - len(shown_release), 1))
    return shorten(f"{shown_repo} {shown_release} {shown_asset}", room)
