"""Numbers, sizes and times as users read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mirror.core.text.wording import age, count, duration, size


def test_words() -> None:
    """Numbers as people read them."""
    assert [size(n) for n in (0, 999, 1000, 73_400_320, 999_960)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "73.4 MB",
        "1.0 MB",
    ]
    assert [duration(s) for s in (0.04, 9.94, 59.6, 3600, 3725, 180_000)] == [
        "0.0 s",
        "9.9 s",
        "1 min",
        "1 h",
        "1 h 2 min",
        "2 d 2 h",
    ]
    assert count(1, "release") == "1 release"
    assert count(2400, "release") == "2,400 releases"


def test_age() -> None:
    """Ages are told in their largest unit; a clock that went back is no error."""
    now = datetime(2026, 11, 21, tzinfo=UTC)
    ages = [age(now - timedelta(seconds=s), now) for s in (-50, 5, 300, 90_000)]
    assert ages == ["just now", "just now", "5 min ago", "1 d ago"]
    assert age(None, now) == "never"
