"""Which JSON requests are sent again after a failure.

If the response to a write is lost, the write may have been carried out: unless it is harmless to
send twice, its result is checked before it is retried.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from mirror.core.retry import is_transient, retrying
from mirror.errors import GitHubError, NotFound, ValidationFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from mirror.core.clock import Clock
    from mirror.core.retry import RetryPolicy
    from mirror.errors import MirrorError

log = structlog.get_logger(__name__)


class Answer(NamedTuple):
    """A successful response.

    Attributes:
        status: 2xx, or 304 if the ETag matched.
        headers: A case-insensitive mapping.
        data: The JSON, decoded as the call's ``shape``; ``None`` for none.
        url: Where it came from, after redirects.
        asked: The address that was requested.
        etag: As received, to be sent back verbatim; empty for none.
        next: The next page's address.
    """

    status: int
    headers: Mapping[str, str]
    data: Any
    url: str
    asked: str
    etag: str = ""
    next: str | None = None

    @property
    def not_modified(self) -> bool:
        """Whether nothing changed since the ETag that was sent."""
        return self.status == 304


@dataclass(slots=True)
class Call:
    """A request, over all of its attempts.

    Attributes:
        body: JSON, encoded.
        shape: The type that the answer's JSON is decoded as.
        settle: Checks whether an earlier attempt was carried out: what it created, as ``shape``, or
            ``None``.
        repeatable: It is harmless to send twice.
        easier: An address that costs the host less, for the second half of the attempts.
        about: The address that decides on the credential, if not ``url``: that of the first page.
        attempts: Attempts made so far, the current one included.
        doubt: An earlier attempt may have been carried out.
        unsettled: The check failed too, so that it must not be sent again.
    """

    method: str
    url: str
    body: bytes | None = None
    etag: str | None = None
    shape: Any = None
    settle: Callable[[], Awaitable[Any | None]] | None = None
    repeatable: bool = True
    easier: str | None = None
    about: str = ""
    attempts: int = 1
    doubt: bool = False
    unsettled: bool = False


class Repeater:
    """Sends a call until it succeeds, as often as the policy allows.

    Args:
        host: The host's configured name, for logs.
        once: Sends a call once.
        count_retry: Counts a call that is sent again.
        stopped: Why nothing is sent to the host any more, or ``None``.
        retry: How often a call is sent, and how long to wait in between.
        clock: For every wait.
        jitter: A random number from 0 to 1.
    """

    def __init__(
        self,
        host: str,
        once: Callable[[Call], Awaitable[Answer]],
        count_retry: Callable[[], None],
        stopped: Callable[[], MirrorError | None],
        *,
        retry: RetryPolicy,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self._host = host
        self._once = once
        self._count_retry = count_retry
        self._stopped = stopped
        self._retry = retry
        self._clock = clock
        self._jitter = jitter

    async def send(self, call: Call) -> Answer:
        """Send a call, and again after failures that may pass.

        Raises:
            GitHubError: The last failure; its ``attempts`` is how many were made.
        """
        try:
            return await self._try(call)
        except GitHubError as error:
            failed = error
        return await retrying(
            partial(self._send_again, call),
            self._retry,
            self._clock,
            partial(self._may_repeat, call),
            failed=failed,
            on_retry=self._log,
            jitter=self._jitter,
        )

    async def _send_again(self, call: Call) -> Answer:
        call.attempts += 1
        if call.easier and call.attempts > self._retry.attempts // 2 + 1:
            call.url, call.easier = call.easier, None
        self._count_retry()
        return await self._try(call)

    def _log(self, error: MirrorError) -> None:
        log.debug("github.retrying", host=self._host, attempt=error.attempts, error=str(error))

    def _may_repeat(self, call: Call, error: MirrorError) -> bool:
        if call.unsettled or error is self._stopped():
            return False
        if not is_transient(error, self._clock.now()):
            return False
        certain = not (isinstance(error, GitHubError) and error.ambiguous)
        return certain or call.repeatable or call.settle is not None

    async def _try(self, call: Call) -> Answer:
        try:
            return await self._once(call)
        except GitHubError as error:
            failure = error
        if isinstance(failure, NotFound) and call.method == "DELETE" and call.doubt:
            return Answer(204, {}, None, call.url, call.url)
        if failure.ambiguous or (call.doubt and isinstance(failure, ValidationFailed)):
            call.doubt = True
            found = await self._settled(call, failure)
            if found is not None:
                return Answer(200, {}, found, call.url, call.url)
        raise failure

    async def _settled(self, call: Call, failure: GitHubError) -> Any | None:
        """Check whether a write was carried out whose response was lost."""
        if call.settle is None:
            return None
        try:
            return await call.settle()
        except GitHubError:
            call.unsettled = True
            if self._stopped():
                raise  # the reason why the host is disabled
            raise failure from None
