"""Where an asset's bytes come from and go to: protocols that siblings meet at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from mirror.errors import MirrorError

Reply = TypeVar("Reply", covariant=True)  # noqa: PLC0105 - the name says what it stands for


class ByteSource(Protocol):
    """An asset that can be read from any place."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    def open(self, offset: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Read from ``offset`` (0 to ``size`` - 1) to the end, in chunks of any size.

        A host that ignores the offset is read up to it first. Chunks come as they are stored:
        nothing is decompressed.

        Raises (on entry and while iterating):
            SourceChanged: What is there now is not what was opened first.
            ShortRead: The body ended early.
            GitHubError: The host answered with an error, or the connection broke.
        """
        ...


@runtime_checkable
class LocalSource(ByteSource, Protocol):
    """An asset on a disk of this machine: read once more, it would have the same bytes."""

    def damaged(self, found: str) -> MirrorError:
        """What to raise where its bytes have this SHA-256 instead of the promised one."""
        ...


class ValidatedSource(ByteSource, Protocol):
    """An asset whose host names what its bytes belong to."""

    @property
    def etag(self) -> str:
        """A strong validator of what was opened first; empty for none."""
        ...


class ByteSink(Protocol[Reply]):
    """A place that takes an asset once, from its first byte to its last."""

    async def send(self, chunks: AsyncIterator[bytes], size: int) -> Reply:
        """Send all chunks, ``size`` bytes in all, and return the host's answer.

        Chunks are pulled only as fast as the host takes them. An answer that comes before the
        last chunk ends the sending.

        Raises:
            GitHubError: The host refused, or the connection broke; ``ambiguous`` where all bytes
                had been handed over.
        """
        ...
