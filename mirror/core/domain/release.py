"""Values of the domain: repositories, releases, assets, and what a host says of them now."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

UPLOADED = "uploaded"
ABSENT = "absent"
"""The state of an asset of a bundle that does not hold its bytes: not unpacked yet, pruned, or lost."""

UNREADABLE = "unreadable"
"""The state of a copy whose bytes were asked for, and could not be read to their end."""

ADDRESS = r"([A-Za-z0-9][A-Za-z0-9_-]{0,98})/(?!\.{1,2}\Z)([A-Za-z0-9._-]{1,100})"
"""A regular expression of ``owner/name``."""

_ADDRESS = re.compile(ADDRESS)


@dataclass(frozen=True, slots=True)
class RepoRef:
    """A repository's address on its host: ``owner/name``, which hosts compare ignoring case.

    Source: https://docs.github.com/rest/repos/repos ("The name is not case sensitive").
    """

    owner: str
    name: str
    _text: str = field(init=False, repr=False, compare=False)
    _key: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # A pass asks for them all the time.
        text = f"{self.owner}/{self.name}"
        key = text.casefold()
        object.__setattr__(self, "_text", text)
        object.__setattr__(self, "_key", text if key == text else key)

    @classmethod
    def parse(cls, text: str) -> RepoRef:
        """Read ``owner/name``.

        Raises:
            ValueError: It is not the name of a repository; among others ``.`` and ``..``.
        """
        found = _ADDRESS.fullmatch(text)
        if found is None:
            raise ValueError(f"not a repository's OWNER/NAME: {text[:200]!r}")
        owner, name = found.groups()
        return cls(sys.intern(owner), name)  # thousands of repositories have few owners

    @staticmethod
    def possible(text: str) -> bool:
        """Whether :meth:`parse` takes it."""
        return _ADDRESS.fullmatch(text) is not None

    @property
    def key(self) -> str:
        """The address with case folded: two names of one repository have one key."""
        return self._key

    def __str__(self) -> str:
        return self._text


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest as hosts write it: ``sha256:<hex>``.

    github.com fills it for assets uploaded since 2025-06-03; older assets have null, older
    servers have no such field, and later ones may have other algorithms.
    """

    algorithm: str
    value: str

    @classmethod
    def parse(cls, text: object) -> Digest | None:
        """Read a ``digest`` field; ``None`` for null and for what is no digest."""
        if not isinstance(text, str):
            return None
        algorithm, colon, value = text.partition(":")
        if not colon or not re.fullmatch(r"[0-9A-Fa-f]+", value):
            return None
        return cls(algorithm.lower(), value.lower())

    @property
    def sha256(self) -> str | None:
        """The hexadecimal SHA-256, or ``None`` for another algorithm."""
        return self.value if self.algorithm == "sha256" and len(self.value) == 64 else None


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of a release, as a host describes it.

    Attributes:
        size: In bytes.
        state: ``uploaded``, ``absent``, ``unreadable``, or anything else for one that is not
            complete (``starter``, ``open``).
        label: Empty for none: hosts answer null or an empty text alike.
        sha256: Hexadecimal, where the host gives a digest.
        created_at: When it was uploaded; unlike ``updated_at`` it survives a rename. An id with
            another date is another asset: a host restored from a backup gives ids a second time.
    """

    id: int
    name: str
    size: int
    content_type: str = "application/octet-stream"
    state: str = UPLOADED
    label: str = ""
    sha256: str | None = None
    updated_at: datetime | None = None
    created_at: datetime | None = None

    @property
    def uploaded(self) -> bool:
        """Whether all of its bytes are there."""
        return self.state == UPLOADED

    @property
    def begun(self) -> bool:
        """Whether it is but the beginning of an upload, of which nobody has ever seen more."""
        return self.state not in {UPLOADED, ABSENT, UNREADABLE}

    def facts(self) -> list[object]:
        """What a change of it changes; no counters."""
        updated = self.updated_at.isoformat() if self.updated_at else None
        return [
            self.id,
            self.name,
            self.size,
            self.content_type,
            self.state,
            self.label,
            self.sha256,
            updated,
        ]


@dataclass(frozen=True, slots=True)
class Release:
    """A release, as a host describes it.

    Attributes:
        name: Its title; empty for none.
        body: Its text, as stored.
        created_at: The date of its tag's commit (not of the release).
        published_at: ``None`` for a draft.
        assets: All of them, also those not complete.
        upload_url: Where the host takes its assets, without the template's end; only the host
            itself knows that address.
        immutable: Its tag and its assets can never change again; once it is deleted, its tag can
            never be used again. Source:
            https://docs.github.com/code-security/concepts/supply-chain-security/immutable-releases
    """

    id: int
    tag: str
    name: str = ""
    body: str = ""
    draft: bool = False
    prerelease: bool = False
    target_commitish: str = ""
    created_at: datetime | None = None
    published_at: datetime | None = None
    author: str = ""
    html_url: str = ""
    upload_url: str = ""
    immutable: bool = False
    assets: tuple[Asset, ...] = ()

    @property
    def frozen(self) -> bool:
        """Whether nothing but its text and flags can change: a draft is not immutable yet."""
        return self.immutable and not self.draft

    def facts(self) -> list[object]:
        """What a change of it changes; no counters, no addresses, and no order of its assets."""
        return [
            self.id,
            self.tag,
            self.name,
            self.body,
            self.draft,
            self.prerelease,
            self.created_at.isoformat() if self.created_at else None,
            self.published_at.isoformat() if self.published_at else None,
            [asset.facts() for asset in sorted(self.assets, key=lambda asset: asset.id)],
        ]


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository, as its host describes it.

    Attributes:
        id: Its number, which stays when it is renamed, and which another one never has.
        empty: It has no commit yet, as far as that was asked.
    """

    ref: RepoRef
    id: int
    private: bool = False
    archived: bool = False
    fork: bool = False
    default_branch: str = ""
    html_url: str = ""
    description: str = ""
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a host says of a repository now.

    Attributes:
        releases: Each once, in the order of the host.
        latest: The id of the release that the host calls latest, ``None`` for none.
        complete: The listing was read to its end; nothing may be concluded from what is absent
            in one that was not.
        tags: Commits (peeled) of the tags that were asked for; absent for a tag that is not there.
        commits: Commits that were asked for and are there.
        created_by_mirror: This program made the repository.
        actions: GitHub Actions is enabled; ``None`` where that is not known, or was not asked.
        gone_releases, gone_assets: Ids that were asked for one by one, and are not there.
    """

    repository: Repository
    releases: tuple[Release, ...] = ()
    latest: int | None = None
    complete: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)
    commits: frozenset[str] = frozenset()
    created_by_mirror: bool = False
    actions: bool | None = None
    gone_releases: frozenset[int] = frozenset()
    gone_assets: frozenset[int] = frozenset()


def fingerprint(releases: Iterable[Release]) -> str:
    """A short text that differs when anything but a counter differs in these releases."""
    facts = [release.facts() for release in releases]
    text = json.dumps(facts, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def asset_fingerprint(asset: Asset, within: str = "") -> str:
    """A short text that differs when anything but a counter differs in an asset.

    Args:
        asset: The source's.
        within: What else matters to it, such as the release that it was to become a part of.
    """
    facts = [*asset.facts(), within] if within else asset.facts()
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def surroundings(release: Release, target_id: int) -> str:
    """What a name that is taken depends on: the target's release, and all that is to be in it."""
    return f"{target_id} {fingerprint([release])}"


def newest_first(releases: Iterable[Release]) -> list[Release]:
    """Sort by date of publication, ties by id, the newest first; drafts come before all."""

    def key(release: Release) -> tuple[bool, float, int]:
        date = release.published_at
        return (date is None, date.timestamp() if date else 0.0, release.id)

    return sorted(releases, key=key, reverse=True)
