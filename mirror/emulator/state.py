"""One emulated host in memory: what it holds, how it is set up, and how a test changes it.

The methods here are for whoever drives the emulator from Python; what a client may do over HTTP
is in `releases` and in the routes.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mirror.emulator.content import Content, ContentStore, MemoryContent
from mirror.emulator.faults import Faults
from mirror.emulator.git import BLOB_MODE, Identity, iso
from mirror.emulator.invariants import Change, Expected, Invariants
from mirror.emulator.limits import Limits
from mirror.emulator.model import (
    UPLOADED,
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

Bytes = bytes | str | Content
"""What the bytes of an asset may be given as; text is UTF-8."""

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


@dataclass(frozen=True, slots=True)
class AssetSpec:
    """An asset with more than bytes."""

    data: Bytes
    content_type: str = "application/octet-stream"
    label: str | None = None
    state: str = UPLOADED


def _version(version: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", version)
    if not found:
        raise ValueError(f"{version!r} is no version of GitHub Enterprise Server, such as 3.17")
    return int(found[1]), int(found[2])


class GitHubState:
    """Everything an emulated host knows.

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
        discard: Keep no bytes of uploads larger than `discard_above`, only size and digest.
        discard_above: See `discard`.
        first_id: The number that the first thing gets; `None` differs by kind, so that numbers of
            one host are not taken for the other's.
        clock: Seconds since the epoch.
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
        discard: bool = False,
        discard_above: int = 0,
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
        self.clock = clock
        if rate_limit is None:
            rate_limit = 5000 if kind == "github" else 0
        self.limits = Limits(clock, rate_limit, anonymous_rate_limit, secondary_limit)
        self.contents = ContentStore(discard=discard, discard_above=discard_above)
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
        self.repositories: dict[int, Repository] = {}
        self.names: dict[str, int] = {}
        self.renamed: dict[str, int] = {}
        self.assets: dict[int, tuple[Repository, Release, Asset]] = {}
        self.change_listeners: list[Callable[[], None]] = []

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
        """Declare the assets a published release must hold, with the digests that are right."""
        self.invariants.expect(self.repository(repository), tag, assets)

    def expect_latest(self, repository: str, tags: Collection[str]) -> None:
        """Declare which releases may be the latest."""
        self.invariants.expect_latest(self.repository(repository), tags)

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
            None if fine_grained else scopes,
            expires,
            expires_at,
        )
        self.touched()
        return value

    def revoke_token(self, value: str) -> None:
        """The credential is refused from now on."""
        del self.tokens[value]
        self.touched()

    # Repositories

    def repository(self, full_name: str) -> Repository:
        """The repository of that name, whatever its case.

        Raises:
            KeyError: There is none.
        """
        return self.repositories[self.names[full_name.lower()]]

    def add_repository(
        self,
        full_name: str,
        *,
        private: bool = False,
        visibility: str | None = None,
        archived: bool = False,
        fork: bool = False,
        empty: bool = False,
        default_branch: str = "main",
        description: str | None = None,
        immutable_releases: bool = False,
        date: str | None = None,
    ) -> Repository:
        """A repository, with one commit unless it shall be `empty`; its owner is made as well."""
        owner, _, name = full_name.partition("/")
        if full_name.lower() in self.names:
            raise ValueError(f"{full_name} exists")
        made = Repository(
            self.number(),
            self.account(owner),
            name,
            visibility or ("private" if private else "public"),
            self.now(),
            self.now(),
            archived=archived,
            fork=fork,
            default_branch=default_branch,
            description=description,
            immutable_releases=immutable_releases,
        )
        self.repositories[made.id] = made
        self.names[full_name.lower()] = made.id
        self.renamed.pop(full_name.lower(), None)
        if not empty:
            self.add_commit(full_name, {"README.md": f"# {name}\n"}, "Initial commit", date=date)
        self.changed(made)
        return made

    def rename_repository(self, full_name: str, new: str) -> Repository:
        """Give a repository another name, and perhaps owner; the old name redirects."""
        found = self.repository(full_name)
        owner, _, name = new.partition("/")
        del self.names[found.full_name.lower()]
        self.renamed[found.full_name.lower()] = found.id
        found.owner, found.name = self.account(owner), name
        self.names[new.lower()] = found.id
        self.renamed.pop(new.lower(), None)
        for release in found.releases.values():
            release.json = None
            for asset in release.assets:
                asset.json = None
        self.changed(found)
        return found

    def delete_repository(self, full_name: str) -> None:
        """Remove a repository and all in it."""
        found = self.repository(full_name)
        del self.names[found.full_name.lower()]
        del self.repositories[found.id]
        for release in found.releases.values():
            for asset in release.assets:
                self.assets.pop(asset.id, None)
        found.releases.clear()
        self.changed(found)

    def add_commit(
        self,
        full_name: str,
        files: Mapping[str, str | bytes],
        message: str,
        *,
        date: str | None = None,
        branch: str | None = None,
    ) -> str:
        """A commit on a branch that sets files; returns its SHA."""
        repository = self.repository(full_name)
        ref = f"refs/heads/{branch or repository.default_branch}"
        parent = repository.refs.get(ref) or repository.head()
        objects = repository.objects
        tree = objects.read_commit(parent).tree if parent else objects.tree([])
        for path, data in files.items():
            blob = objects.blob(data.encode() if isinstance(data, str) else data)
            tree = objects.put(tree, path, BLOB_MODE, blob)
        identity = self.identity(repository.owner, date)
        sha = objects.commit(tree, (parent,) if parent else (), identity, message)
        self.set_ref(repository, ref, sha)
        return sha

    def identity(self, account: Account, date: str | None = None) -> Identity:
        """An account as the author of a commit."""
        login = account.login
        return Identity(login, f"{login}@users.noreply.github.com", date or self.now())

    def set_ref(self, repository: Repository, ref: str, sha: str) -> None:
        """Make a ref, or move it."""
        if ref not in repository.ref_ids:
            repository.ref_ids[ref] = (self.number(), self.clock())
        repository.refs[ref] = sha
        repository.pushed_at = self.now()
        self.changed(repository)

    def delete_ref(self, repository: Repository, ref: str) -> None:
        """Remove a ref; the published release of a tag that goes becomes a draft."""
        del repository.refs[ref]
        repository.ref_ids.pop(ref, None)
        orphan = repository.published(ref.removeprefix("refs/tags/"))
        if ref.startswith("refs/tags/") and orphan is not None:
            orphan.draft = True
            self.refresh(orphan)
        self.changed(repository, orphan)

    def move_tag(
        self,
        full_name: str,
        tag: str,
        sha: str | None = None,
        *,
        date: str | None = None,
        annotated: bool = False,
    ) -> str:
        """Make a tag or move it: to a commit, or to a new one of that date; returns the commit."""
        repository = self.repository(full_name)
        if sha is None:
            sha = self.add_commit(full_name, {"VERSION": f"{tag}\n"}, f"Release {tag}", date=date)
        target = sha
        if annotated:
            tagger = self.identity(repository.owner, date)
            target = repository.objects.tag(tag, sha, tagger, f"{tag}\n")
        self.set_ref(repository, f"refs/tags/{tag}", target)
        return sha

    # Releases and assets

    def releases(self, full_name: str) -> list[Release]:
        """The releases of a repository, drafts too, in the order of the API: newest first."""
        found = self.repository(full_name).releases.values()
        return sorted(found, key=lambda release: release.order, reverse=True)

    def release(self, full_name: str, tag: str | int) -> Release:
        """A release by its number, or by its tag: the published one, else the newest draft.

        Raises:
            KeyError: There is none.
        """
        repository = self.repository(full_name)
        if isinstance(tag, int):
            return repository.releases[tag]
        found = [r for r in repository.releases.values() if r.tag == tag]
        if not found:
            raise KeyError(f"{full_name} has no release {tag}")
        return max(found, key=lambda release: (not release.draft, release.id))

    def add_release(
        self,
        full_name: str,
        tag: str,
        *,
        name: str | None = None,
        body: str | None = None,
        draft: bool = False,
        prerelease: bool = False,
        date: str | None = None,
        published_at: str | None = None,
        latest: bool | None = None,
        annotated: bool = False,
        author: str | None = None,
        assets: Mapping[str, Bytes | AssetSpec] | None = None,
    ) -> Release:
        """A release with its assets, seen at once as a whole.

        Args:
            full_name: The repository.
            tag: Its tag; where there is none yet, a commit of that `date` is made and tagged (for
                a draft it is not).
            name: Its title.
            body: Its text.
            draft: Not published.
            prerelease: Not production-ready.
            date: The date of the commit, and of publication unless `published_at` is given.
            published_at: When it was published.
            latest: Choose it as the latest; `None` and `False` leave that to the dates.
            annotated: Make an annotated tag.
            author: Who made it; the owner unless given.
            assets: Names and bytes; names are taken as they are.
        """
        repository = self.repository(full_name)
        if not draft and repository.tag_commit(tag) is None:
            self.move_tag(full_name, tag, date=date, annotated=annotated)
        moment = date or self.now()
        commit = repository.tag_commit(tag)
        made = self.new_release(
            tag=tag,
            target_commitish=repository.default_branch,
            name=name,
            body=body,
            draft=draft,
            prerelease=prerelease,
            created_at=repository.objects.read_commit(commit).committer.date if commit else moment,
            author=self.account(author, "User") if author else repository.owner,
        )
        made.published_at = None if draft else published_at or moment
        made.immutable = repository.immutable_releases and not draft
        repository.releases[made.id] = made
        for asset_name, data in (assets or {}).items():
            spec = data if isinstance(data, AssetSpec) else AssetSpec(data)
            asset = self.attach(
                repository,
                made,
                asset_name,
                _content(spec.data),
                spec.content_type,
                label=spec.label,
                state=spec.state,
            )
            # What is set up on purpose as not uploaded breaks no promise.
            asset.late = spec.state != UPLOADED
        if latest:
            repository.latest_id = made.id
        self.changed(repository, made)
        return made

    def new_release(
        self,
        *,
        tag: str,
        target_commitish: str,
        name: str | None,
        body: str | None,
        draft: bool,
        prerelease: bool,
        created_at: str,
        author: Account,
    ) -> Release:
        """A release that is in no repository yet."""
        number, untagged = self.number(), f"untagged-{secrets.token_hex(10)}"
        return Release(
            number,
            tag,
            target_commitish,
            name,
            body,
            draft,
            prerelease,
            created_at,
            None,
            self.now(),
            author,
            untagged,
            created=self.clock(),
        )

    def edit_release(
        self,
        full_name: str,
        tag: str | int,
        *,
        name: str | None = None,
        body: str | None = None,
        draft: bool | None = None,
        prerelease: bool | None = None,
        latest: bool | None = None,
    ) -> Release:
        """Change a release; what is `None` stays."""
        repository, found = self.repository(full_name), self.release(full_name, tag)
        found.name = found.name if name is None else name
        found.body = found.body if body is None else body
        found.prerelease = found.prerelease if prerelease is None else prerelease
        if draft is False and found.draft:
            if repository.tag_commit(found.tag) is None:
                self.move_tag(full_name, found.tag)
            found.published_at = self.now()
        found.draft = found.draft if draft is None else draft
        if latest is not None:
            repository.latest_id = found.id if latest else None
        found.updated_at = self.now()
        self.refresh(found)
        self.changed(repository, found)
        return found

    def delete_release(self, full_name: str, tag: str | int, *, delete_tag: bool = False) -> None:
        """Remove a release; its tag stays unless asked for."""
        repository, found = self.repository(full_name), self.release(full_name, tag)
        self.remove_release(repository, found)
        if delete_tag:
            self.delete_ref(repository, f"refs/tags/{found.tag}")

    def remove_release(self, repository: Repository, release: Release) -> None:
        """Remove a release with its assets."""
        del repository.releases[release.id]
        for asset in release.assets:
            self.assets.pop(asset.id, None)
        if release.immutable:
            repository.burned_tags.add(release.tag)
        if repository.latest_id == release.id:
            repository.latest_id = None
        self.changed(repository, release)

    def refresh(self, release: Release) -> None:
        """Addresses of a release's assets changed with its tag or its state."""
        release.json = None
        for asset in release.assets:
            asset.json = None

    def attach(
        self,
        repository: Repository,
        release: Release,
        name: str,
        content: Content,
        content_type: str,
        *,
        label: str | None = None,
        state: str = UPLOADED,
        uploader: Account | None = None,
    ) -> Asset:
        """Put an asset into a release; whoever calls says that the release changed."""
        moment = self.now()
        made = Asset(
            self.number(),
            name,
            label,
            content_type,
            state,
            content,
            uploader or release.author,
            moment,
            moment,
            created=self.clock(),
        )
        release.assets.append(made)
        self.assets[made.id] = (repository, release, made)
        return made

    def detach(self, release: Release, asset: Asset) -> None:
        """Take an asset out of a release; whoever calls says that the release changed."""
        release.assets.remove(asset)
        self.assets.pop(asset.id, None)

    def add_asset(
        self,
        full_name: str,
        tag: str | int,
        name: str,
        data: Bytes,
        *,
        content_type: str = "application/octet-stream",
        label: str | None = None,
        state: str = UPLOADED,
    ) -> Asset:
        """Add an asset under exactly this name."""
        repository, release = self.repository(full_name), self.release(full_name, tag)
        made = self.attach(
            repository, release, name, _content(data), content_type, label=label, state=state
        )
        self.changed(repository, release)
        return made

    def replace_asset(self, full_name: str, tag: str | int, name: str, data: Bytes) -> Asset:
        """Other bytes under the same name, as rolling releases have them: the number is new."""
        repository, release = self.repository(full_name), self.release(full_name, tag)
        old = self.asset(full_name, tag, name)
        self.detach(release, old)
        made = self.attach(
            repository, release, name, _content(data), old.content_type, label=old.label
        )
        self.changed(repository, release)
        return made

    def delete_asset(self, full_name: str, tag: str | int, name: str) -> None:
        """Remove an asset."""
        repository, release = self.repository(full_name), self.release(full_name, tag)
        self.detach(release, self.asset(full_name, tag, name))
        self.changed(repository, release, Change("asset-deleted", name))

    def asset(self, full_name: str, tag: str | int, name: str) -> Asset:
        """An asset by its name.

        Raises:
            KeyError: There is none.
        """
        found = self.release(full_name, tag).asset(name)
        if found is None:
            raise KeyError(f"{full_name} {tag} has no asset {name}")
        return found


def _content(data: Bytes) -> Content:
    if isinstance(data, str):
        return MemoryContent(data.encode())
    return MemoryContent(data) if isinstance(data, bytes) else data


def _route_names() -> frozenset[str]:
    from mirror.emulator.routes import ROUTES  # noqa: PLC0415

    return ROUTES
