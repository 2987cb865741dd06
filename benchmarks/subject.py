"""The measured release-mirror: one pass in a warm process.

Runs as a process: ``python -m benchmarks.subject``. Input:

config: the configuration file.
fast: use the extra ``fast``; otherwise hide it.
environ: environment variables for the configuration's secrets.
profile: output file for cProfile; empty for none.
thread: name of the thread to profile; empty for the event loop's.

It reports the pass's duration from the first request to the last save, its CPU time, peak memory,
fsyncs, and the report's figures. The interpreter's start does not count, and the time to read the
configuration is reported separately.
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
    """Run the requested pass."""
    spec: dict[str, Any] = json.loads(sys.stdin.readline())
    if not spec["fast"]:
        without_fast()
    syncs = count_syncs()
    os.environ.update(spec.get("environ", {}))
    sys.stdout.write(json.dumps(_pass(spec, syncs)) + "\n")


def without_fast() -> None:
    """Hide the extra from this process."""
    modules: dict[str, Any] = sys.modules
    for name in _WITHOUT_FAST:
        modules[name] = None  # makes the module impossible to import


def count_syncs() -> list[int]:
    """Count fsyncs of all threads."""
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
        moments["end"], moments["cpu_end"] = time.perf_counter(), time.process_time()
        return report

    file, thread = str(spec.get("profile") or ""), str(spec.get("thread") or "")
    if file and thread:
        profile_thread(thread, file)
    # Use this thread's CPU time, so that other processes do not show.
    profile = cProfile.Profile(time.thread_time) if file and not thread else None
    report = profile.runcall(_run, work) if profile else _run(work)
    if profile:
        profile.dump_stats(file)
    document = report.to_json()
    return {
        "seconds": moments["end"] - moments["begin"],
        "cpu": moments["cpu_end"] - moments["cpu"],
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
    """Profile a thread that starts later; write the profile when it ends."""
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
    """Run on the event loop that the commands use."""
    try:
        from mirror.cli.event_loop import run
    except ImportError:  # an earlier version, measured for comparison
        import asyncio

        return asyncio.run(work())
    return run(work())


def peak_memory() -> int:
    """Peak resident memory so far, in bytes."""
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    # `getrusage` would include the process that this one was forked from.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
