"""The event loop of the commands."""

from __future__ import annotations

import asyncio
import sys

import pytest

from mirror.cli.event_loop import run


async def _module() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_uvloop_is_used_where_it_is_there() -> None:
    """With the extra `fast`, commands run on uvloop."""
    pytest.importorskip("uvloop")
    assert run(_module()).startswith("uvloop")


def test_a_plain_install_has_a_loop_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without uvloop, commands run on Python's own loop."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run(_module()).startswith("asyncio")
