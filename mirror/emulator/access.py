"""Who may see and do what."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from mirror.emulator import apps
from mirror.emulator.errors import ApiError, forbidden, not_found
from mirror.emulator.model import LEVELS, Permission, Token

if TYPE_CHECKING:
    from mirror.emulator.model import Account, Repository
    from mirror.emulator.state import GitHubState


def allows(level: Permission, need: Permission) -> bool:
    """Whether a level of permission is enough."""
    return LEVELS.index(level) >= LEVELS.index(need)


def authenticate(state: GitHubState, header: str | None) -> Token | None:
    """The token behind an `Authorization` header; `None` is nobody.

    Raises:
        ApiError: 401 for a credential that is not known or has expired; it is not ignored.
    """
    if header is None:
        if state.private_mode:
            raise ApiError(HTTPStatus.UNAUTHORIZED, "Must authenticate to access this API.")
        return None
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer" and apps.looks_signed(value):
        return apps.signed_by(state, value.strip())
    token = state.tokens.get(value.strip()) if scheme.lower() in ("token", "bearer") else None
    if token is None or (token.expires_at is not None and state.clock() >= token.expires_at):
        raise ApiError(HTTPStatus.UNAUTHORIZED, "Bad credentials")
    return token


def permission_in(state: GitHubState, repository: Repository, token: Token | None) -> Permission:
    """What a caller may do in a repository."""
    level: Permission = "none"
    if token is not None:
        if token.admin or token.account is repository.owner:
            return "admin"
        everywhere = token.owners.get(repository.owner.login.lower(), token.permission)
        level = token.repositories.get(repository.full_name.lower(), everywhere)
    open_to_caller = repository.visibility == "public" or (
        repository.visibility == "internal" and token is not None and state.kind == "ghes"
    )
    return "read" if open_to_caller and level == "none" else level


def require(
    state: GitHubState, repository: Repository, token: Token | None, need: Permission
) -> None:
    """Refuse what a caller may not do, the way GitHub does.

    Raises:
        ApiError: 404 when the repository is not theirs to see; for a write, 401 without a token,
            403 for a fine-grained token, 404 for a classic one; 403 for an archived repository.
    """
    level = permission_in(state, repository, token)
    if level == "none":
        raise not_found()
    if not allows(level, need):
        if token is None:
            raise ApiError(HTTPStatus.UNAUTHORIZED, "Requires authentication")
        if token.scopes is None:
            error = forbidden("Resource not accessible by personal access token")
            error.headers["X-Accepted-GitHub-Permissions"] = "contents=write"
            raise error
        raise not_found()
    if need != "read" and repository.archived:
        raise forbidden("Repository was archived so is read-only.")


def require_user(token: Token | None) -> Token:
    """The token of a call that nobody may make without one.

    Raises:
        ApiError: 401.
    """
    if token is None:
        raise ApiError(HTTPStatus.UNAUTHORIZED, "Requires authentication")
    return token


def require_creation(token: Token | None, owner: Account) -> Token:
    """The token of a call that makes a repository for an owner.

    Raises:
        ApiError: 401 without a token, 403 with one that may not.
    """
    known = require_user(token)
    if known.admin or known.account is owner or known.owners.get(owner.login.lower()) == "admin":
        return known
    if known.scopes is None:
        raise forbidden("Resource not accessible by personal access token")
    raise forbidden("You need admin access to the organization before adding a repository to it.")
