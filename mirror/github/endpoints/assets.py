"""The bytes of one asset: read from any offset, and sent once."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from mirror.errors import BadAnswer, NotFound, ShortRead, SourceChanged
from mirror.github.answers import AssetAnswer, decode
from mirror.github.protocol.headers import etag_of
from mirror.github.streams import StorageError
from mirror.github.transport import MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from mirror.core.domain.release import Asset, RepoRef
    from mirror.core.domain.source_archives import SourceArchive
    from mirror.github.client import GitHubClient
    from mirror.github.streams import Arriving, Stream

_ADDRESSES = 2
"""How many storage addresses are asked for in one opening: a signed one lives for minutes only."""

_VALID = 60.0
"""Seconds for which a storage address is used that was asked for in advance: GitHub's live for minutes."""

_DOCUMENTS = ("text/html", "application/json", "application/xhtml+xml", "application/vnd.github")
_MEDIA_TYPE = re.compile(r"[\w.+!#$&^-]+/[\w.+!#$&^-]+(\s*;[ -~]*)?", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes\s+([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.IGNORECASE)


class AssetSource:
    """An asset of a release, as a :class:`~mirror.core.stream.ByteSource`.

    It is asked for at the API, which sends the bytes itself or names a storage host for some
    minutes; a storage host gets no token. The web address of an asset is never used: it does not
    know API tokens, and answers with a login page.

    Args:
        client: Of the host.
        repo: Where the asset is.
        asset: As the release's listing has it.
        etag: What an earlier reading of it called :attr:`etag`, to go on where that one ended.
        repeated: An earlier attempt to read it failed.

    Attributes:
        client: May be replaced between two openings, by another client of the same host.

    Source: https://docs.github.com/rest/releases/assets ("Get a release asset": "API clients should
    handle both a 200 or 302 response")
    """

    def __init__(
        self,
        client: GitHubClient,
        repo: RepoRef,
        asset: Asset,
        *,
        etag: str = "",
        repeated: bool = False,
    ) -> None:
        self.client = client
        self._asset = asset
        self._path = f"repos/{repo}/releases/assets/{asset.id}"
        self._etag: str | None = etag or None
        self._repeated = repeated
        self._located = ""
        self._located_at = 0.0

    @property
    def size(self) -> int:
        """Bytes in all, as the release's listing has it."""
        return self._asset.size

    @property
    def etag(self) -> str:
        """A strong validator of what was opened first; empty for none."""
        return self._etag if self._etag and not self._etag.startswith("W/") else ""

    def open(self, offset: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Read from ``offset`` to the end.

        Raises (on entry and while iterating):
            SourceChanged: What is there now is not what was opened first.
            ShortRead: The body ended early, or goes on too long.
            BadAnswer: A document came instead of the asset, or it came compressed.
            Stalled: No byte came for the stall time-out.
            GitHubError: The host answered with an error, or the connection broke.
        """
        return self._open(offset)

    async def locate(self) -> bool:
        """Ask for the storage address that the next opening uses.

        Returns:
            Whether there is one.

        Raises:
            GitHubError: The host answered with an error, or the connection broke.
        """
        repeated, self._repeated = self._repeated, True
        self._located = await self.client.locate_stream(self._path, repeated=repeated)
        self._located_at = self.client.clock.monotonic()
        self._repeated = repeated and not self._located
        return bool(self._located)

    @asynccontextmanager
    async def _open(self, offset: int) -> AsyncGenerator[AsyncIterator[bytes], None]:
        async with AsyncExitStack() as stack:
            stream = await self._stream(stack, offset)
            start = self._check(stream, offset)
            yield _Counted(stream.chunks, self._what, self.size, start, offset)

    async def _stream(self, stack: AsyncExitStack, offset: int) -> Stream:
        """Open the download; where the storage host refuses, ask the API for a fresh address."""
        headers = self._range(offset)
        for left in reversed(range(_ADDRESSES)):
            try:
                repeated, self._repeated = self._repeated, True
                opening = self.client.open_stream(
                    self._path, headers, repeated=repeated, located=self._known_address()
                )
                return await stack.enter_async_context(opening)
            except StorageError:
                if not left:
                    raise
            except NotFound as error:
                if not offset:
                    raise
                raise SourceChanged(f"{self._what} was replaced or deleted: {error}") from None
        raise AssertionError  # the last round returns or raises

    def _known_address(self) -> str:
        """A storage address that was asked for a moment ago, once; else empty."""
        located, self._located = self._located, ""
        return located if self.client.clock.monotonic() - self._located_at < _VALID else ""

    def _range(self, offset: int) -> dict[str, str]:
        if not offset:
            return {}
        headers = {"Range": f"bytes={offset}-"}
        if self._etag and not self._etag.startswith("W/"):  # If-Range wants a strong one (RFC 9110)
            headers["If-Range"] = self._etag
        return headers

    @property
    def _what(self) -> str:
        return f"{self.client.name}: asset {self._asset.name!r} ({self._asset.id})"

    def _check(self, stream: Stream, offset: int) -> int:
        """Make sure that this is the asset; the place in it where the body begins."""
        headers, etag = stream.headers, etag_of(stream.headers)
        if stream.status == 416:
            raise SourceChanged(f"{self._what} has no byte {offset} any more")
        if offset and self._etag and etag and etag != self._etag:
            raise SourceChanged(f"{self._what} was replaced while it was read")
        start, expected = 0, self.size
        if stream.status == 206:
            start = self._range_start(headers, offset)
            expected = self.size - start
        self._check_length(headers, expected)
        if not offset:
            self._etag = etag
        return start

    def _range_start(self, headers: Mapping[str, str], offset: int) -> int:
        match = _CONTENT_RANGE.match(headers.get("Content-Range", ""))
        if match is None or int(match[1]) != offset:
            raise BadAnswer(
                f"{self._what}: asked from byte {offset}, answered with another part",
                host=self.client.name,
            )
        if match[3] != "*" and int(match[3]) != self.size:
            raise SourceChanged(f"{self._what} has {match[3]} bytes now instead of {self.size}")
        return offset

    def _check_length(self, headers: Mapping[str, str], expected: int) -> None:
        length = headers.get("Content-Length", "")
        if length == str(expected):
            return
        coding = headers.get("Content-Encoding", "identity").lower()
        if coding not in {"", "identity"}:
            raise BadAnswer(
                f"{self._what} came compressed ({coding[:40]}), although it was asked for as it is:"
                " does a proxy in between compress?",
                host=self.client.name,
            )
        content_type = headers.get("Content-Type", "").lower()
        if not length and content_type == self._asset.content_type.lower():
            return  # sent without a length, perhaps; its bytes are counted anyway
        if content_type.startswith(_DOCUMENTS):
            raise BadAnswer(
                f"{self._what}: {content_type[:40]} of {length or 'unknown'} bytes came instead of"
                f" {expected} bytes: is a login page or a proxy in between?",
                host=self.client.name,
            )
        if length:
            raise SourceChanged(f"{self._what} has {length[:20]} bytes now instead of {expected}")


class _Counted:
    """The chunks from ``offset`` on, of a body that begins at ``position``, counted to the end."""

    def __init__(self, chunks: Arriving, what: str, size: int, position: int, offset: int) -> None:
        self._chunks = chunks
        self._what = what
        self._size = size
        self._position = position
        self._offset = offset

    def at_hand(self) -> bytes:
        """What can be had without waiting; empty for nothing."""
        chunk = self._chunks.at_hand()
        return self._wanted(chunk) if chunk else b""

    def __aiter__(self) -> _Counted:
        return self

    async def __anext__(self) -> bytes:
        async for chunk in self._chunks:
            if wanted := self._wanted(chunk):
                return wanted
        if self._position < self._size:
            raise ShortRead(f"{self._what} ended after {self._position} of {self._size} bytes")
        raise StopAsyncIteration

    def _wanted(self, chunk: bytes) -> bytes:
        before, self._position = self._position, self._position + len(chunk)
        if self._position > self._size:
            raise ShortRead(f"{self._what} has more than {self._size} bytes")
        return chunk if before >= self._offset else chunk[self._offset - before :]


@asynccontextmanager
async def open_archive(
    client: GitHubClient, repo: RepoRef, archive: SourceArchive, *, repeated: bool = False
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Read the archive of a tag; nobody says how long it is.

    Raises (on entry and while iterating):
        NotFound: The source has no such tag.
        Stalled: No byte came for the stall time-out.
        GitHubError: The host answered with an error, or the connection broke.

    Source: https://docs.github.com/rest/repos/contents ("Download a repository archive"); a full
    ref, so that a branch of the tag's name is not taken for it.
    """
    path = f"repos/{repo}/{archive.form}/refs/tags/{quote(archive.tag)}"
    # An API that knows no such answer refuses to be asked for plain bytes; the archive's host
    # sends it whatever it is asked for.
    headers = {"Accept": MEDIA_TYPE}
    async with client.open_stream(path, headers, repeated=repeated) as stream:
        yield stream.chunks


class AssetSink:
    """A place for one new asset of a release, as a :class:`~mirror.core.stream.ByteSink`.

    The answer's ``name`` is the truth: hosts rename.

    Args:
        client: Of the host.
        upload_url: The release's, as its host gave it.
        name: The name that is asked for.
        label: What people see instead of the name; empty for none.
        content_type: As the source has it; what cannot stand in a header is not passed on.
        repeated: An earlier attempt to send it failed.

    Attributes:
        client: May be replaced between two sendings, by another client of the same host.

    Source: https://docs.github.com/rest/releases/assets ("Upload a release asset")
    """

    def __init__(
        self,
        client: GitHubClient,
        upload_url: str,
        name: str,
        label: str = "",
        content_type: str = "application/octet-stream",
        *,
        repeated: bool = False,
    ) -> None:
        self.client = client
        self._repeated = repeated
        query = f"name={quote(name, safe='')}" + (
            f"&label={quote(label, safe='')}" if label else ""
        )
        self._url = f"{upload_url.partition('{')[0]}?{query}"
        good = _MEDIA_TYPE.fullmatch(content_type)
        self._content_type = content_type if good else "application/octet-stream"

    async def send(self, chunks: AsyncIterator[bytes], size: int) -> Asset:
        """Send all chunks, ``size`` bytes in all; the asset as the host has it.

        Raises:
            GitHubError: The host refused, or the connection broke; ``ambiguous`` where all bytes
                had been handed over.
        """
        repeated, self._repeated = self._repeated, True
        reply = await self.client.upload(
            self._url, chunks, size, self._content_type, repeated=repeated
        )
        try:
            found = decode(reply, AssetAnswer, self.client.name)
        except BadAnswer as error:
            error.ambiguous = True
            raise
        return found.value()
