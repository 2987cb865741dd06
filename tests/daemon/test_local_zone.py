from __future__ import annotations

import os
import subprocess
import sys

import pytest

ACROSS_A_YEAR = """
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo
import sys
from mirror.core.timetable import Timetable
from mirror.daemon.local_zone import LocalZone

local, named = LocalZone(), ZoneInfo(sys.argv[1])
now = datetime(2026, 1, 1, tzinfo=UTC)
for _ in range(24 * 4 * 366):
    here, there = now.astimezone(local), now.astimezone(named)
    assert (here.replace(tzinfo=None), here.fold) == (there.replace(tzinfo=None), there.fold), now
    assert here.utcoffset() == there.utcoffset(), now
    assert here.tzname() == there.tzname(), now
    assert here.astimezone(UTC) == now
    now += timedelta(minutes=15)
for line in ("30 2 * * *", "*/20 * * * *"):
    here = there = datetime(2026, 3, 1, tzinfo=UTC)
    for _ in range(300):
        here = Timetable(None, line).occurrence(here.astimezone(local))
        there = Timetable(None, line).occurrence(there.astimezone(named))
        assert here == there, (line, here, there)
"""


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "UTC"]
)
def test_local_time_is_that_of_the_machine(zone: str) -> None:
    """Every quarter of an hour of a year, and every line, is what the zone's own rules say."""
    command = [sys.executable, "-c", ACROSS_A_YEAR, zone]
    subprocess.run(command, check=True, env={**os.environ, "TZ": zone})
