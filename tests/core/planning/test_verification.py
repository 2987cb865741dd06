"""What differs between an asset and its copy: by what the hosts say, and by the bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mirror.core.planning.verification import Compared, Pair
from support.values import a_release, an_asset, digest_of

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
