"""The live progress display: bytes done and left, speed, and the transfers in flight."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from rich.cells import set_cell_size
from rich.console import ConsoleRenderable, Group
from rich.live import Live
from rich.text import Text

from mirror.cli.render.terminal import console
from mirror.core.text.sanitise import ELLIPSIS, clean, shorten
from mirror.core.text.wording import count, duration, paced, size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mirror.core.reporting.progress import Progress, Transfer

SHOWN = 8
"""Maximum transfers to show; the others are only counted."""

PER_SECOND = 8

_LONGEST_NAME = 64
"""Columns for repository, release and asset; a wider terminal gets longer bars."""

_NARROW, _WIDE = 60, 110
"""Columns of the terminal from which size and phase are shown, and from which phases are spelled out."""

_SHORT = {"connecting": "connecting", "moving": "", "answer": "awaiting answer"}
_LONG = {
    "connecting": "connecting",
    "moving": "uploading ",
    "answer": "waiting for the target's answer",
}
_COMPARING = {"connecting": "connecting", "moving": "", "answer": "finishing"}
_PHASE_STYLES = {"connecting": "dim", "moving": "", "answer": "yellow"}


def live_display(progress: Progress, *, compares: bool = False) -> Live:
    """A context in which progress is drawn at the bottom of the terminal, on standard error.

    Other output to standard error appears above it; it is cleared at the end.

    Args:
        progress: What to draw.
        compares: Bytes are read and compared, as in ``verify``, not mirrored.
    """
    out = console(sys.stderr)
    return Live(
        console=out,
        get_renderable=lambda: draw(progress, time.monotonic(), out.width, compares=compares),
        refresh_per_second=PER_SECOND,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=True,
        vertical_overflow="crop",
    )


def draw(
    progress: Progress, now: float, width: int, *, compares: bool = False
) -> ConsoleRenderable:
    """The display at one moment, no line wider than the terminal."""
    title = "Comparing" if compares else ""
    lines = [Text(_overall(progress, now, title), no_wrap=True, overflow="ellipsis", style="bold")]
    phases = _COMPARING if compares else _LONG if width >= _WIDE else _SHORT
    # Another thread draws: transfers may start and end meanwhile.
    in_flight = list(progress.transfers.values())
    lines += [_line(transfer, now, width, phases) for transfer in in_flight[:SHOWN]]
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
        share = "" if progress.grows else f" ({_percent(min(1.0, done / planned))})"
        parts.append(f"{size(done)} of {least}{size(planned)}{share}")
        speed = progress.speed.at(now)
        if progress.transfers and speed > 0:
            parts.append(f"{size(speed)}/s")
            parts.append(f"{least}{duration(max(0, planned - done) / speed)} left")
    text = " · ".join(parts)
    return f"{title}: {text}" if title else text


def _line(transfer: Transfer, now: float, width: int, phases: Mapping[str, str]) -> Text:
    """One transfer: its name, a bar, and as many figures as there is room for."""
    figures = Text()
    share, phase = transfer.share, transfer.phase
    figures.append(f" {'' if share is None else _percent(share):>4}")
    if width >= _NARROW:
        figures.append(f" {size(transfer.size):>8}  ", style="dim")
        text = phases[phase]
        if phase == "moving" and (speed := transfer.speed.at(now)):
            text += f"{size(speed)}/s"
        longest = max(map(len, phases.values()))
        figures.append(f"{text:<{longest}}", style=_PHASE_STYLES[phase])
    room = width - len(figures) - 3
    for_name = min(max(room * 3 // 4, 12), _LONGEST_NAME)
    repo = transfer.source.partition(":")[2] or transfer.source
    name = names(repo, transfer.release, transfer.asset, for_name)
    line = Text(f"  {set_cell_size(name, for_name)} ", no_wrap=True, overflow="ellipsis")
    bar = max(room - for_name, 0)
    filled = round((share or 0) * bar)
    line.append("━" * filled, style="green").append("╌" * (bar - filled), style="dim")
    return line.append_text(figures)


def _percent(share: float) -> str:
    """Rounded down: 100% means all of it."""
    return f"{int(share * 100)}%"


def names(repo: str, release: str, asset: str, room: int) -> str:
    """Repository, release and asset in ``room`` columns; without the owner where all do not fit."""
    repo, release, asset = clean(repo), clean(release), clean(asset)
    if len(repo) + len(release) + len(asset) + 2 > room:
        repo = repo.rpartition("/")[2]
    for_asset = max(room // 2, room - len(repo) - len(release) - 2)
    # The end tells one file of a release from another.
    shown = asset if len(asset) <= for_asset else f"{ELLIPSIS}{asset[1 - for_asset :]}"
    rest = room - len(shown) - 2
    for_release = max(min(len(release), rest // 2), rest - len(repo), 1)
    release = shorten(release, for_release)
    repo = shorten(repo, max(rest - len(release), 1))
    return shorten(f"{repo} {release} {shown}", room)
