"""Carries out a plan: the repository, tags and drafts first, then each release."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from mirror.core.execution.action import CreateTag, PushTag
from mirror.core.execution.outcome import Outcome
from mirror.core.execution.settlement import (
    actions_not_disabled,
    needs_branch,
    repository_may_exist,
)
from mirror.errors import MirrorError, ValidationFailed
from mirror.sync.concurrency import run_each
from mirror.sync.release_executor import ReleaseExecutor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mirror.core.domain.release import Release
    from mirror.core.execution.action import (
        CreateRelease,
        CreateRepository,
        DeleteAsset,
        DeleteRelease,
        Plan,
        ReleaseWork,
    )
    from mirror.sync.execution_context import ExecutionContext, History

log = structlog.get_logger()

RELEASES_AT_ONCE = 8
"""Maximum number of releases of one mirror that are put together at the same time."""

_ACTIONS_ENABLED = (
    "GitHub Actions could not be disabled in the repository that was created: the token lacks the"
    " permission, or its owner sets the policy; disable them, so that no release starts a workflow"
)


class Executor:
    """Carries out the plan of one mirror.

    Args:
        context: What the executor works with.
        default_branch: The target repository's, as far as it is known.
    """

    def __init__(self, context: ExecutionContext, default_branch: str) -> None:
        self._context = context
        self._branch = default_branch
        self._root: tuple[str, str] | None = None
        self._root_lock = asyncio.Lock()
        self._unpushed: dict[str, MirrorError] = {}
        self._branch_pushed = False

    async def run(self, plan: Plan) -> None:
        """Carry out everything; a failure stops only what depends on it.

        Raises:
            HostStopped: The host or its credential is disabled.
        """
        create, finish = plan.repository, self._context.finish
        if create and not await finish(self._create_repository(create, plan), [create], None):
            return
        releases = await self._push_tags(plan.releases)
        others = [work for work in releases if not work.refused]
        await run_each(others, RELEASES_AT_ONCE, self._release)
        refused = sorted((w for w in releases if w.refused), key=lambda work: work.refused)
        # The first one alone: where another one is refused for ever, it has its turn all the same.
        for works in (refused[:1], refused[1:]):
            if works:
                self._context.gate.begin_again()
                await run_each(works, RELEASES_AT_ONCE, self._release)

    async def _create_repository(self, action: CreateRepository, plan: Plan) -> bool:
        """Create it, with GitHub Actions disabled and one commit; whether that succeeded."""
        context, git = self._context, self._context.target.repositories
        created = None
        try:
            if action.begun:
                created = await context.target.repository(context.repo)
            else:
                created = await git.create_repository(
                    context.repo, action.visibility, action.description
                )
            self._branch = created.default_branch
            # The commit comes last: a repository that has one counts as created, whenever a run
            # is killed.
            disabled = await git.disable_actions(context.repo)
            if action.without_actions and not disabled:
                enabled = await git.actions_enabled(context.repo)
                if refused := actions_not_disabled(context.repo, enabled=enabled):
                    raise refused
            if action.readme:
                self._root = await git.first_commit(
                    context.repo, "README.md", action.readme, f"{action.description}\n"
                )
        except MirrorError as error:
            if not (created or repository_may_exist(error)):
                context.journal.repository_refused()
            await context.fail([action, *(rest for _, rest in plan.actions()[1:])], None, error)
            return False
        log.info("repository.created", target=str(context.repo))
        warning = "" if disabled else _ACTIONS_ENABLED
        await context.record(Outcome(action, "done", repository_id=created.id, warning=warning))
        return True

    async def _push_tags(self, releases: Sequence[ReleaseWork]) -> Sequence[ReleaseWork]:
        """Push all tags at once; the releases that can continue.

        The failure of one tag is reported with its release, a failure of git once.
        """
        context = self._context
        waiting = [work for work in releases if isinstance(work.tag, PushTag)]
        if not waiting or context.history is None or context.session.stop.requested:
            return releases
        tags = [work.tag for work in waiting if work.tag]
        try:
            await context.finish(self._push(context.history, waiting), tags, None)
        except MirrorError as error:
            first, *others = [(work.source, a) for work in waiting for a in work.actions()]
            await context.fail([first[1]], None, error)
            for source, action in others:
                await context.record(Outcome(action, "skipped", source))
            return [work for work in releases if work not in waiting]
        log.info("tags.pushed", target=str(context.repo), tags=len(tags) - len(self._unpushed))
        return releases

    async def _push(self, history: History, waiting: Sequence[ReleaseWork]) -> None:
        tags = [work.tag.tag for work in waiting if work.tag]
        self._unpushed = dict(await history.push(tags))
        for work in waiting:
            if work.tag and work.tag.tag not in self._unpushed:
                await self._context.record(Outcome(work.tag, "done", work.source))

    async def _release(self, work: ReleaseWork) -> None:
        """Create what assets need, the tag and the draft; then put the release together."""
        context, release = self._context, work.target
        if context.session.stop.requested:
            return
        todo = list(work.actions())
        try:
            if isinstance(work.tag, PushTag):
                if error := self._unpushed.get(work.tag.tag):
                    raise error
                todo.pop(0)
            elif work.tag:
                await context.finish(self._create_tag(work.tag, work.source), todo[:1], work.source)
                todo.pop(0)
            for leftover in work.leftovers:
                await context.finish(self._delete(leftover, work, release), todo[:1], work.source)
                todo.pop(0)
            if work.create:
                create = self._create_release(work.create, work.source)
                release = await context.finish(create, todo[:1], work.source)
                todo.pop(0)
        except MirrorError as error:
            await context.fail(todo, work.source, error)
            return
        if release:
            await ReleaseExecutor(work, release, context).run()

    async def _delete(
        self, leftover: DeleteAsset | DeleteRelease, work: ReleaseWork, release: Release | None
    ) -> None:
        await self._context.delete(leftover)
        await self._context.record(Outcome(leftover, "done", work.source, release))

    async def _create_release(self, action: CreateRelease, source: Release) -> Release:
        release = await self._create_draft(action, source.tag)
        await self._context.record(Outcome(action, "done", source, release))
        return release

    async def _create_draft(self, action: CreateRelease, tag: str) -> Release:
        context = self._context
        try:
            return await context.target.create_release(context.repo, action.fields, action.mark)
        except ValidationFailed as error:
            if context.history is None or not needs_branch(error):
                raise
            async with self._root_lock:
                if not self._branch_pushed:
                    await context.history.push_branch(self._branch or "main", tag)
                    self._branch_pushed = True
        return await context.target.create_release(context.repo, action.fields, action.mark)

    async def _create_tag(self, tag: CreateTag, source: Release) -> None:
        context, commit = self._context, tag.commit
        git = context.target.repositories
        if commit is None:
            root, tree = await self._placeholder_root()
            commit = await git.create_commit(
                context.repo, message=tag.message, tree=tree, parents=[root], date=tag.date
            )
        await git.create_tag(context.repo, tag.tag, commit)
        await context.record(Outcome(tag, "done", source))

    async def _placeholder_root(self) -> tuple[str, str]:
        """The parent commit of placeholder commits, and its tree."""
        async with self._root_lock:
            if self._root is None:
                self._root = await self._context.target.repositories.head(
                    self._context.repo, self._branch
                )
            return self._root
