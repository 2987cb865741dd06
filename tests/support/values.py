"""Builders of domain values with sensible defaults."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mirror.core.domain.capabilities import Capabilities
from mirror.core.domain.policy import Policy
from mirror.core.domain.release import Asset, Release, RepoRef, Repository, Snapshot
from mirror.core.ledger.document import AssetEntry, Ledger, ReleaseEntry
from mirror.core.planning.planner import PlanContext, plan
from mirror.core.text.timestamps import iso

if TYPE_CHECKING:
    from mirror.core.execution.action import Plan

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SOURCE_URL = "https://github.com"
SOURCE = RepoRef("cli", "cli")
TARGET = RepoRef("mirrors", "cli")


def digest_of(content: str) -> str:
    """Hexadecimal SHA-256 of a text."""
    return hashlib.sha256(content.encode()).hexdigest()


def an_asset(
    id: int = 1,  # noqa: A002 - the field's name
    name: str = "",
    size: int = 10,
    **facts: Any,
) -> Asset:
    """An uploaded asset; its default name is ``asset-ID.tar.gz``."""
    return Asset(id=id, name=name or f"asset-{id}.tar.gz", size=size, **facts)


def a_release(
    id: int = 1,  # noqa: A002 - the field's name
    tag: str = "",
    *assets: Asset,
    day: int | None = None,
    **facts: Any,
) -> Release:
    """A published release; by default, a higher id means a later day."""
    date = NOW - timedelta(days=1000) + timedelta(days=id if day is None else day)
    tag = tag or f"v{id}"
    defaults: dict[str, Any] = {
        "name": f"Release {tag}",
        "body": f"Text of {tag}",
        "created_at": date,
        "published_at": None if facts.get("draft") else date,
        "html_url": f"{SOURCE_URL}/{SOURCE}/releases/tag/{tag}",
    }
    return Release(id=id, tag=tag, assets=assets, **{**defaults, **facts})


def commit_of(tag: str) -> str:
    """The commit of a tag at the source."""
    return hashlib.sha1(tag.encode(), usedforsecurity=False).hexdigest()


def a_source(*releases: Release, **facts: Any) -> Snapshot:
    """A source snapshot; by default, the newest eligible release is the latest."""
    defaults: dict[str, Any] = {
        "latest": max(
            (r.id for r in releases if not (r.draft or r.prerelease)),
            default=None,
        ),
        "tags": {r.tag: commit_of(r.tag) for r in releases if not r.draft},
    }
    repository = Repository(SOURCE, id=1000)
    return Snapshot(repository, releases=releases, **{**defaults, **facts})


def a_target(*releases: Release, **facts: Any) -> Snapshot:
    """A target snapshot: a repository created by a mirror, with the tags of its releases."""
    repository = facts.pop("repository", Repository(TARGET, id=2000, default_branch="main"))
    defaults: dict[str, Any] = {
        "tags": {r.tag: commit_of(r.tag) for r in releases if not r.draft},
        "created_by_mirror": True,
    }
    return Snapshot(repository, releases=releases, **{**defaults, **facts})


def a_ledger(*entries: ReleaseEntry) -> Ledger:
    """A ledger document."""
    return Ledger(
        source=f"github:{SOURCE}",
        target=str(TARGET),
        target_url="https://ghe.example.com/api/v3",
        releases={entry.source_id: entry for entry in entries},
    )


def an_entry(asset: Asset, copy: Asset, **facts: Any) -> AssetEntry:
    """The record of a copy."""
    defaults: dict[str, Any] = {
        "source_id": asset.id,
        "source_name": asset.name,
        "target_id": copy.id,
        "target_name": copy.name,
        "size": asset.size,
        "sha256": copy.sha256,
        "source_digest": asset.sha256,
        "source_updated_at": iso(asset.updated_at) if asset.updated_at else None,
    }
    return AssetEntry(**{**defaults, **facts})


def a_record(release: Release, copy: Release, *assets: AssetEntry, **facts: Any) -> ReleaseEntry:
    """The record of a mirrored release."""
    defaults: dict[str, Any] = {"published": None if copy.draft else iso(NOW)}
    return ReleaseEntry(
        source_id=release.id,
        target_id=copy.id,
        tag=copy.tag,
        assets={entry.target_id: entry for entry in assets},
        **{**defaults, **facts},
    )


def about(*, retry: bool = False, **capabilities: Any) -> PlanContext:
    """A plan context."""
    return PlanContext(
        source_url=SOURCE_URL,
        source_address=f"{SOURCE_URL}/{SOURCE}",
        now=NOW,
        capabilities=Capabilities(**capabilities),
        retry=retry,
    )


def planned(
    source: Snapshot,
    target: Snapshot | None,
    ledger: Ledger | None = None,
    *,
    circumstances: PlanContext | None = None,
    **policy: Any,
) -> Plan:
    """Make a plan with this policy."""
    return plan(source, target, ledger or a_ledger(), Policy(**policy), circumstances or about())
