"""Which commit this program was built from."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("BUILD")


@cache
def build() -> str:
    """An abbreviated commit (``a1b2c3d4e5f6``); empty where it runs from a checkout."""
    try:
        return _FILE.read_text("utf-8").strip()
    except OSError:
        return ""
