"""What heals a failure of each kind, how soon, and what it costs until then.

``PYTHONPATH=tests python -m healing`` prints all of it as a table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from healing.cases import CASES, expected
from healing.mirrored import outcome
from mirror.errors import FailureKind
from support.seed import sample

if TYPE_CHECKING:
    from pathlib import Path

    from healing.cases import Case, Healer

CELLS: list[tuple[Case, Healer]] = [(case, healer) for case in CASES for healer in case.healers()]

SAMPLE = 12


def _name(cell: tuple[Case, Healer]) -> str:
    return f"{cell[0].kind} {cell[1]}"


DRAWN = sample(CELLS, SAMPLE, _name)

IDLE = 2
"""Requests of a mirror with nothing to try: a conditional one, and the proof of the credential."""


def test_every_kind_has_its_case() -> None:
    """What is added to the contract is added here."""
    assert sorted(case.kind for case in CASES) == sorted(get_args(FailureKind))


@pytest.mark.parametrize(
    ("case", "healer"),
    DRAWN,
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
async def test_it_heals_when_its_cause_is_over(case: Case, healer: Healer, tmp_path: Path) -> None:
    """A failure stands in each pass; how soon it goes follows from its state.

    What is blocked costs one refused request a pass at most, what is quarantined or delayed no more
    than a mirror with nothing to do.
    """
    found = await outcome(tmp_path, case, healer)
    for one in found.stood:
        assert {(f.kind, f.state) for f in one.failures} == {(case.kind, case.state)}
    assert found.passes == expected(case, healer)
    later = found.stood[1:]
    if case.state == "blocked":
        assert all(one.refused <= 1 for one in found.stood)
    if case.state == "quarantined":
        assert all(one.requests <= IDLE for one in later)
    if case.state == "failed" and case.kind != "rate-limit":
        assert later[1].requests <= IDLE  # the third pass: its delay has begun
