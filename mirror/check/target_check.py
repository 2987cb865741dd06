"""Look at the target's owners and repositories: what the token can do there, as far as reading tells."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from mirror.check.check_results import CheckResult, ask_each, failure
from mirror.errors import AuthError, MirrorError, NotFound
from mirror.github.answers import Membership, Owner, RepositoryAnswer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mirror.check.check_results import State
    from mirror.core.domain.mirror import Mirror
    from mirror.github import GitHubClient


class TargetCheck:
    """Asks for the repositories that mirrors write to, and for their owners.

    Args:
        mirrors: Those that are looked at.
        client: Of the target.
        login: The token's account; ``None`` where that is not known.
        proven: What the token itself may do is known, not only what its account may do.
    """

    def __init__(
        self,
        mirrors: Sequence[Mirror],
        client: GitHubClient,
        *,
        login: str | None,
        proven: bool,
    ) -> None:
        self._mirrors = mirrors
        self._client = client
        self._login = login
        self._proven = proven

    async def run(self) -> list[CheckResult]:
        """Each owner, and what is to be done about repositories."""
        results, counts, missing = await self._repositories()
        owners = await self._owners(missing)
        doubtful = any(owner.status != "ok" for owner in owners)
        return [*owners, *results, *self._counted(counts, doubtful=doubtful)]

    def _result(self, what: str, status: State, detail: str) -> CheckResult:
        return CheckResult(self._client.name, what, status, detail)

    # -- repositories -------------------------------------------------------------------------

    async def _repositories(self) -> tuple[list[CheckResult], Counter[str], set[str]]:
        """What is wrong, counts of the others, and the owners that need a new repository."""
        get = partial(self._client.get, shape=RepositoryAnswer)
        answers = await ask_each(partial(get, f"repos/{mirror.target}") for mirror in self._mirrors)
        results: list[CheckResult] = []
        counts: Counter[str] = Counter()
        missing: set[str] = set()
        for mirror, answer in zip(self._mirrors, answers, strict=True):
            name = str(mirror.target)
            if isinstance(answer, NotFound):
                if mirror.policy.create_repository:
                    counts["to be created"] += 1
                    missing.add(mirror.target.owner.casefold())
                else:
                    detail = (
                        "does not exist, or the token may not see it; create it, or set"
                        " create_repository = true"
                    )
                    results.append(self._result(name, "failed", detail))
            elif isinstance(answer, MirrorError):
                results.append(failure(self._client.name, name, answer))
            elif trouble := self._trouble(answer.data):
                results.append(self._result(name, "failed", trouble))
            else:
                known = self._proven and answer.data.permissions is not None
                counts["writable" if known else "by the account"] += 1
        return results, counts, missing

    def _counted(self, counts: Counter[str], *, doubtful: bool) -> list[CheckResult]:
        """One line for all repositories without a fault of their own."""
        if not counts:
            return []
        said = [
            f"{counts[key]} {text}"
            for key, text in (
                ("writable", "writable"),
                ("by the account", "writable by the token's account"),
                ("to be created", "to be created"),
            )
            if counts[key]
        ]
        detail = ", ".join(said)
        if counts["by the account"]:
            detail += "; whether this token may write there cannot be seen without writing"
        known = not (counts["by the account"] or (doubtful and counts["to be created"]))
        return [self._result("repositories", "ok" if known else "unknown", detail)]

    def _trouble(self, repository: RepositoryAnswer) -> str:
        """What prevents writing to a repository that exists; empty for nothing."""
        if repository.archived:
            return "is archived and read-only; unarchive it, or disable the mirror"
        if repository.permissions and not repository.permissions.push:
            return f"{self._login or 'the token'} may not write there; grant the role Write"
        return ""

    # -- owners -------------------------------------------------------------------------------

    async def _owners(self, missing: set[str]) -> list[CheckResult]:
        """Whether each owner exists: this program creates repositories, not owners."""
        owners = {mirror.target.owner.casefold(): mirror.target.owner for mirror in self._mirrors}
        names = [owners[key] for key in sorted(owners)]
        get = partial(self._client.get, shape=Owner)
        answers = await ask_each(partial(get, f"users/{name}") for name in names)
        results = []
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, NotFound):
                detail = "does not exist; create this organization, or correct `target`"
                results.append(self._result(f"owner {name}", "failed", detail))
            elif isinstance(answer, MirrorError):
                results.append(failure(self._client.name, f"owner {name}", answer))
            elif name.casefold() not in missing or self._client.app:
                results.append(self._result(f"owner {name}", "ok", "exists"))
            else:
                status, detail = await self._may_create(answer.data)
                results.append(self._result(f"owner {name}", status, detail))
        return results

    async def _may_create(self, owner: Owner) -> tuple[State, str]:
        """Whether the token's account may create repositories for an owner."""
        if owner.type == "User":
            return self._as_user(owner.login)
        login = self._login or "the token's account"
        try:
            path = f"user/memberships/orgs/{owner.login}"
            answer = await self._client.get(path, shape=Membership)
        except NotFound:
            return "failed", (
                f"{login} is not a member and cannot create repositories there; add {login} to the"
                " organization, or create the repositories"
            )
        except AuthError:
            return "unknown", (
                "exists; whether the token may create repositories there can be seen only with the"
                " scope read:org (classic) or the permission Members: read"
            )
        except MirrorError as error:
            return "unknown", f"exists; whether {login} may create repositories there: {error}"
        return membership_verdict(answer.data, login)

    def _as_user(self, owner: str) -> tuple[State, str]:
        if self._login is None:
            return "unknown", "is a user, and only that user can create repositories there"
        if self._login.casefold() == owner.casefold():
            return "ok", "is the token's own account, which may create repositories"
        return "failed", (
            f"is a user, and {self._login} cannot create repositories there; use an organization,"
            f" or a token of {owner}"
        )


def membership_verdict(membership: Membership, login: str) -> tuple[State, str]:
    """Judge whether a member of an organization may create repositories in it.

    Source: https://docs.github.com/rest/orgs/members ("Get an organization membership for the
    authenticated user"; ``permissions.can_create_repository``)
    """
    if membership.state == "pending":
        return "failed", f"{login} has not accepted the invitation to it; accept it"
    if membership.role == "admin":
        return "ok", f"{login} owns it and may create repositories"
    may = membership.permissions.can_create_repository if membership.permissions else None
    if may is None:
        return (
            "unknown",
            f"{login} is a member; whether members may create repositories is not told",
        )
    if may:
        return "ok", f"{login} is a member and may create repositories"
    return "failed", (
        f"{login} is a member, but may not create repositories; allow members to, or create them"
    )


def more_than(looked: int, total: int) -> str:
    """What was left out, for the end of a sentence; empty for nothing."""
    return f"; {total - looked:,} more not looked at" if total > looked else ""
