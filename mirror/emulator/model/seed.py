"""Seed documents: JSON that describes what a host starts with."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mirror.emulator.model.accounts import Permission  # noqa: TC001 - pydantic reads it
from mirror.emulator.model.content import Content, Generated, MemoryContent
from mirror.emulator.model.state import AssetSpec

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.emulator.model.state import GitHubState


class SeedError(ValueError):
    """A seed document is invalid; the message names every error with its location."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SeedAsset(_Strict):
    """An asset, its bytes given as `text`, as `base64`, or generated from `seed` with a `size`."""

    name: str = Field(min_length=1)
    size: int | None = Field(default=None, ge=0)
    seed: int = Field(default=0, ge=0)
    text: str | None = None
    base64: str | None = None
    label: str | None = None
    content_type: str = "application/octet-stream"
    state: Literal["uploaded", "starter", "open"] = "uploaded"

    @model_validator(mode="after")
    def _one_source(self) -> SeedAsset:
        given = [v for v in (self.size, self.text, self.base64) if v is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of size (with seed), text, base64")
        self.content()
        return self

    def content(self) -> Content:
        """The bytes."""
        if self.text is not None:
            return MemoryContent(self.text.encode())
        if self.base64 is not None:
            try:
                return MemoryContent(base64.b64decode(self.base64, validate=True))
            except binascii.Error as error:
                raise ValueError(f"base64: {error}") from None
        return Generated(seed=self.seed, size=self.size or 0)


class SeedRelease(_Strict):
    """A release with its assets; its tag is created if it does not exist."""

    tag: str = Field(min_length=1)
    name: str | None = None
    body: str | None = None
    draft: bool = False
    prerelease: bool = False
    date: str | None = None
    latest: bool | None = None
    annotated: bool = False
    assets: list[SeedAsset] = []


class SeedRepository(_Strict):
    """A repository with its releases."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")
    visibility: Literal["public", "private", "internal"] = "public"
    archived: bool = False
    fork: bool = False
    empty: bool = False
    immutable_releases: bool = False
    default_branch: str = "main"
    description: str | None = None
    releases: list[SeedRelease] = []


class SeedToken(_Strict):
    """A credential and its permissions."""

    token: str = Field(min_length=1)
    login: str = "emulator-user"
    admin: bool = False
    permission: Permission = "none"
    repositories: dict[str, Permission] = {}
    fine_grained: bool = False


class SeedOptions(_Strict):
    """Options of the host; a missing one stays as it is."""

    digests: bool | None = None
    direct_download: bool | None = None
    ignore_range: bool | None = None
    exact_signatures: bool | None = None
    storage_lifetime: float | None = Field(default=None, gt=0)
    max_assets: int | None = Field(default=None, ge=0)
    max_asset_size: int | None = Field(default=None, ge=1)
    upload_rate: int | None = Field(default=None, ge=0)
    private_mode: bool | None = None
    rate_limit: int | None = Field(default=None, ge=0)
    anonymous_rate_limit: int | None = Field(default=None, ge=0)
    points_per_minute: int | None = Field(default=None, ge=0)
    creations_per_minute: int | None = Field(default=None, ge=0)
    creations_per_hour: int | None = Field(default=None, ge=0)


class Seed(_Strict):
    """The content of a seed document."""

    organizations: list[str] = []
    tokens: list[SeedToken] = []
    repositories: list[SeedRepository] = []
    options: SeedOptions = SeedOptions()


def parse_seed(document: Any, source: str) -> Seed:
    """Validate a seed document; `source` names it in the error.

    Raises:
        SeedError: It is invalid.
    """
    try:
        return Seed.model_validate(document)
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in e['loc']) or '(document)'}: {e['msg']}"
            for e in error.errors(include_url=False)
        ]
        raise SeedError(f"{source}: " + "; ".join(lines)) from None


def load_seed(path: Path) -> Seed:
    """Read a seed file.

    Raises:
        SeedError: It cannot be read, or is invalid.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SeedError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise SeedError(f"{path}: {error}") from error
    return parse_seed(document, str(path))


def apply_seed(state: GitHubState, seed: Seed) -> None:
    """Add the content of a seed to a host; an existing repository gets the releases it lacks.

    Raises:
        SeedError: It contradicts itself or the host, as with two releases of one tag.
    """
    for name, value in seed.options.model_dump(exclude_none=True).items():
        setattr(state, name, value)
    for login in seed.organizations:
        state.add_organization(login)
    for token in seed.tokens:
        state.add_token(token.token, **token.model_dump(exclude={"token"}))
    for repository in seed.repositories:
        if repository.name.lower() not in state.names:
            settings = repository.model_dump(exclude={"name", "releases"})
            state.add_repository(repository.name, **settings)
        for release in repository.releases:
            _apply_release(state, repository.name, release)


def _apply_release(state: GitHubState, repository: str, release: SeedRelease) -> None:
    if not release.draft and state.repository(repository).published(release.tag) is not None:
        raise SeedError(f"{repository} has a release {release.tag}")
    state.add_release(
        repository,
        release.tag,
        **release.model_dump(exclude={"tag", "assets"}),
        assets={
            asset.name: AssetSpec(
                asset.content(), asset.content_type, label=asset.label, state=asset.state
            )
            for asset in release.assets
        },
    )
