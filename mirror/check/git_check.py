"""Look at what pushed tags depend on: the git program, both hosts by git, packed history, and Actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.bundle.writer import BundleWriter
from mirror.check.check_results import CheckResult, failure
from mirror.core.text.wording import count
from mirror.errors import GitError, MirrorError, NotFound
from mirror.git.tag_pusher import Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mirror.core.domain.mirror import Mirror
    from mirror.core.domain.release import RepoRef
    from mirror.git.tag_pusher import GitRemote, TagPusher
    from mirror.sync.context import Endpoint, TargetEndpoint


class GitCheck:
    """Asks by git, which reaches hosts by their web address, as a pass will; nothing is pushed.

    Of a bundle, all packed history is read and verified.

    Args:
        mirrors: Those that are looked at.
        sources: By name.
        target: The host that is written to.
        pusher: Runs git.
    """

    def __init__(
        self,
        mirrors: Sequence[Mirror],
        sources: Mapping[str, Endpoint],
        target: TargetEndpoint,
        pusher: TagPusher,
    ) -> None:
        self._mirrors = [mirror for mirror in mirrors if mirror.policy.tags == "push"]
        self._sources = sources
        self._target = target
        self._pusher = pusher

    async def run(self) -> list[CheckResult]:
        """One repository of each server and all of a bundle, and Actions of the target's."""
        results = []
        for name, side in self._sources.items():
            repos = [m.source for m in self._mirrors if m.source_name == name]
            if not repos or side.store.client.stopped:
                continue
            if side.git and side.git.packed:
                results += await self._packed(side.name, side.git, list(dict.fromkeys(repos)))
            else:
                results.append(await self._reach(side, repos[0]))
        if self._mirrors and not self._target.store.client.stopped:
            store = self._target.store
            if isinstance(store, BundleWriter):
                results += await self._stored(store)
            else:
                results += await self._targets()
        return results

    async def _packed(
        self, name: str, bundle: GitRemote, repos: Sequence[RepoRef]
    ) -> list[CheckResult]:
        """Whether git can unpack the history that a bundle brings."""
        results: list[CheckResult] = []
        tags = 0
        for repo in repos:
            try:
                number = await self._pusher.look(Place(bundle, repo))
                if not number:
                    text = f"the bundle has no git history of {repo}"
                    raise GitError(text, hint="no-history")
            except MirrorError as error:
                results.append(failure(name, f"{repo} git", error))
            else:
                tags += number
        if tags:
            where = count(len(repos) - len(results), "repository", "repositories")
            text = f"git verifies the history of {count(tags, 'tag')} of {where}"
            results.append(CheckResult(name, "git", "ok", text))
        return results

    async def _stored(self, store: BundleWriter) -> list[CheckResult]:
        """Whether the history that was packed before is whole."""
        results: list[CheckResult] = []
        if await store.directory.contents() is None:
            return results
        tags = 0
        for repo in dict.fromkeys(mirror.target for mirror in self._mirrors):
            try:
                history, _ = await store.history(repo)
            except NotFound:
                continue
            except MirrorError as error:
                text = f"{error}; release-mirror sync --full packs it again"
                results.append(CheckResult(store.client.name, f"{repo} git", "failed", text))
            else:
                tags += len(history)
        if tags:
            text = f"the bundle holds the history of {count(tags, 'tag')}"
            results.append(CheckResult(store.client.name, "git", "ok", text))
        return results

    async def _reach(self, side: Endpoint, repo: RepoRef) -> CheckResult:
        if side.git is None:
            return CheckResult(side.name, "git", "unknown", "not tried")
        try:
            count = await self._pusher.look(Place(side.git, repo))
        except MirrorError as error:
            return failure(side.name, "git", error)
        return CheckResult(side.name, "git", "ok", f"git sees {count} tags of {repo}")

    async def _targets(self) -> list[CheckResult]:
        """Whether history may be pushed to the repositories that exist."""
        store, results = self._target.store, []
        reached = False
        for mirror in self._mirrors:
            try:
                repo = (await store.repository(mirror.target)).ref
                enabled = await store.repositories.actions_enabled(repo)
            except NotFound:
                continue
            except MirrorError as error:
                results.append(failure(self._target.name, f"{mirror.target} actions", error))
                continue
            if not reached:
                reached = True
                results.append(await self._reach(self._target, repo))
            if enabled is not False and not mirror.policy.allow_actions:
                state = "is enabled" if enabled else "may be enabled (the token cannot see it)"
                detail = (
                    f'GitHub Actions {state}, so that tags = "push" is refused: disable Actions'
                    " there, or set allow_actions = true"
                )
                name = f"{mirror.target} actions"
                results.append(CheckResult(self._target.name, name, "failed", detail))
        return results
