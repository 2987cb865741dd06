"""The frame of a host: what it holds, its requests and faults, and its invariants."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mirror.emulator.faults.script import Faults
from mirror.emulator.model.content_store import ContentStore
from mirror.emulator.model.git_directory import GitDirectories
from mirror.emulator.model.host_options import HostOptions
from mirror.emulator.model.invariants import Change, Expected, Invariants
from mirror.emulator.model.iso_time import iso
from mirror.emulator.model.rate_limits import RateLimits
from mirror.emulator.model.request_log import RequestLog, RequestRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from mirror.emulator.model.accounts import Account, App, Token
    from mirror.emulator.model.release_records import Asset, Release
    from mirror.emulator.model.repository import Repository


@dataclass(frozen=True, slots=True)
class Addresses:
    """Base addresses of a host, without a trailing slash."""

    web: str = "http://emulator.invalid"
    api: str = "http://emulator.invalid/api/v3"
    uploads: str = "http://emulator.invalid/api/uploads"
    storage: str = "http://storage.invalid"


class Host(HostOptions):
    """A host without the means to fill it, which its subclasses add, down to `GitHubState`.

    Attributes:
        violations: What a reader could see and should not.
        requests: The requests that were received, oldest first.
        count: Counts answered requests.
        on_request: Adds a callback for each request, before it is executed.
        on_bytes: Adds a callback with route and bytes so far, while the body of an upload or
            download flows.
        reset_requests: Forgets the requests so far.
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
        self.limits = RateLimits(self.time, self)
        self.contents = ContentStore(discard=self.discard, discard_above=self.discard_above)
        self.git_directories = GitDirectories()
        self.invariants = Invariants()
        self.violations = self.invariants.violations
        self.log = RequestLog()
        self.requests, self.count = self.log.records, self.log.count
        self.on_request, self.on_bytes = self.log.request_hooks.append, self.log.bytes_hooks.append
        self.reset_requests = self.log.reset
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

    # Expectations and changes

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
        for repository in self.repositories.values():
            for release in repository.releases.values():
                release.json = None

    # Repositories by name

    def repository(self, full_name: str) -> Repository:
        """The repository of that name, whatever its case.

        Raises:
            KeyError: It does not exist.
        """
        return self.repositories[self.names[full_name.lower()]]

    def find(self, owner: str, name: str) -> Repository | None:
        """The repository of that name, if it exists."""
        return self.repositories.get(self.names.get(f"{owner}/{name}".lower(), 0))
