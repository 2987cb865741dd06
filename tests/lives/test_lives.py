"""The program lives through anything: the oracle finds nothing in a sample of random lives.

Thousands of them: ``make lives COUNT=20000``. One of them as a story: ``python -m lives --replay
SEED --shrink --trace`` with ``tests`` on the path.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent


def test_a_sample_of_lives_holds_every_law() -> None:
    """No wrong byte, nothing of others touched, nothing half visible, no untrue report, an end."""
    done = subprocess.run(
        [sys.executable, "-m", "lives", "--count", "200"],
        cwd=TESTS,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
