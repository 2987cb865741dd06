"""Fixtures of the torture; what takes minutes is only collected by ``make test-all``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.seed import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Iterator

collect_ignore = [] if EVERYTHING else ["test_machines.py"]


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory that another user may enter, with a short name."""
    with tempfile.TemporaryDirectory(prefix="rm-t-") as name:
        Path(name).chmod(0o755)
        yield Path(name)
