from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.bell import Bell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def bell() -> AsyncIterator[Bell]:
    async with Bell() as made:
        yield made
