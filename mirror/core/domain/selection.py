"""Which repositories, releases and assets are wanted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from mirror.core.domain.release import newest_first

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from mirror.core.domain.release import Asset, Release, RepoRef


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters of releases and of their assets; empty ones let everything pass.

    Attributes:
        include: Globs of tags, case-sensitive; ``*`` also matches ``/``.
        versions: A specifier such as ``>=1.2,<3``; a tag without a version does not match one.
        since: Releases published before this moment are not wanted.
        latest: Only the newest so many of what the other filters leave.
        min_age: How long to wait after a release's publication or its newest asset, whichever is
            later.
        asset_max_size: In bytes, inclusive.
        asset_latest: Assets only of the newest so many releases; older ones get none.
        source_archives: The archives of the tag belong to the assets; the filters of names and
            sizes are not for them.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    versions: str = ""
    since: datetime | None = None
    latest: int | None = None
    prereleases: bool = True
    drafts: bool = False
    min_age: timedelta = timedelta()
    asset_include: tuple[str, ...] = ()
    asset_exclude: tuple[str, ...] = ()
    asset_max_size: int | None = None
    asset_latest: int | None = None
    source_archives: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """A release that is wanted, and those of its assets that are, the largest first."""

    release: Release
    assets: tuple[Asset, ...]


def select(
    releases: Iterable[Release], selection: Selection, now: datetime | None = None
) -> tuple[Wanted, ...]:
    """Filter releases and their assets; the newest release comes first.

    Args:
        releases: Of the source.
        selection: The filters.
        now: The time, for ``min_age``; without it every release is old enough.
    """
    chosen = newest_first(r for r in releases if _release_wanted(r, selection))
    if now is not None and selection.min_age:
        # Before the count of `latest`: a release that is too young does not exist yet.
        chosen = [r for r in chosen if (ripe := ripe_at(r, selection)) is None or ripe <= now]
    if selection.latest is not None:
        chosen = chosen[: selection.latest]
    with_assets = len(chosen) if selection.asset_latest is None else selection.asset_latest
    return tuple(
        Wanted(release, _assets(release, selection) if rank < with_assets else ())
        for rank, release in enumerate(chosen)
    )


def ripe_at(release: Release, selection: Selection) -> datetime | None:
    """When a release is old enough to be wanted; ``None`` for at any time."""
    if not selection.min_age or release.published_at is None:
        return None
    changes = [asset.updated_at for asset in release.assets if asset.updated_at]
    return max([release.published_at, *changes]) + selection.min_age


def next_ripe(releases: Iterable[Release], selection: Selection, now: datetime) -> datetime | None:
    """When the next release that is too young will be old enough; ``None`` if none is."""
    moments = (ripe_at(r, selection) for r in releases if _release_wanted(r, selection))
    return min((moment for moment in moments if moment and moment > now), default=None)


def filters_that_select_nothing(releases: Iterable[Release], selection: Selection) -> list[str]:
    """A sentence where filters leave nothing of what is there: probably a mistake in a pattern.

    Drafts do not count: most tokens do not see them. ``latest = 0`` asks for nothing.
    """
    if selection.latest == 0:
        return []
    published = [release for release in releases if not release.draft]
    chosen = select(published, selection)
    if published and not chosen:
        return [f"the release filters select none of the source's releases ({len(published):,})"]
    chosen = chosen[: selection.asset_latest]
    there = sum(len(wanted.release.assets) for wanted in chosen)
    if there and not (selection.source_archives or any(wanted.assets for wanted in chosen)):
        return [f"the asset filters select none of the selected releases' assets ({there:,})"]
    return []


def _release_wanted(release: Release, selection: Selection) -> bool:
    if release.draft and not selection.drafts:
        return False
    if release.prerelease and not selection.prereleases:
        return False
    if not passes(release.tag, selection.include, selection.exclude):
        return False
    if selection.versions and not _version_wanted(release.tag, selection.versions):
        return False
    published = release.published_at
    return not (selection.since and published and published < selection.since)


def _assets(release: Release, selection: Selection) -> tuple[Asset, ...]:
    limit = selection.asset_max_size
    chosen = [
        asset
        for asset in release.assets
        if passes(asset.name, selection.asset_include, selection.asset_exclude)
        and (limit is None or asset.size <= limit)
    ]
    return tuple(sorted(chosen, key=lambda asset: (-asset.size, asset.id)))


def passes(name: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether a name matches an include glob (or there is none) and no exclude glob."""
    if include and not any(fnmatchcase(name, glob) for glob in include):
        return False
    return not any(fnmatchcase(name, glob) for glob in exclude)


def _version_wanted(tag: str, specifier: str) -> bool:
    # Start-up time; few mirrors select by version.
    from mirror.core.domain.versions import has_version_in  # noqa: PLC0415

    return has_version_in(tag, specifier)


def is_glob(text: str) -> bool:
    """Whether a name holds a wildcard."""
    return "*" in text or "?" in text or "[" in text


def matches_source(pattern: str, source_name: str, ref: RepoRef) -> bool:
    """Whether a ``PATTERN`` of the command line selects a source: ``OWNER/REPO`` or with ``NAME:``.

    Shell-style, ignoring case.
    """
    address = f"{source_name}:{ref}" if ":" in pattern else str(ref)
    return fnmatchcase(address.casefold(), pattern.casefold())


def could_match(pattern: str, source_name: str, source: str) -> bool:
    """Whether a ``PATTERN`` could select a repository of a configured source.

    Args:
        pattern: From the command line.
        source_name: The source's name.
        source: ``OWNER/REPO`` of the configuration, where ``REPO`` may hold wildcards; two globs
            are compared by what they say before and after their wildcards, so the answer may be
            yes where in the end nothing matches, never no where something would.
    """
    name, colon, rest = pattern.casefold().rpartition(":")
    if colon and not fnmatchcase(source_name.casefold(), name):
        return False
    configured = source.casefold()
    if not is_glob(configured):
        return fnmatchcase(configured, rest)
    if not is_glob(rest):
        return fnmatchcase(rest, configured)
    one, other = _literal_ends(rest), _literal_ends(configured)
    heads = one[0].startswith(other[0]) or other[0].startswith(one[0])
    tails = one[1].endswith(other[1]) or other[1].endswith(one[1])
    return heads and tails


def _literal_ends(glob: str) -> tuple[str, str]:
    if glob.endswith("]") or "[" in glob:
        return re.split(r"[*?\[]", glob, maxsplit=1)[0], ""
    parts = re.split(r"[*?]", glob)
    return parts[0], parts[-1]
