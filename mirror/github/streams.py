"""Bodies that are streamed: what is downloaded, and what is uploaded."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from mirror.errors import BadAnswer, GitHubError, MirrorError, ServerError, ShortRead, Stalled
from mirror.github.protocol.errors import Context, decode_response
from mirror.github.protocol.urls import RefusedRedirect, origin
from mirror.github.transport import MAX_REDIRECTS, MEDIA_TYPE, REDIRECTS, sent_with

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from mirror.core.clock import Clock
    from mirror.github.transport import Transport

_STREAMED = frozenset({200, 206, 416})
_LONGEST_ERROR = 64 * 1024
_DOWNLOAD = {"Accept": "application/octet-stream", "Accept-Encoding": "identity"}

AT_A_TIME = 1024 * 1024
"""Bytes that are read from a plain connection at most: with asyncio's 256 KiB the ways between two
chunks take as long as the bytes do."""


class StorageError(ServerError):
    """The storage host behind an asset's address refused; a fresh address may help."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An open download.

    Attributes:
        status: 200, 206 or 416.
        headers: A mapping that ignores case.
        url: Where the bytes come from, after redirects; it may hold a signature.
        chunks: The body as it is stored, nothing decompressed.
    """

    status: int
    headers: Mapping[str, str]
    url: str
    chunks: Arriving


class Arriving:
    """The body of a download, as it arrives.

    Iterating raises :class:`~mirror.errors.Stalled` where no byte came in time, and a
    :class:`~mirror.errors.GitHubError` where the connection broke.
    """

    def __init__(
        self, response: aiohttp.ClientResponse, failed: Callable[[Exception], MirrorError]
    ) -> None:
        self._content = response.content
        self._failed = failed
        # asyncio's own transports read so much at a time; uvloop's have no such setting.
        transport: Any = response.connection.transport if response.connection else None
        if hasattr(transport, "max_size"):
            transport.max_size = AT_A_TIME

    def at_hand(self) -> bytes:
        """What has arrived; empty where it has to be waited for, or nothing follows."""
        try:
            return self._content.read_nowait()
        except (aiohttp.ClientError, OSError) as error:
            raise self._failed(error) from None

    def __aiter__(self) -> Arriving:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise self._failed(error) from None
        if not chunk:
            raise StopAsyncIteration
        return chunk


class Body:
    """The body of an upload: exactly ``size`` bytes, and what became of them.

    A plain iterator and no generator: the sending may end at any chunk, and nothing is left to be
    finalized later.

    Attributes:
        handed: Bytes that were handed over so far.
        failure: What the source of the chunks raised, which ended the sending.
    """

    def __init__(self, chunks: AsyncIterator[bytes], size: int) -> None:
        self.size = size
        self.handed = 0
        self.failure: Exception | None = None
        self._chunks = chunks
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def complete(self) -> bool:
        """All bytes were handed over: the host may have them, whatever happens then."""
        return self.handed >= self.size

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        self._idle.clear()
        try:
            chunk = await anext(self._chunks, None)
            self._check(chunk)
        except Exception as error:
            self.failure = error
            raise
        finally:
            self._idle.set()
        if chunk is None:
            raise StopAsyncIteration
        self.handed += len(chunk)
        return chunk

    def _check(self, chunk: bytes | None) -> None:
        """Refuse a body of another length than announced: the host would wait, or take half of it."""
        if chunk is None and self.handed < self.size:
            raise ShortRead(f"the source ended after {self.handed} of {self.size} bytes")
        if chunk is not None and self.handed + len(chunk) > self.size:
            raise ShortRead(f"the source sends more than {self.size} bytes")

    async def left_alone(self) -> None:
        """Wait until nobody pulls from the chunks: their owner may close them then."""
        await self._idle.wait()


class Streams:
    """Downloads and uploads, each sent once.

    Args:
        transport: To the host.
        clock: For errors that name a time.
        download: Time-outs of a download.
        upload: Time-outs of an upload; the one for its answer begins after its last byte.

    Attributes:
        redirects: The last asset was redirected to another origin.
    """

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        *,
        download: aiohttp.ClientTimeout,
        upload: aiohttp.ClientTimeout,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._download = download
        self._upload = upload
        self.redirects = False

    async def locate(self, url: str) -> str:
        """Ask where a download is redirected to, and do not ask there.

        Returns:
            An address of another origin than the API's; empty if the API sends the bytes itself.

        Raises:
            GitHubError: The API refused, or the connection broke.
        """
        found, response = await self._follow(url, _DOWNLOAD, leave=True)
        if response is not None:
            response.close()
            self.redirects = False
            return ""
        return found

    async def open(
        self, url: str, headers: Mapping[str, str], located: str = ""
    ) -> AbstractAsyncContextManager[Stream]:
        """Ask for a download and follow its redirects; enter what is returned to read it.

        Args:
            url: The API's address of it.
            headers: More of them.
            located: Where the API redirects to, if that is known.

        Raises:
            StorageError: Another origin than the API's refused.
            GitHubError: The API refused, or the connection broke.
        """
        headers = {**_DOWNLOAD, **headers, "Accept-Encoding": "identity"}
        found, response = await self._follow(url, headers, located)
        assert response is not None  # noqa: S101 - every redirect was followed
        if headers["Accept"] == _DOWNLOAD["Accept"]:  # an asset's: archives are elsewhere
            self.redirects = origin(found) != self._transport.origin
        return self._opened(response, found)

    async def _follow(
        self, url: str, headers: Mapping[str, str], located: str = "", *, leave: bool = False
    ) -> tuple[str, aiohttp.ClientResponse | None]:
        """Follow redirects to the bytes; with ``leave``, to the first address of another origin."""
        about, url = url, located or url
        for _ in range(MAX_REDIRECTS + 1):
            if leave and origin(url) != self._transport.origin:
                return url, None
            response = await self._transport.send(
                "GET", url, headers, timeout=self._download, decompress=False, about=about
            )
            if response.status in _STREAMED:
                return url, response
            content = await self._transport.read(response, url, _LONGEST_ERROR)
            if response.status not in REDIRECTS:
                raise self._refused(url, response, content)
            url = self._transport.redirected("GET", url, response)
        raise RefusedRedirect(
            f"{self._transport.name}: a download redirects more than {MAX_REDIRECTS} times",
            host=self._transport.name,
        )

    @asynccontextmanager
    async def _opened(
        self, response: aiohttp.ClientResponse, url: str
    ) -> AsyncGenerator[Stream, None]:
        chunks = Arriving(response, partial(self._broke, url))
        try:
            yield Stream(response.status, response.headers, url, chunks)
        finally:
            response.close()

    def _broke(self, url: str, error: Exception) -> MirrorError:
        if isinstance(error, TimeoutError):
            return Stalled(
                f"{self._transport.name}: {origin(url)} sent no byte for"
                f" {self._download.sock_read or 0:g} s"
            )
        return self._transport.failed(error, url, None)

    def _refused(self, url: str, response: aiohttp.ClientResponse, content: bytes) -> GitHubError:
        name, status = self._transport.name, response.status
        if origin(url) != self._transport.origin:
            return StorageError(
                f"{name}: the storage host {urlsplit(url).hostname} answered {status}",
                host=name,
                hint="storage-host",
                status=status,
            )
        context = Context(name, "GET", url, self._clock.now(), sent_with(response))
        try:
            decode_response(status, response.headers, content, context)
        except GitHubError as error:
            return error
        return BadAnswer(
            f"{name}: {context.request} answered {status} to a download", host=name, status=status
        )

    async def upload(
        self,
        url: str,
        chunks: AsyncIterator[bytes],
        size: int,
        content_type: str,
        trusted: frozenset[str],
    ) -> Any:
        """Send exactly ``size`` bytes and return the JSON of the answer.

        Raises:
            GitHubError: The host refused, or the connection broke. Whatever ``chunks`` raised is
                raised as it is.

        Source: https://docs.github.com/rest/releases/assets ("Upload a release asset"); a body
        without ``Content-Length`` is answered with 400 "Bad Content-Length"
        (https://github.com/http4s/http4s/issues/4303).
        """
        headers = {
            "Accept": MEDIA_TYPE,
            "Content-Type": content_type,
            "Content-Length": str(size),
        }
        body = Body(chunks, size)
        try:
            response = await self._transport.send(
                "POST", url, headers, body=body, timeout=self._upload, trusted=trusted
            )
            content = await self._transport.read(response, url)
            sent = sent_with(response)
            context = Context(self._transport.name, "POST", url, self._clock.now(), sent)
            return decode_response(response.status, response.headers, content, context)
        except GitHubError as error:
            if body.failure is not None:
                raise body.failure from None
            error.ambiguous = error.ambiguous and body.complete
            raise
        finally:
            await body.left_alone()
