"""What one process may send with a credential that several processes share, and what it hears of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from mirror.core.shared_limits import Rates, Refusal, Unit
    from mirror.errors import GitHubError


class News(NamedTuple):
    """What a host told any of the processes.

    Attributes:
        paused_until: No request before, in seconds of the monotonic clock; 0 for no pause.
        refusal: Of the credential; ``None`` while it is accepted.
    """

    paused_until: float = 0.0
    refusal: Refusal | None = None


NO_NEWS = News()


class UnitShare(Protocol):
    """One unit of the limits: points, or writes. Used from any thread."""

    @property
    def active(self) -> bool:
        """Whether the limit is shared now; else the process counts for itself."""
        ...

    def enqueue(self, cost: float) -> None:
        """A request waits for its turn."""
        ...

    def leave(self, cost: float) -> None:
        """It was given up."""
        ...

    def take(self, cost: float) -> bool:
        """Take what the request costs that is next; whether that much is in hand.

        :meth:`answered` or :meth:`withdraw` has to follow.
        """
        ...

    def ask(self, cost: float, wake: Callable[[], object]) -> None:
        """Ask for what the request costs that is next.

        Args:
            cost: Of the request.
            wake: Called once, from any thread, when it is worth another look: within seconds.
        """
        ...

    def answered(self, cost: float) -> None:
        """The response arrived, or the request failed."""
        ...

    def withdraw(self, cost: float) -> None:
        """The request was not sent."""
        ...

    def wait(self, cost: float) -> tuple[float, str]:
        """Seconds until a request may fit, and the limit in words; 0 if it fits, or unknown."""
        ...


class Share(Protocol):
    """One credential at one host, as this process shares it. Used from any thread."""

    def unit(self, unit: Unit) -> UnitShare:
        """A unit of its limits."""
        ...

    def sent(self, unit: Unit) -> list[tuple[float, float]]:
        """What all processes sent, as last heard: (seconds since the epoch, cost)."""
        ...

    def follow(self, credential: Callable[[], str]) -> None:
        """Ask somebody else for the credential's fingerprint from now on."""
        ...

    def news(self) -> News:
        """The latest news: another object if something has changed.

        It is asked for before each request, which tells how often to look.
        """
        ...

    def pause(self, seconds: float) -> None:
        """The host asked this process for no requests during so many seconds."""
        ...

    def refuse(self, error: GitHubError) -> None:
        """The host refused the credential."""
        ...

    def accept(self) -> None:
        """The host accepts the credential."""
        ...


class SharedLimits(Protocol):
    """The limits of every credential, shared with other processes."""

    def share(self, host: str, credential: Callable[[], str], rates: Rates) -> Share:
        """Share a credential's limits.

        Args:
            host: The address of the host's API.
            credential: Tells the credential's fingerprint: a secret may be replaced.
            rates: The limits.
        """
        ...

    async def look(self) -> None:
        """Hear what was sent, without sharing: for a process that writes nothing, not even this."""
        ...

    def active(self) -> AbstractAsyncContextManager[None]:
        """Share them while the block runs; outside of it each process counts for itself."""
        ...
