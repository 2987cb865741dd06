"""The documents of assets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

R = "/repos/octo/tool/releases"


@pytest.mark.parametrize(("version", "shown"), [("3.17", True), ("3.16", False)])
async def test_digests_come_with_a_version(
    start: Callable[..., Any], version: str, shown: bool
) -> None:
    """Older servers do not know the key at all."""
    host = await start(version=version)
    release = (await host.get(f"{R}/latest")).json
    assert ("digest" in release["assets"][0]) is shown
