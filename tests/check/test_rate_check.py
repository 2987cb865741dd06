"""What fits into the rate limits."""

from __future__ import annotations

import pytest

from mirror.check.rate_check import Polling, hourly_verdict, points_verdict


def polling(mirrors: int, interval: float) -> Polling:
    return Polling(mirrors, [interval] * mirrors)


@pytest.mark.parametrize(
    ("mirrors", "interval", "status", "detail"),
    [
        (
            1200,
            900,
            "ok",
            (
                "1,200 mirrors every 15 min need 80 of 900 points a minute;"
                " 13,500 mirrors, or an interval of 1 min 20 s, would fit"
            ),
        ),
        (
            1200,
            60,
            "warning",
            (
                "1,200 mirrors every 1 min need 1,200 of 900 points a minute, so passes take longer"
                " than that; 900 mirrors, or an interval of 1 min 20 s, would fit"
            ),
        ),
    ],
)
def test_points(mirrors: int, interval: float, status: str, detail: str) -> None:
    """An interval in which not all mirrors can be asked is warned of, with what would fit."""
    assert points_verdict(polling(mirrors, interval), 900) == (status, detail)


def test_points_of_several_intervals() -> None:
    """Mirrors with an interval of their own, and listings, are counted one by one."""
    status, detail = points_verdict(Polling(3, [60, 60, 900, 900]), 2)
    assert (status, detail) == (
        "warning",
        (
            "3 mirrors need 3 of 2 points a minute, so passes take longer than that;"
            " one interval of 2 min for all would fit"
        ),
    )


@pytest.mark.parametrize(
    ("mirrors", "limit", "anonymous", "status", "part"),
    [
        (1200, 5000, False, "ok", "send 4,800 requests an hour, 5,000 are allowed"),
        (2000, 5000, False, "ok", "at least 38 % are answered with 304"),
        (15, 60, True, "ok", "60 are allowed"),
        (16, 60, True, "warning", "configure a token (15 mirrors, or an interval of 16 min,"),
    ],
)
def test_requests_an_hour(
    mirrors: int, limit: int, anonymous: bool, status: str, part: str
) -> None:
    """With a token a 304 is free; without one every request counts."""
    found, detail = hourly_verdict(polling(mirrors, 900), limit, anonymous=anonymous)
    assert found == status
    assert part in detail


def test_a_host_that_nothing_reads_from() -> None:
    """The target, and a source that is not used, need nothing."""
    nothing = Polling(0, ())
    assert points_verdict(nothing, 900) == ("ok", "900 points a minute; no mirror reads from here")
    assert hourly_verdict(nothing, 5000, anonymous=False)[0] == "ok"
