"""Look at what pushed tags depend on: the git program, both hosts by git, and GitHub Actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.check.check_results import CheckResult, failure
from mirror.errors import MirrorError, NotFound
from mirror.git.tag_pusher import Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mirror.core.domain.mirror import Mirror
    from mirror.core.domain.release import RepoRef
    from mirror.git.tag_pusher import TagPusher
    from mirror.sync.context import Endpoint, TargetEndpoint


class GitCheck:
    """Asks by git, which reaches hosts by their web address, as a pass will; nothing is pushed.

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
        """One repository of each source, one of the target, and Actions of all."""
        results = []
        for name, side in self._sources.items():
            first = next((m.source for m in self._mirrors if m.source_name == name), None)
            if first and not side.store.client.stopped:
                results.append(await self._reach(side, first))
        if self._mirrors and not self._target.store.client.stopped:
            results += await self._targets()
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
