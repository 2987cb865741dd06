from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.stores import Stores

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["files", "postgres"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """A ledger that does not exist yet, of each kind."""
    if request.param == "files":
        return Stores(tmp_path / "ledger")
    return Stores(str(request.getfixturevalue("postgres_url")))
