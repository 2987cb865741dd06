"""What both hosts say of one mirror now, as far as a plan depends on it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from mirror.concurrency import together
from mirror.core.domain.release import Snapshot
from mirror.core.planning.deletions import vanished
from mirror.core.planning.planner import tags_needed
from mirror.core.retry import RetryPolicy, polling
from mirror.core.text.body import is_our_description, is_our_readme
from mirror.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Collection

    from mirror.core.domain.mirror import Mirror
    from mirror.core.domain.release import Release, Repository
    from mirror.core.host import Listing
    from mirror.core.ledger.document import Ledger, ReleaseEntry
    from mirror.sync.context import Endpoint, TargetEndpoint


_LOOK_AGAIN = RetryPolicy(attempts=4)
"""How often a source that has full releases is asked for the latest one."""

_NEVER = datetime.min.replace(tzinfo=UTC)


class Begun(NamedTuple):
    """What both hosts say whatever the source's releases are.

    Attributes:
        source: The source's repository.
        target: The target; ``None`` where its repository does not exist.
    """

    source: Repository
    target: Snapshot | None


class Snapshots:
    """Takes the two snapshots of one mirror, both at the same time.

    Tags are looked up only for releases that are to be published: that takes more requests than
    all else.
    """

    def __init__(self, mirror: Mirror, source: Endpoint, target: TargetEndpoint) -> None:
        self._mirror = mirror
        self._source = source
        self._target = target

    async def begin(self) -> Begun:
        """Read what does not depend on the source's releases, which may be read meanwhile."""
        repository = self._source.store.repository(self._mirror.source)
        return Begun(*await together(repository, self._take_target()))

    async def take(
        self, listing: Listing, begun: Begun | None, ledger: Ledger, now: datetime, *, audit: bool
    ) -> tuple[Snapshot, Snapshot | None]:
        """Both snapshots; ``None`` for a target repository that does not exist.

        Args:
            listing: The source's releases, read already.
            begun: The result of :meth:`begin`, if it was read with the listing.
            ledger: What was recorded: whether this program made the target repository.
            now: The time.
            audit: Look also at the commits of tags that were mirrored before.
        """
        finding = self._latest_of_source(listing)
        if begun is None:
            found, latest = await together(self.begin(), finding)
            finding = _known(latest)
        else:
            found = begun
        source = Snapshot(found.source, listing.releases, complete=listing.complete)
        latest, (source, target) = await together(
            finding, self._complete(source, found.target, ledger, now, audit=audit)
        )
        return replace(source, latest=latest), target

    async def _complete(
        self,
        source: Snapshot,
        target: Snapshot | None,
        ledger: Ledger,
        now: datetime,
        *,
        audit: bool,
    ) -> tuple[Snapshot, Snapshot | None]:
        """Look for what a list does not show, and for tags."""
        target = await self._with_recorded(target, source.releases, ledger)
        source = await self._confirm_gone(source, ledger)
        policy = self._mirror.policy
        needed = tags_needed(source, target, ledger, policy, self._source.url, now)
        watched = {entry.tag for entry in ledger.releases.values()} if audit else set()
        if not (needed or watched):
            return source, target
        capabilities = await self._target.store.client.capabilities()
        tags = self._source.store.tags(self._mirror.source, needed | watched)
        if target is None or not needed or not capabilities.tags:
            return replace(source, tags=await tags), target
        here = self._target.store.tags(self._mirror.target, needed)
        source_tags, target_tags = await together(tags, here)
        source, target = replace(source, tags=source_tags), replace(target, tags=target_tags)
        return source, await self._with_tags(target, ledger, source, needed)

    async def _latest_of_source(self, listing: Listing) -> int | None:
        """The release that the source calls latest.

        Where there are full releases one of them is the latest, so that a source that knows none
        is asked again; at last it is taken to be the one that the source would choose by itself:
        the target must not show another because of a slip.

        Source: https://docs.github.com/rest/releases/releases ("Get the latest release": "the most
        recent non-prerelease, non-draft release, sorted by the created_at attribute")
        """
        full = [r for r in listing.releases if not (r.draft or r.prerelease)]
        store, clock = self._source.store, self._source.store.client.clock
        if not listing.releases:
            return None
        latest = await polling(
            partial(store.latest, self._mirror.source),
            lambda found: found is not None or not full,
            _LOOK_AGAIN,
            clock,
        )
        if latest is not None:
            return latest
        newest = max(full, key=lambda r: (r.created_at or _NEVER, r.id), default=None)
        return newest.id if newest else None

    async def _confirm_gone(self, source: Snapshot, ledger: Ledger) -> Snapshot:
        """Ask one by one for what the list no longer shows, before anything is deleted for it."""
        store, repo = self._source.store, self._mirror.source
        releases, assets = vanished(source, ledger, self._mirror.policy)
        gone_releases, gone_assets = set(), set()
        for number in releases:
            try:
                await store.release(repo, number)
            except NotFound:
                gone_releases.add(number)
        for number in assets:
            if await store.asset(repo, number) is None:
                gone_assets.add(number)
        if releases or assets:
            await store.repository(repo)  # a repository that cannot be read shows nothing, too
        return replace(
            source,
            gone_releases=frozenset(gone_releases),
            gone_assets=frozenset(gone_assets),
        )

    async def _take_target(self) -> Snapshot | None:
        store, repo = self._target.store, self._mirror.target
        try:
            repository = await store.repository(repo)
        except NotFound:
            return None
        listing = await store.list_releases(repo)
        published = _published(listing.releases)
        return Snapshot(
            repository=repository,
            releases=listing.releases,
            latest=await store.latest(repo) if published else None,
            complete=listing.complete,
        )

    async def _with_recorded(
        self, target: Snapshot | None, source: Collection[Release], ledger: Ledger
    ) -> Snapshot | None:
        """The target with what was recorded and is there, although its lists do not show it (yet)."""
        if target is None or ledger.target_id != target.repository.id:
            return target
        releases = target.releases + await self._unlisted(source, target.releases, ledger)
        known = {entry.target_id: entry for entry in ledger.releases.values()}
        releases = tuple([await self._with_unlisted(r, known.get(r.id)) for r in releases])
        latest = target.latest
        if _published(releases) and not _published(target.releases):
            latest = await self._target.store.latest(self._mirror.target)
        return replace(target, releases=releases, latest=latest)

    async def _unlisted(
        self, source: Collection[Release], listed: Collection[Release], ledger: Ledger
    ) -> tuple[Release, ...]:
        """Copies that were recorded and are there, although the list does not show them (yet).

        Else each would be made a second time. Source:
        https://github.com/thiscallnet/Xtra/issues/167 (the list lags).
        """
        seen = {release.id for release in listed}
        found = []
        for release in source:
            entry = ledger.releases.get(release.id)
            if entry and entry.target_id not in seen:
                with suppress(NotFound):
                    number = entry.target_id
                    found.append(await self._target.store.release(self._mirror.target, number))
        return tuple(found)

    async def _with_unlisted(self, copy: Release, entry: ReleaseEntry | None) -> Release:
        """A release with the assets that were recorded and that its list does not show (yet).

        Else a record would be dropped, and its asset be a stranger's once the list shows it.
        """
        listed = {asset.id for asset in copy.assets}
        lacking = [number for number in (entry.assets if entry else ()) if number not in listed]
        store, repo = self._target.store, self._mirror.target
        found = {number: await store.asset(repo, number) for number in lacking}
        more = tuple(asset for asset in found.values() if asset is not None)
        if entry:  # what was seen to be gone is not asked for again
            entry.assets = {n: known for n, known in entry.assets.items() if found.get(n, known)}
        return replace(copy, assets=copy.assets + more) if more else copy

    async def _with_tags(
        self, target: Snapshot, ledger: Ledger, source: Snapshot, needed: Collection[str]
    ) -> Snapshot:
        repo = self._mirror.target
        if self._mirror.policy.tags == "push":
            return await self._for_push(target, ledger)
        lacking = [tag for tag in needed if tag not in target.tags]
        if not lacking or self._mirror.policy.tags == "require":
            return target
        git = self._target.store.repositories
        wanted = {source.tags[tag] for tag in lacking if tag in source.tags}
        commits = {commit for commit in wanted if await git.has_commit(repo, commit)}
        ours = ledger.created_repository or is_our_readme(await git.read_file(repo, "README.md"))
        repository = target.repository
        if not ours and _is_begun(target, ledger):
            ours = await git.is_empty(repository)
            repository = replace(repository, empty=ours)
        return replace(
            target,
            repository=repository,
            commits=frozenset(commits),
            created_by_mirror=ours,
        )

    async def _for_push(self, target: Snapshot, ledger: Ledger) -> Snapshot:
        """What decides whether history may be pushed."""
        git, repository = self._target.store.repositories, target.repository
        actions = await git.actions_enabled(self._mirror.target)
        ours = ledger.created_repository
        if actions is not False and not ours and _is_begun(target, ledger):
            ours = await git.is_empty(repository)
            repository = replace(repository, empty=ours)
        return replace(target, repository=repository, actions=actions, created_by_mirror=ours)


def _published(releases: Collection[Release]) -> bool:
    return any(not release.draft for release in releases)


async def _known(latest: int | None) -> int | None:
    return latest


def _is_begun(target: Snapshot, ledger: Ledger) -> bool:
    """Whether a run of ours that was cut off may have made a repository; then it is empty.

    With pushed tags alone, a finished one has no branch either, and looks empty.
    """
    if target.releases:
        return False
    return ledger.creating_repository or is_our_description(target.repository.description)
