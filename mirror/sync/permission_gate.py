"""Stops the writes of a mirror once the target refused one for want of a permission."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from mirror.core.execution.settlement import write_denied
from mirror.errors import HostStopped, MirrorError, NotFound, NotTried

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mirror.core.domain.release import RepoRef
    from mirror.core.host import ReleaseReader

ADMITTED = 4 * 1024**2
"""Bytes of an upload after which the others begin: what is refused is refused before. Less may
still lie in buffers on the way."""

_in_write: ContextVar[bool] = ContextVar("_in_write", default=False)
"""A write that is a part of another one does not wait for it."""


class PermissionGate:
    """Sends at most one request of a mirror that the target refuses for want of a permission.

    The first write goes alone, and the others follow once its answer is known. After a refusal no
    more is sent: neither a second request nor another release would fare better, and hosts count
    refusals. What was not sent is tried in the next pass. Where some releases are refused and others
    are not, the plan has those that were refused come last (:meth:`begin_again`).
    """

    def __init__(self) -> None:
        self._refusal: MirrorError | None = None
        self._begun = False
        self._answered = asyncio.Event()

    @property
    def refused(self) -> bool:
        """Whether a write of this mirror was refused."""
        return self._refusal is not None

    def check(self) -> None:
        """Refuse a write that would be refused.

        Raises:
            NotTried: A write of this mirror was refused.
        """
        if self._refusal is not None:
            raise NotTried("an earlier request of this mirror was refused", kind=self._refusal.kind)

    def begin_again(self) -> None:
        """Let the next write go alone again: it is one of those that were refused before."""
        self._begun = False
        self._answered = asyncio.Event()

    def admit(self) -> None:
        """Let the others begin: a part of the first write was answered, and the rest may take long.

        They may hold what the rest waits for, such as the slots of transfers.
        """
        self._answered.set()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Callable[[], None]]:
        """Send a write in the block, as soon as it may be sent.

        Yields:
            Call it if the write is admitted before its answer is known, such as a large upload.

        Raises:
            NotTried: A write of this mirror was refused.
        """
        if _in_write.get():
            yield lambda: None
            return
        answered = self._answered
        if self._begun:
            await answered.wait()
        self.check()
        self._begun = True
        outside = _in_write.set(True)
        try:
            yield answered.set
        except MirrorError as error:
            if _is_refusal(error):
                self._refusal = self._refusal or error
            raise
        finally:
            _in_write.reset(outside)
            answered.set()


async def refuse_if_there(
    error: NotFound, target: ReleaseReader, repo: RepoRef, release: int
) -> None:
    """Find out what a 404 to a write means: hosts answer so, too, to what a token may not do.

    Args:
        error: The answer.
        target: The host that it came from, if it came from there.
        repo: The repository that was written to.
        release: The id of the target's release that was written into; 0 for none.

    Raises:
        AuthError: The repository, or the release, can be read.
    """
    if error.host != target.client.name or error.blocked:
        return
    try:
        await (target.release(repo, release) if release else target.repository(repo))
    except NotFound:
        return
    raise write_denied(error) from None


def _is_refusal(error: MirrorError) -> bool:
    """Whether other writes would be refused, too; a dead credential stops its host by itself."""
    return error.blocked and error.kind != "credential" and not isinstance(error, HostStopped)
