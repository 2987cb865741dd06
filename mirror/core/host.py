"""What a pass needs of a host, be it a server or a bundle: protocols, and the listings they return.

Every method raises a :class:`~mirror.errors.MirrorError` if the host refuses or cannot be reached;
the errors below are documented in addition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from mirror.core.stream import ByteSink, ValidatedSource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from pathlib import Path

    from mirror.core.circuit_breaker import CircuitBreaker, Lane
    from mirror.core.clock import Clock
    from mirror.core.domain.capabilities import Capabilities
    from mirror.core.domain.policy import Visibility
    from mirror.core.domain.release import Asset, Release, RepoRef, Repository, Snapshot
    from mirror.core.domain.source_archives import SourceArchive
    from mirror.core.ledger.index import HostRecord, PageProof
    from mirror.core.reporting.report import RequestCount
    from mirror.errors import MirrorError

    Pack = Callable[[Mapping[str, str], Path], Awaitable[Mapping[str, tuple[str, str]]]]


class Listing(NamedTuple):
    """A repository's releases.

    Attributes:
        releases: Each once, in the host's order; empty if ``unchanged``.
        pages: Proves next time that nothing changed; empty if not ``complete``.
        unchanged: Nothing but counters changed since the given proofs.
        complete: It was read to its end.
        redirected_to: The API's address of the releases, if the repository was renamed.
    """

    releases: tuple[Release, ...]
    pages: tuple[PageProof, ...]
    unchanged: bool = False
    complete: bool = True
    redirected_to: str | None = None


@dataclass(frozen=True, slots=True)
class OwnerListing:
    """An owner's repositories; the attributes are those of :class:`Listing`."""

    repositories: tuple[Repository, ...]
    pages: tuple[PageProof, ...]
    unchanged: bool = False
    complete: bool = True


class ReleaseCopy(NamedTuple):
    """A release of the target that was recorded.

    Attributes:
        id: At the target.
        assets: The ids of the source's assets by those of their copies.
    """

    id: int
    assets: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Received:
    """What a pass brought from a source, for a target that stores it.

    Attributes:
        source_url: The web address of the source host.
        source: What the source says now.
        selected: Ids of the releases that the settings select.
        copies: What was recorded of them and of others, by the ids of the source's releases.
        unfinished: Ids of the source's releases that lack something which may arrive later.
        pack: Writes the history of their tags that is not known yet into a file, a git bundle,
            given the tags that are known with what they point to (an empty text where their history
            was lost), and the file. It returns what each new tag points to, and the commit behind
            that. ``None`` if history is not wanted.
    """

    source_url: str
    source: Snapshot
    selected: Collection[int]
    copies: Mapping[int, ReleaseCopy]
    unfinished: Collection[int]
    pack: Pack | None = None


class Quota(Protocol):
    """What a host says of its rate limit; each ``None`` where it says nothing."""

    @property
    def limit(self) -> int | None:
        """Requests in a window."""
        ...

    @property
    def remaining(self) -> int | None:
        """Requests left in this window."""
        ...

    @property
    def reset(self) -> int | None:
        """When the next window begins, in seconds since the epoch of the host's clock."""
        ...


class HostClient(Protocol):
    """How a host is reached, and whether it can be."""

    @property
    def name(self) -> str:
        """Its configured name; ``target`` for the target."""
        ...

    @property
    def api_url(self) -> str:
        """What tells it from every other host."""
        ...

    @property
    def clock(self) -> Clock:
        """The time, and every wait for it."""
        ...

    @property
    def counts(self) -> RequestCount:
        """Requests since :meth:`reset`."""
        ...

    @property
    def rate_limit(self) -> Quota | None:
        """The rate limit as it was last told; ``None`` for none."""
        ...

    @property
    def stopped(self) -> MirrorError | None:
        """Why nothing is asked for now, or ``None``."""
        ...

    def reset(self) -> None:
        """Begin a new pass: count from 0, and ask again whatever failed before."""
        ...

    def revive(self) -> None:
        """Ask again, whatever failed before."""
        ...

    def revive_if_due(self) -> None:
        """Ask again if the host was disabled for long enough."""
        ...

    @property
    def paused_until(self) -> datetime | None:
        """When a rate limit is over; ``None`` outside of a pause."""
        ...

    def paused_for(self) -> float:
        """Seconds until a rate limit is over; 0 outside of a pause."""
        ...

    def paced_for(self) -> float:
        """Seconds until our own limits for the host admit a write; 0 if they do."""
        ...

    def closed_for(self) -> float:
        """Seconds until it is asked again, for whatever reason it is not; 0 while it is."""
        ...

    def lane(self, lane: Lane) -> CircuitBreaker:
        """The circuit breaker of a lane; transfers report their results to it."""
        ...

    def host_time(self) -> datetime:
        """The host's time, as far as it is known."""
        ...

    def record(self, before: HostRecord | None = None) -> HostRecord:
        """What the index keeps of the host.

        Args:
            before: What it kept so far.
        """
        ...

    def restore(self, record: HostRecord) -> None:
        """Go on with our limits for the host where an earlier process ended."""
        ...

    async def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    async def ping(self) -> None:
        """See whether it answers."""
        ...

    async def prove(self, repo: RepoRef, since: float) -> None:
        """See whether it still accepts the credential, unless it did so since.

        Args:
            repo: Where it is used: an App has a credential for each owner.
            since: Monotonic seconds.

        Raises:
            AuthError: It does not.
        """
        ...


class AssetReader(ValidatedSource, Protocol):
    """An asset's bytes.

    Attributes:
        client: May be replaced between two openings, by another client of the same host.
    """

    client: Any

    async def locate(self) -> bool:
        """Find out where the bytes are, for the next opening; nothing stays open.

        Returns:
            Whether that opening will be faster.
        """
        ...


class AssetWriter(ByteSink["Asset"], Protocol):
    """A place for one new asset of a release.

    Attributes:
        client: May be replaced between two sendings, by another client of the same host.
    """

    client: Any


class ReleaseReader(Protocol):
    """Reads releases."""

    @property
    def client(self) -> HostClient:
        """How the host is reached."""
        ...

    async def list_releases(self, repo: RepoRef, proofs: Sequence[PageProof] = ()) -> Listing:
        """List all releases; only ``unchanged`` while the proofs of an earlier listing hold."""
        ...

    async def release(self, repo: RepoRef, number: int) -> Release:
        """Read a release, draft or not.

        Raises:
            NotFound: It is not there, or may not be seen.
        """
        ...

    async def latest(self, repo: RepoRef) -> int | None:
        """The id of the host's latest release; ``None`` if there is none."""
        ...

    async def assets(self, repo: RepoRef, release: int) -> tuple[Asset, ...]:
        """List all assets of a release, including incomplete ones."""
        ...

    async def asset(self, repo: RepoRef, number: int) -> Asset | None:
        """Read an asset; ``None`` if it does not exist."""
        ...

    async def repository(self, repo: RepoRef) -> Repository:
        """Read a repository, under its current name if it was renamed.

        Raises:
            NotFound: It does not exist, or may not be seen.
        """
        ...

    async def owner_repositories(
        self, owner: str, proofs: Sequence[PageProof] = ()
    ) -> OwnerListing:
        """List the repositories of an owner; the proofs are as for :meth:`list_releases`.

        Raises:
            NotFound: There is no such owner.
        """
        ...

    async def tags(self, repo: RepoRef, names: Collection[str]) -> dict[str, str]:
        """The commits of tags, peeled; a tag that is not there is left out."""
        ...

    def read_asset(
        self, repo: RepoRef, asset: Asset, *, etag: str = "", repeated: bool = False
    ) -> AssetReader:
        """The bytes of an asset.

        Args:
            repo: Where it is.
            asset: As the release's listing has it.
            etag: What an earlier reader of it called ``etag``, to go on where that one ended.
            repeated: An earlier attempt to read it failed.
        """
        ...

    def read_archive(
        self, repo: RepoRef, archive: SourceArchive, *, repeated: bool = False
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The archive of a tag; nobody says how long it is.

        Raises (on entry and while iterating):
            NotFound: The source has no such tag.
        """
        ...


class ReleaseWriter(ReleaseReader, Protocol):
    """Writes releases."""

    @property
    def repositories(self) -> RepositoryWriter:
        """Makes repositories and tags, for a host that needs them (``Capabilities.tags``)."""
        ...

    async def create_release(
        self, repo: RepoRef, fields: Mapping[str, object], marker: str
    ) -> Release:
        """Create a draft.

        Args:
            repo: The repository.
            fields: ``tag_name`` and others of GitHub's API.
            marker: A text in ``fields["body"]`` that is unique in the repository.
        """
        ...

    async def update_release(
        self, repo: RepoRef, number: int, fields: Mapping[str, object]
    ) -> Release:
        """Change a release."""
        ...

    async def delete_release(self, repo: RepoRef, number: int) -> None:
        """Delete a release; its tag stays.

        Raises:
            NotFound: It did not exist.
        """
        ...

    async def update_asset(
        self, repo: RepoRef, number: int, *, name: str | None = None, label: str | None = None
    ) -> Asset:
        """Rename an asset, or change its label; the host may choose another name, see the result."""
        ...

    async def delete_asset(self, repo: RepoRef, number: int) -> None:
        """Delete an asset.

        Raises:
            NotFound: It did not exist.
        """
        ...

    def write_asset(
        self,
        repo: RepoRef,
        release: Release,
        asset: Asset,
        name: str,
        label: str,
        *,
        repeated: bool = False,
    ) -> AssetWriter:
        """A place for a new asset.

        Args:
            repo: The repository.
            release: The host's.
            asset: The source's.
            name: The name that is asked for; the answer's is the truth.
            label: What people see instead of the name; empty for none.
            repeated: An earlier attempt to send it failed.
        """
        ...

    async def receive(self, repo: RepoRef, received: Received) -> None:
        """Store what else a pass brought; a host that others read at any time stores nothing."""
        ...


class RepositoryWriter(Protocol):
    """Makes the repositories, commits and tags that a server's releases need."""

    async def check_owner(self, owner: str) -> None:
        """See that an account exists, without writing.

        Raises:
            NotFound: It does not.
        """
        ...

    async def create_repository(
        self, repo: RepoRef, visibility: Visibility, description: str
    ) -> Repository:
        """Create an empty repository."""
        ...

    async def disable_actions(self, repo: RepoRef) -> bool:
        """Turn GitHub Actions off; whether the server allowed it."""
        ...

    async def actions_enabled(self, repo: RepoRef) -> bool | None:
        """Whether GitHub Actions is on; ``None`` if the server does not say."""
        ...

    async def is_empty(self, repository: Repository) -> bool:
        """Whether a repository has no commit."""
        ...

    async def first_commit(
        self, repo: RepoRef, path: str, text: str, message: str
    ) -> tuple[str, str]:
        """Create a file in an empty repository, and with it the default branch; commit and tree."""
        ...

    async def read_file(self, repo: RepoRef, path: str) -> str | None:
        """Read a text file of the default branch; ``None`` if it does not exist."""
        ...

    async def has_commit(self, repo: RepoRef, sha: str) -> bool:
        """Whether a commit (its full name) is in a repository."""
        ...

    async def head(self, repo: RepoRef, branch: str) -> tuple[str, str]:
        """The commit at the end of a branch, and its tree."""
        ...

    async def create_commit(
        self, repo: RepoRef, message: str, tree: str, parents: Sequence[str], date: datetime
    ) -> str:
        """Create a commit that is on no branch yet; its name."""
        ...

    async def create_tag(self, repo: RepoRef, tag: str, sha: str) -> None:
        """Create a lightweight tag; it may exist already at the same commit."""
        ...
