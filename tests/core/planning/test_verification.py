"""What differs between an asset and its copy: by what the hosts say, and by the bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mirror.core.domain.policy import Policy
from mirror.core.failure import Failure
from mirror.core.planning.verification import Compared, Comparison, Pair, compare, note, told_once
from mirror.core.reporting.report import Difference
from support.values import (
    a_ledger,
    a_record,
    a_release,
    a_source,
    a_target,
    about,
    an_asset,
    an_entry,
    digest_of,
)

A, B, C = digest_of("a"), digest_of("b"), digest_of("c")


def a_pair(source: str | None, copy: str | None, recorded: str | None) -> Pair:
    asset, found = an_asset(1, "a.zip", sha256=source), an_asset(50, "a.zip", sha256=copy)
    return Pair(0, a_release(), asset, found, recorded)


@pytest.mark.parametrize(
    ("source", "copy", "recorded", "verdict"),
    [
        (A, A, A, True),
        (A, A, None, True),
        (A, B, A, False),
        (A, A, B, None),
        (None, A, A, None),
        (A, None, A, None),
    ],
)
def test_digests_of_both_hosts_save_reading(
    source: str | None, copy: str | None, recorded: str | None, verdict: bool | None
) -> None:
    """Three witnesses that agree are enough; where one is missing or disagrees, bytes decide."""
    pair = a_pair(source, copy, recorded)
    assert pair.verdict(full=False) is verdict
    assert pair.verdict(full=True) is None
    assert replace(pair, copy=replace(pair.copy, size=11)).verdict(full=True) is False


@pytest.mark.parametrize(
    ("original", "copy", "recorded", "keep", "expected"),
    [
        (A, A, A, False, Compared(same=True)),
        (A, A, None, False, Compared(same=True)),
        (A, A, B, False, Compared(same=True)),
        (A, B, A, False, Compared(same=False, changed="target")),
        (B, A, A, False, Compared(same=False, changed="source")),
        (A, B, C, False, Compared(same=False)),
        (A, B, None, False, Compared(same=False)),
        (B, A, A, True, Compared(same=True, changed="source")),
        (A, B, A, True, Compared(same=False, changed="target")),
    ],
)
def test_the_record_tells_which_side_changed(
    original: str, copy: str, recorded: str | None, keep: bool, expected: Compared
) -> None:
    """A first copy that is kept on purpose is right as long as it is what was mirrored."""
    pair = replace(a_pair(original, copy, recorded), keep=keep)
    assert pair.compare(copy, original) == expected


@pytest.mark.parametrize(("copy", "same"), [(A, True), (B, False)])
def test_what_its_source_cannot_prove_is_compared_with_the_record(copy: str, same: bool) -> None:
    """An archive has other bytes each time that the source makes it."""
    pair = replace(a_pair(None, None, A), against_source=False)
    assert pair.compare(copy, None) == Compared(same)


def compared(source_name: str, target_name: str, label: str = "", recorded: str = "") -> Comparison:
    """One asset under its name at the source, and one under another name at the target."""
    asset = an_asset(1, source_name, sha256=A)
    copy = an_asset(50, target_name, sha256=A, label=label)
    release, mirrored = a_release(1, "v1", asset), a_release(60, "v1", copy)
    entry = an_entry(asset, copy, source_name=recorded or "another")
    ledger = a_ledger(a_record(release, mirrored, entry))
    target = a_target(mirrored, latest=60)
    return compare(a_source(release), target, ledger, Policy(), about())


@pytest.mark.parametrize(
    ("source", "target", "label", "recorded", "found"),
    [
        ("a.zip", "a.zip", "", "", True),
        ("a.zip", "b.zip", "", "", False),
        ("a b.zip", "a.b.zip", "", "", True),
        ("a b.zip", "a-b.zip", "a b.zip", "", True),
        ("a.zip", "b.zip", "a.zip", "", False),
        ("茶.zip", "default.zip", "", "茶.zip", True),
        ("a.zip", "release-mirror-tmp-1-a.zip", "a.zip", "a.zip", False),
    ],
)
def test_an_asset_is_found_by_its_name(
    source: str, target: str, label: str, recorded: str, found: bool
) -> None:
    """By what the server makes of the name, too; never by a label alone, nor under a temporary name."""
    result = compared(source, target, label, recorded)
    assert bool(result.pairs) == found
    missing = [Difference("v1", source, "missing")]
    assert list(result.differences.values()) == ([] if found else [missing])


def test_a_release_is_found_by_its_tag() -> None:
    """The record of another tag, or a draft, is no release that a consumer sees."""
    asset = an_asset(1, "a.zip", sha256=A)
    release = a_release(1, "v1", asset)
    for copy in (a_release(60, "v1-old", asset), a_release(60, "v1", asset, draft=True)):
        ledger = a_ledger(a_record(release, copy))
        result = compare(a_source(release), a_target(copy), ledger, Policy(), about())
        assert result.differences == {(1, 1): [Difference("v1", "a.zip", "missing")]}


X, Y = Difference("v1", "x", "missing"), Difference("v1", "y", "differing")


@pytest.mark.parametrize(
    ("release_id", "asset_id", "right", "left", "told"),
    [
        (1, 10, False, [Y], 1),  # the reason of one asset
        (1, 10, True, [X, Y], 0),  # it is right meanwhile
        (1, 0, False, [], 1),  # the reason of all of the release
        (2, 0, False, [X, Y], 0),  # a release that is right
        (0, 0, False, [X, Y], 1),  # the mirror as a whole
        (2, 20, False, [X, Y], 1),  # of what could not be compared
    ],
)
def test_each_fault_is_told_once(
    release_id: int, asset_id: int, right: bool, left: list[Difference], told: int
) -> None:
    """A known reason takes the place of its difference; one that no longer matters is not told."""
    obstacle = Failure("empty", "why", release_id=release_id, asset_id=asset_id)
    items = {(release_id, asset_id)} if right else set()
    found, failures = told_once({(1, 10): [X], (1, 11): [Y]}, [obstacle], items)
    assert (found, len(failures)) == (left, told)


def test_an_obstacle_does_not_matter_where_all_is_right() -> None:
    """An archived target that equals its source is fine."""
    assert told_once({}, [Failure("archived", "why")], ()) == ([], ())


def test_a_note_names_some_and_counts_the_rest() -> None:
    """However much is kept, its note stays one line."""
    assert note("kept", []) == []
    assert note("kept", ["v1"]) == ["kept: v1"]
    assert note("kept", [f"v{n}" for n in range(9)]) == ["kept: v0, v1, v2, v3, v4 and 4 more"]
