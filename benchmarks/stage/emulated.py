"""The emulator as a process. Input: ``seed``, the path of a seed document."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from benchmarks.stage import life
from mirror.emulator import serve


def main() -> None:
    """Serve until killed."""
    spec = life.orders()
    life.end_with_parent()

    def announce(document: dict[str, Any]) -> None:
        life.ready({"url": document["url"], "token": document["token"]})

    asyncio.run(serve(announce, seed=Path(spec["seed"])))


if __name__ == "__main__":
    main()
