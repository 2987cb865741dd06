"""Processes that serve or are measured: started, asked, ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import python
from benchmarks.measure import Sample, figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
LONGEST = 1200.0
"""Seconds that anything may take."""


class Failed(Exception):
    """What was to be measured failed: its figures would be worth nothing."""


@contextmanager
def served(module: str, spec: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Run a server as a process while the block runs; what it said when it was ready.

    Args:
        module: Its name; it reads its orders as JSON from its first line of standard input, and
            prints one line of JSON.
        spec: The orders.
    """
    process = subprocess.Popen(
        [python(), "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
        start_new_session=True,
    )
    if process.stdin is None or process.stdout is None:
        raise AssertionError
    try:
        process.stdin.write(json.dumps(spec) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise Failed(f"{module} did not start")
        yield json.loads(line)
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and those that it started."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(5)
    except ProcessLookupError:
        process.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def measured(module: str, spec: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Any:
    """Start a Python process, have it do its work once it is ready, and return what it tells.

    It measures by itself, so that an interpreter's start has no part in its seconds.
    """
    process = subprocess.Popen(
        [python(), "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        text=True,
        env={**os.environ, **(environ or {})},
    )
    out, err = process.communicate(json.dumps(spec) + "\n", timeout=LONGEST)
    if process.returncode or not out.strip():
        raise Failed(f"{module} ended with {process.returncode}: {err[-2000:]}")
    return json.loads(out.splitlines()[-1])


def timed(
    command: Sequence[str], environ: Mapping[str, str] | None = None, *, good: int = 0
) -> Sample:
    """Run a command: seconds from its start to its end, seconds of CPU, and its peak memory.

    Raises:
        Failed: It ended with another status than ``good``.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **(environ or {})},
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    error = process.stderr.read().decode(errors="replace") if process.stderr else ""
    if process.stderr is not None:
        process.stderr.close()
    if process.returncode != good:
        raise Failed(f"{' '.join(command)[:400]} ended with {process.returncode}: {error[-1000:]}")
    cpu = usage.ru_utime + usage.ru_stime
    return figures({"seconds": seconds, "cpu": cpu, "rss": usage.ru_maxrss * 1024})


def shell(script: str, environ: Mapping[str, str] | None = None) -> Sample:
    """As :func:`timed`, of a script for bash; every program of a pipe has to succeed."""
    return timed(["bash", "-o", "pipefail", "-c", script], environ)
