"""The matrix itself: nothing is listed by hand, nothing is exempted for nothing."""

from __future__ import annotations

from faults.cells import SAMPLE, matrix
from faults.exceptions import EXCEPTIONS, expectation
from faults.kinds import KINDS
from support.seed import EVERYTHING, sample


def test_every_route_that_is_used_is_broken_in_every_way() -> None:
    """Both hosts, all of their origins, reads and writes; every kind happens somewhere."""
    cells = matrix()
    assert len({str(cell) for cell in cells}) == len(cells) > 3000
    used = {(cell.used.role, cell.used.origin) for cell in cells}
    assert used >= {
        ("source", "api"),
        ("source", "storage"),
        ("source", "web"),
        ("target", "api"),
        ("target", "uploads"),
        ("target", "web"),
    }
    assert {cell.kind.name for cell in cells} == {kind.name for kind in KINDS}
    routes = {(cell.used.role, cell.used.route) for cell in cells}
    assert len(routes) >= 48
    assert {cell.used.method for cell in cells} == {"GET", "POST", "PUT", "PATCH", "DELETE"}


def test_an_exemption_is_an_exception() -> None:
    """Each is used, and by few: most cells come to what the rule says."""
    cells = matrix()
    for exemption in EXCEPTIONS:
        assert any(exemption.which(cell) for cell in cells), exemption.why
    exempt = [c for c in cells if any(exemption.which(c) for exemption in EXCEPTIONS)]
    assert len(exempt) < len(cells) / 4
    rule = [c for c in cells if c not in exempt]
    assert all(expectation(c).passes is (c.hits != "ever") for c in rule)


def test_a_sample_is_the_same_every_time() -> None:
    """A seed draws the same cells in every process: those are shared out among several."""
    cells = matrix()
    drawn = sample(cells, SAMPLE)
    assert [str(cell) for cell in drawn] == [str(cell) for cell in sample(cells, SAMPLE)]
    assert len(drawn) == (len(cells) if EVERYTHING else SAMPLE)
