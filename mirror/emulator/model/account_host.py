"""Accounts, credentials and Apps of a host, and what a caller may do in its repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.emulator.model.accounts import Account, App, Installation, Token, allows
from mirror.emulator.model.emulated_host import Host

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mirror.emulator.model.accounts import AccountType, Permission
    from mirror.emulator.model.repository import Repository


class AccountHost(Host):
    """A host to which accounts and credentials can be added."""

    def account(self, login: str, kind: AccountType = "Organization") -> Account:
        """The account of that name, created if it does not exist."""
        found = self.accounts.get(login.lower())
        if found is None:
            found = Account(self.number(), login, kind, self.now())
            self.accounts[login.lower()] = found
            self.touched()
        return found

    def add_organization(self, login: str) -> Account:
        """Add an organization without repositories."""
        return self.account(login)

    def add_token(
        self,
        value: str,
        *,
        login: str = "emulator-user",
        admin: bool = False,
        permission: Permission = "none",
        repositories: Mapping[str, Permission] | None = None,
        scopes: str | None = "repo, workflow",
        fine_grained: bool = False,
        expires: str | None = None,
        expires_at: float | None = None,
    ) -> str:
        """Add a credential and return its value.

        A `fine_grained` one has no scopes, and gets 403 where a classic one gets 404.
        """
        self.tokens[value] = Token(
            value,
            self.account(login, "User"),
            admin,
            permission,
            {name.lower(): level for name, level in (repositories or {}).items()},
            scopes=None if fine_grained else scopes,
            expires=expires,
            expires_at=expires_at,
        )
        self.touched()
        return value

    def revoke_token(self, value: str) -> None:
        """Refuse the credential from now on."""
        del self.tokens[value]
        self.touched()

    def add_app(
        self,
        number: int,
        *,
        installations: Mapping[str, Permission],
        client_id: str = "",
        public_key: tuple[int, int] | None = None,
    ) -> App:
        """Add a GitHub App with its installations.

        Args:
            number: Its id.
            installations: Login → permission in its repositories (`admin` may create them as well).
            client_id: What its tokens may name instead of the id.
            public_key: RSA modulus and exponent; `None` accepts any signature.
        """
        bot = self.account(f"app-{number}[bot]", "Bot")
        made = App(number, client_id or f"Iv1.{number}", bot, public_key)
        for login, permission in installations.items():
            account = self.account(login)
            made.installations[login.lower()] = Installation(self.number(), account, permission)
        self.apps[number] = made
        return made

    def permission(self, repository: Repository, token: Token | None) -> Permission:
        """What a caller may do in a repository."""
        level: Permission = "none"
        if token is not None:
            if token.admin or token.account is repository.owner:
                return "admin"
            everywhere = token.owners.get(repository.owner.login.lower(), token.permission)
            level = token.repositories.get(repository.full_name.lower(), everywhere)
        readable = repository.visibility == "public" or (
            repository.visibility == "internal" and token is not None and self.kind == "ghes"
        )
        return "read" if readable and level == "none" else level

    def may_push(self, repository: Repository, token: Token | None) -> bool:
        """Whether a caller may write, and so see drafts."""
        return allows(self.permission(repository, token), "write")
