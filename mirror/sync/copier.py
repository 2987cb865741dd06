"""One asset from source to target: tried again while that can help, settled by looking."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from mirror.core.matching import guessed_name
from mirror.errors import (
    ConnectionLost,
    DigestMismatch,
    GitHubError,
    MirrorError,
    NotFound,
    RateLimited,
    SourceChanged,
    Unmirrorable,
    ValidationFailed,
    Waiting,
)
from mirror.github import AssetSink, AssetSource
from mirror.github.throttle import LONGEST_WAIT
from mirror.transfer.pipe import pipe

if TYPE_CHECKING:
    from collections.abc import Collection

    from mirror.core.release import Asset, Release, RepoRef
    from mirror.core.report import Observer
    from mirror.core.retry import Backoff
    from mirror.core.timetable import Clock
    from mirror.github import ReleaseStore

log = structlog.get_logger()

LAG = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between looks at a list that may lag behind: 30 in all."""

WRONG_BYTES = 3
"""How often an asset is fetched whose bytes are not what its digest promises."""

_numbers = itertools.count(1)


class NameTaken(Unmirrorable):
    """The target has another asset of the name that it would give to this one."""


@dataclass(frozen=True, slots=True)
class Copied:
    """An asset that arrived.

    Attributes:
        asset: As the target told it.
        sha256: Of the bytes that went through; ``None`` where they were found there.
        attempts: Tries that it took.
    """

    asset: Asset
    sha256: str | None
    attempts: int = 1


class Copier:
    """Copies assets of one mirror.

    Args:
        source: The host of the source.
        target: The host of the target.
        source_repo: Where assets are read.
        target_repo: Where they are written.
        backoff: How often a copy is tried and how long to wait between.
        stall_timeout: Seconds without a byte moved after which a transfer is given up.
        response_timeout: Seconds from an upload's last byte to its answer.
    """

    def __init__(
        self,
        source: ReleaseStore,
        target: ReleaseStore,
        source_repo: RepoRef,
        target_repo: RepoRef,
        *,
        clock: Clock,
        backoff: Backoff,
        stall_timeout: float,
        response_timeout: float,
        observer: Observer,
        mirror_name: str,
    ) -> None:
        self._source = source
        self._target = target
        self._source_repo = source_repo
        self._target_repo = target_repo
        self._clock = clock
        self._backoff = backoff
        self._stall_timeout = stall_timeout
        self._response_timeout = response_timeout
        self._observer = observer
        self._mirror_name = mirror_name

    async def copy(
        self, release: Release, asset: Asset, name: str, claimed: Collection[int], *, ours: bool
    ) -> Copied:
        """Copy an asset into a release of the target.

        Args:
            release: The target's release.
            asset: The source's asset.
            name: What to call it there.
            claimed: Assets of the target's release that are copies of other assets.
            ours: The release is this mirror's: a broken asset of this name may be removed.

        Raises:
            Unmirrorable: The target can never take it.
            Waiting: It vanished or changed at the source; the next pass will know more.
            MirrorError: It failed to the end.
        """
        attempts = 0
        while True:
            attempts += 1
            try:
                copied = await self._once(release, asset, name)
            except MirrorError as error:
                if self._is_gone(error):
                    raise _vanished(asset, error) from error
                again = await self._after(error, release, asset, name, claimed, ours=ours)
                if isinstance(again, Copied):
                    return again
                if not again or attempts >= self._tries(error):
                    error.attempts = max(attempts, error.attempts)
                    raise
                log.info("asset.retried", asset=asset.name, attempts=attempts, error=str(error))
                await self._clock.sleep(self._delay(error, attempts))
            else:
                return Copied(copied.asset, copied.sha256, attempts)

    async def _once(self, release: Release, asset: Asset, name: str) -> Copied:
        number = next(_numbers)
        started = self._observer.transfer_started
        started(number, self._mirror_name, release.tag, asset.name, asset.size)
        good = False
        try:
            piped = await pipe(
                AssetSource(self._source.client, self._source_repo, asset),
                AssetSink(
                    self._target.client, release.upload_url, name, asset.label, asset.content_type
                ),
                sha256=asset.sha256,
                clock=self._clock,
                backoff=self._backoff,
                stall_timeout=self._stall_timeout,
                response_timeout=self._response_timeout,
                moved=lambda done: self._observer.transfer_moved(number, done),
            )
            copy = piped.reply
            if copy.uploaded and (
                copy.size != asset.size or copy.sha256 not in {None, piped.sha256}
            ):
                await self._target.delete_asset(self._target_repo, copy.id)
                raise DigestMismatch(
                    f"the target stored other bytes than were sent ({copy.size} of {asset.size},"
                    f" SHA-256 {copy.sha256} instead of {piped.sha256})"
                )
            good = True
            return Copied(copy, piped.sha256)
        finally:
            self._observer.transfer_finished(number, good=good)

    async def _after(
        self,
        error: MirrorError,
        release: Release,
        asset: Asset,
        name: str,
        claimed: Collection[int],
        *,
        ours: bool,
    ) -> Copied | bool:
        """Look at what a failure left: the asset itself, or whether another try can help."""
        taken = isinstance(error, ValidationFailed) and error.has(code="already_exists")
        if not (taken or error.retryable):
            return False
        if isinstance(error, RateLimited):  # refused before anything was read
            return self._delay(error, 1) <= LONGEST_WAIT
        lost = isinstance(error, ConnectionLost) and error.ambiguous and not self._of_source(error)
        found = await self._look(release, name, claimed, lost=lost, taken=taken)
        if found is None:
            return True
        if found.id in claimed:
            raise NameTaken(
                f"the target would name it {found.name}, as it named another asset of this release"
            ) from error
        if found.size == asset.size and found.sha256 in {None, asset.sha256 or found.sha256}:
            return Copied(found, None)
        if not ours:
            raise NameTaken(
                f"the target's release has another asset named {found.name}, which is not of this"
                " mirror and was left alone"
            ) from error
        await self._target.delete_asset(self._target_repo, found.id)
        return True

    async def _look(
        self, release: Release, name: str, claimed: Collection[int], *, lost: bool, taken: bool
    ) -> Asset | None:
        """Find a complete asset of this name at the target; the rest of a broken one is removed.

        A failed upload may leave an asset with the state ``starter``, which stands in the way;
        one whose answer was lost may still become complete, and lists may lag behind.
        Source: https://docs.github.com/rest/releases/assets#upload-a-release-asset

        After a lost answer (``lost``), or where the target says that the name is taken
        (``taken``), something is there or about to be: it is looked for up to 30 seconds.
        """
        broken: list[Asset] = []
        for pause in LAG if lost or taken else LAG[:1]:
            await self._clock.sleep(pause)
            assets = await self._target.assets(self._target_repo, release.id)
            named = [copy for copy in assets if name in {copy.name, copy.label}]
            named += [copy for copy in assets if copy.name == guessed_name(name)]
            free = [copy for copy in named if copy.id not in claimed]
            broken = [copy for copy in free if not copy.uploaded]
            complete = [copy for copy in free if copy.uploaded]
            if complete:
                return complete[0]
            if named and not free:
                return named[0]
            if broken and not lost:
                break
        for copy in {copy.id: copy for copy in broken}.values():
            await self._target.delete_asset(self._target_repo, copy.id)
        return None

    def _tries(self, error: MirrorError) -> int:
        """How often a copy is begun when this is what it fails with.

        What was tried to the end below (a source that broke, a request) is not begun again; bytes
        that differ from their digest will rarely change by being fetched over and over.
        """
        if error.attempts >= self._backoff.attempts:
            return 0
        limit = WRONG_BYTES if isinstance(error, DigestMismatch) else self._backoff.attempts
        return min(limit, self._backoff.attempts)

    def _is_gone(self, error: MirrorError) -> bool:
        """Whether the source no longer has what its listing showed."""
        gone = isinstance(error, NotFound) and self._of_source(error)
        return gone or isinstance(error, SourceChanged)

    def _of_source(self, error: GitHubError) -> bool:
        return error.host == self._source.client.name

    def _delay(self, error: MirrorError, failures: int) -> float:
        if isinstance(error, RateLimited):
            return max(0.0, (error.retry_at - self._clock.now()).total_seconds())
        return self._backoff.delay(failures, random.random())  # noqa: S311 - jitter is no secret


def _vanished(asset: Asset, error: MirrorError) -> Waiting:
    return Waiting(
        f"waits: {asset.name} was replaced or removed at the source while it was copied"
        f" ({error}); the next pass takes what is there then"
    )
