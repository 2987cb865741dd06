"""The shell around the protocol: send, follow, repeat, and stop.

The story of a request: the throttle lets it through, the credential is put on, it is sent, its
redirects are followed by hand, and its answer is decoded. Only when that fails, one retry policy
is entered. Streams (:meth:`GitHubClient.open_stream`, :meth:`GitHubClient.upload`) are sent once:
who copies an asset repeats the copy as a whole.
"""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar
from urllib.parse import urljoin, urlsplit

import aiohttp
import structlog
import tenacity
from yarl import URL

from mirror import __version__
from mirror.core.capabilities import Capabilities
from mirror.core.report import RequestCount
from mirror.core.retry import Backoff
from mirror.errors import (
    AuthError,
    BadAnswer,
    ConnectionLost,
    GitHubError,
    HostStopped,
    MirrorError,
    NotFound,
    RateLimited,
    ServerError,
    Stalled,
    Unreachable,
    ValidationFailed,
)
from mirror.github.connection import Proxies, network_error, open_session
from mirror.github.protocol import (
    Context,
    RateLimit,
    RefusedAddress,
    accepted_upload_origins,
    decode_response,
    is_github_dot_com,
    is_loopback,
    next_link,
    origin,
    public,
)
from mirror.github.protocol import api_url as api_url_of
from mirror.github.streams import Body, Stream
from mirror.github.throttle import LONGEST_WAIT, Throttle

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from mirror.core.timetable import Clock
    from mirror.github.auth import Auth

API_VERSION = "2022-11-28"
"""The REST API's version that is asked for.

Source: https://docs.github.com/rest/about-the-rest-api/api-versions
"""

MEDIA_TYPE = "application/vnd.github+json"
MAX_REDIRECTS = 5

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REPEATED_WRITES = frozenset({301, 307, 308})
_STREAMED = frozenset({200, 206, 416})
_LONGEST_ERROR = 64 * 1024

T = TypeVar("T")

log = structlog.get_logger(__name__)


class StorageError(ServerError):
    """The storage host behind an asset's address refused; a fresh address may help."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer.

    Attributes:
        status: 2xx, or 304 for what an ETag proved unchanged.
        headers: A mapping that ignores case.
        data: The JSON; ``None`` for none.
        url: Where it came from, after redirects.
        etag: As it came, to be sent back verbatim; empty for none.
        next: The next page's address.
    """

    status: int
    headers: Mapping[str, str]
    data: Any
    url: str
    etag: str = ""
    next: str | None = None

    @property
    def not_modified(self) -> bool:
        """Whether nothing changed since the ETag that was sent."""
        return self.status == 304


class RequestSeen(NamedTuple):
    """One request, for whoever counts them; ``status`` is ``None`` where no answer came."""

    host: str
    method: str
    status: int | None
    seconds: float


@dataclass(slots=True)
class _Call:
    """One thing that is asked for, over all of its tries.

    Attributes:
        settle: Looks whether an earlier try was carried out; the JSON of what it made, or ``None``.
        doubt: An earlier try may have been carried out.
        unsettled: Looking failed too, so that it must not be sent again.
    """

    method: str
    url: str
    body: bytes | None = None
    etag: str | None = None
    settle: Callable[[], Awaitable[Any | None]] | None = None
    repeatable: bool = True
    doubt: bool = False
    unsettled: bool = False


@dataclass(slots=True)
class _Counter:
    total: int = 0
    not_modified: int = 0
    retried: int = 0


@dataclass(frozen=True, slots=True)
class _Timeouts:
    """``total`` is never limited: what moves may go on."""

    answer: aiohttp.ClientTimeout
    upload: aiohttp.ClientTimeout

    @classmethod
    def of(cls, connect: float, stall: float, response: float) -> _Timeouts:
        return cls(
            answer=_timeout(connect, stall),
            upload=_timeout(connect, response),
        )


def _timeout(connect: float, read: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect, sock_read=read)


@dataclass(slots=True)
class _Server:
    """What the host told of itself so far."""

    version: str | None = None
    known: bool = False
    github: bool = field(default=False)


class GitHubClient:
    """A host, asked with one credential.

    Use as an asynchronous context manager.

    Args:
        name: The host's configured name, for errors and logs.
        url: Its web address.
        api_url: Its API address, where it does not follow from ``url``.
        auth: The credential.
        clock: The time, and every wait.
        backoff: How often and how long to wait before a JSON request is sent again.
        connect_timeout: Seconds until a connection must stand.
        stall_timeout: Seconds without a byte while an answer or a download is awaited.
        response_timeout: Seconds from an upload's last byte to its answer.
        writes_per_minute: 0 for no limit.
        rate_limit_reserve: Requests of the primary limit to leave for others.
        ca_file: Certificates (PEM) that are trusted in addition to the system's.
        proxy: Its address; empty for none; ``None`` for what the environment says.
        upload_origin: One more origin that ``upload_url`` may name.
        allow_plaintext: Send the token over ``http`` to others than loopback, too.
        jitter: A random number from 0 to 1.
        on_request: Told of every request.
        throttle: Shared with another client of the same host and credential.
    """

    def __init__(
        self,
        name: str,
        url: str,
        api_url: str | None,
        auth: Auth,
        clock: Clock,
        *,
        backoff: Backoff | None = None,
        max_connections: int = 16,
        connect_timeout: float = 10.0,
        stall_timeout: float = 60.0,
        response_timeout: float = 900.0,
        writes_per_minute: float = 0,
        rate_limit_reserve: int = 0,
        ca_file: Path | None = None,
        proxy: str | None = None,
        upload_origin: str | None = None,
        allow_plaintext: bool = False,
        jitter: Callable[[], float] = random.random,
        user_agent: str = f"release-mirror/{__version__}",
        on_request: Callable[[RequestSeen], None] | None = None,
        throttle: Throttle | None = None,
    ) -> None:
        self.name = name
        self.url = url.rstrip("/")
        self.api_url = (api_url or api_url_of(url)).rstrip("/")
        self.clock = clock
        self.stall_timeout = stall_timeout
        self.throttle = throttle or Throttle(
            clock,
            name=name,
            max_connections=max_connections,
            writes_per_minute=writes_per_minute,
            reserve=rate_limit_reserve,
        )
        self.upload_origins = accepted_upload_origins(self.url, self.api_url, upload_origin)
        self.rate_limit: RateLimit | None = None
        self._origin = frozenset({origin(self.api_url)})
        self._auth = auth
        self._backoff = backoff or Backoff()
        self._timeouts = _Timeouts.of(connect_timeout, stall_timeout, response_timeout)
        self._ca_file = ca_file
        self._proxies = Proxies(proxy)
        self._allow_plaintext = allow_plaintext
        self._jitter = jitter
        self._user_agent = user_agent
        self._on_request = on_request
        self._counter = _Counter()
        self._server = _Server(github=is_github_dot_com(self.api_url))
        self._probing = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.api_url!r})"

    async def __aenter__(self) -> Self:
        self._session = open_session(self._ca_file, self._user_agent)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    # --- what is known ---------------------------------------------------------------------------

    @property
    def fingerprint(self) -> str:
        """The credential's: what an ETag is worth depends on it."""
        return self._auth.fingerprint

    @property
    def counts(self) -> RequestCount:
        """Requests to this host since the last :meth:`reset`; downloads from storage hosts are not."""
        return RequestCount(self._counter.total, self._counter.not_modified, self._counter.retried)

    @property
    def stopped(self) -> GitHubError | None:
        """Why the host was given up in this pass, or ``None``."""
        return self.throttle.stopped

    def reset(self) -> None:
        """Begin a new pass: count from 0, and try again what was stopped."""
        self._counter = _Counter()
        self.throttle.reset()

    async def capabilities(self) -> Capabilities:
        """What the host can do, from what an earlier answer told, else from ``GET /meta``.

        Source: https://docs.github.com/enterprise-server/rest/meta/meta (``installed_version``) and
        the header ``X-GitHub-Enterprise-Version`` of every answer of GitHub Enterprise Server.
        """
        if not (self._server.known or self._server.github):
            await self._ask_version()
        return Capabilities.of(None if self._server.github else self._server.version)

    async def _ask_version(self) -> None:
        try:
            meta = (await self.get("meta")).data
        except (NotFound, AuthError):
            if self.stopped:
                raise
            meta = {"installed_version": ""}  # a server that hides it is of unknown, hence old, age
        if not self._server.known:
            version = meta.get("installed_version") if isinstance(meta, dict) else None
            self._server.version = version if isinstance(version, str) else None
            self._server.known = True
            self._server.github = version is None

    # --- requests --------------------------------------------------------------------------------

    async def get(self, path: str, *, etag: str | None = None) -> Answer:
        """Read.

        Args:
            path: Below the API's address, or a whole address (which gets the token only where
                it has the API's origin).
            etag: Of an earlier answer: the answer's status is 304 while nothing changed.

        Raises:
            GitHubError: After the last try; ``attempts`` tells how many there were.
        """
        return await self._request(_Call("GET", self.address(path), etag=etag or None))

    async def post(
        self,
        path: str,
        body: object,
        *,
        settle: Callable[[], Awaitable[Any | None]] | None = None,
        repeatable: bool = False,
    ) -> Answer:
        """Create something, once.

        After a failure that leaves open whether it was carried out, the host is looked at before
        it is sent again; without a way to look it is not sent again.

        Args:
            path: As for :meth:`get`.
            body: What is sent as JSON.
            settle: Looks: the JSON of what an earlier try made, or ``None``.
            repeatable: Sending it twice does no harm.
        """
        call = _Call("POST", self.address(path), _json(body), settle=settle, repeatable=repeatable)
        return await self._request(call)

    async def patch(self, path: str, body: object) -> Answer:
        """Change; sent again after a failure."""
        return await self._request(_Call("PATCH", self.address(path), _json(body)))

    async def put(self, path: str, body: object) -> Answer:
        """Set; sent again after a failure."""
        return await self._request(_Call("PUT", self.address(path), _json(body)))

    async def delete(self, path: str) -> Answer:
        """Delete; gone when an earlier try may have been carried out means done."""
        return await self._request(_Call("DELETE", self.address(path)))

    def address(self, path: str) -> str:
        """The whole address of a path below the API's."""
        if path.startswith(("https://", "http://")):
            return path
        return f"{self.api_url}/{path.lstrip('/')}"

    async def _request(self, call: _Call) -> Answer:
        try:
            return await self._try(call)
        except GitHubError as error:
            failure = error
        try:
            if self._may_repeat(call, failure):
                return await self._repeat(call, failure)
        except GitHubError as error:
            failure = error
        await self._consider_stopping(failure)
        raise failure

    async def _repeat(self, call: _Call, first: GitHubError) -> Answer:
        """Enter the retry policy with a failure that happened already."""
        replay = [first]

        async def attempt() -> Answer:
            if replay:
                raise replay.pop()
            self._counter.retried += 1
            return await self._try(call)

        def again(error: BaseException) -> bool:
            return isinstance(error, GitHubError) and self._may_repeat(call, error)

        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self._backoff.attempts),
            wait=self._wait,
            retry=tenacity.retry_if_exception(again),
            sleep=self.clock.sleep,
            reraise=True,
        )
        try:
            return await retrying(attempt)
        except GitHubError as error:
            error.attempts = max(error.attempts, int(retrying.statistics["attempt_number"]))
            raise

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Seconds until the next try. A limit is waited for at the throttle, by everyone."""
        error = state.outcome.exception() if state.outcome else None
        log.debug("github.retrying", host=self.name, attempt=state.attempt_number, error=str(error))
        if isinstance(error, RateLimited):
            return 0.0
        delay = self._backoff.delay(state.attempt_number, self._jitter())
        if isinstance(error, ServerError) and error.retry_at:
            delay = max(delay, (error.retry_at - self.clock.now()).total_seconds())
        return min(delay, LONGEST_WAIT)

    def _may_repeat(self, call: _Call, error: GitHubError) -> bool:
        if not error.retryable or (isinstance(error, Unreachable) and error.permanent):
            return False
        if isinstance(error, RateLimited):
            return (error.retry_at - self.clock.now()).total_seconds() <= LONGEST_WAIT
        if not error.ambiguous:
            return True
        return not call.unsettled and (call.repeatable or call.settle is not None)

    async def _try(self, call: _Call) -> Answer:
        try:
            return await self._once(call)
        except GitHubError as error:
            failure = error
        if isinstance(failure, NotFound) and call.method == "DELETE" and call.doubt:
            return Answer(204, {}, None, call.url)
        if failure.ambiguous or (call.doubt and isinstance(failure, ValidationFailed)):
            call.doubt = True
            found = await self._settled(call, failure)
            if found is not None:
                return Answer(200, {}, found, call.url)
        raise failure

    async def _settled(self, call: _Call, failure: GitHubError) -> Any | None:
        """Look whether a write was carried out, whose answer was lost."""
        if call.settle is None:
            return None
        try:
            return await call.settle()
        except GitHubError:
            call.unsettled = True
            raise failure from None

    async def _once(self, call: _Call) -> Answer:
        async with self.throttle.slot(write=call.method != "GET"):
            return await self._with_credential(lambda: self._exchange(call))

    async def _with_credential(self, send: Callable[[], Awaitable[T]]) -> T:
        """Send; after a 401 once more if there is another credential by now, else stop.

        Several refusals would make the host refuse good credentials, too.

        Source: https://docs.github.com/rest/authentication/authenticating-to-the-rest-api
        ("Failed login limit")
        """
        renewed = False
        while True:
            used = await self._auth.header()
            try:
                return await send()
            except RateLimited as error:
                self.throttle.pause(error.retry_at)
                raise
            except AuthError as error:
                if error.status != 401:
                    raise
                if renewed or not await self._renewed(used):
                    self.throttle.stop(error)
                    raise
                renewed = True

    # --- one exchange ----------------------------------------------------------------------------

    async def _exchange(self, call: _Call) -> Answer:
        """Send a JSON request and follow its redirects."""
        url = call.url
        headers = {"Accept": MEDIA_TYPE}
        if call.etag:
            headers["If-None-Match"] = call.etag
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._send(
                call.method, url, headers, body=call.body, timeout=self._timeouts.answer
            )
            content = await self._read(response, url)
            if response.status not in _REDIRECTS:
                return self._decode(call, url, response, content)
            url = self._redirect(call.method, url, response)
        raise RefusedAddress(
            f"{self.name}: {public(call.url)} redirects more than {MAX_REDIRECTS} times",
            host=self.name,
        )

    def _decode(
        self, call: _Call, url: str, response: aiohttp.ClientResponse, content: bytes
    ) -> Answer:
        headers = response.headers
        context = Context(self.name, f"{call.method} {public(url)}", self.clock.now())
        try:
            data = decode_response(response.status, headers, content, context)
        except AuthError as error:
            if origin(url) in self._origin:
                raise
            raise RefusedAddress(str(error), host=self.name, status=error.status) from None
        if response.status == 304:
            self._counter.not_modified += 1
        next_page = next_link(headers.get("Link"), url) if "Link" in headers else None
        return Answer(response.status, headers, data, url, headers.get("ETag", ""), next_page)

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - of the socket, handed on to aiohttp
        body: bytes | Body | None = None,
        trusted: frozenset[str] | None = None,
        decompress: bool = True,
    ) -> aiohttp.ClientResponse:
        """Send one request; the answer's headers are there, its body is not.

        ``trusted`` are the origins that get the token; the API's unless told.
        """
        place = origin(url)
        ours = place in (self._origin if trusted is None else trusted)
        proxy, proxy_headers = self._proxies.of(url)
        own = await self._own_headers(url) if ours else {}
        if proxy_headers and place.startswith("http:"):  # no CONNECT that could carry them
            own |= proxy_headers
        if ours:
            self._counter.total += 1
        started, status = self.clock.monotonic(), None
        try:
            response = await self._open_session.request(
                method,
                URL(url, encoded=True),
                headers={**headers, **own},
                data=body,
                allow_redirects=False,
                timeout=timeout,
                proxy=proxy,
                proxy_headers=proxy_headers or None,
                auto_decompress=decompress,
            )
            status = response.status
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._failed(error, url, proxy) from None
        finally:
            if self._on_request is not None:
                seconds = self.clock.monotonic() - started
                self._on_request(RequestSeen(self.name, method, status, seconds))
        if ours:
            self._learn(response.headers)
        return response

    @property
    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("a GitHubClient is used inside its `async with` block")
        return self._session

    async def _own_headers(self, url: str) -> dict[str, str]:
        """What only the host itself is told: who asks, and which version of the API is meant."""
        headers = {"X-GitHub-Api-Version": API_VERSION} if self._server.github else {}
        authorization = await self._auth.header()
        if authorization is not None:
            if url.startswith("http:") and not (self._allow_plaintext or is_loopback(url)):
                raise AuthError(
                    f"{self.name}: the token is not sent over plain http to {origin(url)};"
                    " use https, or set allow_plaintext",
                    host=self.name,
                )
            headers["Authorization"] = authorization
        return headers

    def _failed(self, error: Exception, url: str, proxy: str | None) -> GitHubError:
        failure = network_error(error, self.name, url, proxy)
        if isinstance(failure, Unreachable) and failure.permanent and origin(url) in self._origin:
            self.throttle.stop(failure)
        return failure

    def _learn(self, headers: Mapping[str, str]) -> None:
        """Heed what every answer tells besides what was asked."""
        if version := headers.get("X-GitHub-Enterprise-Version"):
            self._server = _Server(version=version, known=True)
        if "X-RateLimit-Remaining" in headers:
            self.rate_limit = RateLimit.parse(headers)
            self.throttle.learn(self.rate_limit)

    async def _read(
        self, response: aiohttp.ClientResponse, url: str, limit: int | None = None
    ) -> bytes:
        """Read an answer's body to its end (or the first ``limit`` bytes) and give it back."""
        try:
            async with response:
                if limit is None:
                    return await response.read()
                return await response.content.read(limit)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._failed(error, url, None) from None

    def _redirect(self, method: str, url: str, response: aiohttp.ClientResponse) -> str:
        """Where a redirect leads, if it may be followed.

        Repositories that were renamed answer reads with 301 and writes with 307.

        Source: https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api
        ("Follow redirects")
        """
        try:
            target = urljoin(url, response.headers.get("Location", ""))
            there = origin(target)
        except ValueError:
            target = there = ""
        if not there or target == url:
            reason = "nowhere"
        elif url.startswith("https:") and there.startswith("http:"):
            reason = "from https to http"
        elif method == "GET" or (
            response.status in _REPEATED_WRITES and there in {origin(url), *self._origin}
        ):
            return target
        else:
            reason = f"a write to {public(target)!r}"
        raise RefusedAddress(
            f"{self.name}: {method} {public(url)} redirects ({response.status}) {reason};"
            " not followed",
            host=self.name,
            status=response.status,
        )

    # --- giving up -------------------------------------------------------------------------------

    async def _renewed(self, used: str | None) -> bool:
        """After a 401: whether there is another credential than the one that was refused."""
        try:
            return await self._auth.header() != used or await self._auth.refresh()
        except (MirrorError, OSError) as error:
            log.warning("github.credential_unreadable", host=self.name, error=str(error))
            return False

    async def _consider_stopping(self, error: GitHubError) -> None:
        """After the last try: if the host itself is down, let nobody else try in this pass."""
        down = isinstance(error, (Unreachable, ConnectionLost)) or error.status == 503
        if not down or isinstance(error, HostStopped):
            return
        async with self._probing:
            if self.stopped is not None:
                return
            try:
                await self._once(_Call("GET", self.address("meta")))
            except (Unreachable, ConnectionLost) as failure:
                self.throttle.stop(failure)
            except GitHubError as failure:
                if failure.status == 503:
                    self.throttle.stop(failure)

    # --- streams ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def open_stream(
        self, url: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Stream]:
        """Open a download, following redirects by hand; only the API's own origin gets the token.

        It is opened once: no retries here.

        Yields:
            A stream of status 200, 206 or 416.

        Raises:
            StorageError: Another origin than the API's refused.
            GitHubError: The API refused, or the connection broke (also while iterating).
        """
        headers = {"Accept": "application/octet-stream", **(headers or {})}
        headers["Accept-Encoding"] = "identity"
        async with self.throttle.slot():
            response, final = await self._with_credential(
                lambda: self._open(self.address(url), headers)
            )
            chunks = self._chunks(response, final)
            try:
                yield Stream(response.status, response.headers, final, chunks)
            finally:
                await chunks.aclose()
                response.close()

    async def _open(
        self, url: str, headers: Mapping[str, str]
    ) -> tuple[aiohttp.ClientResponse, str]:
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._send(
                "GET", url, headers, timeout=self._timeouts.answer, decompress=False
            )
            if response.status in _STREAMED:
                return response, url
            content = await self._read(response, url, _LONGEST_ERROR)
            if response.status not in _REDIRECTS:
                raise self._refused(url, response, content)
            url = self._redirect("GET", url, response)
        raise RefusedAddress(
            f"{self.name}: a download redirects more than {MAX_REDIRECTS} times", host=self.name
        )

    def _refused(self, url: str, response: aiohttp.ClientResponse, content: bytes) -> GitHubError:
        if origin(url) not in self._origin:
            return StorageError(
                f"{self.name}: the storage host {urlsplit(url).hostname} answered"
                f" {response.status}; do a firewall and a proxy in between let it through?",
                host=self.name,
                status=response.status,
            )
        context = Context(self.name, f"GET {public(url)}", self.clock.now())
        try:
            decode_response(response.status, response.headers, content, context)
        except GitHubError as error:
            return error
        return BadAnswer(
            f"{self.name}: {context.request} answered {response.status} to a download",
            host=self.name,
            status=response.status,
        )

    async def _chunks(
        self, response: aiohttp.ClientResponse, url: str
    ) -> AsyncGenerator[bytes, None]:
        place = origin(url)
        try:
            async for chunk in response.content.iter_any():
                yield chunk
        except TimeoutError:
            raise Stalled(
                f"{self.name}: {place} sent no byte for {self.stall_timeout:g} s"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._failed(error, url, None) from None

    async def upload(
        self, url: str, chunks: AsyncIterator[bytes], size: int, content_type: str
    ) -> Any:
        """Send exactly ``size`` bytes, once, and return the JSON of the answer.

        An answer that comes before the last byte ends the sending. When this returns or raises,
        nobody pulls from ``chunks`` any more.

        Raises:
            RefusedAddress: The host is not known to take uploads there; nothing was sent.
            ShortRead: ``chunks`` had another length.
            GitHubError: The host refused, or the connection broke; ``ambiguous`` where all bytes
                had been handed over. Whatever ``chunks`` raised is raised as it is.

        Source: https://docs.github.com/rest/releases/assets ("Upload a release asset"); a body
        without ``Content-Length`` is answered with 400 "Bad Content-Length".
        """
        if origin(url) not in self.upload_origins:
            raise RefusedAddress(
                f"{self.name}: uploads are said to go to {public(url)}, which is not known to belong"
                " to this host; if it does, set upload_origin",
                host=self.name,
            )
        headers = {
            "Accept": MEDIA_TYPE,
            "Content-Type": content_type,
            "Content-Length": str(size),
        }
        body = Body(chunks, size)
        async with self.throttle.slot(write=True):
            used = await self._auth.header()
            try:
                return await self._send_body(url, headers, body)
            except RateLimited as error:
                self.throttle.pause(error.retry_at)
                raise
            except AuthError as error:
                if error.status != 401:
                    raise
                if await self._renewed(used):
                    raise ConnectionLost(
                        f"{self.name}: the credential was renewed during an upload",
                        host=self.name,
                    ) from None
                self.throttle.stop(error)
                raise

    async def _send_body(self, url: str, headers: Mapping[str, str], body: Body) -> Any:
        try:
            response = await self._send(
                "POST",
                url,
                headers,
                body=body,
                timeout=self._timeouts.upload,
                trusted=self.upload_origins,
            )
            content = await self._read(response, url)
            context = Context(self.name, f"POST {public(url)}", self.clock.now())
            return decode_response(response.status, response.headers, content, context)
        except GitHubError as error:
            if body.failure is not None:
                raise body.failure from None
            error.ambiguous = error.ambiguous and body.complete
            raise
        finally:
            await body.left_alone()


def _json(body: object) -> bytes:
    return json.dumps(body).encode()
