"""The dead man's switch: an address that is called while all is well, and missed when it is not."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import aiohttp
import structlog
from yarl import URL

from mirror import __version__
from mirror.core.retry import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mirror.core.clock import Clock

    ProxyOf = Callable[[str], tuple[str | None, Mapping[str, str]]]

log = structlog.get_logger()

LIMIT = 10.0
"""Seconds that one call may take, redirects included."""

REDIRECTS = 5

BACKOFF = Backoff(attempts=3, first=2.0, longest=4.0)


def no_proxy(_origin: str) -> tuple[None, dict[str, str]]:
    """Every address is asked directly."""
    return None, {}


def usable(url: str) -> bool:
    """Whether an address is one that can be called."""
    try:
        address = URL(url)
        return address.scheme in {"http", "https"} and bool(address.host)
    except ValueError:
        return False


class Heartbeat:
    """Calls the address, and tells nobody what it is: whoever knows it can pretend to be alive.

    Args:
        url: The address, a secret.
        clock: For the waits between tries.
        proxies: The proxy's address for an origin, if any, and the headers that it wants.
        limit: Seconds for one call.
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
        """Call it, a few times if need be; a failure is logged and raises nothing.

        Returns:
            Whether it was heard.
        """
        why, again = await self._call()
        tries = 1
        while why and again and tries < BACKOFF.attempts:
            await self._clock.sleep(BACKOFF.delay(tries, jitter=0.5))
            why, again = await self._call()
            tries += 1
        if why:
            # The first of a row of failures; the service behind the address tells people the rest.
            tell = log.debug if self._failing else log.warning
            tell("heartbeat.failed", reason=why, attempts=tries)
        elif self._failing:
            log.info("heartbeat.recovered")
        self._failing = bool(why)
        return not why

    async def _call(self) -> tuple[str, bool]:
        """Why it was not heard (empty if it was), and whether to try again."""
        try:
            async with (
                asyncio.timeout(self._limit),
                aiohttp.ClientSession(
                    cookie_jar=aiohttp.DummyCookieJar(),
                    headers={"User-Agent": f"release-mirror/{__version__}"},
                    trust_env=False,  # it would also read ~/.netrc
                ) as session,
            ):
                return await self._follow(session, URL(self._url))
        except TimeoutError:
            return f"no answer within {self._limit:g} s", True
        except aiohttp.ClientConnectorCertificateError:
            return "its certificate is not trusted", False
        except aiohttp.ClientConnectorDNSError:
            return "its name is not known here", True
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _reason(error), True

    async def _follow(self, session: aiohttp.ClientSession, url: URL) -> tuple[str, bool]:
        """Ask, and follow to the same origin: the address is nobody else's business."""
        origin = url.origin()
        for _ in range(REDIRECTS):
            proxy, headers = self._proxies(str(origin))
            async with session.get(
                url,
                allow_redirects=False,
                proxy=proxy,
                proxy_headers=headers or None,
                # Without CONNECT there is only the request itself to carry them.
                headers=headers if origin.scheme == "http" else None,
            ) as response:
                if response.status // 100 == 2:
                    return "", False
                location = response.headers.get("Location")
                if response.status // 100 != 3 or not location:
                    again = response.status >= 500 or response.status == 429
                    return f"HTTP {response.status}", again
            url = url.join(URL(location))
            if not usable(str(url)) or url.origin() != origin:
                return "it redirects to another origin, which is not followed", False
        return "it redirects in a circle", False


def _reason(error: Exception) -> str:
    """What kind of error it is, and no more: its text may hold the address."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number and number > 0 else type(error).__name__
