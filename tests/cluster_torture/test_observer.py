"""The observer sees what it is there to see."""

from __future__ import annotations

from cluster_torture.observer import (
    Claimed,
    Takeover,
    Write,
    overlapping,
    second_writers,
    takeovers,
)

KEY = "mirrors/tool"
CLAIMS = [
    Claimed(1.0, KEY, 1, "a"),
    Claimed(5.0, KEY, 1, None),
    Claimed(6.0, KEY, 2, "b"),
    Claimed(9.0, KEY, 3, "a"),
]


def write(
    worker: str,
    received: float,
    carried_out: float | None,
    status: int = 201,
    route: str = "update-release",
) -> Write:
    return Write(worker, KEY, route, received, carried_out, status)


def test_writes_under_a_claim_are_right() -> None:
    """Each wrote while it had the claim; a refused write changes nothing, and an upload may end late."""
    good = [
        write("a", 1.0, 2.0),
        write("a", 4.0, 5.5),
        write("b", 6.0, 7.0),
        write("a", 9.5, 10.0),
        write("a", 7.0, 7.5, 422),
        write("b", 8.0, None, 0),
        write("b", 8.5, 9.5, route="upload-asset"),
    ]
    assert second_writers(good, CLAIMS) == []


def test_a_second_writer_is_seen() -> None:
    """Before a claim, after it was given back, after it was taken over, and across that."""
    for wrong in (
        write("a", 0.5, 0.6),
        write("a", 5.2, 5.3),
        write("a", 7.0, 7.1),
        write("b", 8.5, 9.5),
    ):
        assert len(second_writers([wrong], CLAIMS)) == 1


def test_overlapping_writes_are_seen() -> None:
    """Two processes' changes of one repository at a time."""
    assert overlapping([write("a", 1.0, 3.0), write("b", 2.0, 4.0)])
    assert not overlapping([write("a", 1.0, 3.0), write("b", 3.5, 4.0), write("a", 1.0, None, 0)])


def test_takeovers_are_not_handed_over_claims() -> None:
    """A claim that was given back was not taken over."""
    assert takeovers(CLAIMS) == [Takeover(KEY, "b", "a", 9.0)]


def test_a_journal_is_read() -> None:
    """A change that was never carried out has no end; a new repository's name comes with it."""
    journal = (
        '{"n":1,"what":"received","at":1,"worker":"a","repository":"mirrors/","route":"r","status":0}\n'
        '{"n":2,"what":"received","at":2,"worker":"b","repository":"mirrors/x","route":"q","status":0}\n'
        '{"n":1,"what":"carried-out","at":3,"worker":"a","repository":"mirrors/y","route":"r",'
        '"status":201}\n'
    )
    assert Write.read(journal) == [
        Write("a", "mirrors/y", "r", 1, 3, 201),
        Write("b", "mirrors/x", "q", 2),
    ]
