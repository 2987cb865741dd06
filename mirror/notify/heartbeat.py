"""The heartbeat: an address that is called after each good pass, as a dead man's switch."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import aiohttp
import structlog
from yarl import URL

from mirror import __version__
from mirror.core.retry import RetryPolicy, retrying
from mirror.errors import MirrorError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mirror.core.clock import Clock

    ProxyOf = Callable[[str], tuple[str | None, Mapping[str, str]]]

log = structlog.get_logger()

LIMIT = 10.0
"""Seconds that one call may take, redirects included."""

REDIRECTS = 5

RETRY = RetryPolicy(attempts=3, first=2.0, longest=4.0)


def no_proxy(_origin: str) -> tuple[None, dict[str, str]]:
    """Use no proxy."""
    return None, {}


def usable(url: str) -> bool:
    """Whether an address is an HTTP URL."""
    try:
        address = URL(url)
        return address.scheme in {"http", "https"} and bool(address.host)
    except ValueError:
        return False


class _CallFailed(MirrorError):
    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class Heartbeat:
    """Calls the address, which is a secret: whoever knows it can send the heartbeat.

    Args:
        url: The address.
        clock: For the waits between attempts.
        proxies: The proxy's address for an origin, if any, and the headers that it requires.
        limit: Time-out of one call, in seconds.
    """

    def __init__(
        self, url: str, clock: Clock, *, proxies: ProxyOf = no_proxy, limit: float = LIMIT
    ) -> None:
        self._url = url
        self._clock = clock
        self._proxies = proxies
        self._limit = limit
        self._failing = False

    async def beat(self) -> bool:
        """Call it, and again after a transient failure; failures are logged, none is raised.

        Returns:
            Whether a call succeeded.
        """
        try:
            await retrying(self._call, RETRY, self._clock, lambda error: error.retryable)
        except _CallFailed as error:
            # Only the first failure in a row is a warning: the service behind the address alerts people.
            tell = log.debug if self._failing else log.warning
            tell("heartbeat.failed", reason=str(error), attempts=error.attempts)
            self._failing = True
        else:
            if self._failing:
                log.info("heartbeat.recovered")
            self._failing = False
        return not self._failing

    async def _call(self) -> None:
        """Call it once.

        Raises:
            _CallFailed: It was not answered with success.
        """
        try:
            async with (
                asyncio.timeout(self._limit),
                aiohttp.ClientSession(
                    cookie_jar=aiohttp.DummyCookieJar(),
                    headers={"User-Agent": f"release-mirror/{__version__}"},
                    trust_env=False,  # it would also read ~/.netrc
                ) as session,
            ):
                await self._follow(session, URL(self._url))
        except TimeoutError:
            raise _CallFailed(f"no answer within {self._limit:g} s") from None
        except aiohttp.ClientConnectorCertificateError:
            raise _CallFailed("its certificate is not trusted", retryable=False) from None
        except aiohttp.ClientConnectorDNSError:
            raise _CallFailed("its name is not known here") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _CallFailed(_reason(error)) from None

    async def _follow(self, session: aiohttp.ClientSession, url: URL) -> None:
        """Send the request; redirects are followed within the origin: the address is a secret."""
        origin = url.origin()
        for _ in range(REDIRECTS):
            proxy, headers = self._proxies(str(origin))
            async with session.get(
                url,
                allow_redirects=False,
                proxy=proxy,
                proxy_headers=headers or None,
                # Without CONNECT only the request itself can carry them.
                headers=headers if origin.scheme == "http" else None,
            ) as response:
                if response.status // 100 == 2:
                    return
                location = response.headers.get("Location")
                if response.status // 100 != 3 or not location:
                    again = response.status >= 500 or response.status == 429
                    raise _CallFailed(f"HTTP {response.status}", retryable=again)
            url = url.join(URL(location))
            if not usable(str(url)) or url.origin() != origin:
                text = "it redirects to another origin, which is not followed"
                raise _CallFailed(text, retryable=False)
        raise _CallFailed("it redirects in a circle", retryable=False)


def _reason(error: Exception) -> str:
    """The kind of error only: its text may contain the address."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number and number > 0 else type(error).__name__
