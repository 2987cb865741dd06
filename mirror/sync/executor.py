"""Carries out a plan: repository, tags and drafts, then each release; it decides nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from mirror.core.execution.action import CreateTag, PushTag
from mirror.core.execution.outcome import Outcome
from mirror.errors import GitHubError, HostStopped, MirrorError, ValidationFailed, Waiting
from mirror.sync.release_executor import ReleaseExecutor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mirror.core.domain.release import Release
    from mirror.core.execution.action import CreateRelease, CreateRepository, Plan, ReleaseWork
    from mirror.sync.execution_context import ExecutionContext

log = structlog.get_logger()

RELEASES_AT_ONCE = 8
"""Releases of one mirror that are put together at the same time."""

_ACTIONS_STAY = (
    "GitHub Actions could not be disabled in the repository that was created: the token may not, or"
    " the owner decides; disable them, so that no release starts a workflow"
)


class Executor:
    """Carries out the plan of one mirror.

    Args:
        context: What to do it with.
        default_branch: Of the target repository; empty where it does not exist yet.
    """

    def __init__(self, context: ExecutionContext, default_branch: str) -> None:
        self._hands = context
        self._branch = default_branch
        self._root: tuple[str, str] | None = None
        self._root_lock = asyncio.Lock()
        self._unpushed: dict[str, MirrorError] = {}
        self._branch_given = False

    async def run(self, plan: Plan) -> None:
        """Carry out everything; a failure stops only what depends on it.

        Raises:
            HostStopped: The host or its credential is disabled.
        """
        if plan.repository and not await self._create_repository(plan.repository, plan):
            return
        releases = await self._push_tags(plan.releases)
        queue = iter(releases)

        async def work_off() -> None:
            for work in queue:
                if not self._hands.stop.requested:
                    await self._release(work)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(RELEASES_AT_ONCE, len(releases))):
                    group.create_task(work_off())
        except* HostStopped as stopped:
            raise stopped.exceptions[0] from None

    async def _create_repository(self, action: CreateRepository, plan: Plan) -> bool:
        """Make it, with GitHub Actions off and one commit; whether that succeeded."""
        context = self._hands
        try:
            if self._branch:  # made by a run that was cut off before the first commit
                made = await context.target.repository(context.repo)
            else:
                made = await context.target.create_repository(
                    context.repo, action.visibility, action.description
                )
            self._branch = made.default_branch
            # The commit comes last: a repository that has one is taken as made, whenever a run is
            # cut off.
            off = await context.target.disable_actions(context.repo)
            if action.without_actions and not off:
                await self._check_actions()
            if action.readme:
                self._root = await context.target.first_commit(
                    context.repo, "README.md", action.readme, f"{action.description}\n"
                )
        except MirrorError as error:
            if not (self._branch or (isinstance(error, GitHubError) and error.ambiguous)):
                context.journal.repository_refused()
            await context.fail([action, *(rest for _, rest in plan.actions()[1:])], None, error)
            return False
        log.info("repository.created", target=str(context.repo))
        warning = "" if off else _ACTIONS_STAY
        await context.record(Outcome(action, "done", repository_id=made.id, warning=warning))
        return True

    async def _check_actions(self) -> None:
        """Where the server does not let us disable GitHub Actions, they have to be off already."""
        context = self._hands
        if await context.target.actions_enabled(context.repo) is not False:
            raise Waiting(
                "policy",
                f'tags = "push" is refused: GitHub Actions could not be disabled at {context.repo},'
                " which was just created",
                hint="allow-actions",
            )

    async def _push_tags(self, releases: Sequence[ReleaseWork]) -> Sequence[ReleaseWork]:
        """Push all tags at once; the releases that can go on.

        What is wrong with one tag is told with its release, what is wrong with git once.
        """
        context = self._hands
        waiting = [work for work in releases if isinstance(work.tag, PushTag)]
        if not waiting or context.history is None or context.stop.requested:
            return releases
        tags = [work.tag.tag for work in waiting if work.tag]
        try:
            self._unpushed = dict(await context.history.push(tags))
        except MirrorError as error:
            first, *others = [(work.source, a) for work in waiting for a in work.actions()]
            await context.fail([first[1]], None, error)
            for source, action in others:
                await context.record(Outcome(action, "skipped", source))
            return [work for work in releases if work not in waiting]
        log.info("tags.pushed", target=str(context.repo), tags=len(tags) - len(self._unpushed))
        return releases

    async def _release(self, work: ReleaseWork) -> None:
        """Make what has to be there before assets can arrive; then put the release together."""
        context, release = self._hands, work.target
        todo = list(work.actions())
        try:
            if isinstance(work.tag, PushTag):
                if error := self._unpushed.get(work.tag.tag):
                    raise error
                await context.record(Outcome(todo.pop(0), "done", work.source))
            elif work.tag:
                await self._create_tag(work.tag)
                await context.record(Outcome(todo.pop(0), "done", work.source))
            for leftover in work.leftovers:
                await context.delete(leftover)
                await context.record(Outcome(todo.pop(0), "done", work.source, release))
            if work.create:
                release = await self._create_release(work.create, work.source.tag)
                await context.record(Outcome(todo.pop(0), "done", work.source, release))
        except MirrorError as error:
            await context.fail(todo, work.source, error)
            return
        if release:
            await ReleaseExecutor(work, release, context).run()

    async def _create_release(self, action: CreateRelease, tag: str) -> Release:
        context = self._hands
        try:
            return await context.target.create_release(context.repo, action.fields, action.mark)
        except ValidationFailed as error:
            # A server may call a repository empty that has tags and no branch.
            if context.history is None or error.reason != "repository-empty":
                raise
            async with self._root_lock:
                if not self._branch_given:
                    await context.history.push_branch(self._branch or "main", tag)
                    self._branch_given = True
        return await context.target.create_release(context.repo, action.fields, action.mark)

    async def _create_tag(self, tag: CreateTag) -> None:
        context, commit = self._hands, tag.commit
        if commit is None:
            root, tree = await self._placeholder_root()
            commit = await context.target.create_commit(
                context.repo, message=tag.message, tree=tree, parents=[root], date=tag.date
            )
        await context.target.create_tag(context.repo, tag.tag, commit)

    async def _placeholder_root(self) -> tuple[str, str]:
        """The commit and the tree that placeholder commits stand on."""
        async with self._root_lock:
            if self._root is None:
                self._root = await self._hands.target.head(self._hands.repo, self._branch)
            return self._root
