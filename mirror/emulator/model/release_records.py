"""Releases and their assets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mirror.emulator.model.accounts import Account
    from mirror.emulator.model.content import Content

UPLOADED = "uploaded"
STARTER = "starter"


@dataclass(slots=True, eq=False)
class Asset:
    """A file of a release.

    Attributes:
        created: When it was made, in seconds of the host's clock.
        late: Its upload began when the release was already published.
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

    @property
    def size(self) -> int:
        """Size in bytes; 0 until it is uploaded."""
        return self.content.size

    @property
    def sha256(self) -> str:
        """SHA-256 of its bytes."""
        return self.content.sha256

    @property
    def made(self) -> tuple[int, float]:
        """Number and time of creation: a scripted lag hides what is newer."""
        return (self.id, self.created)


@dataclass(slots=True, eq=False)
class Release:
    """A release, published or a draft.

    Attributes:
        untagged: The name that addresses of a draft show instead of its tag.
        created: When it was made, in seconds of the host's clock.
        arriving: Names of assets whose upload is in progress.
        json: Its rendered document with its assets, until one of them changes.
    """

    id: int
    tag: str
    target_commitish: str
    created_at: str
    updated_at: str
    author: Account
    untagged: str
    name: str | None = None
    body: str | None = None
    draft: bool = True
    prerelease: bool = False
    published_at: str | None = None
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

    @property
    def made(self) -> tuple[int, float]:
        """Number and time of creation: a scripted lag hides what is newer."""
        return (self.id, self.created)
