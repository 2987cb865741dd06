"""Accounts, tokens and GitHub Apps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

AccountType = Literal["User", "Organization", "Bot"]
Permission = Literal["none", "read", "write", "admin"]
LEVELS: tuple[Permission, ...] = ("none", "read", "write", "admin")


def allows(level: Permission, need: Permission) -> bool:
    """Whether a level of permission is enough."""
    return LEVELS.index(level) >= LEVELS.index(need)


@dataclass(slots=True, eq=False)
class Account:
    """A user, an organization or the bot of an App."""

    id: int
    login: str
    type: AccountType
    created_at: str


@dataclass(slots=True, eq=False)
class Token:
    """A credential and what it may do.

    Attributes:
        value: What a client sends.
        account: Its owner.
        admin: May do everything, and create repositories for every owner.
        permission: What it may do in every repository.
        repositories: Permission by lower-case `owner/name`; takes precedence over `permission`.
        owners: Permission in all repositories of an owner, by lower-case login.
        scopes: `X-OAuth-Scopes`; `None` for a fine-grained or installation token, which has none.
        expires: Value of the expiry header, `2026-01-01 00:00:00 UTC`; `None` omits the header.
        expires_at: Seconds since the epoch from which it is refused.
    """

    value: str
    account: Account
    admin: bool = False
    permission: Permission = "none"
    repositories: dict[str, Permission] = field(default_factory=dict)
    owners: dict[str, Permission] = field(default_factory=dict)
    scopes: str | None = "repo, workflow"
    expires: str | None = None
    expires_at: float | None = None

    def scopes_include(self, *any_of: str) -> bool:
        """Whether it has one of these scopes."""
        return not {scope.strip() for scope in (self.scopes or "").split(",")}.isdisjoint(any_of)


@dataclass(slots=True)
class Installation:
    """An App installed on an account, with its permission in the account's repositories."""

    id: int
    account: Account
    permission: Permission
    suspended_at: str | None = None


@dataclass(frozen=True, slots=True)
class App:
    """A GitHub App.

    Attributes:
        id: Its number.
        client_id: Its client id, which its tokens may name as issuer as well.
        account: Its bot account.
        public_key: RSA modulus and exponent; `None` accepts any signature.
        installations: By lower-case login.
    """

    id: int
    client_id: str
    account: Account
    public_key: tuple[int, int] | None
    installations: dict[str, Installation] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """Its name in addresses."""
        return self.account.login.removesuffix("[bot]")
