"""Which repositories, releases and assets are wanted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.core.domain.release import RepoRef
from mirror.core.domain.selection import (
    Selection,
    could_match,
    filters_that_select_nothing,
    is_glob,
    matches_source,
    passes,
    select,
)
from support.values import NOW, a_release, an_asset

law = settings(deadline=None, max_examples=150)


def tags(releases: list[Any], **selection: Any) -> list[str]:
    return [wanted.release.tag for wanted in select(releases, Selection(**selection))]


RELEASES = [
    a_release(1, "v1.0.0"),
    a_release(2, "v2.0.0-rc.1", prerelease=True),
    a_release(3, "cli/v2.0.0"),
    a_release(4, "nightly", prerelease=True),
    a_release(5, "v3.0.0", draft=True),
]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, ["nightly", "cli/v2.0.0", "v2.0.0-rc.1", "v1.0.0"]),
        ({"prereleases": False}, ["cli/v2.0.0", "v1.0.0"]),
        ({"drafts": True, "latest": 1}, ["v3.0.0"]),
        ({"include": ("v*",)}, ["v2.0.0-rc.1", "v1.0.0"]),
        ({"include": ("*v2*",)}, ["cli/v2.0.0", "v2.0.0-rc.1"]),
        ({"include": ("V*",)}, []),
        ({"exclude": ("*/*",)}, ["nightly", "v2.0.0-rc.1", "v1.0.0"]),
        ({"include": ("*",), "exclude": ("nightly", "v1*")}, ["cli/v2.0.0", "v2.0.0-rc.1"]),
        ({"versions": ">=2"}, ["cli/v2.0.0"]),
        ({"versions": ">=1.5,<3"}, ["cli/v2.0.0", "v2.0.0-rc.1"]),
        ({"versions": "<2", "prereleases": False}, ["v1.0.0"]),
        ({"since": RELEASES[2].published_at}, ["nightly", "cli/v2.0.0"]),
        ({"latest": 2}, ["nightly", "cli/v2.0.0"]),
        ({"latest": 0}, []),
        ({"latest": 1, "prereleases": False}, ["cli/v2.0.0"]),
        ({"latest": 1, "include": ("v*",)}, ["v2.0.0-rc.1"]),
    ],
)
def test_filters_of_releases(selection: dict[str, Any], expected: list[str]) -> None:
    """Each filter takes its own away; ``latest`` counts what the others leave, the newest first."""
    assert tags(RELEASES, **selection) == expected


def test_the_newest_is_the_one_published_last() -> None:
    """Newest is by publication, ties by id, whatever the order of the host."""
    releases = [a_release(7, "a", day=1), a_release(8, "b", day=1), a_release(3, "c", day=2)]
    assert tags(releases) == ["c", "b", "a"]


ASSETS = (
    an_asset(1, "tool_linux_amd64.tar.gz", 10),
    an_asset(2, "tool_darwin.zip", 30),
    an_asset(3, "tool.sbom.json", 5),
    an_asset(4, "dir/checksums", 10),
)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, [2, 1, 4, 3]),
        ({"asset_include": ("*linux*", "*.zip")}, [2, 1]),
        ({"asset_exclude": ("*.sbom.json",)}, [2, 1, 4]),
        ({"asset_include": ("tool*",), "asset_exclude": ("*.zip",)}, [1, 3]),
        ({"asset_include": ("*sums",)}, [4]),
        ({"asset_max_size": 10}, [1, 4, 3]),
        ({"asset_max_size": 9}, [3]),
        ({"asset_latest": 0}, []),
        ({"asset_latest": 1}, [2, 1, 4, 3]),
    ],
)
def test_filters_of_assets(selection: dict[str, Any], expected: list[int]) -> None:
    """Assets come the largest first; a size limit is inclusive."""
    (wanted,) = select([a_release(1, "v1", *ASSETS)], Selection(**selection))
    assert [asset.id for asset in wanted.assets] == expected


def test_older_releases_may_get_no_assets() -> None:
    """``assets.latest`` keeps the metadata of the older releases."""
    releases = [a_release(n, f"v{n}", an_asset(n)) for n in (1, 2, 3)]
    found = select(releases, Selection(asset_latest=2))
    assert [(w.release.id, len(w.assets)) for w in found] == [(3, 1), (2, 1), (1, 0)]


@pytest.mark.parametrize(
    ("selection", "told"),
    [
        ({"include": ("w*",)}, "the release filters select none of the source's releases (3)"),
        (
            {"asset_include": ("*.rpm",)},
            "the asset filters select none of the selected releases' assets (6)",
        ),
        (
            {"asset_max_size": 1, "asset_latest": 1},
            "the asset filters select none of the selected releases' assets (2)",
        ),
        ({"asset_include": ("*.rpm",), "source_archives": True}, ""),
        ({"asset_include": ("a*",)}, ""),
        ({"asset_latest": 0}, ""),
        ({"latest": 0}, ""),
        ({}, ""),
    ],
)
def test_filters_that_leave_nothing_are_told(selection: dict[str, Any], told: str) -> None:
    """A filter that leaves nothing of what is there is told; what asks for nothing is not."""
    assets = (an_asset(1, "a.zip", 5), an_asset(2, "b.zip", 7))
    releases = [a_release(number, f"v{number}", *assets) for number in (1, 2, 3)]
    draft = a_release(9, "draft", *assets, draft=True)
    found = filters_that_select_nothing([*releases, draft], Selection(**selection))
    assert [text.startswith(told) for text in found] == [True] * bool(told)
    assert filters_that_select_nothing([draft], Selection(**selection)) == []


def test_a_draft_has_no_date_to_be_too_old() -> None:
    """``since`` passes drafts, which were not published yet."""
    draft = a_release(1, "v1", draft=True)
    assert tags([draft], drafts=True, since=NOW + timedelta(days=1)) == ["v1"]


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("cli/cli", True),
        ("CLI/Cli", True),
        ("cli/*", True),
        ("*", True),
        ("github:cli/cli", True),
        ("GitHub:cli/*", True),
        ("*:cli/cli", True),
        ("c?i/c[kl]i", True),
        ("ghe:cli/cli", False),
        ("cli", False),
        ("cli/cl", False),
    ],
)
def test_patterns_of_the_command_line(pattern: str, selected: bool) -> None:
    """A pattern is shell-style, ignores case, and may name the source."""
    assert matches_source(pattern, "github", RepoRef("cli", "cli")) is selected
    assert could_match(pattern, "github", "cli/cli") is selected


@pytest.mark.parametrize(
    ("pattern", "source", "possible"),
    [
        ("hashicorp/vault", "hashicorp/*", True),
        ("hashicorp/v*", "hashicorp/*-archive", True),
        ("hashicorp/v*", "hashicorp/t*", False),
        ("other/*", "hashicorp/*", False),
        ("*-x", "hashicorp/*-y", False),
        ("[h]*/a", "hashicorp/*", True),
        ("hashicorp/tool", "hashicorp/*-archive", False),
    ],
)
def test_a_pattern_that_no_source_could_match_is_known_at_once(
    pattern: str,
    source: str,
    possible: bool,
) -> None:
    """Two globs are compared by their literal ends; one literal name is compared exactly."""
    assert could_match(pattern, "github", source) is possible


GLOBS = st.text("ab*?[]-", min_size=1, max_size=6)


@law
@given(st.text("aAbB-", min_size=1, max_size=5), GLOBS, GLOBS)
def test_could_match_never_denies_what_matches(name: str, pattern: str, configured: str) -> None:
    """Whatever both a pattern and a configured wildcard select could match."""
    source = f"owner/{configured}"
    ref = RepoRef("owner", name)
    if matches_source(f"owner/{pattern}", "github", ref) and matches_source(source, "github", ref):
        assert could_match(f"owner/{pattern}", "github", source)
        assert could_match(f"GITHUB:owner/{pattern}", "github", source)


@law
@given(st.lists(st.integers(1, 9), unique=True), st.integers(0, 5))
def test_order_does_not_matter(numbers: list[int], latest: int) -> None:
    """The same releases in another order give the same selection."""
    releases = [a_release(n, f"v{n}", day=n % 3) for n in numbers]
    assert tags(releases, latest=latest) == tags(releases[::-1], latest=latest)


def test_globs_see_no_folders() -> None:
    """``*`` also matches ``/``, and an exclude wins over an include."""
    assert passes("a/b/c", ("a*c",), ())
    assert not passes("a/b/c", ("a*c",), ("*b*",))
    assert is_glob("a?")
    assert not is_glob("a-b")
