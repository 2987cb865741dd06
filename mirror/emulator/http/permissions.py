"""What a caller may do, and how GitHub refuses the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.emulator.http.answer import forbidden, not_found, unauthorized
from mirror.emulator.model.accounts import Permission, Token, allows

if TYPE_CHECKING:
    from mirror.emulator.model.account_host import AccountHost
    from mirror.emulator.model.accounts import Account
    from mirror.emulator.model.repository import Repository

_FINE_GRAINED = "Resource not accessible by personal access token"


def require(
    host: AccountHost, repository: Repository, token: Token | None, need: Permission
) -> None:
    """Refuse what a caller may not do.

    Raises:
        ApiError: 404 for a repository the caller may not see; for a write, 401 without a token,
            403 with a fine-grained one, 404 with a classic one; 403 for an archived repository.
    """
    level = host.permission(repository, token)
    if level == "none":
        raise not_found()
    if not allows(level, need):
        if token is None:
            raise unauthorized()
        if token.scopes is None:
            raise forbidden(_FINE_GRAINED, {"X-Accepted-GitHub-Permissions": "contents=write"})
        raise not_found()
    if need != "read" and repository.archived:
        raise forbidden("Repository was archived so is read-only.")


def require_user(token: Token | None) -> Token:
    """The token of a call that needs one.

    Raises:
        ApiError: 401.
    """
    if token is None:
        raise unauthorized()
    return token


def require_creation(token: Token | None, owner: Account) -> None:
    """Refuse who may not create a repository for an owner.

    Raises:
        ApiError: 401 without a token, 403 with one that lacks the permission.
    """
    known = require_user(token)
    if known.admin or known.account is owner or known.owners.get(owner.login.lower()) == "admin":
        return
    if known.scopes is None:
        raise forbidden(_FINE_GRAINED)
    raise forbidden("You need admin access to the organization before adding a repository to it.")
