"""The live progress of a pass: what is done, how fast, what is left, what moves."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

from mirror.core.reporting.progress import Progress
from mirror.core.text.sanitise import shorten
from mirror.core.text.wording import count, duration, size

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.console import ConsoleRenderable

    from mirror.core.reporting.progress import Transfer

SHOWN = 8
"""Transfers that are shown; the others are counted."""

PER_SECOND = 8
_BAR = 10


class Watcher(Protocol):
    """Something that shows progress while its context is open."""

    progress: Progress

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave nothing behind."""
        ...


class Silent:
    """Shows nothing, but knows what moves."""

    def __init__(self) -> None:
        self.progress = Progress(time.monotonic)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End."""


class Live:
    """Draws the progress at the bottom of a terminal, on standard error, and clears it at the end.

    What is written to standard error meanwhile appears above it.
    """

    def __init__(self, title: str = "") -> None:
        from rich.live import Live as RichLive  # noqa: PLC0415 - only where somebody looks

        from mirror.cli.render.terminal import console  # noqa: PLC0415

        self.progress = Progress(time.monotonic)
        self._title = title
        self._console = console(sys.stderr)
        self._live = RichLive(
            console=self._console,
            get_renderable=self._draw,
            refresh_per_second=PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=True,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Clear what was drawn."""
        self._live.stop()

    def _draw(self) -> ConsoleRenderable:
        return draw(self.progress, time.monotonic(), self._console.width, self._title)


def draw(progress: Progress, now: float, width: int, title: str = "") -> ConsoleRenderable:
    """The display at one moment, no line wider than the terminal."""
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    lines = [Text(_overall(progress, now, title), no_wrap=True, overflow="ellipsis", style="bold")]
    # Drawn by another thread: what moves may change meanwhile.
    moving = list(progress.transfers.values())
    lines += [
        Text(_line(transfer, now, width), no_wrap=True, overflow="ellipsis")
        for transfer in moving[:SHOWN]
    ]
    if len(moving) > SHOWN:
        lines.append(Text(f"  and {len(moving) - SHOWN} more", style="dim"))
    return Group(*lines)


def _overall(progress: Progress, now: float, title: str) -> str:
    if not progress.mirrors:
        return f"{title or 'Looking at the sources'} …"
    parts = [f"{progress.finished}/{count(progress.mirrors, 'mirror')}"]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    done, planned = progress.bytes_done(), progress.planned
    if planned > 0:
        parts.append(f"{size(done)} of {size(planned)}")
        speed = progress.speed.at(now)
        if progress.transfers and speed > 0:
            parts.append(f"{size(speed)}/s")
            parts.append(f"{duration(max(0, planned - done) / speed)} left")
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
    """Repository, release and asset in so much room; the asset's name gets most of it."""
    for_asset = max(room // 2, room - len(repo) - len(release) - 2)
    shown_asset = shorten(asset, for_asset)
    rest = room - len(shown_asset) - 2
    for_release = max(min(len(release), rest // 3), rest - len(repo), 1)
    shown_release = shorten(release, for_release)
    shown_repo = shorten(repo, max(rest - len(shown_release), 1))
    return shorten(f"{shown_repo} {shown_release} {shown_asset}", room)
