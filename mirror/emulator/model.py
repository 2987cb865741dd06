"""The things an emulated host holds: accounts, tokens, repositories, releases, assets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mirror.emulator.git import Objects

if TYPE_CHECKING:
    from mirror.emulator.content import Content

Permission = Literal["none", "read", "write", "admin"]
LEVELS: tuple[Permission, ...] = ("none", "read", "write", "admin")
UPLOADED = "uploaded"
STARTER = "starter"


@dataclass(slots=True, eq=False)
class Account:
    """A user or an organization."""

    id: int
    login: str
    type: Literal["User", "Organization"]
    created_at: str
    json: str | None = None


@dataclass(slots=True, eq=False)
class Token:
    """A credential and what it may do.

    Attributes:
        value: What a client sends.
        account: Whose it is.
        admin: May do everything, and create repositories for every owner.
        permission: What it may do in every repository.
        repositories: What it may do in some, by lower-case `owner/name`; comes before `permission`.
        owners: What it may do in all repositories of some, by lower-case login.
        scopes: `X-OAuth-Scopes`; `None` for a fine-grained token or an App's, which have none.
        expires: The expiry date header's value, `2026-01-01 00:00:00 UTC`; `None` sends none.
        expires_at: Seconds since the epoch after which it is refused.
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


@dataclass(slots=True, eq=False)
class Asset:
    """A file of a release.

    Attributes:
        late: It was begun when its release was already published.
        created: When it was made, in seconds of the state's clock.
    """

    id: int
    name: str
    label: str | None
    content_type: str
    state: str
    content: Content
    uploader: Account
    created_at: str
    updated_at: str
    created: float = 0.0
    download_count: int = 0
    late: bool = False
    json: str | None = None

    @property
    def size(self) -> int:
        """Length in bytes; 0 until it is uploaded."""
        return self.content.size

    @property
    def sha256(self) -> str:
        """Digest of its bytes."""
        return self.content.sha256


@dataclass(slots=True, eq=False)
class Release:
    """A release, published or a draft."""

    id: int
    tag: str
    target_commitish: str
    name: str | None
    body: str | None
    draft: bool
    prerelease: bool
    created_at: str
    published_at: str | None
    updated_at: str
    author: Account
    untagged: str
    created: float = 0.0
    immutable: bool = False
    assets: list[Asset] = field(default_factory=list)
    arriving: set[str] = field(default_factory=set)
    json: str | None = None

    def asset(self, name: str) -> Asset | None:
        """The asset of that name."""
        return next((asset for asset in self.assets if asset.name == name), None)

    @property
    def order(self) -> tuple[str, int]:
        """What lists sort by."""
        return (self.created_at, self.id)


@dataclass(frozen=True, slots=True)
class PushRule:
    """Refs that nobody may push.

    Attributes:
        refs: Which: a pattern such as `refs/tags/v1*`.
        reason: What git tells of each of them.
        message: Lines for people.
    """

    refs: str
    reason: str = "push declined due to repository rule violations"
    message: str = "error: GH013: Repository rule violations found."


@dataclass(slots=True, eq=False)
class Repository:
    """A repository: git objects and refs, releases and settings.

    Attributes:
        version: Goes up with every change; what was rendered for an older one is thrown away.
        pages: Rendered answers of this version.
        ref_ids: The number under which each ref was made: which one is newer.
        latest_id: The release that `make_latest` chose; `None` lets the dates decide.
        push_rules: What is refused of a push.
        runs: Workflows that a push or a publication started, as `push refs/tags/v1`.
    """

    id: int
    owner: Account
    name: str
    visibility: str
    created_at: str
    pushed_at: str
    archived: bool = False
    fork: bool = False
    default_branch: str = "main"
    description: str | None = None
    actions_enabled: bool = True
    immutable_releases: bool = False
    latest_id: int | None = None
    version: int = 0
    objects: Objects = field(default_factory=Objects)
    refs: dict[str, str] = field(default_factory=dict)
    ref_ids: dict[str, tuple[int, float]] = field(default_factory=dict)
    releases: dict[int, Release] = field(default_factory=dict)
    burned_tags: set[str] = field(default_factory=set)
    push_rules: list[PushRule] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    pages: dict[object, tuple[bytes, str]] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """`owner/name`."""
        return f"{self.owner.login}/{self.name}"

    @property
    def private(self) -> bool:
        """Whether strangers may not see it; an internal repository says true as well."""
        return self.visibility != "public"

    @property
    def empty(self) -> bool:
        """Whether it has no commit."""
        return not self.refs

    def head(self) -> str | None:
        """The commit of the default branch."""
        return self.refs.get(f"refs/heads/{self.default_branch}")

    def tag_commit(self, tag: str) -> str | None:
        """The commit behind a tag, peeled."""
        sha = self.refs.get(f"refs/tags/{tag}")
        return self.objects.peel(sha) if sha else None

    def resolve(self, ref: str) -> str | None:
        """The commit of a branch, a tag, a full ref or a full SHA."""
        for name in (f"refs/heads/{ref}", f"refs/tags/{ref}", f"refs/{ref}", ref):
            if (sha := self.refs.get(name)) is not None:
                return self.objects.peel(sha)
        if ref == "HEAD":
            return self.head()
        return self.objects.peel(ref) if self.objects.kind(ref) else None

    def published(self, tag: str) -> Release | None:
        """The published release of a tag."""
        return next((r for r in self.releases.values() if r.tag == tag and not r.draft), None)

    def latest(self) -> Release | None:
        """What `/releases/latest` shows: the chosen one, else the newest by its tag's commit."""
        candidates = [r for r in self.releases.values() if not r.draft and not r.prerelease]
        chosen = [r for r in candidates if r.id == self.latest_id]
        return chosen[0] if chosen else max(candidates, key=lambda r: r.order, default=None)
