"""The ledger store, measured in a separate process.

Runs as a process: ``python -m benchmarks.ledger_subject``. Input:

work: ``open`` (take the lock and read the index, as at the start of a pass) or ``save`` (one
document).
directory: the ledger directory.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from pathlib import Path

from benchmarks.subject import count_syncs, peak_memory

SAVES = 15


async def opened(directory: Path) -> dict[str, float]:
    """Lock a ledger and read its index."""
    from mirror.storage.json_ledger import FileLedgerStore
    from mirror.system_clock import SystemClock

    # Start a thread and load the parser first, so that they are not measured.
    await asyncio.to_thread(json.loads, "{}")
    before, began = peak_memory(), time.perf_counter()
    store = FileLedgerStore(directory, SystemClock())
    async with store.lock():
        index = await store.load_index()
        seconds = time.perf_counter() - began
    mirrors = len(index.mirrors)
    return {"seconds": seconds, "memory": peak_memory() - before, "mirrors": mirrors}


async def saved(directory: Path, syncs: list[int]) -> dict[str, float]:
    """Save a document several times; return the median."""
    from mirror.storage.json_ledger import FileLedgerStore
    from mirror.system_clock import SystemClock

    store = FileLedgerStore(directory, SystemClock())
    async with store.lock():
        ledger = await store.load("mirrors/r00000")
        if ledger is None:
            raise AssertionError(directory)
        await store.save("mirrors/r00000", ledger)
        times, before = [], syncs[0]
        for _ in range(SAVES):
            began = time.perf_counter()
            await store.save("mirrors/r00000", ledger)
            times.append(time.perf_counter() - began)
    return {"seconds": statistics.median(times), "fsyncs": (syncs[0] - before) / SAVES}


def main() -> None:
    """Run the requested work."""
    spec = json.loads(sys.stdin.readline())
    syncs = count_syncs()
    directory = Path(spec["directory"])
    work = opened(directory) if spec["work"] == "open" else saved(directory, syncs)
    sys.stdout.write(json.dumps(asyncio.run(work)) + "\n")


if __name__ == "__main__":
    main()
