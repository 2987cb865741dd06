"""The client of a host: sends requests with one credential.

A request is admitted by the rate limiter, gets the credential, is sent, its redirects are followed
here, and the response is decoded. One policy decides what is retried; a failure of the whole host
opens its circuit breaker. Streams are sent once: an asset's copy is retried as a whole.
"""

from __future__ import annotations

import json
import random
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, TypeVar

import structlog
from msgspec.structs import replace

from mirror.core.domain.capabilities import Capabilities
from mirror.core.retry import LONGEST_WAIT, RetryPolicy
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
    Unreachable,
)
from mirror.github.answers import decode
from mirror.github.auth import AppAuth
from mirror.github.protocol.errors import Context, decode_response
from mirror.github.protocol.headers import etag_of, moment_of
from mirror.github.protocol.pagination import next_link
from mirror.github.protocol.rate_limit import creates_content
from mirror.github.protocol.urls import (
    RefusedAddress,
    RefusedRedirect,
    accepted_upload_origins,
    is_github_dot_com,
    origin,
    public,
)
from mirror.github.protocol.urls import api_url as api_url_of
from mirror.github.request_retry import Answer, Call, Repeater
from mirror.github.settings import Limits, Network, Timeouts
from mirror.github.shared_state import NOT_MODIFIED, RETRIED, Server, SharedState
from mirror.github.streams import StorageError, Streams
from mirror.github.transport import (
    MAX_REDIRECTS,
    MEDIA_TYPE,
    REDIRECTS,
    RequestSeen,
    Transport,
    request_timeout,
    sent_with,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from types import TracebackType

    import aiohttp

    from mirror.core.circuit_breaker import CircuitBreaker, Lane
    from mirror.core.clock import Clock
    from mirror.core.domain.release import RepoRef
    from mirror.core.ledger.index import HostRecord
    from mirror.core.reporting.report import RequestCount
    from mirror.github.allowance import Allowance
    from mirror.github.auth import Auth
    from mirror.github.protocol.rate_limit import RateLimit
    from mirror.github.streams import Stream

T = TypeVar("T")

log = structlog.get_logger(__name__)


class GitHubClient:
    """Sends requests to a host, with one credential.

    Use as an asynchronous context manager, in one event loop. Clients of one host in the event loops
    of several threads share a ``state``: its limits apply to all of them together.

    Args:
        name: The host's configured name, for errors and logs.
        url: Its web address.
        api_url: Its API address, where it does not follow from ``url``.
        auth: The credential.
        clock: The time, and every wait.
        network: How the host is reached.
        timeouts: How long to wait for it.
        retry: Maximum attempts of a JSON request, and the waits between them.
        jitter: A random number from 0 to 1.
        on_request: Called after every request.
        limits: How much is sent to it.
        allowance: Of the credential, shared with other clients; replaces the rates in ``limits``.
        on_paced: Told, from any thread, the limit and the seconds of each wait for it.
        state: Shared with another client of the same host and credential; replaces the three above.
    """

    def __init__(
        self,
        name: str,
        url: str,
        api_url: str | None,
        auth: Auth,
        clock: Clock,
        *,
        network: Network = Network(),
        timeouts: Timeouts = Timeouts(),
        limits: Limits = Limits(),
        retry: RetryPolicy = RetryPolicy(),
        jitter: Callable[[], float] = random.random,
        on_request: Callable[[RequestSeen], None] | None = None,
        allowance: Allowance | None = None,
        on_paced: Callable[[str, float], None] | None = None,
        state: SharedState | None = None,
    ) -> None:
        self.name = name
        self.url = url.rstrip("/")
        self.api_url = (api_url or api_url_of(url)).rstrip("/")
        self.clock = clock
        self.upload_origins = accepted_upload_origins(self.url, self.api_url, network.upload_origin)
        self.state = state or SharedState(
            name,
            clock,
            limits,
            github=is_github_dot_com(self.api_url),
            allowance=allowance,
            on_paced=on_paced,
        )
        self.breaker = self.state.breaker
        self.rate_limiter = self.state.rate_limiter
        self._auth = auth
        self._transport = Transport(
            name,
            self.api_url,
            self.authorization,
            auth.at_hand,
            self.state,
            clock,
            network=network,
            on_request=on_request,
        )
        self._repeater = Repeater(
            name,
            self._once,
            self.count_retry,
            lambda: self.stopped,
            retry=retry,
            clock=clock,
            jitter=jitter,
        )
        self._timeout = request_timeout(timeouts.connect, timeouts.stall)
        self._streams = Streams(
            self._transport,
            clock,
            download=self._timeout,
            upload=request_timeout(timeouts.connect, timeouts.response),
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.api_url!r})"

    async def __aenter__(self) -> Self:
        self._transport.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._transport.close()

    # --- state -----------------------------------------------------------------------------------

    @property
    def fingerprint(self) -> str:
        """The credential's: an ETag is valid only with the credential that it was received with."""
        return self._auth.fingerprint

    @property
    def app(self) -> AppAuth | None:
        """The credential, if it is a GitHub App."""
        return self._auth if isinstance(self._auth, AppAuth) else None

    @property
    def counts(self) -> RequestCount:
        """Requests to this host since :meth:`reset`; those to storage hosts are not counted."""
        return self.state.counts

    @property
    def rate_limit(self) -> RateLimit | None:
        """The primary rate limit according to the last response."""
        return self.state.rate_limit

    @property
    def stopped(self) -> MirrorError | None:
        """Why nothing is sent to the host for now, or ``None``."""
        return self.breaker.reason if self.breaker.is_open else None

    @property
    def paused_until(self) -> datetime | None:
        """When the current pause ends; ``None`` outside of a pause."""
        return self.rate_limiter.paused_until

    def reset(self) -> None:
        """Begin a new pass: count from 0, and send requests again."""
        self.state.reset()
        self.revive()

    def revive(self) -> None:
        """Send requests again, at first a single one, whatever failed before."""
        self.state.revive()
        self._auth.begin()

    def revive_if_due(self) -> None:
        """Send requests again if the cool-down of a disabled host is over."""
        if self.state.revive_if_due():
            self._auth.begin()

    def paced_for(self) -> float:
        """Seconds until our own limits for the host admit a write; 0 if they do."""
        return self.rate_limiter.paced_for()

    def record(self, before: HostRecord | None = None) -> HostRecord:
        """What the index keeps of the host."""
        record = self.state.record(self.fingerprint, before)
        # An App's tokens live for an hour and are renewed without anybody's help.
        return replace(record, token_expires_at=0.0) if self.app else record

    def restore(self, record: HostRecord) -> None:
        """Go on with our limits for the host where an earlier process ended.

        Another credential counts as the same: limits belong to the user, who is not known.
        """
        self.rate_limiter.allowance.restore(record.points, record.writes)

    def closed_for(self) -> float:
        """Seconds until requests are sent again; 0 while they are."""
        self.rate_limiter.heed_news()
        retry_in = self.breaker.retry_in(self.clock.monotonic())
        return max(retry_in, self.paused_for())

    def paused_for(self) -> float:
        """Seconds until a rate limit is over; 0 outside of a pause."""
        return self.rate_limiter.paused_for()

    def lane(self, lane: Lane) -> CircuitBreaker:
        """The circuit breaker of a lane; transfers report their results to it."""
        return self.state.breakers[lane]

    def count_retry(self) -> None:
        """Count a retry: the report shows every one."""
        self.state.count(RETRIED)

    async def authorization(self, address: str) -> str | None:
        """The ``Authorization`` header for what a request is about; ``None`` for none.

        Raises:
            GitHubError: The credential cannot be obtained.
        """
        return await self._auth.header(self, address)

    async def warm(self, connections: int) -> None:
        """Open idle connections, for requests that follow soon; nothing is sent.

        It is done only for a host that is not disabled, and leaves most of its connections to others.

        Args:
            connections: How many are wanted.
        """
        if not (self.breaker.is_open or self.paused_for()):
            most = self.rate_limiter.max_connections // 4
            await self._transport.warm(min(connections, most), self._timeout)

    async def ping(self) -> None:
        """See whether the host answers."""
        await self.get("meta")

    async def prove(self, repo: RepoRef, since: float) -> None:
        """See whether the host still accepts the credential, unless it did so since.

        However many callers there are, one asks. A request for the rate limit does not count against
        it; a GitHub Enterprise Server that has none may answer 404 to it, whatever the credential.

        Source: https://docs.github.com/rest/rate-limit/rate-limit

        Args:
            repo: Where it is used: an App has a credential for each owner.
            since: Monotonic seconds.

        Raises:
            AuthError: It does not, or the account that it belongs to is closed.
            GitHubError: It could not be asked.
        """
        if self.state.accepted_at >= since:
            return
        async with self.state.asking:
            if self.state.accepted_at >= since:  # another caller asked meanwhile
                return
            path = "rate_limit" if self.state.server.github else "meta"
            try:
                await self.get(path, about=self.address(f"repos/{repo}"))
            except (NotFound, AuthError) as error:
                closed = error.reason == "suspended" or error.hint == "authorize-sso"
                if error.status == 401 or closed:
                    raise
            self.state.accepted_at = self.clock.monotonic()

    async def capabilities(self) -> Capabilities:
        """What the host can do, according to an earlier response or to ``GET /meta``.

        Source: https://docs.github.com/enterprise-server/rest/meta/meta (``installed_version``) and
        the header ``X-GitHub-Enterprise-Version`` of GitHub Enterprise Server's answers.
        """
        if not (self.state.server.known or self.state.server.github):
            await self._ask_version()
        server = self.state.server
        return Capabilities.of(None if server.github else server.version)

    async def _ask_version(self) -> None:
        version: object
        try:
            meta = (await self.get("meta")).data
            version = meta.get("installed_version") if isinstance(meta, dict) else ""
        except (NotFound, AuthError):
            if self.stopped:
                raise
            version = ""  # a server that hides its version is treated as old
        if self.state.server.known:  # from a header meanwhile
            return
        text = version if isinstance(version, str) else None
        self.state.server = Server(version=text, known=True, github=text is None)

    # --- requests --------------------------------------------------------------------------------

    async def get(
        self,
        path: str,
        *,
        etag: str | None = None,
        shape: Any = None,
        easier: str | None = None,
        about: str = "",
    ) -> Answer:
        """Read.

        Args:
            path: Below the API's address, or a whole address (which gets the token only where
                it has the API's origin).
            etag: Of an earlier answer: the answer's status is 304 while nothing changed.
            shape: The type that the JSON is decoded as (not of a 304), for ``Answer.data``.
            easier: As ``path``, for the second half of the tries: what costs the host less.
            about: The address of what this belongs to, for later pages: an App's credential is
                chosen by the owner in it.

        Raises:
            GitHubError: After the last try; ``attempts`` tells how many there were.
        """
        call = Call(
            "GET",
            self.address(path),
            etag=etag or None,
            shape=shape,
            easier=easier,
            about=about,
        )
        return await self._request(call)

    async def post(
        self,
        path: str,
        body: object,
        *,
        settle: Callable[[], Awaitable[Any | None]] | None = None,
        repeatable: bool = False,
        shape: Any = None,
    ) -> Answer:
        """Create something, once.

        After a failure that leaves open whether it was carried out, the host is looked at before
        it is sent again; without a way to look it is not sent again.

        Args:
            path: As for :meth:`get`.
            body: What is sent as JSON.
            settle: Looks: what an earlier try made, as ``shape``, or ``None``.
            repeatable: Sending it twice does no harm.
            shape: As for :meth:`get`; a bad answer to a write leaves open what was done, too.
        """
        call = Call(
            "POST",
            self.address(path),
            _json(body),
            shape=shape,
            settle=settle,
            repeatable=repeatable,
        )
        return await self._request(call)

    async def patch(self, path: str, body: object, *, shape: Any = None) -> Answer:
        """Change; sent again after a failure."""
        return await self._request(Call("PATCH", self.address(path), _json(body), shape=shape))

    async def put(self, path: str, body: object, *, shape: Any = None) -> Answer:
        """Set; sent again after a failure."""
        return await self._request(Call("PUT", self.address(path), _json(body), shape=shape))

    async def delete(self, path: str) -> Answer:
        """Delete; gone when an earlier try may have been carried out means done."""
        return await self._request(Call("DELETE", self.address(path)))

    def address(self, path: str) -> str:
        """The whole address of a path below the API's."""
        if path.startswith(("https://", "http://")):
            return path
        return f"{self.api_url}/{path.lstrip('/')}"

    async def _request(self, call: Call) -> Answer:
        try:
            return await self._repeater.send(call)
        except GitHubError as error:
            await self._consider_stopping(error)
            raise

    async def _once(self, call: Call) -> Answer:
        limiter, write = self.rate_limiter, creates_content(call.method)
        await limiter.take(write=write)
        try:
            return await self._with_credential(call.about or call.url, lambda: self._exchange(call))
        finally:
            limiter.give_back(write=write)

    async def _exchange(self, call: Call, authorization: str | None = None) -> Answer:
        """Send a JSON request and follow its redirects."""
        url, about = call.url, call.about or call.url
        headers = {"Accept": MEDIA_TYPE}
        if call.etag:
            headers["If-None-Match"] = call.etag
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._transport.send(
                call.method,
                url,
                headers,
                body=call.body,
                timeout=self._timeout,
                about=about,
                authorization=authorization,
            )
            if response.status == 304:
                response.release()  # it never has a body
                return self._unchanged(call, url, response)
            content = await self._transport.read(response, url)
            if response.status not in REDIRECTS:
                return self._decode(call, url, response, content)
            url = self._transport.redirected(call.method, url, response)
        raise RefusedRedirect(
            f"{self.name}: {public(call.url)} redirects more than {MAX_REDIRECTS} times",
            host=self.name,
        )

    def _unchanged(self, call: Call, url: str, response: aiohttp.ClientResponse) -> Answer:
        if not call.etag:  # as an empty list it would mean that everything was deleted
            raise BadAnswer(
                f"{self.name}: {public(url)} answered 304 to a request without a condition",
                host=self.name,
                status=304,
            )
        self.state.count(NOT_MODIFIED)
        return self._answer(call, url, response, None, call.etag)

    def _decode(
        self, call: Call, url: str, response: aiohttp.ClientResponse, content: bytes
    ) -> Answer:
        data = self._content(call, url, response, content)
        return self._answer(call, url, response, data, etag_of(response.headers))

    def _answer(
        self, call: Call, url: str, response: aiohttp.ClientResponse, data: Any, etag: str
    ) -> Answer:
        headers = response.headers
        link = headers.get("Link")
        next_page = next_link(link, url) if link else None
        return Answer(response.status, headers, data, url, call.url, etag, next_page)

    def _content(
        self, call: Call, url: str, response: aiohttp.ClientResponse, content: bytes
    ) -> Any:
        status = response.status
        context = Context(self.name, call.method, url, self.clock.now(), sent_with(response))
        try:
            data = decode_response(status, response.headers, content, context)
            return data if call.shape is None else decode(data, call.shape, self.name)
        except AuthError as error:
            if origin(url) == self._transport.origin:
                raise
            raise RefusedRedirect(str(error), host=self.name, status=status) from None
        except BadAnswer as error:
            error.ambiguous = error.ambiguous or status < 300
            raise

    # --- failures --------------------------------------------------------------------------------

    async def ask_as(self, authorization: str, method: str, path: str) -> Any:
        """Send a request of the credential itself, once, and return the response's JSON.

        The request that needs the credential holds a connection already.

        Raises:
            GitHubError: It failed.
        """
        self.rate_limiter.check()
        body = _json({}) if method == "POST" else None
        try:
            answer = await self._exchange(Call(method, self.address(path), body), authorization)
        except RateLimited as error:
            self.rate_limiter.pause(error.retry_at)
            raise
        return answer.data

    def host_time(self) -> datetime:
        """The host's time, as its last answer told it; ours, where it told none."""
        return moment_of(self.state.date) or self.clock.now()

    async def _with_credential(
        self,
        address: str,
        send: Callable[[], Awaitable[T]],
        *,
        tries: int = 2,
        proves: bool = True,
    ) -> T:
        """Send; after a 401 retry with a renewed credential, else open the circuit.

        After several refusals, hosts refuse valid credentials too.

        Args:
            address: What the request is about.
            send: Sends it.
            tries: Maximum attempts.
            proves: Whether its response may prove the credential.

        Source: https://docs.github.com/rest/authentication/authenticating-to-the-rest-api
        ("Failed login limit")
        """
        while True:
            tries -= 1
            used: str | None
            used = self._auth.at_hand(address) or await self._had(self.authorization(address))
            try:
                if proves and not self.breaker.is_closed:
                    answer = await self._proven(send)
                else:
                    answer = await send()
            except RateLimited as error:
                self.rate_limiter.pause(error.retry_at)
                raise
            except ServerError as error:
                self._heed_maintenance(error)
                raise
            except AuthError as error:
                if error.status != 401:
                    raise
                if not await self._renewed(used, address):
                    self.state.trip(error, first=True)
                    raise
                if not tries:
                    raise ConnectionLost(
                        f"{self.name}: the credential was renewed meanwhile", host=self.name
                    ) from None
            else:
                self.state.accepted_at = self.clock.monotonic()
                return answer

    def _heed_maintenance(self, error: ServerError) -> None:
        """Pause all requests until the end of a maintenance that the host announced."""
        if error.status == 503 and error.retry_at and not isinstance(error, StorageError):
            latest = self.clock.now() + timedelta(seconds=LONGEST_WAIT)
            self.rate_limiter.pause(min(error.retry_at, latest))

    async def _proven(self, send: Callable[[], Awaitable[T]]) -> T:
        """Send while the circuit is half-open: one request at a time, until one succeeds."""
        async with self.state.proving:
            self.rate_limiter.check()
            if not self.breaker.is_closed:  # no other request proved it meanwhile
                return await self._proof(send)
        return await send()

    async def _proof(self, send: Callable[[], Awaitable[T]]) -> T:
        try:
            answer = await send()
        except GitHubError as error:
            if not _is_down(error) and error.status not in {None, 401}:
                self.state.proven()
            elif _is_down(error) and self.breaker.reason is not None:
                self.state.trip(error)  # still as it was
            raise
        self.state.proven()
        return answer

    async def _prove(self, address: str) -> None:
        """Prove the credential by a small request before a stream is sent, if it is unproven.

        A stream may take hours, and all other requests to the host wait for the proof.
        """
        if self.breaker.is_closed or await self._had(self.authorization(address)) is None:
            return

        async def ask_something() -> None:
            if not self.breaker.is_closed:
                await self._exchange(Call("GET", self.address("meta"), about=address))

        try:
            await self._with_credential(address, ask_something)
        except GitHubError as error:
            error.ambiguous = False  # the stream was not sent
            busy = isinstance(error, RateLimited) or error.status == 503
            if busy or not self.breaker.is_closed:
                raise

    async def _had(self, credential: Awaitable[T]) -> T:
        """Await a credential; if the host refuses the App itself, open the circuit."""
        try:
            return await credential
        except AuthError as error:
            if error.status == 401:
                self.state.trip(error, first=True)
            raise

    async def _renewed(self, used: str | None, address: str) -> bool:
        """After a 401: whether the credential was renewed."""
        try:
            renewed = await self._had(self._auth.refresh(self, used, address))
        except (MirrorError, OSError) as error:
            if isinstance(error, GitHubError):
                raise
            log.warning("github.credential_unreadable", host=self.name, error=str(error))
            return False
        if renewed:
            self.state.credential_changed()
        return renewed

    async def _consider_stopping(self, error: GitHubError) -> None:
        """After the last attempt: probe the host, and open its circuit if it is down."""
        if not _is_down(error):
            return
        async with self.state.probing:
            if error is self.stopped:  # it opened the circuit itself (a certificate, a proxy)
                return
            self.rate_limiter.check()  # one failure is enough for all
            try:
                await self._once(Call("GET", self.address("meta")))
            except GitHubError as failure:
                if _is_down(failure):
                    self.state.trip(error, first=True)

    # --- streams ---------------------------------------------------------------------------------

    async def locate_stream(self, url: str, *, repeated: bool = False) -> str:
        """Ask where a download is redirected to; it is not retried here, and nothing stays open.

        Args:
            url: As ``path`` of :meth:`get`.
            repeated: An earlier attempt failed.

        Returns:
            The address of a storage host; empty if none is known to be used.

        Raises:
            GitHubError: The API refused, or the connection broke.
        """
        if not self._streams.redirects:
            return ""
        address = self.address(url)
        async with self.rate_limiter.slot():
            return await self._admitted(
                address, lambda: self._streams.locate(address), repeated=repeated
            )

    def open_stream(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        repeated: bool = False,
        located: str = "",
    ) -> AbstractAsyncContextManager[Stream]:
        """Open a download and follow its redirects; only the API's origin gets the token.

        It is not retried here. While it is open it holds one of the host's connections.

        Args:
            url: As ``path`` of :meth:`get`.
            headers: More of them: ``Range``, another ``Accept``.
            repeated: An earlier attempt failed, or broke off.
            located: What :meth:`locate_stream` has returned: the API is not asked.

        Raises (on entry and while iterating over the chunks):
            StorageError: Another origin than the API's refused.
            Stalled: No byte came for the stall time-out.
            GitHubError: The API refused, or the connection broke.
        """
        return self._open_stream(
            self.address(url), headers or {}, repeated=repeated, located=located
        )

    @asynccontextmanager
    async def _open_stream(
        self, url: str, headers: Mapping[str, str], *, repeated: bool, located: str
    ) -> AsyncIterator[Stream]:
        async with self.rate_limiter.slot():
            if located:  # a response of the storage host proves nothing about the credential
                opened = await self._streams.open(url, headers, located)
            else:
                opened = await self._admitted(
                    url, lambda: self._streams.open(url, headers), repeated=repeated
                )
            async with opened as stream:
                yield stream

    async def upload(
        self,
        url: str,
        chunks: AsyncIterator[bytes],
        size: int,
        content_type: str,
        *,
        repeated: bool = False,
    ) -> Any:
        """Send exactly ``size`` bytes, once, and return the JSON of the answer.

        An answer that comes before the last byte ends the sending. When this returns or raises,
        nobody pulls from ``chunks`` any more.

        Args:
            url: Where to.
            chunks: The bytes.
            size: How many there are.
            content_type: Of the asset.
            repeated: An earlier attempt failed.

        Raises:
            RefusedAddress: The host is not known to take uploads there; nothing was sent.
            ShortRead: ``chunks`` had another length.
            GitHubError: The host refused, or the connection broke; ``ambiguous`` where all bytes
                had been handed over. Whatever ``chunks`` raised is raised as it is.
        """
        if origin(url) not in self.upload_origins:
            raise RefusedAddress(
                f"{self.name}: upload_url names {public(url)}, which is not known to belong to"
                " this host",
                host=self.name,
                hint="upload-origin",
            )
        async with self.rate_limiter.slot(write=True):
            return await self._admitted(
                url,
                lambda: self._streams.upload(url, chunks, size, content_type, self.upload_origins),
                tries=1,  # the chunks cannot be sent twice
                repeated=repeated,
            )

    async def _admitted(
        self,
        address: str,
        send: Callable[[], Awaitable[T]],
        *,
        repeated: bool,
        tries: int = 2,
    ) -> T:
        """As :meth:`_with_credential`, for a stream."""
        if repeated:
            self.count_retry()
        await self._prove(address)
        return await self._with_credential(address, send, tries=tries, proves=False)


def _is_down(error: GitHubError) -> bool:
    """Whether a failure may concern the host as a whole."""
    if isinstance(error, HostStopped):
        return False
    return isinstance(error, (Unreachable, ConnectionLost)) or error.status == 503


def _json(body: object) -> bytes:
    return json.dumps(body).encode()
