"""The files that this process opens below a directory."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_watched: dict[str, list[str]] = {}


@contextmanager
def opened_below(directory: Path) -> Iterator[list[str]]:
    """Their paths relative to the directory, in the order in which they are opened in this block."""
    paths = _watched[f"{directory}/"] = []
    try:
        yield paths
    finally:
        del _watched[f"{directory}/"]


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        for directory, paths in list(_watched.items()):
            if str(arguments[0]).startswith(directory):
                paths.append(str(Path(arguments[0]).relative_to(directory)))


sys.addaudithook(_hear)  # an audit hook stays for ever
