"""Durations, sizes, dates, schedules, versions and patterns in the configuration file."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.config import values


@given(st.integers(0, values.LONGEST_DURATION // timedelta(milliseconds=1)))
def test_durations_round_trip(milliseconds: int) -> None:
    """What is written as a duration is read as the same duration."""
    duration = timedelta(milliseconds=milliseconds)
    assert values.parse_duration(values.format_duration(duration)) == duration


@given(st.integers(1, values.LARGEST_SIZE))
def test_sizes_round_trip(size: int) -> None:
    """A number of bytes up to the largest size is parsed exactly, also as a bandwidth."""
    assert values.parse_size(f"{size}B") == size
    assert values.parse_bandwidth(f"{size}B/s") == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("24h", 86_400),
        ("7d", 604_800),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("0s", 0),
        ("3650d", 315_360_000),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """A duration is numbers with units, the larger first."""
    assert values.parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [
        *("", "90", "s", "1.5h", "-1s", " 1s", "1S", "5m1h", "1w", "٣s", "3651d", "9" * 500 + "s"),
        *("999999999d", 90, 1.5, True, [], {}, None, date(2024, 1, 1)),
    ],
)
def test_what_is_no_duration(value: object) -> None:
    """Anything else is refused in a sentence."""
    with pytest.raises(ValueError, match=r"^must "):
        values.parse_duration(value)


def test_zero_is_no_positive_duration() -> None:
    """A time-out of zero would end everything at once, and is refused."""
    with pytest.raises(ValueError, match="longer than zero"):
        values.parse_positive_duration("0s")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1B", 1),
        ("500kB", 500_000),
        ("10MB", 10_000_000),
        ("1GiB", 1_073_741_824),
        ("1.5 MiB", 1_572_864),
        ("2TB", 2 * 10**12),
    ],
)
def test_sizes(text: str, size: int) -> None:
    """MB is decimal, MiB is binary."""
    assert values.parse_size(text) == size


@pytest.mark.parametrize(
    "value", ["", "0", "0B", "10", "10mb", "1Mb", "-1MB", "1e3MB", "9999999TB", 10, [], "1GiB/s"]
)
def test_what_is_no_size(value: object) -> None:
    """A size has a unit, and is neither zero nor beyond all measure."""
    with pytest.raises(ValueError, match=r"^must "):
        values.parse_size(value)


def test_bandwidth() -> None:
    """A bandwidth is a size a second; "0" is no limit."""
    assert values.parse_bandwidth("0") == 0
    assert values.parse_bandwidth("50MB/s") == 50_000_000
    for value in ("50MB", "50", "MB/s", 0, "0/s"):
        with pytest.raises(ValueError, match=r"^must be a bandwidth"):
            values.parse_bandwidth(value)


def test_dates() -> None:
    """A date is TOML's, or one in quotes, without a time."""
    assert values.parse_date(date(2024, 1, 31)) == date(2024, 1, 31)
    assert values.parse_date("2024-01-31") == date(2024, 1, 31)
    for value in ("2024-02-30", "20240131", "yesterday", "", 2024):
        with pytest.raises(ValueError, match="must be a date"):
            values.parse_date(value)


@pytest.mark.parametrize("text", ["*/15 * * * *", "0 4 * * MON-FRI", "30 2 1,15 * *", "0 0 29 2 *"])
def test_cron_lines(text: str) -> None:
    """A cron line has five fields."""
    assert values.parse_cron(text) == text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("* * * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("61 * * * *", "the minute of"),
        ("* * * * LUN", "the day-of-week of"),
        ("0 0 30 2 *", "never matches any time|day-of-month"),
        ("9" * 5000 + " * * * *", "five fields"),
        ("@daily", "five fields"),
        (5, "not an integer"),
    ],
)
def test_what_is_no_cron_line(value: object, words: str) -> None:
    """The field that is wrong is named."""
    with pytest.raises(ValueError, match=words):
        values.parse_cron(value)


@given(st.text(alphabet="0123456789*/,-#LW ", max_size=20) | st.text())
def test_no_cron_line_crashes(text: str) -> None:
    """Whatever stands there, it is a cron line or a sentence says that it is none."""
    with suppress(ValueError):
        assert values.parse_cron(text) == text


def test_version_specifiers() -> None:
    """Versions are chosen by a specifier; empty is no restriction."""
    assert values.parse_versions(">=1.2,<3") == ">=1.2,<3"
    assert values.parse_versions("") == ""
    for value in ("1.2", ">=x", "latest", 1):
        with pytest.raises(ValueError, match="version specifier"):
            values.parse_versions(value)
