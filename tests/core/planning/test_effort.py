"""How often anything is done in one plan, and what is planned off the event loop."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mirror.core.failure import Failure
from mirror.core.planning.effort import is_heavy
from mirror.core.text.body import render_body
from support.values import a_release, a_source, a_target, an_asset, planned

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from mirror.core.domain.release import Release

MENTIONS = "Thanks to @somebody for `this`\n"


def times(function: Callable[..., Any], work: Callable[[], object]) -> int:
    """How often a function of Python is called while something is done."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        del argument
        count += event == "call" and frame.f_code is function.__code__

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def copy_of(release: Release, **facts: Any) -> Release:
    """A copy at the target."""
    return replace(release, id=release.id + 1000, **facts)


RELEASES = [a_release(number, body=MENTIONS * number) for number in (1, 2, 3)]


@pytest.mark.parametrize(
    "copies",
    [
        [],
        [copy_of(release, body="another") for release in RELEASES],
        [copy_of(release, body="another", draft=True) for release in RELEASES],
    ],
    ids=["new", "published", "drafts"],
)
@pytest.mark.parametrize("existing", ["complete", "adopt"])
def test_a_text_is_made_once_a_plan(copies: list[Release], existing: Any) -> None:
    """Whether it is compared, drafted, published or updated, or all of these."""
    source, target = a_source(*RELEASES), a_target(*copies)
    made = times(render_body, lambda: planned(source, target, existing=existing))
    assert made == len(RELEASES)


def test_what_many_releases_wait_for_is_not_searched_for_one_by_one() -> None:
    """With ``tags = "require"`` and no tag at the target, no two obstacles are compared."""
    source = a_source(*(a_release(number) for number in range(1, 301)))
    target = a_target(tags={})
    assert len(planned(source, target, tags="require").obstacles) == 300
    compared = times(Failure.__eq__, lambda: planned(source, target, tags="require"))
    assert compared < 300


@pytest.mark.parametrize(
    ("releases", "heavy"),
    [
        ([a_release(1)], False),
        ([a_release(1, body=MENTIONS * 1000)], False),
        ([a_release(1, body=MENTIONS * 2000)], True),
        ([a_release(1, body="x" * 10**7)], False),
        ([a_release(n) for n in range(1, 150)], False),
        ([a_release(n) for n in range(1, 300)], True),
        ([a_release(1, "", *(an_asset(n) for n in range(900)))], False),
        ([a_release(1, "", *(an_asset(n) for n in range(1000)))], True),
    ],
    ids=["one", "text", "long text", "no mention", "some", "many", "assets", "full release"],
)
def test_what_takes_long_is_known_before(releases: list[Release], heavy: Any) -> None:
    """Releases, assets and characters that hold mentions count, of both sides."""
    assert is_heavy(a_source(*releases)) is heavy
    assert is_heavy(a_source(), a_target(*releases)) is heavy
