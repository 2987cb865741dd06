"""What an emulated host is: its kind and behaviour, who there is, and what happened to it."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mirror.emulator.apps import App, Installation
from mirror.emulator.bare import BareCopies
from mirror.emulator.content import ContentStore
from mirror.emulator.faults import Faults
from mirror.emulator.git import iso
from mirror.emulator.invariants import Change, Expected, Invariants
from mirror.emulator.limits import Limits
from mirror.emulator.model import (
    Account,
    Asset,
    Permission,
    Release,
    Repository,
    Token,
)
from mirror.emulator.requestlog import BytesHook, RequestHook, RequestLog, RequestRecord

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Collection, Mapping

    from mirror.emulator.routing import Answer

Kind = Literal["ghes", "github"]
MAX_ASSET = 1 << 31
FIRST_VERSION_WITH_DIGESTS = (3, 17)
FIRST_VERSION_WITH_IMMUTABLE = (3, 20)
FIRST_VERSION_WITH_MAKE_LATEST = (3, 8)
FIRST_VERSION_WITH_API_VERSIONS = (3, 9)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the host is reached; no address ends in a slash."""

    web: str = "http://emulator.invalid"
    api: str = "http://emulator.invalid/api/v3"
    uploads: str = "http://emulator.invalid/api/uploads"
    storage: str = "http://storage.invalid"


def _version(version: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", version)
    if not found:
        raise ValueError(f"{version!r} is no version of GitHub Enterprise Server, such as 3.17")
    return int(found[1]), int(found[2])


class Host:
    """The frame of a host: options, accounts, tokens, the record of requests, the invariants.

    Args:
        kind: `ghes` (API below `/api/v3`, uploads below `/api/uploads`) or `github` (API at the
            root of its origin, uploads at another).
        version: The version of GHES; of no meaning for `github`.
        digests: Whether assets tell their SHA-256; `None` follows kind and version.
        direct_download: Answer a download with the bytes (200) instead of a 302 to storage.
        ignore_range: Answer a `Range` with everything, as some servers do.
        exact_signatures: Refuse a storage address that a client quoted anew (`%2F` as `/`), as some
            storage hosts do; without it only what the address means is signed.
        storage_lifetime: Seconds for which a storage address is valid.
        max_assets: Assets a release may hold; 0 is no limit, `None` is 1000 on `github` only.
        max_asset_size: Bytes an asset may have.
        upload_rate: Bytes a second at which uploads are read; 0 is as fast as it goes.
        rate_limit: Requests an hour for a token; 0 turns the limits off, `None` is 5000 on
            `github` and off on `ghes`.
        anonymous_rate_limit: The same without a token.
        secondary_limit: Requests a minute that create content; 0 is no limit.
        isolated_uploads: GHES with subdomain isolation: uploads at an origin of their own.
        private_mode: GHES in private mode: nothing without a token.
        branch_for_releases: A repository with tags and no branch is empty to whoever makes a release.
        discard: Keep no bytes of uploads larger than `discard_above`, only size and digest.
        discard_above: See `discard`.
        renames_on_patch: Give an asset that a client renames a name of the server's own.
        first_id: The number that the first thing gets; `None` differs by kind, so that numbers of
            one host are not taken for the other's.
        clock: Seconds since the epoch: what everything here is stamped with, limited and expires by.
            It may be replaced later (`state.clock = …`).
    """

    def __init__(
        self,
        *,
        kind: Kind = "ghes",
        version: str = "3.17",
        digests: bool | None = None,
        direct_download: bool = False,
        ignore_range: bool = False,
        exact_signatures: bool = True,
        storage_lifetime: float = 300.0,
        max_assets: int | None = None,
        max_asset_size: int = MAX_ASSET,
        upload_rate: int = 0,
        rate_limit: int | None = None,
        anonymous_rate_limit: int = 60,
        secondary_limit: int = 0,
        isolated_uploads: bool = False,
        private_mode: bool = False,
        branch_for_releases: bool = False,
        discard: bool = False,
        discard_above: int = 0,
        renames_on_patch: bool = False,
        first_id: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if kind not in ("ghes", "github"):
            raise ValueError(f"{kind!r} is no kind of host: ghes or github")
        release = (99, 0) if kind == "github" else _version(version)
        self.kind: Kind = kind
        self.version = version
        self.digests = release >= FIRST_VERSION_WITH_DIGESTS if digests is None else digests
        self.has_immutable = release >= FIRST_VERSION_WITH_IMMUTABLE
        self.has_make_latest = release >= FIRST_VERSION_WITH_MAKE_LATEST
        self.has_api_versions = release >= FIRST_VERSION_WITH_API_VERSIONS
        self.direct_download = direct_download
        self.ignore_range = ignore_range
        self.exact_signatures = exact_signatures
        self.storage_lifetime = storage_lifetime
        self.max_assets = (1000 if kind == "github" else 0) if max_assets is None else max_assets
        self.max_asset_size = max_asset_size
        self.upload_rate = upload_rate
        self.isolated_uploads = isolated_uploads
        self.private_mode = private_mode
        self.branch_for_releases = branch_for_releases
        self.clock = clock
        if rate_limit is None:
            rate_limit = 5000 if kind == "github" else 0
        self.limits = Limits(self.time, rate_limit, anonymous_rate_limit, secondary_limit)
        self.renames_on_patch = renames_on_patch
        self.contents = ContentStore(discard=discard, discard_above=discard_above)
        self.bare = BareCopies()
        self.invariants = Invariants()
        self.log = RequestLog()
        self.faults = Faults(lambda: self.last_id, _route_names)
        self.key = secrets.token_bytes(16)
        self.addresses = Addresses()
        if first_id is None:
            first_id = 100_000_001 if kind == "github" else 1001
        self.last_id = first_id - 1
        self.accounts: dict[str, Account] = {}
        self.tokens: dict[str, Token] = {}
        self.apps: dict[int, App] = {}
        self.repositories: dict[int, Repository] = {}
        self.names: dict[str, int] = {}
        self.renamed: dict[str, int] = {}
        self.promised: dict[str, dict[str, Expected]] = {}
        self.assets: dict[int, tuple[Repository, Release, Asset]] = {}
        self.change_listeners: list[Callable[[], None]] = []
        self.tamper: Callable[[RequestRecord, Answer], None] | None = None
        """Called with each request and its answer, which it may change before that is sent."""

    # What happened

    @property
    def requests(self) -> deque[RequestRecord]:
        """The requests that came, oldest first."""
        return self.log.records

    def count(
        self,
        *,
        route: str | None = None,
        method: str | None = None,
        status: int | None = None,
        origin: str | None = None,
    ) -> int:
        """How many requests were answered; every argument that is given must match."""
        return self.log.count(route, method, status, origin)

    def reset_requests(self) -> None:
        """Forget the requests so far."""
        self.log.reset()

    def on_request(self, callback: RequestHook) -> None:
        """Call back at each request, before anything is done."""
        self.log.request_hooks.append(callback)

    def on_bytes(self, callback: BytesHook) -> None:
        """Call back with route and bytes so far while the body of an upload or download flows."""
        self.log.bytes_hooks.append(callback)

    @property
    def violations(self) -> list[str]:
        """What a reader could see and should not."""
        return self.invariants.violations

    def expect(self, repository: str, tag: str, assets: Expected) -> None:
        """Declare the assets a published release must hold, with the digests that are right.

        The repository need not be there yet: then it holds from the moment that it is.
        """
        if repository.lower() in self.names:
            self.invariants.expect(self.repository(repository), tag, assets)
        else:
            self.promised.setdefault(repository.lower(), {})[tag] = assets

    def expect_latest(self, repository: str, tags: Collection[str]) -> None:
        """Declare which releases may be the latest."""
        self.invariants.expect_latest(self.repository(repository), tags)

    def repository(self, full_name: str) -> Repository:
        """The repository of that name, whatever its case.

        Raises:
            KeyError: There is none.
        """
        return self.repositories[self.names[full_name.lower()]]

    def changed(
        self, repository: Repository, release: Release | None = None, change: Change | None = None
    ) -> None:
        """Something changed: throw rendered answers away, check the invariants, tell who listens."""
        repository.version += 1
        repository.pages.clear()
        if release is not None:
            release.json = None
        self.invariants.check(repository, release, change or Change())
        self.touched()

    def touched(self) -> None:
        """Something is to be saved."""
        for listener in self.change_listeners:
            listener()

    # Small things

    def number(self) -> int:
        """A new number; numbers of all things come from one counter, so that newer is larger."""
        self.last_id += 1
        return self.last_id

    def time(self) -> float:
        """Seconds since the epoch by the clock that counts now."""
        return self.clock()

    def now(self) -> str:
        """The time as GitHub writes it."""
        return iso(self.clock())

    def settle(self, addresses: Addresses) -> None:
        """The host is reached at these addresses from now on."""
        self.addresses = addresses
        for account in self.accounts.values():
            account.json = None
        for repository in self.repositories.values():
            repository.pages.clear()
            for release in repository.releases.values():
                release.json = None
                for asset in release.assets:
                    asset.json = None

    # Who there is

    def account(
        self, login: str, kind: Literal["User", "Organization"] = "Organization"
    ) -> Account:
        """The account of that name, made when there is none."""
        found = self.accounts.get(login.lower())
        if found is None:
            found = Account(self.number(), login, kind, self.now())
            self.accounts[login.lower()] = found
            self.touched()
        return found

    def add_organization(self, login: str) -> Account:
        """An organization without repositories."""
        return self.account(login)

    def add_user(self, login: str) -> Account:
        """A user without repositories."""
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
        """A credential; `fine_grained` means no scopes, and 403 where a classic token gets 404.

        Returns:
            The value.
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

    def add_app(
        self,
        number: int,
        *,
        installations: Mapping[str, Permission],
        client_id: str = "",
        public_key: tuple[int, int] | None = None,
    ) -> App:
        """A GitHub App with its installations: login → what it may do (`admin`: create as well).

        Args:
            number: Its id.
            installations: Where it is installed.
            client_id: What may stand for the id in its tokens.
            public_key: Modulus and exponent; `None` takes any signature.
        """
        made = App(
            number, client_id or f"Iv1.{number}", self.add_user(f"app-{number}[bot]"), public_key
        )
        for login, permission in installations.items():
            account = self.account(login)
            made.installations[login.lower()] = Installation(self.number(), account, permission)
        self.apps[number] = made
        return made

    def revoke_token(self, value: str) -> None:
        """The credential is refused from now on."""
        del self.tokens[value]
        self.touched()


def _route_names() -> frozenset[str]:
    from mirror.emulator.routes import ROUTES  # noqa: PLC0415

    return ROUTES
