"""release-mirror as it is measured: one pass in a process that is ready.

Run as a process: ``python -m benchmarks.subject``. Its orders:

config: the configuration file.
fast: with the extra ``fast``; else as if it were not installed.
environ: what the configuration's secrets refer to.
profile: a file for cProfile's figures; empty for none.
thread: the name of the thread that is profiled; empty for the one of the event loop.

It tells the pass's seconds from its first request to its last save (not the interpreter's start,
nor the reading of the configuration, which is told apart), its CPU, its peak memory, its fsyncs,
and the report's figures.
"""

from __future__ import annotations

import contextlib
import cProfile
import json
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

_WITHOUT_FAST = ("uvloop",)


def main() -> None:
    """Do what is ordered."""
    spec: dict[str, Any] = json.loads(sys.stdin.readline())
    if not spec["fast"]:
        without_fast()
    syncs = count_syncs()
    os.environ.update(spec.get("environ", {}))
    sys.stdout.write(json.dumps(_pass(spec, syncs)) + "\n")


def without_fast() -> None:
    """Have this process do as if the extra were not installed."""
    modules: dict[str, Any] = sys.modules
    for name in _WITHOUT_FAST:
        modules[name] = None  # no module of that name can be found from now on


def count_syncs() -> list[int]:
    """Count what is asked of the disk, whoever asks."""
    count = [0]

    def counting(real: Any) -> Any:
        def sync(descriptor: int) -> None:
            count[0] += 1
            real(descriptor)

        return sync

    os.fsync, os.fdatasync = counting(os.fsync), counting(os.fdatasync)
    return count


def _pass(spec: dict[str, Any], syncs: list[int]) -> dict[str, Any]:
    from mirror.app import open_app
    from mirror.cli import startup
    from mirror.cli.options import GlobalOptions
    from mirror.config import resolve_secrets

    at_start = peak_memory()
    began = time.perf_counter()
    options = GlobalOptions(config=Path(spec["config"]))
    config = startup.load(options)
    startup.set_up_log(options, config, "info")
    secrets = resolve_secrets(config, os.environ)
    configured = time.perf_counter() - began
    moments: dict[str, float] = {}

    async def work() -> Any:
        moments["begin"], moments["cpu"] = time.perf_counter(), time.process_time()
        async with open_app(config, secrets) as app:
            report = await app.sync()
        moments["end"] = time.perf_counter()
        return report

    file, thread = str(spec.get("profile") or ""), str(spec.get("thread") or "")
    if file and thread:
        profile_thread(thread, file)
    # By the time of this thread: what other processes take does not show.
    profile = cProfile.Profile(time.thread_time) if file and not thread else None
    report = profile.runcall(_run, work) if profile else _run(work)
    if profile:
        profile.dump_stats(file)
    document = report.to_json()
    return {
        "seconds": moments["end"] - moments["begin"],
        "cpu": time.process_time() - moments["cpu"],
        "configured": configured,
        "rss": peak_memory(),
        "rss_at_start": at_start,
        "fsyncs": syncs[0],
        "failed": report.failed,
        "status": document["status"],
        "totals": document["totals"],
        "requests": document["requests"],
        "problems": [f for repo in document["repositories"] for f in repo["failures"]][:3],
    }


def profile_thread(name: str, file: str) -> None:
    """Profile a thread that is started later; the figures are written when it ends."""
    run = threading.Thread.run

    def profiled(thread: threading.Thread) -> None:
        if thread.name != name:
            run(thread)
            return
        profile = cProfile.Profile(time.thread_time)
        profile.runcall(run, thread)
        profile.dump_stats(file)

    threading.Thread.run = profiled  # type: ignore[method-assign, assignment]


def _run(work: Any) -> Any:
    """Run as the commands do."""
    try:
        from mirror.cli.event_loop import run
    except ImportError:  # an earlier version, measured to compare with
        import asyncio

        return asyncio.run(work())
    return run(work())


def peak_memory() -> int:
    """The most memory that was resident so far, in bytes."""
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    # Not before: what `getrusage` tells counts the process that this one was forked from.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
