"""What is under way: how much of it is done, and how fast."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from mirror.core.reporting.report import RepositoryReport

Phase = Literal["connecting", "moving", "answer"]
"""No byte has moved yet; bytes move; all were sent, and the answer is awaited."""

WINDOW = 5.0
"""Seconds that a speed is measured over."""


@dataclass(slots=True)
class Speed:
    """Bytes a second over the last seconds."""

    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, now: float, total: int) -> None:
        """So many bytes in all at this moment."""
        samples = self._samples
        samples.append((now, total))
        while len(samples) > 2 and samples[1][0] <= now - WINDOW:
            samples.popleft()

    def at(self, now: float) -> float:
        """The speed; 0 where it is not known yet."""
        if not self._samples:
            return 0.0
        (first, before), (_, after) = self._samples[0], self._samples[-1]
        passed = now - first
        return (after - before) / passed if passed >= 0.5 else 0.0


@dataclass(slots=True)
class Transfer:
    """One asset on its way."""

    source: str
    target: str
    release: str
    asset: str
    size: int
    done: int = 0
    speed: Speed = field(default_factory=Speed)

    @property
    def share(self) -> float | None:
        """How much of it is done, from 0 to 1; ``None`` where the size is not known."""
        return min(1.0, self.done / self.size) if self.size else None

    @property
    def phase(self) -> Phase:
        """What it is doing."""
        if not self.done:
            return "connecting"
        return "answer" if self.share == 1 else "moving"


class Progress:
    """Watches and counts; implements :class:`~mirror.core.reporting.report.Observer`.

    Args:
        monotonic: Seconds since an arbitrary moment.

    Attributes:
        begun: Mirrors that were begun: from then on there is something to finish.
        moved: Bytes that were handed to the target, also those of transfers that failed.
        transfers: What moves, by number.
        waits: The last wait for a limit, by host: the limit, and when it ends (monotonic).
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.mirrors = self.begun = self.finished = self.failed = 0
        self.planned = self.done = self.moved = 0
        self.transfers: dict[int, Transfer] = {}
        self.waits: dict[str, tuple[str, float]] = {}
        # Sessions in progress by source, which may have several targets: any of them may be meant.
        self._unplanned: Counter[str] = Counter()
        self._planned: Counter[str] = Counter()
        self.speed = Speed()

    def mirrors_found(self, count: int) -> None:
        """This many more mirrors are part of the pass."""
        self.mirrors += count

    def mirror_started(self, source: str) -> None:
        """A session began."""
        self._unplanned[source] += 1
        self.begun += 1

    def mirror_finished(self, report: RepositoryReport) -> None:
        """A session ended."""
        sessions = self._planned if self._planned[report.source] else self._unplanned
        sessions[report.source] -= 1
        self.finished += 1
        self.failed += report.status == "failed"

    def bytes_planned(self, source: str, count: int) -> None:
        """A session knows its work: this many more bytes are to be transferred."""
        if self._unplanned[source] > 0:
            self._unplanned[source] -= 1
            self._planned[source] += 1
        self.planned += count

    @property
    def grows(self) -> bool:
        """Whether more bytes may be planned: a mirror has not begun, or does not know its work."""
        return self.begun < self.mirrors or any(n > 0 for n in list(self._unplanned.values()))

    def transfer_started(
        self, number: int, source: str, target: str, release: str, asset: str, size: int
    ) -> None:
        """An asset's bytes begin to move."""
        self.transfers[number] = Transfer(source, target, release, asset, size)
        self.transfers[number].speed.add(self._monotonic(), 0)

    def transfer_moved(self, number: int, done: int) -> None:
        """So many bytes in all have been handed to the target."""
        transfer = self.transfers.get(number)
        if transfer is None:
            return
        now = self._monotonic()
        self.moved += max(0, done - transfer.done)
        transfer.done = done
        transfer.speed.add(now, done)
        self.speed.add(now, self.moved)

    def transfer_finished(self, number: int, *, good: bool) -> None:
        """No more bytes move; those of a failed transfer will have to move again."""
        transfer = self.transfers.pop(number, None)
        if transfer is not None and good:
            self.done += transfer.size

    def paced(self, host: str, limit: str, seconds: float) -> None:
        """A request waits for a limit."""
        self.waits[host] = limit, self._monotonic() + seconds

    def waits_for(self, seconds: float) -> bool:
        """Whether a request waits for a limit, and has to for longer than so many seconds."""
        end = self._monotonic() + seconds
        return any(until > end for _, until in list(self.waits.values()))

    def bytes_done(self) -> int:
        """Bytes that have arrived, with those of the transfers in flight."""
        return self.done + sum(transfer.done for transfer in self.transfers.values())
