"""The frame of a host: its accounts and tokens, its requests and faults, and its invariants."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mirror.emulator.faults.script import Faults
from mirror.emulator.model.accounts import Account, App, Installation, Token, allows
from mirror.emulator.model.content_store import ContentStore
from mirror.emulator.model.git_directory import GitDirectories
from mirror.emulator.model.invariants import Change, Expected, Invariants
from mirror.emulator.model.options import HostOptions
from mirror.emulator.model.rate_limits import RateLimits
from mirror.emulator.model.request_log import BytesHook, RequestHook, RequestLog, RequestRecord
from mirror.emulator.model.timestamps import iso

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Collection, Mapping

    from mirror.emulator.model.accounts import AccountType, Permission
    from mirror.emulator.model.releases import Asset, Release
    from mirror.emulator.model.repository import Repository


@dataclass(frozen=True, slots=True)
class Addresses:
    """Base addresses of a host, without a trailing slash."""

    web: str = "http://emulator.invalid"
    api: str = "http://emulator.invalid/api/v3"
    uploads: str = "http://emulator.invalid/api/uploads"
    storage: str = "http://storage.invalid"


class Host(HostOptions):
    """A host without the means to change its repositories, which `GitHubState` adds.

    Attributes:
        key: Signs storage addresses.
        names: Number of a repository by its lower-case `owner/name`.
        renamed: Number of a repository by its former names.
        promised: Assets that are expected of repositories that do not exist yet.
        change_listeners: Called at every change that is to be saved.
        tamper: Called with each request's record and its `Answer`, which it may change.
    """

    def __post_init__(self) -> None:
        """Begin empty."""
        super().__post_init__()
        limits = (self.rate_limit or 0, self.anonymous_rate_limit, self.secondary_limit)
        self.limits = RateLimits(self.time, *limits)
        self.contents = ContentStore(discard=self.discard, discard_above=self.discard_above)
        self.git_directories = GitDirectories()
        self.invariants = Invariants()
        self.log = RequestLog()
        self.faults = Faults(lambda: self.last_id)
        self.key = secrets.token_bytes(16)
        self.addresses = Addresses()
        self.last_id = (self.first_id or 0) - 1
        self.accounts: dict[str, Account] = {}
        self.tokens: dict[str, Token] = {}
        self.apps: dict[int, App] = {}
        self.repositories: dict[int, Repository] = {}
        self.names: dict[str, int] = {}
        self.renamed: dict[str, int] = {}
        self.promised: dict[str, dict[str, Expected]] = {}
        self.assets: dict[int, tuple[Repository, Release, Asset]] = {}
        self.change_listeners: list[Callable[[], None]] = []
        self.tamper: Callable[[RequestRecord, Any], None] | None = None

    # Requests

    @property
    def requests(self) -> deque[RequestRecord]:
        """The requests that were received, oldest first."""
        return self.log.records

    def count(
        self,
        *,
        route: str | None = None,
        method: str | None = None,
        status: int | None = None,
        origin: str | None = None,
    ) -> int:
        """Count answered requests; every argument that is given must match."""
        return self.log.count(route, method, status, origin)

    def reset_requests(self) -> None:
        """Forget the requests so far."""
        self.log.reset()

    def on_request(self, callback: RequestHook) -> None:
        """Call back at each request, before it is executed."""
        self.log.request_hooks.append(callback)

    def on_bytes(self, callback: BytesHook) -> None:
        """Call back with route and bytes so far while the body of an upload or download flows."""
        self.log.bytes_hooks.append(callback)

    # Invariants and changes

    @property
    def violations(self) -> list[str]:
        """What a reader could see and should not."""
        return self.invariants.violations

    def expect(self, repository: str, tag: str, assets: Expected) -> None:
        """Declare the assets a published release must hold, with their correct digests.

        If the repository does not exist yet, the expectation holds as soon as it does.
        """
        if repository.lower() in self.names:
            self.invariants.expect(self.repository(repository), tag, assets)
        else:
            self.promised.setdefault(repository.lower(), {})[tag] = assets

    def expect_latest(self, repository: str, tags: Collection[str]) -> None:
        """Declare which releases may be the latest."""
        self.invariants.expect_latest(self.repository(repository), tags)

    def changed(
        self, repository: Repository, release: Release | None = None, change: Change | None = None
    ) -> None:
        """Drop rendered documents, check the invariants and notify listeners after a change."""
        if release is not None:
            release.json = None
        self.invariants.check(repository, release, change or Change())
        self.touched()

    def touched(self) -> None:
        """Notify listeners that there is something to save."""
        for listener in self.change_listeners:
            listener()

    # Numbers, time, addresses

    def number(self) -> int:
        """A new number, from one counter for everything, so that newer is larger."""
        self.last_id += 1
        return self.last_id

    def time(self) -> float:
        """Seconds since the epoch by the current clock."""
        return self.clock()

    def now(self) -> str:
        """The time as GitHub writes it."""
        return iso(self.clock())

    def settle(self, addresses: Addresses) -> None:
        """Set the base addresses, and drop documents that show the former ones."""
        self.addresses = addresses
        for account in self.accounts.values():
            account.json = None
        for repository in self.repositories.values():
            for release in repository.releases.values():
                release.forget_rendered()

    # Repositories by name, and what a caller may do in them

    def repository(self, full_name: str) -> Repository:
        """The repository of that name, whatever its case.

        Raises:
            KeyError: It does not exist.
        """
        return self.repositories[self.names[full_name.lower()]]

    def find(self, owner: str, name: str) -> Repository | None:
        """The repository of that name, if it exists."""
        return self.repositories.get(self.names.get(f"{owner}/{name}".lower(), 0))

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

    # Accounts and credentials

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

    def add_user(self, login: str) -> Account:
        """Add a user without repositories."""
        return self.account(login, "User")

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
        bot = self.add_user(f"app-{number}[bot]")
        made = App(number, client_id or f"Iv1.{number}", bot, public_key)
        for login, permission in installations.items():
            account = self.account(login)
            made.installations[login.lower()] = Installation(self.number(), account, permission)
        self.apps[number] = made
        return made
