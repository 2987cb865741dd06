"""Copies one asset from source to target; retries, and checks what a failed upload has left."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from mirror.core.domain.asset_names import (
    forms,
    guessed_name,
    is_temporary,
    label_of,
    may_become,
    temporary_id,
)
from mirror.core.domain.source_archives import SourceArchive
from mirror.core.retry import LAG, LONGEST_WAIT, polling, retrying
from mirror.errors import (
    BadAnswer,
    ConnectionLost,
    DigestMismatch,
    GitHubError,
    MirrorError,
    NotFound,
    NotTried,
    RateLimited,
    ServerError,
    SourceChanged,
    Stalled,
    Unmirrorable,
    Unreachable,
    ValidationFailed,
    Waiting,
)
from mirror.github import AssetSink, AssetSource

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from mirror.core.circuit_breaker import CircuitBreaker, Lane
    from mirror.core.clock import Clock
    from mirror.core.domain.release import Asset, Release, RepoRef
    from mirror.core.reporting.report import Observer
    from mirror.core.retry import RetryPolicy
    from mirror.github import ReleaseStore
    from mirror.storage.spool import SpoolFile
    from mirror.sync.asset_download import AssetDownloader
    from mirror.transfer.bandwidth import Bandwidth
    from mirror.transfer.workers import Workers

log = structlog.get_logger()

WRONG_BYTES = 3
"""Attempts to copy an asset whose bytes do not match its digest: it will rarely change."""

_NOT_ITS_FAULT = (ServerError, ConnectionLost, Unreachable, BadAnswer)
"""Failures that rarely concern one asset alone."""

_SUSPENDED = "suspended for now, since one asset after the other failed ({0.reason})"
_NOT_TRIED: dict[str, str] = {
    "download": f"downloads from {{0.host}} are {_SUSPENDED}",
    "archive": f"downloads of source archives from {{0.host}} are {_SUSPENDED}",
    "upload": f"uploads to {{0.host}} are {_SUSPENDED}",
}

_numbers = itertools.count(1)


class NameTaken(Unmirrorable):
    """The target has another asset of the name that this one would get."""

    def __init__(self, message: str) -> None:
        super().__init__("name-taken", message)


@dataclass(frozen=True, slots=True)
class Copied:
    """An asset that arrived.

    Attributes:
        asset: As the target reported it.
        sha256: Of the transferred bytes; ``None`` if the asset was found at the target.
        attempts: Attempts that were made.
        size: Expected size in bytes, if more is known than the source's list says.
    """

    asset: Asset
    sha256: str | None
    attempts: int = 1
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """The destination of an asset.

    Attributes:
        release: The target's release.
        name: The name of the copy.
        claimed: Ids of assets of the release that are copies of other assets.
        others: Names of the other assets of the release.
    """

    release: Release
    name: str
    claimed: Collection[int]
    others: Collection[str]

    def may_hold(self, copy: Asset) -> bool:
        """Whether an asset of the release may be the uploaded copy."""
        if (number := temporary_id(self.name)) is not None:
            return temporary_id(copy.name) == number
        if copy.name in forms(self.name):
            return True
        # How a server replaces special characters cannot be predicted: the asset counts as this copy
        # only if it can be no other one.
        others = any(may_become(name, copy.name) for name in self.others)
        return may_become(self.name, copy.name) and not others


class AssetCopier:
    """Copies assets of one mirror.

    Args:
        source: The source's host.
        target: The target's host.
        source_repo: The repository to read from.
        target_repo: The repository to write to.
        retry: How often a copy is attempted, and how long to wait in between.
        stall_timeout: Seconds without a byte transferred after which an attempt fails.
        response_timeout: Seconds from an upload's last byte to its answer.
        fetcher: Downloads to disk what has to be spooled.
        bandwidth: The limit shared by all transfers.
        workers: Transfer the bytes.
    """

    def __init__(
        self,
        source: ReleaseStore,
        target: ReleaseStore,
        source_repo: RepoRef,
        target_repo: RepoRef,
        *,
        clock: Clock,
        retry: RetryPolicy,
        stall_timeout: float,
        response_timeout: float,
        observer: Observer,
        mirror_name: str,
        fetcher: AssetDownloader,
        bandwidth: Bandwidth,
        workers: Workers,
    ) -> None:
        self._source = source
        self._target = target
        self._source_repo = source_repo
        self._target_repo = target_repo
        self._clock = clock
        self._retry = retry
        self._stall_timeout = stall_timeout
        self._response_timeout = response_timeout
        self._observer = observer
        self._mirror_name = mirror_name
        self._fetcher = fetcher
        self._bandwidth = bandwidth
        self._workers = workers

    async def copy(
        self,
        release: Release,
        asset: Asset,
        name: str,
        claimed: Collection[int],
        others: Collection[str] = (),
        *,
        limited: MirrorError | None = None,
    ) -> Copied:
        """Copy an asset into a release of the target.

        Args:
            release: The target's release.
            asset: The source's asset.
            name: The name of the copy.
            claimed: Ids of assets of the target's release that are copies of other assets.
            others: Names of the other assets of the release.
            limited: The rate limit that ended an earlier call for the same asset.

        Raises:
            Unmirrorable: The target can never accept it.
            Waiting: It vanished or changed at the source; the next pass looks again.
            SpoolError: It has to be spooled, and there is no room on disk.
            NotTried: The circuit breaker of one of its lanes is open.
            RateLimited: A host takes no more requests. The caller retries, since no transfer slot
                is to be held meanwhile.
            MirrorError: The last attempt failed.
        """
        lanes = (self._download_lane(asset), self._upload_lane)
        for breaker in lanes:
            if not breaker.allows(self._clock.monotonic()):
                raise NotTried(_NOT_TRIED[breaker.lane].format(breaker))
        try:
            async with self._fetcher.hold(asset) as held:
                place = Place(release, name, claimed, others)
                copied = await self._copy(place, asset, held, limited)
        except MirrorError as error:
            if blamed := self._blamed(error, asset):
                blamed.failed(self._clock.monotonic(), (self._source_repo.key, asset.id), error)
            raise
        for breaker in lanes:
            breaker.succeeded()
        return copied

    def paused_for(self) -> float:
        """Seconds until both hosts accept requests; 0 if they do, or if the wait would be too long."""
        clients = (self._source.client, self._target.client)
        if any(client.stopped for client in clients):
            return 0.0
        seconds = max(client.throttle.paused_for() for client in clients)
        return seconds if seconds <= LONGEST_WAIT else 0.0

    async def _copy(
        self, place: Place, asset: Asset, held: SpoolFile | None, limited: MirrorError | None
    ) -> Copied:
        attempts = 0
        begun = self._target.client.host_time().replace(microsecond=0)
        source = AssetSource(
            self._source.client, self._source_repo, asset, repeated=limited is not None
        )
        sent = isinstance(limited, GitHubError) and limited.host == self._target.client.name
        temporary = is_temporary(place.name)
        sink = AssetSink(
            self._target.client,
            place.release.upload_url,
            place.name,
            asset.label if temporary else label_of(asset, guessed_name(place.name)),
            asset.content_type,
            repeated=sent,
        )

        async def attempt() -> Copied:
            nonlocal attempts
            attempts += 1
            try:
                again = limited is not None or attempts > 1
                tag = place.release.tag
                return await self._transfer(tag, asset, held or source, sink, repeated=again)
            except MirrorError as failure:
                error = await self._doubted(failure, asset)
                if self._is_gone(error):
                    raise _vanished(asset, error) from error
                known = _as_fetched(asset, held)
                found = await self._left_by(error, place, known, begun) if known else None
                if found is None:
                    raise error from error.__cause__
                return found

        copied = await retrying(
            attempt,
            self._retry,
            self._clock,
            partial(self._may_retry, asset),
            on_retry=lambda error: log.info(
                "asset.retried", asset=asset.name, attempts=error.attempts, error=str(error)
            ),
        )
        return replace(copied, attempts=attempts)

    async def _transfer(
        self,
        tag: str,
        asset: Asset,
        source: AssetSource | SpoolFile,
        sink: AssetSink,
        *,
        repeated: bool,
    ) -> Copied:
        """Move an asset's bytes once."""
        number = next(_numbers)
        started = self._observer.transfer_started
        started(number, self._mirror_name, tag, asset.name, asset.size)
        moved = partial(self._observer.transfer_moved, number)
        good = False
        try:
            if isinstance(source, AssetSource):
                copied = await self._send(asset, source, sink, moved)
            else:
                # Over the disk the bytes move twice: each way is half of the transfer.
                if source.sha256 is None:
                    await self._fetcher.fetch(
                        asset, source, lambda done: moved(done // 2), repeated=repeated
                    )
                asset = _as_fetched(asset, source) or asset
                size = asset.size
                copied = await self._send(
                    asset, source, sink, lambda done: moved((size + done) // 2)
                )
            good = True
            return copied
        finally:
            self._observer.transfer_finished(number, good=good)

    async def _send(
        self,
        asset: Asset,
        source: AssetSource | SpoolFile,
        sink: AssetSink,
        moved: Callable[[int], None],
    ) -> Copied:
        """Upload an asset, from disk or from its source."""
        held = None if isinstance(source, AssetSource) else source
        piped = await self._workers.pipe(
            source,
            sink,
            sha256=asset.sha256,
            clock=self._clock,
            retry=self._retry,
            stall_timeout=self._stall_timeout,
            response_timeout=self._response_timeout,
            moved=moved,
            pace=self._bandwidth.lane().pace if self._bandwidth.piece else None,
            piece=self._bandwidth.piece,
            hashed=held.sha256 if held else None,
        )
        copy = piped.reply
        if copy.uploaded and (copy.size != asset.size or copy.sha256 not in {None, piped.sha256}):
            await self._target.delete_asset(self._target_repo, copy.id)
            if held:
                held.doubt()
            raise DigestMismatch(
                f"the target stored other bytes than were sent ({copy.size} of {asset.size},"
                f" SHA-256 {copy.sha256} instead of {piped.sha256})"
            )
        return Copied(copy, piped.sha256, size=piped.size)

    async def _left_by(
        self, error: MirrorError, place: Place, asset: Asset, begun: datetime
    ) -> Copied | None:
        """Check what a failed upload has left: the asset itself, if it arrived all the same.

        Anything else of its own in its place is removed.

        Raises:
            NameTaken: The target has another asset of this name.
        """
        taken = _is_taken(error)
        # A rate limit is met before anything is read.
        if isinstance(error, RateLimited) or not (taken or error.retryable):
            return None
        lost = isinstance(error, ConnectionLost) and error.ambiguous and not self._of_source(error)
        found = await self._look(place, lost=lost, taken=taken)
        if found is None or (found.id in place.claimed and not taken):
            return None
        if found.id in place.claimed:
            raise NameTaken(
                f"the target would call it {found.name}, like another asset of this release"
            ) from error
        # What had the name before is not what was sent, however alike it looks.
        sent = error.sent_sha256 if isinstance(error, GitHubError) and not taken else None
        if _is_what_was_sent(found, asset, sent, begun):
            return Copied(found, sent or asset.sha256, size=asset.size)
        if not (place.release.draft or is_temporary(place.name)):
            raise NameTaken(
                f"the target's release has an asset named {found.name} that this mirror did not"
                " create; it was left alone"
            ) from error
        await self._target.delete_asset(self._target_repo, found.id)
        return None

    async def _look(self, place: Place, *, lost: bool, taken: bool) -> Asset | None:
        """Find a complete asset of this name at the target; remove incomplete ones.

        A failed upload may leave an asset in the state ``starter``, which blocks the name; one whose
        response was lost may still become complete, and lists may lag behind.
        Source: https://docs.github.com/rest/releases/assets#upload-a-release-asset

        After a lost response (``lost``), or if the target reports the name as taken (``taken``), the
        asset exists or is about to: the list is polled for up to 30 seconds.
        """

        async def look() -> tuple[list[Asset], list[Asset]]:
            assets = await self._target.assets(self._target_repo, place.release.id)
            # By name alone: a label may say anything, also another asset's name.
            named = [copy for copy in assets if place.may_hold(copy)]
            return named, [copy for copy in named if copy.id not in place.claimed]

        def done(found: tuple[list[Asset], list[Asset]]) -> bool:
            named, free = found
            if not (lost or taken) or any(copy.uploaded for copy in free):
                return True
            return bool(named) and not (free and lost)

        named, free = await polling(look, done, LAG, self._clock)
        if complete := next((copy for copy in free if copy.uploaded), None):
            return complete
        if named and not free:
            return named[0]
        for copy in {copy.id: copy for copy in free}.values():
            await self._target.delete_asset(self._target_repo, copy.id)
        return None

    def _may_retry(self, asset: Asset, error: MirrorError) -> bool:
        """Whether another attempt may succeed; none is made while all assets fail in this lane."""
        breaker = self._blamed(error, asset)
        if breaker and breaker.suspect:
            return False
        if isinstance(error, DigestMismatch) and error.attempts >= WRONG_BYTES:
            return False
        return _is_taken(error) or (error.retryable and not isinstance(error, RateLimited))

    def _download_lane(self, asset: Asset) -> CircuitBreaker:
        lane: Lane = "archive" if isinstance(asset, SourceArchive) else "download"
        return self._source.client.lane(lane)

    @property
    def _upload_lane(self) -> CircuitBreaker:
        return self._target.client.lane("upload")

    def _blamed(self, error: MirrorError, asset: Asset) -> CircuitBreaker | None:
        """The lane that an asset failed in; ``None`` if the asset itself is to blame."""
        if isinstance(error, Stalled):
            return self._upload_lane if error.at_target else self._download_lane(asset)
        if not isinstance(error, _NOT_ITS_FAULT) or error.status in {404, 410}:
            return None
        return self._download_lane(asset) if self._of_source(error) else self._upload_lane

    async def _doubted(self, error: MirrorError, asset: Asset) -> MirrorError:
        """Request an asset that seems to be gone; if it is unchanged, the first answer was wrong."""
        if not self._is_gone(error) or isinstance(asset, SourceArchive):
            return error
        here = await self._source.asset(self._source_repo, asset.id)
        if here is None or (here.size, here.sha256) != (asset.size, asset.sha256):
            return error
        host = self._source.client.name
        return BadAnswer(f"{error}; but {host} still lists it unchanged", host=host)

    def _is_gone(self, error: MirrorError) -> bool:
        """Whether the source no longer has what its listing showed."""
        gone = isinstance(error, NotFound) and self._of_source(error)
        return gone or isinstance(error, SourceChanged)

    def _of_source(self, error: GitHubError) -> bool:
        return error.host == self._source.client.name


def _is_taken(error: MirrorError) -> bool:
    """Whether the target refused an upload since it has an asset of this name."""
    return isinstance(error, ValidationFailed) and error.reason == "already-exists"


def _is_what_was_sent(found: Asset, asset: Asset, sent: str | None, begun: datetime) -> bool:
    """Whether an asset at the target is the one whose upload was not confirmed.

    Args:
        found: The target's asset of this name.
        asset: The source's asset.
        sent: The SHA-256 of the sent bytes, if all were sent.
        begun: The target's time before the first attempt.
    """
    if found.size != asset.size:
        return False
    if found.sha256:
        return found.sha256 == (sent or asset.sha256)
    return sent is not None and found.created_at is not None and found.created_at >= begun


def _as_fetched(asset: Asset, held: SpoolFile | None) -> Asset | None:
    """The asset with the size and digest of its download; ``None`` while that is incomplete."""
    if held is None:
        return asset
    if held.sha256 is None:
        return None
    return replace(asset, size=held.size, sha256=asset.sha256 or held.sha256)


def _vanished(asset: Asset, error: MirrorError) -> MirrorError:
    if isinstance(asset, SourceArchive):
        status = error.status if isinstance(error, GitHubError) else None
        text = f"the source has no {asset.form} of the tag {asset.tag} ({error})"
        return NotFound(text, status=status)
    return Waiting(
        "not-ready",
        f"{asset.name} was replaced or removed at the source while it was copied ({error})",
    )
