"""Whether a write may be sent to the host, and whether one that is cancelled was sent already."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(slots=True)
class Dispatch:
    """What became of the requests of one write, which may be several.

    Attributes:
        permit: Raises if no request that changes something may be sent any more.
        waiting: A request waits for a limit, a pause or a connection.
        sent: A request that changes something was sent, in whole or in part.
    """

    permit: Callable[[], None]
    waiting: bool = False
    sent: bool = False

    @property
    def unsent(self) -> bool:
        """Nothing was sent that could have changed something: nobody has to wait for an answer."""
        return self.waiting and not self.sent


_current: ContextVar[Dispatch | None] = ContextVar("dispatch", default=None)


@contextmanager
def watched(permit: Callable[[], None] = lambda: None) -> Iterator[Dispatch]:
    """Watch the requests of the block, and of the tasks that are created in it.

    Args:
        permit: Called before each that changes something, when nothing is waited for any more.
    """
    dispatch = Dispatch(permit)
    token = _current.set(dispatch)
    try:
        yield dispatch
    finally:
        _current.reset(token)


class request_waits:  # noqa: N801 - a context manager; a class for speed: every request needs one
    """In the block, a request of the current write waits for its turn."""

    __slots__ = ("_dispatch",)

    def __enter__(self) -> None:
        self._dispatch = _current.get()
        if self._dispatch:
            self._dispatch.waiting = True

    def __exit__(self, *_: object) -> None:
        if self._dispatch:
            self._dispatch.waiting = False


def write_is_sent() -> None:
    """A request of the current write that changes something is sent now.

    Raises:
        ClaimLost: It must not be.
    """
    if dispatch := _current.get():
        dispatch.permit()
        dispatch.sent = True
