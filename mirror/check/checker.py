"""Look at every host before anything depends on it; nothing is written.

What one host tells of itself is in ``check_host``; here is what follows from the configured
mirrors: their sources, one byte of an asset, their targets, and how many requests they cost.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from mirror.check.git_check import GitCheck
from mirror.check.host_check import CheckResult, HostCheck, State, failure, server_of
from mirror.core.ledger.document import Index
from mirror.core.text.wording import count
from mirror.errors import MirrorError, NotFound
from mirror.github.answers import RateLimits, ReleaseAnswer, RepositoryAnswer
from mirror.sync.discovery import discover

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from mirror.core.clock import Clock
    from mirror.core.domain.mirror import Mirror, Rule
    from mirror.core.domain.release import RepoRef
    from mirror.git.tag_pusher import TagPusher
    from mirror.sync.context import Endpoint, TargetEndpoint

__all__ = ["CheckResult", "Checker"]

MOST_REPOSITORIES = 50
"""Repositories of a host that are looked at; a check shall not be what uses up the rate limit."""

_AT_ONCE = 8

T = TypeVar("T")


class Checker:
    """Asks every host what a pass will depend on.

    Args:
        rules: The configured mirrors.
        sources: By name.
        target: The host that is written to.
        clock: The time.
        interval: Seconds between two passes, for the requests an hour.
        pusher: Runs git, for mirrors that push tags.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        sources: Mapping[str, Endpoint],
        target: TargetEndpoint,
        clock: Clock,
        *,
        interval: float = 900.0,
        pusher: TagPusher | None = None,
    ) -> None:
        self._rules = [rule for rule in rules if rule.enabled]
        self._sources = sources
        self._target = target
        self._clock = clock
        self._interval = interval
        self._pusher = pusher
        self._mirrors: tuple[Mirror, ...] = ()

    async def run(self) -> list[CheckResult]:
        """Look at all of them; one failure does not stop the rest."""
        hosts = [*self._sources.values(), self._target]
        checks = [HostCheck(side, self._clock, writes=side is self._target) for side in hosts]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(check.run()) for check in checks]
        results = [result for task in tasks for result in task.result()]
        results += await self._expand()
        for side in self._sources.values():
            results += await self._source(side)
        if self._target.store.client.stopped:
            results.append(_not_tried("target", "repositories"))
        else:
            results += [*await self._owners(), *await self._targets()]
        if self._pusher:
            looked = self._mirrors[:MOST_REPOSITORIES]
            results += await GitCheck(looked, self._sources, self._target, self._pusher).run()
        results += [await self._budget(side) for side in hosts]
        results.append(_UNPROVEN)
        order = [side.name for side in hosts]
        return sorted(results, key=lambda result: order.index(result.host))

    async def _expand(self) -> list[CheckResult]:
        """Expand the configured mirrors; return a result for each listing that failed."""
        expanded = await discover(self._rules, (), self._sources, Index(), full=True)
        self._mirrors = expanded.mirrors
        results: list[CheckResult] = []
        for report in expanded.failed:
            name, _, what = report.source.partition(":")
            texts = [found.error for found in report.failures] or list(report.warnings)
            status: State = "failed" if report.failures else "unknown"
            results.append(CheckResult(name, what, status, "; ".join(texts)))
        if not expanded.failed:
            results += [self._patterns(side.name) for side in self._sources.values()]
        return results

    def _patterns(self, name: str) -> CheckResult:
        entries = sum(rule.source_name == name for rule in self._rules)
        mirrors = sum(mirror.source_name == name for mirror in self._mirrors)
        status: State = "ok" if mirrors or not entries else "warning"
        return CheckResult(
            name,
            "mirrors",
            status,
            f"{mirrors} found by {count(entries, '[[mirrors]] entry', '[[mirrors]] entries')}",
        )

    # -- sources ------------------------------------------------------------------------------

    async def _source(self, side: Endpoint) -> list[CheckResult]:
        """Whether each repository can be read, and one byte of one asset through storage."""
        mirrors = [mirror for mirror in self._mirrors if mirror.source_name == side.name]
        if not mirrors:
            return []
        if side.store.client.stopped:
            return [_not_tried(side.name, "releases")]
        looked = mirrors[:MOST_REPOSITORIES]
        found = await _each(partial(self._newest_asset, side, mirror.source) for mirror in looked)
        results, asset = [], None
        for mirror, answer in zip(looked, found, strict=True):
            if isinstance(answer, MirrorError):
                results.append(failure(side.name, str(mirror.source), answer))
            elif answer and not asset:
                asset = (mirror.source, *answer)
        good = len(looked) - len(results)
        if good:
            more = f"; {len(mirrors) - len(looked)} more not looked at" * (
                len(mirrors) > len(looked)
            )
            results.append(
                CheckResult(
                    side.name,
                    "releases",
                    "ok",
                    f"readable in {count(good, 'repository', 'repositories')}{more}",
                )
            )
        results.append(await self._one_byte(side, asset))
        return results

    async def _newest_asset(self, side: Endpoint, repo: RepoRef) -> tuple[int, str] | None:
        """Number and name of an asset of one of the newest releases, if they have any."""
        path = f"repos/{repo}/releases?per_page=5"
        answer = await server_of(side).get(path, shape=list[ReleaseAnswer])
        assets = (asset for release in answer.data for asset in release.assets if asset.size)
        return next(((asset.id, asset.name) for asset in assets), None)

    async def _one_byte(
        self, side: Endpoint, asset: tuple[RepoRef, int, str] | None
    ) -> CheckResult:
        if asset is None:
            return CheckResult(side.name, "download", "unknown", "no asset found to test with")
        repo, number, name = asset
        path = f"repos/{repo}/releases/assets/{number}"
        try:
            async with server_of(side).open_stream(path, {"Range": "bytes=0-0"}) as stream:
                place = urlsplit(stream.url).netloc
                async for chunk in stream.chunks:
                    if chunk:
                        detail = f"read one byte of {name} of {repo} from {place}"
                        return CheckResult(side.name, "download", "ok", detail)
        except MirrorError as error:
            return failure(side.name, "download", error)
        return CheckResult(side.name, "download", "failed", f"{place} sent no byte of {name}")

    # -- the target ---------------------------------------------------------------------------

    async def _owners(self) -> list[CheckResult]:
        """Whether each owner exists at the target: this program creates repositories, not owners."""
        owners = sorted({mirror.target.owner for mirror in self._mirrors}, key=str.casefold)
        client = server_of(self._target)
        answers = await _each(partial(client.get, f"users/{owner}") for owner in owners)
        results = []
        for owner, answer in zip(owners, answers, strict=True):
            if isinstance(answer, NotFound):
                detail = "does not exist; create this organization"
                results.append(CheckResult("target", f"owner {owner}", "failed", detail))
            elif isinstance(answer, MirrorError):
                results.append(failure("target", f"owner {owner}", answer))
            else:
                results.append(CheckResult("target", f"owner {owner}", "ok", "exists"))
        return results

    async def _targets(self) -> list[CheckResult]:
        looked = self._mirrors[:MOST_REPOSITORIES]
        get = partial(server_of(self._target).get, shape=RepositoryAnswer)
        answers = await _each(partial(get, f"repos/{mirror.target}") for mirror in looked)
        results: list[CheckResult] = []
        counts: Counter[str] = Counter()
        for mirror, answer in zip(looked, answers, strict=True):
            if isinstance(answer, NotFound):
                counts["to be created"] += mirror.policy.create_repository
                if not mirror.policy.create_repository:
                    detail = "does not exist or is not visible to the token, and create_repository"
                    detail += " is false"
                    results.append(CheckResult("target", str(mirror.target), "failed", detail))
            elif isinstance(answer, MirrorError):
                results.append(failure("target", str(mirror.target), answer))
            elif trouble := _trouble(answer.data):
                results.append(CheckResult("target", str(mirror.target), "failed", trouble))
            else:
                counts["writable"] += 1
        if len(self._mirrors) > len(looked):
            counts["not looked at"] = len(self._mirrors) - len(looked)
        said = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
        if said:
            results.append(CheckResult("target", "repositories", "ok", said))
        return results

    # -- the rate limit -----------------------------------------------------------------------

    async def _budget(self, side: Endpoint) -> CheckResult:
        """Requests an hour that idle passes cost, against what the host allows."""
        needed = self._requests_an_hour(side)
        try:
            answer = await server_of(side).get("rate_limit", shape=RateLimits)
        except NotFound:
            return CheckResult(side.name, "rate limit", "ok", "not limited")
        except MirrorError as error:
            return failure(side.name, "rate limit", error, status="unknown")
        limit = answer.data.resources.core.limit
        detail = f"{limit} requests per hour; passes without changes need about {needed}"
        if needed > limit:
            return CheckResult(
                side.name, "rate limit", "warning", f"{detail}: use a longer interval, or a token"
            )
        return CheckResult(side.name, "rate limit", "ok", detail)

    def _requests_an_hour(self, side: Endpoint) -> int:
        """One for each mirror and each listing in each pass; the target is not looked at."""
        if side is self._target:
            return 0
        mirrors = sum(mirror.source_name == side.name for mirror in self._mirrors)
        listings = {
            rule.listing for rule in self._rules if rule.wildcard and rule.source_name == side.name
        }
        passes = 3600 / max(self._interval, 1)
        return round((mirrors + len(listings)) * passes)


_UNPROVEN = CheckResult(
    "target",
    "writing",
    "unknown",
    "not tested: check writes nothing, so only the first sync proves that repositories, tags and"
    " releases can be created and assets uploaded; plan shows what sync would do",
)


def _not_tried(host: str, what: str) -> CheckResult:
    return CheckResult(host, what, "unknown", "skipped because of the failure above")


def _trouble(repository: RepositoryAnswer) -> str:
    """What prevents writing to a repository that exists; empty for nothing."""
    if repository.archived:
        return "is archived and read-only; unarchive it"
    if repository.permissions and not repository.permissions.push:
        return "the token has no write access; grant it"
    return ""


async def _each(asks: Iterable[Callable[[], Awaitable[T]]]) -> list[T | MirrorError]:
    """Ask some at once; an error is an answer too."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def ask(one: Callable[[], Awaitable[T]]) -> T | MirrorError:
        async with slots:
            try:
                return await one()
            except MirrorError as error:
                return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(one)) for one in asks]
    return [task.result() for task in tasks]
