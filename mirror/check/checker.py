"""Look at every host before anything depends on it; nothing is written.

What one host tells of itself is in ``check_host``; here is what follows from the configured
mirrors: their sources, one byte of an asset, their targets, and how many requests they cost.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from mirror.check.bundle_check import BundleCheck, is_bundle
from mirror.check.check_results import CheckResult, State, ask_each, failure, not_tried
from mirror.check.download_check import check_download
from mirror.check.git_check import GitCheck
from mirror.check.host_check import HostCheck, is_down, server_of
from mirror.check.rate_check import Polling, hourly_verdict, points_verdict
from mirror.check.target_check import TargetCheck, more_than
from mirror.core.ledger.document import Index
from mirror.core.text.wording import count
from mirror.errors import MirrorError, NotFound
from mirror.github.answers import RateLimits, ReleaseAnswer
from mirror.sync.discovery import Catalogue, discover

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mirror.core.clock import Clock
    from mirror.core.domain.mirror import Mirror, Rule
    from mirror.core.domain.release import Asset, RepoRef
    from mirror.git.tag_pusher import TagPusher
    from mirror.github.settings import Limits
    from mirror.sync.context import Endpoint, TargetEndpoint

MOST_REPOSITORIES = 50
"""Repositories of a host that are looked at; a check shall not be what uses up the rate limit."""


class Checker:
    """Asks every host what a pass will depend on.

    Args:
        rules: The configured mirrors.
        sources: By name.
        target: The host that is written to.
        clock: The time.
        interval: Seconds between two passes, for the rate limits.
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
        servers = [side for side in hosts if not is_bundle(side)]
        bundles = [BundleCheck(side) for side in hosts if is_bundle(side)]
        checks = [HostCheck(side, self._clock, writes=side is self._target) for side in servers]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(check.run()) for check in bundles]
            tasks += [group.create_task(check.run()) for check in checks]
        results = [result for task in tasks for result in task.result()]
        down = {result.host for result in results if is_down(result)}
        results += await self._expand()
        for side in self._sources.values():
            results += await self._source(side, down)
        if self._target in servers:
            results += await self._server(checks[-1], down)
        if self._pusher:
            looked = self._mirrors[:MOST_REPOSITORIES]
            results += await GitCheck(looked, self._sources, self._target, self._pusher).run()
        for side in servers:
            if side.name not in down:
                results += await self._limits(side)
        order = [side.name for side in hosts]
        return sorted(results, key=lambda result: order.index(result.host))

    async def _server(self, check: HostCheck, down: Collection[str]) -> list[CheckResult]:
        """The repositories of a target that is a server; what is not down was looked at."""
        if self._target.store.client.stopped or self._target.name in down:
            return [not_tried(self._target.name, "repositories")]
        looked = self._mirrors[:MOST_REPOSITORIES]
        target = server_of(self._target)
        found = TargetCheck(looked, target, login=check.login, proven=check.proven)
        results = await found.run()
        if more := more_than(len(looked), len(self._mirrors)):
            results.append(CheckResult("target", "others", "unknown", more.removeprefix("; ")))
        return [*results, _UNPROVEN]

    async def _expand(self) -> list[CheckResult]:
        """Expand the configured mirrors; return a result for each listing that failed."""
        catalogue = Catalogue(self._rules, self._sources, Index())
        expanded = await discover(catalogue, (), full=True)
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

    async def _source(self, side: Endpoint, down: Collection[str]) -> list[CheckResult]:
        """Whether each repository can be read, and one byte of one asset through storage."""
        mirrors = [mirror for mirror in self._mirrors if mirror.source_name == side.name]
        if not mirrors:
            return []
        if side.store.client.stopped or side.name in down:
            return [not_tried(side.name, "releases")]
        if is_bundle(side):
            return await BundleCheck(side).sources(mirrors)
        looked = mirrors[:MOST_REPOSITORIES]
        found = await ask_each(
            partial(self._newest_asset, side, mirror.source) for mirror in looked
        )
        results, asset = [], None
        for mirror, answer in zip(looked, found, strict=True):
            if isinstance(answer, MirrorError):
                results.append(failure(side.name, str(mirror.source), answer))
            elif answer and not asset:
                asset = (mirror.source, answer)
        good = len(looked) - len(results)
        if good:
            more = more_than(len(looked), len(mirrors))
            results.append(
                CheckResult(
                    side.name,
                    "releases",
                    "ok",
                    f"readable in {count(good, 'repository', 'repositories')}{more}",
                )
            )
        if asset:
            results.append(await check_download(server_of(side), *asset))
        else:
            detail = "no uploaded asset found to test with"
            results.append(CheckResult(side.name, "download", "unknown", detail))
        return results

    async def _newest_asset(self, side: Endpoint, repo: RepoRef) -> Asset | None:
        """An asset of one of the newest releases that can be downloaded, if they have any."""
        path = f"repos/{repo}/releases?per_page=5"
        answer = await server_of(side).get(path, shape=list[ReleaseAnswer])
        found = (asset.value() for release in answer.data for asset in release.assets)
        return next((asset for asset in found if asset.uploaded and asset.size), None)

    # -- the rate limit -----------------------------------------------------------------------

    async def _limits(self, side: Endpoint) -> list[CheckResult]:
        """What passes without changes cost, against what the host allows."""
        client, polling = server_of(side), self._polling(side)
        limits = client.rate_limiter.allowance.limits
        results = []
        if limits.points_per_minute:
            status, detail = points_verdict(polling, limits.points_per_minute)
            results.append(CheckResult(side.name, "points", status, detail))
        if side is self._target and (limits.writes_per_minute or limits.writes_per_hour):
            results.append(CheckResult(side.name, "writes", "ok", _writes(limits)))
        try:
            answer = await client.get("rate_limit", shape=RateLimits)
        except NotFound:
            return [*results, CheckResult(side.name, "rate limit", "ok", "not limited")]
        except MirrorError as error:
            return [*results, failure(side.name, "rate limit", error, status="unknown")]
        anonymous = client.fingerprint == "anonymous"
        limit = answer.data.resources.core.limit
        status, detail = hourly_verdict(polling, limit, anonymous=anonymous)
        return [*results, CheckResult(side.name, "rate limit", status, detail)]

    def _polling(self, side: Endpoint) -> Polling:
        """One request for each mirror and each listing in each pass; the target is not looked at."""
        if side is self._target:
            return Polling(0, ())
        mirrors = [mirror for mirror in self._mirrors if mirror.source_name == side.name]
        listings = {
            rule.listing: rule.interval
            for rule in self._rules
            if rule.wildcard and rule.source_name == side.name
        }
        intervals = [*(mirror.interval for mirror in mirrors), *listings.values()]
        return Polling(len(mirrors), [interval or self._interval for interval in intervals])


def _writes(limits: Limits) -> str:
    rates = [(limits.writes_per_minute, "a minute"), (limits.writes_per_hour, "an hour")]
    said = " and ".join(f"{limit:,g} {period}" for limit, period in rates if limit)
    return f"at most {said}; a new release takes 4, one more for each asset, a new repository 3"


_UNPROVEN = CheckResult(
    "target",
    "writing",
    "unknown",
    "not tested, since check writes nothing: the first sync proves it, and plan shows what it"
    " would do",
)
