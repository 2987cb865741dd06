"""What killed runs had done is told once, by whoever takes over."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import pytest

from mirror.core.reporting.inheritance import KilledRun, inherited
from mirror.core.reporting.report import ActionReport, RepositoryReport, with_earlier
from mirror.core.text.body import marker, with_marker
from mirror.sync.results import planned_actions
from support.values import (
    SOURCE_URL,
    a_release,
    a_source,
    a_target,
    an_asset,
    commit_of,
    digest_of,
    planned,
)

if TYPE_CHECKING:
    from mirror.core.domain.release import Asset, Snapshot


def _asset(number: int) -> Asset:
    return an_asset(number, size=30 - number, sha256=digest_of(str(number)))


RELEASE = a_release(1, "v1", _asset(1), _asset(2))
SOURCE = a_source(RELEASE)


def _copy(*assets: int, draft: bool = True) -> Snapshot:
    body = with_marker(RELEASE.body, marker(SOURCE_URL, RELEASE)) if draft else RELEASE.body
    copies = [replace(_asset(number), id=number + 100) for number in assets]
    copy = a_release(51, "v1", *copies, body=body, draft=draft, name=RELEASE.name)
    return a_target(copy, tags={"v1": commit_of("v1")}, latest=None if draft else 51)


STATES = (
    None,
    a_target(),
    a_target(tags={"v1": commit_of("v1")}),
    _copy(),
    _copy(1),
    _copy(1, 2),
    _copy(1, 2, draft=False),
)
"""The target after each action of a first pass."""

ALL = planned_actions(planned(SOURCE, None))
DONE = [replace(action, status="done") for action in ALL]


def _killed(claim: int, before: int, told: int, found: tuple[ActionReport, ...] = ()) -> KilledRun:
    """A run that found the target in a state, and had told so many of its actions."""
    intended = planned_actions(planned(SOURCE, STATES[before]))
    assert [action.identity for action in intended] == [one.identity for one in ALL[before:]]
    actions = (*found, *DONE[before : before + told])
    report = RepositoryReport("github:cli/cli", "mirrors/cli", "ok", actions, claim=claim)
    return KilledRun(claim, intended, report)


def _found(killed: list[KilledRun], state: int) -> tuple[ActionReport, ...]:
    work = planned(SOURCE, STATES[state])
    return inherited(killed, work, planned_actions(work), STATES[state])


@pytest.mark.parametrize(
    ("first", "second"), list(combinations_with_replacement(range(len(STATES)), 2)), ids=str
)
def test_every_action_is_told_once(first: int, second: int) -> None:
    """Whenever two runs are killed, and whatever they told before; also to who waited all the time."""
    for one, other in ((0, 0), (first, 0), (0, second - first), (first, second - first)):
        killed = [_killed(3, 0, one)]
        if first < len(ALL):
            killed.append(_killed(5, first, other, _found(killed, first)))
        found = _found(killed, second)
        names = Counter(action.identity for action in found)
        assert names == Counter(action.identity for action in ALL[:second])
        own = RepositoryReport(
            "github:cli/cli", "mirrors/cli", "ok", (*found, *DONE[second:]), claim=7
        )
        report = with_earlier(own, [run.report for run in killed])
        told = Counter(action.identity for action in report.actions)
        assert told == Counter(action.identity for action in ALL)


def test_a_run_that_goes_on_and_its_successor_tell_an_action_once() -> None:
    """A process that lost its claim knows what it did better than what it had told."""
    killed = _killed(3, 0, 1)
    mine = killed.report.but(actions=tuple(DONE[:5]))
    others = RepositoryReport(
        "github:cli/cli", "mirrors/cli", "ok", (*_found([killed], 5), *DONE[5:]), claim=4
    )
    report = with_earlier(others, [killed.report, mine])
    assert [action.identity for action in report.actions] == [one.identity for one in ALL]


def test_what_was_not_done_is_not_told() -> None:
    """An asset that vanished at its source before it was uploaded, and a copy whose bytes differ."""
    killed = [_killed(3, 0, 3)]
    source = a_source(replace(RELEASE, assets=RELEASE.assets[1:]))
    work = planned(source, _copy())
    found = inherited(killed, work, planned_actions(work), _copy())
    assert [action.action for action in found] == [
        "create-repository",
        "create-tag",
        "create-release",
    ]
    (upload,) = [one for one in _found(killed, 4) if one.action == "upload-asset"]
    assert (upload.sha256, upload.target_asset) == (digest_of("1"), "asset-1.tar.gz")
