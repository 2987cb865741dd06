"""The live progress display: bytes done and left, speed, and the transfers in flight."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

from rich.console import ConsoleRenderable, Group
from rich.live import Live
from rich.text import Text

from mirror.cli.render.terminal import console
from mirror.core.reporting.progress import Progress
from mirror.core.text.sanitise import shorten
from mirror.core.text.wording import count, duration, size

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from mirror.core.reporting.progress import Transfer

SHOWN = 8
"""Maximum transfers to show; the others are only counted."""

PER_SECOND = 8
_BAR = 10


class Display(Protocol):
    """Shows progress while its context is open."""

    progress: Progress

    def __enter__(self) -> Self:
        """Start the display."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the display."""
        ...


class NoDisplay:
    """Records progress and shows nothing."""

    def __init__(self) -> None:
        self.progress = Progress(time.monotonic)

    def __enter__(self) -> Self:
        """Nothing to start."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to remove."""


class LiveProgress:
    """Draws progress at the bottom of the terminal, on standard error; cleared at the end.

    Other output to standard error appears above it.
    """

    def __init__(self, title: str = "") -> None:
        self.progress = Progress(time.monotonic)
        self._title = title
        self._console = console(sys.stderr)
        self._live = Live(
            console=self._console,
            get_renderable=self._draw,
            refresh_per_second=PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=True,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        """Start drawing."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Clear the display."""
        self._live.stop()

    def _draw(self) -> ConsoleRenderable:
        return draw(self.progress, time.monotonic(), self._console.width, self._title)


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
    return Group(*lines)


def _overall(progress: Progress, now: float, title: str) -> str:
    if not progress.mirrors:
        return f"{title or 'Reading the sources'} …"
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
    """Repository, release and asset in ``room`` columns; the asset's name gets most of them."""
    for_asset = max(room // 2, room - len(repo) - len(release) - 2)
    shown_asset = shorten(asset, for_asset)
    rest = room - len(shown_asset) - 2
    for_release = max(min(len(release), rest // 3), rest - len(repo), 1)
    shown_release = shorten(release, for_release)
    shown_repo = shorten(repo, max(rest - len(shown_release), 1))
    return shorten(f"{shown_repo} {shown_release} {shown_asset}", room)
