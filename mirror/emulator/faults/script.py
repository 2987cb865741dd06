"""The faults that are armed on a host, and which requests they hit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from mirror.emulator.faults.fault import Fault


@dataclass(slots=True)
class _Armed:
    fault: Fault
    since: int
    hits: int = 0

    def matches(self, route: str, target: str) -> bool:
        return self.fault.route in ("*", route) and (self.fault.match or "") in target

    def shown(self, target: str) -> Fault:
        """The fault, with its location filled in for this request."""
        if "{" not in self.fault.location:
            return self.fault
        path, _, query = target.partition("?")
        location = self.fault.location.replace("{path}", path).replace("{query}", query)
        return replace(self.fault, location=location.replace("{n}", str(self.hits)))

    def due(self) -> bool:
        """Count a hit, and return whether the fault applies to it."""
        self.hits += 1
        fault = self.fault
        if fault.times is None:
            return self.hits >= fault.nth
        return fault.nth <= self.hits < fault.nth + fault.times


class Faults:
    """The faults that are armed.

    Args:
        newest: Gives the number of the newest item, so that `lag` knows what is new.
    """

    def __init__(self, newest: Callable[[], int]) -> None:
        self._armed: list[_Armed] = []
        self._newest = newest
        self._routes: Collection[str] | None = None
        self._stalled: set[asyncio.Future[None]] = set()
        self._resumed = False

    def know_routes(self, names: Collection[str]) -> None:
        """Accept faults on these routes only; the server calls it, as it knows the routes.

        Raises:
            ValueError: An armed fault names another route.
        """
        self._routes = names
        self._check(*(armed.fault for armed in self._armed))

    def _check(self, *faults: Fault) -> None:
        for fault in faults:
            if self._routes is not None and fault.route not in {"*", *self._routes}:
                raise ValueError(f"no route is named {fault.route!r}")

    def add(self, *faults: Fault) -> None:
        """Arm faults.

        Raises:
            ValueError: No route has that name.
        """
        self._check(*faults)
        for fault in faults:
            self._armed.append(_Armed(fault, self._newest()))
            if fault.kind == "stall":
                self._resumed = False

    def clear(self) -> None:
        """Disarm all faults; bodies that are stalled stay so."""
        self._armed.clear()

    @property
    def stalling(self) -> int:
        """How many bodies are stalled now."""
        return len(self._stalled)

    async def stall(self, seconds: float | None) -> None:
        """Hold a body for so long, or until `resume`; a client that disconnects cancels."""
        if self._resumed:
            return
        stalled = asyncio.get_running_loop().create_future()
        self._stalled.add(stalled)
        try:
            await asyncio.wait([stalled], timeout=seconds)
        finally:
            self._stalled.discard(stalled)

    def resume(self) -> None:
        """Let stalled bodies continue; bodies still on their way to a stall pass it.

        A stall that is armed afterwards holds again.
        """
        self._resumed = True
        for stalled in self._stalled:
            if not stalled.done():
                stalled.set_result(None)

    @property
    def fired(self) -> int:
        """How many requests the armed faults have hit (`lag` counts lists in which it hid something)."""
        return sum(
            max(0, min(a.hits - a.fault.nth + 1, a.fault.times or a.hits)) for a in self._armed
        )

    def take(self, route: str, target: str) -> list[Fault]:
        """The faults that hit this request."""
        if not self._armed:
            return []
        return [
            armed.shown(target)
            for armed in self._armed
            if armed.fault.kind != "lag" and armed.matches(route, target) and armed.due()
        ]

    def hidden(
        self, route: str, target: str, items: list[tuple[int, float]], now: float
    ) -> set[int]:
        """Numbers of the items that a list does not show yet.

        Args:
            route: The route's name.
            target: Path and query.
            items: Number and time of creation of each item.
            now: The time.
        """
        made: set[int] = set()
        for armed in self._armed:
            fault = armed.fault
            if fault.kind != "lag" or not armed.matches(route, target):
                continue
            new = [(number, when) for number, when in items if number > armed.since]
            if fault.seconds is not None:
                new = [(number, when) for number, when in new if when > now - fault.seconds]
            if not new or not armed.due():
                continue
            numbers = [number for number, _ in new]
            made.update(numbers if fault.seconds is not None else [max(numbers)])
        return made
