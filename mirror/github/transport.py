"""Sends one request: with a token or not, through which proxy, and what the response says of the host.

The token goes to the origins that are trusted with it and nowhere else. Redirects are not followed
here; :meth:`Transport.redirected` returns where one leads, if it may be followed at all.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from mirror.concurrency import together
from mirror.errors import AuthError, BadAnswer, ConnectionLost, GitHubError, Unreachable
from mirror.github.connector import Proxies, network_error, open_session, trust
from mirror.github.protocol.errors import SEE_OTHER
from mirror.github.protocol.urls import RefusedRedirect, is_loopback, origin, public
from mirror.github.shared_state import SENT

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from mirror.core.clock import Clock
    from mirror.github.settings import Network
    from mirror.github.shared_state import SharedState

API_VERSION = "2022-11-28"
"""The REST API's version that github.com and GHE.com are asked for.

GitHub Enterprise Server responds with 400 to a version that it does not know (it has one since 3.9,
and 2026-03-10 since 3.21) and with 410 to one that it has dropped, so none is sent there: it uses its
default, and what differs between the versions is nothing that is used here.
Source: https://docs.github.com/rest/about-the-rest-api/api-versions
"""

MEDIA_TYPE = "application/vnd.github+json"
MAX_REDIRECTS = 5

LARGEST_ANSWER = 128 * 1024**2
"""Maximum bytes of one JSON response, decompressed; the largest pages have a tenth of that. A page
has a hundred releases, with texts of at most 125,000 characters, and assets of about 2 kB each."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})

_CREDENTIALS = ("Authorization", "Proxy-Authorization")
_REPEATED_WRITES = frozenset({301, 307, 308})


class RequestSeen(NamedTuple):
    """One request, for metrics; ``status`` is ``None`` if there was no response."""

    host: str
    method: str
    status: int | None
    seconds: float


def request_timeout(connect: float, read: float) -> aiohttp.ClientTimeout:
    """Time-outs in seconds: to connect, and without a byte of the response.

    The latter starts when the request's body has been sent. There is no total limit: a transfer that
    makes progress may continue.
    """
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect, sock_read=read)


def sent_with(response: aiohttp.ClientResponse) -> tuple[str, ...]:
    """The credentials in the headers of the request that a response belongs to."""
    headers = response.request_info.headers
    return tuple(str(headers[name]) for name in _CREDENTIALS if name in headers)


class _Sessions:
    """A session that keeps connections for the next request, and one that does not."""

    def __init__(self, tls: ssl.SSLContext | Literal[True]) -> None:
        self.kept = open_session(tls)
        self.unkept = open_session(tls, keep=False)

    async def close(self) -> None:
        try:
            await self.kept.close()
        finally:
            await self.unkept.close()


class Transport:
    """The connections to a host, and to where it redirects.

    Args:
        name: The host's configured name.
        api_url: Its API address: only that origin gets the token unless told otherwise.
        credential: The ``Authorization`` header for an address; ``None`` for none.
        at_hand: The same where it needs no request; otherwise empty.
        shared: Records what responses say about the host.
        clock: For the time that requests take.
        network: The way to the host.
        on_request: Called after every request.
    """

    def __init__(
        self,
        name: str,
        api_url: str,
        credential: Callable[[str], Awaitable[str | None]],
        at_hand: Callable[[str], str],
        shared: SharedState,
        clock: Clock,
        *,
        network: Network,
        on_request: Callable[[RequestSeen], None] | None,
    ) -> None:
        self.name = name
        self.origin = origin(api_url)
        self._beginning = f"{api_url.rstrip('/')}/"
        self._credential = credential
        self._at_hand = at_hand
        self._shared = shared
        self._clock = clock
        self._proxies = Proxies(network.proxy)
        self._ca_file = network.ca_file
        self._allow_plaintext = network.allow_plaintext
        self._on_request = on_request
        self._sessions: _Sessions | None = None

    def open(self) -> None:
        """Get ready to send.

        Raises:
            ConfigError: ``ca_file`` holds no certificates.
        """
        if self._shared.tls is None:
            self._shared.tls = trust(self._ca_file)
        self._sessions = _Sessions(self._shared.tls)

    async def close(self) -> None:
        """Close all connections."""
        sessions, self._sessions = self._sessions, None
        if sessions is not None:
            await sessions.close()

    async def warm(self, connections: int, timeout: aiohttp.ClientTimeout) -> None:  # noqa: ASYNC109
        """Open idle connections to the API, for requests that follow soon.

        Nothing is sent. If it fails, those requests show it.
        """
        session = self._session()
        if session.connector is None or self._proxies.of(self.origin)[0]:
            return
        connector = session.connector
        request = aiohttp.ClientRequest(
            "GET", URL(self.origin), session=session, loop=asyncio.get_running_loop()
        )
        opened: list[aiohttp.connector.Connection] = []

        async def connect() -> None:
            with suppress(aiohttp.ClientError, OSError):  # a time-out is one, too
                opened.append(await connector.connect(request, [], timeout))

        try:
            await together(*(connect() for _ in range(connections)))
        finally:
            for connection in opened:
                connection.release()

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - of the socket, handed on to aiohttp
        body: bytes | AsyncIterator[bytes] | None = None,
        trusted: frozenset[str] | None = None,
        decompress: bool = True,
        about: str = "",
        authorization: str | None = None,
    ) -> aiohttp.ClientResponse:
        """Send one request and return when the response's headers have arrived.

        Args:
            method: Of HTTP.
            url: Where to.
            headers: In addition to the client's own.
            timeout: See :func:`request_timeout`.
            body: Sent as it is.
            trusted: Origins that get the token; by default only the API's.
            decompress: Whether the response's body is decompressed.
            about: The address that selects the credential, if not ``url``: the first page, or what
                redirected here.
            authorization: Sent instead of the credential. The response's rate limit is then ignored,
                since it belongs to something else.

        Raises:
            AuthError: The token would be sent unencrypted.
            HostStopped, RateLimited: The host was disabled, or asked for a long pause, while this
                waited for the limit of points.
            GitHubError: The credential cannot be had, or the connection failed.
        """
        place = self._place(url)
        ours = place in trusted if trusted else place == self.origin
        proxy, proxy_headers = self._proxies.of(place)
        sent = dict(headers)
        if ours:
            about = about or url
            known = authorization or self._at_hand(about) or await self._credential(about)
            if self._shared.server.github:
                sent["X-GitHub-Api-Version"] = API_VERSION
            if known:
                self._refuse_plaintext(place)
                sent["Authorization"] = known
        if proxy_headers and place.startswith("http:"):  # no CONNECT that could carry them
            sent |= proxy_headers
        rest = (method, url, sent, body, timeout, proxy, proxy_headers, decompress)
        if not ours:
            return await self._send(*rest)
        limiter = self._shared.rate_limiter
        if limiter.is_free(method):
            self._shared.count(SENT)
            response = await self._send(*rest)
        else:
            async with limiter.points(method):
                self._shared.count(SENT)
                response = await self._send(*rest)
        self._shared.learn(response.headers, limits=authorization is None)
        return response

    async def _send(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes | AsyncIterator[bytes] | None,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - as above
        proxy: str | None,
        proxy_headers: Mapping[str, str],
        decompress: bool,
    ) -> aiohttp.ClientResponse:
        session = self._session()
        started, status = self._clock.monotonic() if self._on_request else 0.0, None
        try:
            response = await session.request(
                method,
                URL(url, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
                timeout=timeout,
                proxy=proxy,
                proxy_headers=proxy_headers or None,
                auto_decompress=decompress,
            )
            status = response.status
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self.failed(error, url, proxy) from None
        finally:
            if self._on_request is not None:
                seconds = self._clock.monotonic() - started
                self._on_request(RequestSeen(self.name, method, status, seconds))
        return response

    def _session(self) -> aiohttp.ClientSession:
        """The session to use now: soon after a connection broke, one that keeps none.

        Raises:
            RuntimeError: The client is not open.
        """
        if self._sessions is None:
            raise RuntimeError("a GitHubClient is used inside its `async with` block")
        return self._sessions.kept if self._shared.keeps_connections else self._sessions.unkept

    def _place(self, url: str) -> str:
        """The origin of an address; the API's own addresses are recognised without parsing."""
        return self.origin if url.startswith(self._beginning) else origin(url)

    def _refuse_plaintext(self, place: str) -> None:
        """See that a token may be sent to an origin.

        Raises:
            AuthError: It would be sent unencrypted.
        """
        if place.startswith("http:") and not (self._allow_plaintext or is_loopback(place)):
            raise AuthError(
                f"{self.name}: the token is not sent over plain http to {place};"
                " use https, or set allow_plaintext",
                host=self.name,
            )

    def failed(self, error: Exception, url: str, proxy: str | None) -> GitHubError:
        """Translate a failure below HTTP.

        An untrusted certificate opens the host's circuit; after a broken connection none is kept for
        a while.
        """
        failure = network_error(error, self.name, url, proxy)
        if isinstance(failure, Unreachable) and failure.permanent and origin(url) == self.origin:
            self._shared.trip(failure)
        if isinstance(failure, (ConnectionLost, BadAnswer)):
            self._shared.connection_broke()
        return failure

    async def read(
        self, response: aiohttp.ClientResponse, url: str, limit: int | None = None
    ) -> bytes:
        """Read a response's body to its end, or its first ``limit`` bytes, and release it."""
        try:
            async with response:
                if limit is None:
                    return await self._whole(response, url)
                return await response.content.read(limit)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self.failed(error, url, None) from None

    async def _whole(self, response: aiohttp.ClientResponse, url: str) -> bytes:
        """The whole body, unless it is so large that it endangers memory."""
        chunks, size = [], 0
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > LARGEST_ANSWER:
                raise BadAnswer(
                    f"{self.name}: {public(url)} answered with more than {LARGEST_ANSWER} bytes,"
                    " which is no answer of the API",
                    host=self.name,
                    status=response.status,
                )
        return b"".join(chunks)

    def redirected(self, method: str, url: str, response: aiohttp.ClientResponse) -> str:
        """Return where a redirect leads, if it may be followed.

        Repositories that were renamed answer reads with 301 and writes with 307.

        Source: https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api
        ("Follow redirects")
        """
        try:
            target = response.headers.get("Location", "")
            if not target.startswith(("https://", "http://")):
                target = urljoin(url, target)
            there = origin(target)
        except ValueError:
            target = there = ""
        if not there or target == url:
            reason = "nowhere"
        elif url.startswith("https:") and there.startswith("http:"):
            reason = "from https to http"
        elif method == "GET" or (
            response.status in _REPEATED_WRITES and there in {origin(url), self.origin}
        ):
            return target
        else:
            reason = f"a write to {public(target)!r}"
        raise RefusedRedirect(
            f"{self.name}: {method} {public(url)} redirects ({response.status}) {reason};"
            " not followed",
            host=self.name,
            status=response.status,
            ambiguous=method != "GET" and response.status == SEE_OTHER,
        )
