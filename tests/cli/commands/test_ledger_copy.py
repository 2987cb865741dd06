from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mirror.core.ledger.document import Ledger
from support.stores import Stores

if TYPE_CHECKING:
    from pathlib import Path


def copy(*arguments: str, url: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mirror", "ledger", "copy", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "LEDGER_URL": url},
        check=False,
    )


async def test_a_directory_into_a_database(tmp_path: Path, postgres_url: str) -> None:
    """The copy is told, and who holds the directory is told as by sync (75)."""
    full = Stores(tmp_path / "full")
    async with full.open() as store, store.lock():
        await store.save("mirrors/cli", Ledger("github:cli/cli", "mirrors/cli", "https://x"))
        held = copy(str(tmp_path / "full"), "env:LEDGER_URL", url=postgres_url)
        assert held.returncode == 75
    done = copy(str(tmp_path / "full"), "env:LEDGER_URL", url=postgres_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Copied and verified 1 document, and the index of 1 mirror.\n"
    again = copy(str(tmp_path / "full"), "env:LEDGER_URL", url=postgres_url)
    assert again.returncode == 2
    assert "not empty" in again.stderr


@pytest.mark.parametrize(
    ("source", "url", "told"),
    [
        ("postgresql://me:hunter2@db/x", "", "FROM is a literal URL"),
        ("env:NONE", "", "the environment variable NONE is not set"),
        ("env:LEDGER_URL", "hunter2", "FROM is not a PostgreSQL URL"),
        ("missing", "", "there is no ledger at FROM"),
    ],
)
def test_what_cannot_be_a_ledger(tmp_path: Path, source: str, url: str, told: str) -> None:
    """A literal URL, a missing secret and a missing ledger are usage errors; no secret is shown."""
    done = copy(source, str(tmp_path / "new"), url=url)
    assert done.returncode == 2
    assert told in done.stderr
    assert "hunter2" not in done.stderr
    assert not (tmp_path / "new").exists()
