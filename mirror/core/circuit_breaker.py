"""The circuit breaker: stops asking a host that fails every request, and finds out when it is back.

There is one for each host and lane, since each may fail alone: the API answers while the storage
hosts behind a firewall refuse all bytes, and bytes arrive while uploads fail.

::

    closed ── trip, or THRESHOLD different subjects failed ──▶ open
    open ── cool-down over, a probe among refused ones, half_open() ──▶ half-open
    half-open ── succeeded ──▶ closed
    half-open ── failed, trip ──▶ open, after a cool-down with twice the last one
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mirror.core.retry import RetryPolicy
from mirror.errors import AuthError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from mirror.errors import MirrorError

Lane = Literal["api", "download", "archive", "upload"]
"""Source archives have a lane of their own: another storage host makes and sends them."""

State = Literal["closed", "half-open", "open"]

SUSPECT = 3
"""Different subjects that failed in a row: from here on a failure is not worth a retry."""

THRESHOLD = 8
"""Different subjects that failed in a row before the circuit opens: fewer may be bad by themselves."""

UNAVAILABLE = RetryPolicy(first=30.0, longest=15 * 60.0)
"""Cool-downs of a host that fails: a restart is noticed soon, a long maintenance costs little."""

REFUSED = RetryPolicy(first=3600.0, longest=3600.0)
"""Cool-downs after a 401, which each pass and whoever asks for one ends before: too many refusals
make a host refuse good credentials, too.

Source: https://docs.github.com/rest/authentication/authenticating-to-the-rest-api
("Failed login limit")
"""


class CircuitBreaker:
    """Whether requests of one lane go to a host. It has no clock: the time is handed in.

    Times are seconds of a monotonic clock.

    Args:
        host: The host's configured name.
        lane: What kind of request.
        on_change: Called when the circuit opens and when it closes again, not for probes between.

    Attributes:
        state: ``half-open`` lets through what finds out whether the host is back.
        reason: What it opened for; ``None`` since it closed.
    """

    def __init__(
        self,
        host: str,
        lane: Lane,
        on_change: Callable[[CircuitBreaker], object] = lambda _: None,
    ) -> None:
        self.host = host
        self.lane = lane
        self.state: State = "closed"
        self.reason: MirrorError | None = None
        self._on_change = on_change
        self._failed: set[Hashable] = set()
        self._openings = 0  # in a row, without a success between
        self._cooled_down = False  # since it opened last
        self._probe_at = 0.0
        self._refused = 0

    @property
    def is_closed(self) -> bool:
        """Whether requests are sent as usual."""
        return self.state == "closed"

    @property
    def is_open(self) -> bool:
        """Whether nothing is sent."""
        return self.state == "open"

    @property
    def suspect(self) -> bool:
        """Whether so much failed that nothing is worth a retry."""
        return not self.is_closed or len(self._failed) >= SUSPECT

    def retry_in(self, now: float) -> float:
        """Seconds until the host is to be probed; 0 unless the circuit is open."""
        return max(0.0, self._probe_at - now) if self.is_open else 0.0

    def allows(self, now: float) -> bool:
        """Whether a request may be sent; one that may while the circuit is open is a probe.

        Probes are sent after each cool-down, and instead of the first, second, fourth, eighth …
        request that would be refused: the fault may lie with the first subjects alone, and must not
        block the others for ever.
        """
        if self.is_closed:
            return True
        if now >= self._probe_at:
            self._refused = 0
            self._probe_at = now + self._cool_down()
            self._cooled_down = True
        else:
            self._refused += 1
            if self._refused & (self._refused - 1):
                return False
        self.state = "half-open"
        return True

    def failed(self, now: float, subject: Hashable, error: MirrorError) -> None:
        """Note a failure that is not the subject's own fault; the same one again counts once."""
        if self.is_open:
            return
        self._failed.add(subject)
        if self.state == "half-open" or len(self._failed) >= THRESHOLD:
            # One failure is as good as another: the first one stays the reason.
            self.trip(now, self.reason or error)

    def trip(self, now: float, error: MirrorError) -> None:
        """Open at once: the failure leaves no doubt. While it is open the first reason is kept."""
        if self.is_open:
            return
        news, self.reason = self.reason is None, error
        if self.is_closed or self._cooled_down:  # not for probes of another kind
            self._openings += 1
            self._probe_at = now + self._cool_down()
        self.state = "open"
        self._cooled_down = False
        self._failed.clear()
        if news:
            self._refused = 0
            self._on_change(self)

    def half_open(self, *, afresh: bool = False) -> None:
        """Let the next request find out whether the host is there.

        Args:
            afresh: Forget earlier openings: somebody says that it is back, or a pass begins.
        """
        self.state = "half-open"
        self._cooled_down = True
        self._refused = 0  # so that the next one is sent, however many were refused before
        if afresh:
            self._openings = 0

    def succeeded(self) -> None:
        """Close: a request got through."""
        opened, self.reason = self.reason is not None, None
        self.state = "closed"
        self._failed.clear()
        self._openings = 0
        if opened:
            self._on_change(self)

    def _cool_down(self) -> float:
        policy = REFUSED if isinstance(self.reason, AuthError) else UNAVAILABLE
        return policy.delay(max(1, self._openings), jitter=1.0)
