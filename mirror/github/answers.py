"""The JSON of the REST API, declared as far as it is read, and its values in the domain.

Unknown fields are ignored. A field that is missing, null or of another type where GitHub's schema
rules that out makes the whole answer a bad one: a draft is not published, and no asset deleted,
because of a guess.

Source: https://docs.github.com/rest/about-the-rest-api/api-versions (fields are added without
a new version) and GitHub's OpenAPI descriptions (which fields are there and which may be null).
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Annotated, Protocol, TypeVar

import msgspec
from msgspec import Meta, Struct

from mirror.core.domain.release import Asset, Digest, Release, RepoRef, Repository
from mirror.core.json_types import Count, RepositoryName, mismatch
from mirror.errors import BadAnswer

T = TypeVar("T")
V_co = TypeVar("V_co", covariant=True)

_LATEST = datetime(9000, 1, 1, tzinfo=UTC)

ObjectName = Annotated[str, Meta(pattern=r"\A[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")]
"""The name of a git object; it becomes a part of addresses."""


class Valued(Protocol[V_co]):
    """A declaration that stands for a value of the domain."""

    def value(self) -> V_co:
        """The value."""
        ...


def decode(data: object, shape: type[T], host: str) -> T:
    """Check the JSON of an answer against a declaration.

    Raises:
        BadAnswer: It does not match; the path of the first field that differs is named.
    """
    try:
        return msgspec.convert(data, shape)
    except msgspec.ValidationError as error:
        raise BadAnswer(
            f"{host}: unexpected JSON in the API's answer: {mismatch(error)}", host=host
        ) from None


def utc(moment: datetime | None) -> datetime | None:
    """A date in UTC; one without a zone is in UTC already.

    Dates at either end of the calendar are moved inwards, so that counting from them cannot overflow.
    """
    if moment is None or (moment.tzinfo is UTC and moment < _LATEST):
        return moment
    try:
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        moment = moment.replace(tzinfo=UTC)
    return min(moment, _LATEST)


# --- releases and assets --------------------------------------------------------------------------


class User(Struct):
    """The token's own account."""

    login: str


class Account(Struct):
    """An account that something belongs to; an enterprise has no ``login``."""

    login: str | None = None


class Owner(Struct):
    """A user or an organization."""

    login: str
    type: str


class MembershipPermissions(Struct):
    """What a member may do in an organization."""

    can_create_repository: bool | None = None


class Membership(Struct):
    """The token's account as a member of an organization.

    Attributes:
        state: ``active``, or ``pending`` for an invitation that was not accepted.
        role: ``admin`` (an owner), ``member`` or ``billing_manager``.
    """

    state: str
    role: str
    permissions: MembershipPermissions | None = None


class AssetAnswer(Struct):
    """A release asset."""

    id: Count
    name: str
    size: Count
    state: str
    content_type: str | None = None
    label: str | None = None
    digest: str | None = None
    updated_at: datetime | None = None
    created_at: datetime | None = None

    def value(self) -> Asset:
        """The asset."""
        digest = Digest.parse(self.digest)
        return Asset(
            id=self.id,
            name=self.name,
            size=self.size,
            content_type=self.content_type or "application/octet-stream",
            state=self.state,
            label=self.label or "",
            sha256=digest.sha256 if digest else None,
            updated_at=utc(self.updated_at),
            created_at=utc(self.created_at),
        )


class ReleaseAnswer(Struct):
    """A release, with the assets that are embedded in it."""

    id: Count
    tag_name: str
    draft: bool
    prerelease: bool
    assets: list[AssetAnswer]
    name: str | None = None
    body: str | None = None
    target_commitish: str | None = None
    created_at: datetime | None = None
    published_at: datetime | None = None
    author: Account | None = None
    html_url: str | None = None
    upload_url: str | None = None
    immutable: bool | None = None

    def value(self) -> Release:
        """The release."""
        return Release(
            id=self.id,
            tag=self.tag_name,
            name=self.name or "",
            body=self.body or "",
            draft=self.draft,
            prerelease=self.prerelease,
            target_commitish=self.target_commitish or "",
            created_at=utc(self.created_at),
            published_at=utc(self.published_at),
            author=(self.author and self.author.login) or "",
            html_url=self.html_url or "",
            upload_url=(self.upload_url or "").partition("{")[0],
            immutable=bool(self.immutable),
            assets=tuple([asset.value() for asset in self.assets]),
        )


# --- repositories ---------------------------------------------------------------------------------


class Permissions(Struct):
    """What the token may do in a repository."""

    push: bool = False


class RepositoryAnswer(Struct):
    """A repository; whether it is empty is not said there."""

    id: Count
    full_name: RepositoryName
    fork: bool
    private: bool | None = None
    archived: bool | None = None
    default_branch: str | None = None
    html_url: str | None = None
    description: str | None = None
    permissions: Permissions | None = None

    def value(self) -> Repository:
        """The repository."""
        return Repository(
            ref=RepoRef.parse(self.full_name),
            id=self.id,
            private=bool(self.private),
            archived=bool(self.archived),
            fork=self.fork,
            default_branch=self.default_branch or "",
            html_url=self.html_url or "",
            description=self.description or "",
        )


class ActionsPermissions(Struct):
    """Whether GitHub Actions may run in a repository."""

    enabled: bool


class FileAnswer(Struct):
    """A text file of a repository, sent in Base64."""

    content: str

    def __post_init__(self) -> None:
        try:
            self.content = base64.b64decode(self.content).decode("utf-8", "replace")
        except ValueError:
            raise ValueError("the content is not Base64") from None


class Limit(Struct):
    """A limit of requests."""

    limit: Count


class Limits(Struct):
    """The limits of each part of the API."""

    core: Limit


class RateLimits(Struct):
    """What the API says of its primary rate limit."""

    resources: Limits


# --- git ------------------------------------------------------------------------------------------


class GitObject(Struct):
    """What a reference or an annotated tag points to."""

    type: str
    sha: ObjectName


class Reference(Struct):
    """A reference, or an annotated tag."""

    object: GitObject
    ref: str = ""


References = Reference | list[Reference]
"""The answer for one reference; old servers list all whose names begin with it."""


class Named(Struct):
    """An object of which no more than the name is read."""

    sha: ObjectName


class Commit(Named):
    """A commit."""

    tree: Named


class FileCommit(Struct):
    """The commit that a change of a file made."""

    commit: Commit


class TagAnswer(Struct):
    """A tag in the list of a repository's tags, peeled."""

    name: str
    commit: Named


# --- GitHub Apps ----------------------------------------------------------------------------------


class AppAnswer(Struct):
    """A GitHub App."""

    name: str | None = None
    slug: str | None = None


class Installation(Struct):
    """An App's installation in an account."""

    id: Count
    account: Account | None = None


class InstallationToken(Struct):
    """A token of an installation."""

    token: str
    expires_at: datetime | None = None
    permissions: dict[str, str] | None = None
