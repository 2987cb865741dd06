"""What goes wrong during a pass: kills, stops, faults, people who act at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import aiohttp

from lives.adapter import STALL, Process, Request, Weather
from lives.simulator import MIRROR, Answer, json_answer

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from lives.simulator import Host

KINDS = {
    "kill-before": 4,
    "kill-after": 5,
    "stop": 3,
    "status-500": 3,
    "status-502-done": 3,
    "lost-before": 2,
    "lost-after": 3,
    "nonsense-422": 2,
    "truncated": 2,
    "slow-patch": 2,
    "meddle": 3,
    "stale-ledger": 2,
    "lost-ledger": 1,
}
"""Each kind with how often it is drawn. The last two come before the pass; ``meddle`` stands for
people who act at the target in the middle of it."""

BEFORE_THE_PASS = ("stale-ledger", "lost-ledger")
_WRITES = ("kill-before", "kill-after", "stop", "nonsense-422")
_REQUESTS = ("status-500", "status-502-done", "lost-before", "lost-after", "meddle")


class Disturbance(NamedTuple):
    """One thing that goes wrong.

    Attributes:
        n: At which write to the target, request, download or ``PATCH``, counted from 1.
        times: How often a fault meets the same request in a row: the program gives up after 6.
    """

    kind: str
    n: int = 1
    times: int = 1

    def __str__(self) -> str:
        times = f" x{self.times}" if self.times > 1 else ""
        return f"{self.kind} at {self.n}{times}" if self.kind not in BEFORE_THE_PASS else self.kind


def draw(dice: random.Random) -> Disturbance:
    """Any disturbance; those of early requests are the likelier ones."""
    kind = dice.choices(list(KINDS), list(KINDS.values()))[0]
    most = 30 if kind in _REQUESTS else 14 if kind in _WRITES else 5
    n = 1 + int(most * dice.random() ** 1.5)
    return Disturbance(kind, n, dice.choice((1, 1, 2, 6, 7)))


class Disturbed(Weather):
    """Weather with disturbances.

    Attributes:
        happened: The kinds that took effect.
    """

    def __init__(
        self,
        process: Process,
        dice: random.Random,
        disturbances: Sequence[Disturbance],
        meddle: Callable[[], None],
    ) -> None:
        super().__init__(process, dice)
        self.happened: list[str] = []
        self._disturbances = disturbances
        self._meddle = meddle
        self._counts = {"write": 0, "request": 0, "download": 0, "patch": 0}
        self._due: dict[int, list[Disturbance]] = {}
        self._struck: list[tuple[Disturbance, tuple[str, str, str], list[int]]] = []

    async def before(self, request: Request, host: Host) -> Answer | None:
        due = self._now(request)
        self._due[id(request)] = due
        for item in due:
            answer = await self._strike_before(item, request, host)
            if answer is not None:
                return answer
        return None

    async def _strike_before(
        self, item: Disturbance, request: Request, host: Host
    ) -> Answer | None:
        match item.kind:
            case "kill-before":
                self._tell(item, request)
                self.process.kill()
            case "stop":
                self._tell(item, request)
                self.process.stop.request()
            case "meddle":
                self._tell(item, request)
                self._meddle()
                if not request.write:  # what is read later shows it, and there is time to read
                    await asyncio.sleep(self.dice.uniform(0.0, 6.0))
            case "status-500":
                self._tell(item, request)
                self._leave_rest(request, host)
                return json_answer(500, {"message": "Server Error"})
            case "nonsense-422":
                self._tell(item, request)
                self._leave_rest(request, host)
                error = {"resource": "Thing", "code": "custom", "message": "something is odd"}
                return json_answer(422, {"message": "Validation Failed", "errors": [error]})
            case "lost-before":
                self._tell(item, request)
                self._leave_rest(request, host)
                raise aiohttp.ServerDisconnectedError
            case "slow-patch":
                self._tell(item, request)
                await asyncio.sleep(self.dice.uniform(3.0, STALL - 5.0))
        return None

    async def after(self, request: Request, answer: Answer) -> Answer:
        for item in self._due.pop(id(request), ()):
            match item.kind:
                case "kill-after":
                    self._tell(item, request)
                    self.process.kill()
                case "status-502-done":
                    self._tell(item, request)
                    return Answer(502, {"Content-Type": "text/html"}, b"<html>Bad Gateway</html>")
                case "lost-after":
                    self._tell(item, request)
                    raise aiohttp.ServerDisconnectedError
                case "slow-patch" if self.dice.random() < 0.5:
                    await asyncio.sleep(STALL)
                    self.note(request, "carried out, and the answer too late")
                    raise aiohttp.ServerTimeoutError("Timeout on reading data from socket")
        return answer

    def truncates(self, request: Request) -> bool:
        is_download = request.host == "source" and "/releases/assets/" in request.path
        if not is_download:
            return False
        self._counts["download"] += 1
        n = self._counts["download"]
        for item in self._disturbances:
            if item.kind == "truncated" and item.n <= n < item.n + item.times:
                self._tell(item, request)
                return True
        return False

    def _now(self, request: Request) -> list[Disturbance]:
        """What strikes this request: what its number says, and what struck it before."""
        due = []
        place = (request.host, request.method, request.path)
        for item, struck, left in self._struck:
            if struck == place and left[0] > 0:
                left[0] -= 1
                due.append(item)
        counts = self._counts
        counts["request"] += 1
        counts["write"] += request.write and request.host == "target"
        counts["patch"] += request.method == "PATCH"
        for item in self._disturbances:
            if self._counted(item, request) == item.n:
                due.append(item)
                self._struck.append((item, place, [item.times - 1]))
        return due

    def _counted(self, item: Disturbance, request: Request) -> int:
        if item.kind in _WRITES:
            write = request.write and request.host == "target"
            return self._counts["write"] if write else 0
        if item.kind in _REQUESTS:
            return self._counts["request"]
        return self._counts["patch"] if item.kind == request.method.lower() or (
            item.kind == "slow-patch" and request.method == "PATCH"
        ) else 0  # fmt: skip

    def _tell(self, item: Disturbance, request: Request) -> None:
        self.happened.append(item.kind)
        self.note(request, f"*** {item.kind}")

    def _leave_rest(self, request: Request, host: Host) -> None:
        """An upload that fails leaves a broken asset, now and then."""
        if request.upload and self.dice.random() < 0.5:
            host.break_upload(MIRROR, int(request.path.split("/")[-2]), request.query["name"])
