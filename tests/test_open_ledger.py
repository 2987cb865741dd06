from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mirror.config import load_config, resolve_secrets
from mirror.errors import ConfigError
from mirror.open_ledger import open_ledger

if TYPE_CHECKING:
    from pathlib import Path


def test_files_need_no_database() -> None:
    """Without `[ledger] url` nothing of PostgreSQL is imported, by no command."""
    code = """
import sys
import mirror.app, mirror.daemon.service, mirror.cli.commands.ledger_copy, mirror.cli.commands.sync
print([name for name in sys.modules if name.startswith(("psycopg", "mirror.database", "mirror.cluster"))])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


async def test_a_wrong_url_is_told_without_showing_it(tmp_path: Path) -> None:
    """A secret that is no PostgreSQL URL is a mistake of the configuration; it is not repeated."""
    file = tmp_path / "config.toml"
    file.write_text("""
[target]
url = "https://ghe.example.com"
token = "env:TOKEN"
[sources.github]
url = "https://github.com"
[ledger]
url = "env:LEDGER"
[[mirrors]]
source = "cli/cli"
""")
    environ = {"TOKEN": "t", "LEDGER": "mysql://user:hunter2@db/x"}
    config = load_config(file, environ)
    with pytest.raises(
        ConfigError, match=r"ledger\.url: env:LEDGER is not a PostgreSQL URL"
    ) as told:
        async with open_ledger(config, resolve_secrets(config, environ)):
            pass
    assert "hunter2" not in str(told.value)
