"""Row 11: run time of a command that does almost nothing."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.command import Options, Plan, Row, main
from benchmarks.machine import python
from benchmarks.measure import Contender, Line, at_most, plain, ratio
from benchmarks.stage.processes import timed

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONFIG = """
[target]
url = "https://ghe.example.com"
token = "env:BENCH_TOKEN"
[sources.github]
url = "https://github.com"
[ledger]
directory = "{ledger}"
[[mirrors]]
source = "cli/cli"
target = "mirrors/cli"
"""


@contextmanager
def stage(options: Options) -> Iterator[Plan]:
    """A configuration with one mirror, and an empty ledger: ``status`` exits 1, for it never succeeded."""
    del options
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        config, ledger = Path(name) / "config.toml", Path(name) / "ledger"
        ledger.mkdir()
        config.write_text(_CONFIG.format(ledger=ledger), encoding="ascii")
        status = [python(), "-m", "mirror", "--config", str(config), "status"]
        contenders = [
            Contender("aiohttp", lambda: timed([python(), "-c", "import aiohttp"])),
            Contender("status", lambda: timed(status, good=1)),
            Contender("version", lambda: timed([python(), "-m", "mirror", "--version"])),
            Contender("help", lambda: timed([python(), "-m", "mirror", "--help"])),
            Contender("python", lambda: timed([python(), "-c", "pass"])),
        ]
        lines = [
            Line('status / python -c "import aiohttp"', ratio("status", "aiohttp")),
            Line("the same in CPU", ratio("status", "aiohttp", "cpu"), at_most(1.3)),
            Line("--version in CPU", ratio("version", "aiohttp", "cpu")),
            Line("--help in CPU", ratio("help", "aiohttp", "cpu")),
            Line("status", plain("status"), unit="s"),
            Line('python -c "import aiohttp"', plain("aiohttp"), unit="s"),
            Line("python -c pass", plain("python"), unit="s"),
        ]
        yield Plan(contenders, lines)


ROW = Row("11", "release-mirror status on an empty ledger", "startup", stage, (), factor=3)

if __name__ == "__main__":
    main(ROW)
