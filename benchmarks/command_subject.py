"""A command of release-mirror in a process of its own, and its peak memory.

Runs as a process: ``python -m benchmarks.command_subject``. Input:

arguments: of the command.
environ: environment variables for the configuration's secrets.
good: the expected exit statuses.

The process measures itself: what ``wait4`` reports includes the memory of the process that forked it.
"""

from __future__ import annotations

import json
import os
import sys

from benchmarks.subject import peak_memory


def main() -> None:
    """Run the command and print its figures."""
    spec = json.loads(sys.stdin.readline())
    os.environ.update(spec["environ"])
    from mirror.cli.main import main as command

    out = os.dup(1)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    try:
        command(spec["arguments"])
    except SystemExit as end:
        if end.code not in spec["good"]:
            raise
    os.write(out, (json.dumps({"rss": peak_memory()}) + "\n").encode())


if __name__ == "__main__":
    main()
