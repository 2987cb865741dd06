"""Whether a host takes work at the moment; when one that was given up is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog

if TYPE_CHECKING:
    from datetime import datetime

    from mirror.core.clock import Clock
    from mirror.core.reporting.report import RequestCount
    from mirror.errors import GitHubError

FIRST_WAIT = 30.0
"""Seconds before a host that was given up is tried again; they double while it stays bad."""

LONGEST_WAIT = 15 * 60.0

FIRST_WAIT_REFUSED = 5 * 60.0
"""The same after a 401: more refusals would make the host refuse good credentials, too.

Source: https://docs.github.com/rest/authentication/authenticating-to-the-rest-api
("Failed login limit")
"""

LONGEST_WAIT_REFUSED = 3600.0

log = structlog.get_logger()


class HostClient(Protocol):
    """What a gate needs of the client of a host."""

    @property
    def stopped(self) -> GitHubError | None:
        """Why nothing is sent to the host any more, or ``None``."""
        ...

    @property
    def paused_until(self) -> datetime | None:
        """Before when the host wants no requests, or ``None``."""
        ...

    @property
    def counts(self) -> RequestCount:
        """Requests to it so far."""
        ...

    def revive(self) -> None:
        """Try again what was stopped."""
        ...


class HostGate:
    """Closed while a host was given up, or wants no requests.

    One that was given up is tried again after a while, longer each time until it answers well. A
    limit that was announced is waited for, by whichever of the two clocks is over it first, since
    the time of day may be set.

    Args:
        name: The host's name, for logs.
        client: Knows whether it was given up, and how to try again.
        clock: The time; nothing is waited for here.
    """

    def __init__(self, name: str, client: HostClient, clock: Clock) -> None:
        self.name = name
        self._client = client
        self._clock = clock
        self._tries = 0
        self._revived_at = float("-inf")
        self._requests = 0
        self._retry_at: float | None = None
        self._pause: tuple[datetime, float] | None = None
        self._told = False

    @property
    def given_up(self) -> bool:
        """Whether nothing is sent to it at all."""
        return self._client.stopped is not None

    def closed_for(self) -> float:
        """Seconds until it may take work again; 0 while it is open."""
        stopped = 0.0
        if self._retry_at is not None:
            stopped = max(0.0, self._retry_at - self._clock.monotonic())
        return max(stopped, self._paused_for())

    def look(self) -> None:
        """See what happened, and try again what was given up if it is time; costs nothing."""
        stopped = self._client.stopped
        if stopped is None:
            self._retry_at = None
        elif self._retry_at is None:
            self._tries += 1
            self._retry_at = self._clock.monotonic() + _wait(stopped, self._tries)
        elif self._clock.monotonic() >= self._retry_at:
            self._revive()
        self._tell(stopped)

    def revive(self) -> None:
        """Try again at once what was given up: somebody says that it is well."""
        self._tries = 0
        if self._client.stopped is not None:
            self._revive()

    def answered(self, since: float) -> None:
        """Note work that was not stopped by the host.

        Args:
            since: When it began, monotonic; what was under way before the host was tried again
                proves nothing, nor does what did not ask it at all.
        """
        asked = self._client.counts.total != self._requests
        if self._client.stopped is None and since >= self._revived_at and asked:
            self._tries = 0
            self._tell(None)

    def _revive(self) -> None:
        self._client.revive()
        self._retry_at = None
        self._revived_at = self._clock.monotonic()
        self._requests = self._client.counts.total

    def _paused_for(self) -> float:
        until = self._client.paused_until
        if until is None:
            return 0.0
        now = self._clock.monotonic()
        seconds = (until - self._clock.now()).total_seconds()
        if self._pause is None or self._pause[0] != until:
            self._pause = (until, now + seconds)
        return max(0.0, min(seconds, self._pause[1] - now))

    def _tell(self, stopped: GitHubError | None) -> None:
        """Log when it closes and when it is well again, not the tries in between."""
        closed = self.closed_for()
        troubled = closed > 0 or self._tries > 0
        if troubled and not self._told:
            reason = str(stopped) if stopped else "it takes no more requests"
            log.warning("host.paused", host=self.name, seconds=round(closed, 1), reason=reason)
        elif self._told and not troubled:
            log.info("host.resumed", host=self.name)
        self._told = troubled


def _wait(error: GitHubError, tries: int) -> float:
    first, longest = FIRST_WAIT, LONGEST_WAIT
    if error.status == 401:
        first, longest = FIRST_WAIT_REFUSED, LONGEST_WAIT_REFUSED
    return min(first * 2.0 ** min(tries - 1, 30), longest)
