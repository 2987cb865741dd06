"""What servers can do, what a plan costs, and how long to wait."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings

from mirror.core.domain.capabilities import Capabilities
from mirror.core.execution.action import (
    CreateRelease,
    CreateRepository,
    CreateTag,
    DeleteAsset,
    Plan,
    PublishRelease,
    PushTag,
    ReleaseWork,
    RenameAsset,
    ReplaceAsset,
    UpdateRelease,
    UploadAsset,
)
from mirror.core.planning.estimate import requests_of
from support.values import NOW, a_release, a_source, an_asset, planned

law = settings(deadline=None, max_examples=100)


@pytest.mark.parametrize(
    ("installed", "version", "make_latest"),
    [
        (None, None, True),
        ("3.7.19", (3, 7, 19), False),
        ("3.8.0", (3, 8, 0), True),
        ("3.8", (3, 8), True),
        ("3.10.4", (3, 10, 4), True),
        ("enterprise-server@3.17.1", (3, 17, 1), True),
        ("2.22.0", (2, 22, 0), False),
        ("4.0.0", (4, 0, 0), True),
        ("unknown", (0,), False),
        ("", (0,), False),
    ],
)
def test_versions_and_what_they_can_do(
    installed: str | None,
    version: tuple[int, ...] | None,
    make_latest: bool,
) -> None:
    """Versions compare by number; an unknown server counts as old."""
    found = Capabilities.of(installed)
    assert (found.version, found.make_latest) == (version, make_latest)


def test_only_known_limits_are_limits() -> None:
    """github.com's are documented; what a server of one's own takes, only it knows."""
    assert (Capabilities.of(None).max_asset_size, Capabilities.of(None).max_assets) == (2**31, 1000)
    ghes = Capabilities.of("3.17.0")
    assert (ghes.max_asset_size, ghes.max_assets) == (None, None)


ASSET, OLD = an_asset(1), an_asset(50)
REPLACE = ReplaceAsset(ASSET, OLD, "a", "t")


@pytest.mark.parametrize(
    ("facts", "source", "target"),
    [
        ({}, 0, 0),
        ({"finish": UpdateRelease({"tag_name": "v1"})}, 0, 1),
        ({"create": CreateRelease({}, "m"), "finish": PublishRelease({})}, 0, 2),
        ({"tag": CreateTag("v1", "c", "", NOW)}, 0, 1),
        ({"tag": CreateTag("v1", None, "", NOW)}, 0, 4),
        ({"leftovers": (DeleteAsset(OLD),)}, 0, 2),
        ({"assets": (UploadAsset(ASSET),)}, 1, 2),
        ({"assets": tuple(UploadAsset(an_asset(n)) for n in range(1, 102))}, 101, 103),
        ({"assets": (REPLACE,)}, 1, 5),
        ({"assets": (UploadAsset(ASSET, temporary_name="t"),)}, 1, 3),
        ({"assets": (ReplaceAsset(ASSET, OLD, "a", ""),)}, 1, 4),
        ({"assets": (ReplaceAsset(ASSET, OLD, "a", "t", an_asset(51)),)}, 0, 3),
        ({"assets": (RenameAsset(ASSET, OLD, "a"),)}, 0, 2),
    ],
)
def test_what_work_costs(facts: dict[str, Any], source: int, target: int) -> None:
    """Each upload is one request of each side, and each page of a release's assets another."""
    work = ReleaseWork(0, a_release(), None, **facts)
    assert requests_of(Plan(releases=(work,))) == {"source": source, "target": target}


def test_a_new_repository_costs_three_requests_more() -> None:
    """Itself, its first commit, Actions disabled; placeholders start from that commit."""
    tag = ReleaseWork(0, a_release(), None, tag=CreateTag("v1", None, "", NOW))
    create = CreateRepository("private", "", "# Mirror")
    assert requests_of(Plan(repository=create, releases=(tag,)))["target"] == 3 + 2


def test_pushed_tags_cost_no_request() -> None:
    """Git is not the API; a repository that history is pushed into gets no commit of ours."""
    tag = ReleaseWork(0, a_release(), None, tag=PushTag("v1", "a" * 40))
    create = CreateRepository("private", "", "", without_actions=True)
    assert requests_of(Plan(repository=create, releases=(tag,))) == {"source": 0, "target": 2}
    assert requests_of(Plan(releases=(tag,))) == {"source": 0, "target": 0}


def test_nothing_to_do_costs_nothing() -> None:
    """An empty plan adds no request."""
    assert requests_of(planned(a_source(), None)) == {"source": 0, "target": 0}
