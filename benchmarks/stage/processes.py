"""Starts, runs and stops server processes and measured processes."""

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
ENDS_WITH_US = ("setpriv", "--pdeathsig", "TERM")
"""Before a command: it ends with this process, even where that is killed."""

LONGEST = 1200.0
"""Time limit for any operation, in seconds."""


class Failed(Exception):
    """The measured command failed, so its figures are worthless."""


@contextmanager
def served(module: str, spec: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Run a server process for the duration of the block and yield its ready message.

    Args:
        module: Its module; it reads its input as one line of JSON and prints one line of JSON
            when ready.
        spec: The input.
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
    """Terminate a process and its children."""
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
    """Start a Python process, let it do its work and return its output.

    The process measures itself, so that the interpreter's start does not count.
    """
    process = subprocess.Popen(
        [*ENDS_WITH_US, python(), "-m", module],
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
    """Run a command and return its duration, CPU time and peak memory.

    Raises:
        Failed: Its exit status was not ``good``.
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
    """As :func:`timed`, for a bash script in which every program of a pipe must succeed."""
    return timed(["bash", "-o", "pipefail", "-c", script], environ)
