"""The offline kit's installer: it says in one sentence why it cannot install, and installs nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

INSTALL = Path(__file__).parents[2] / "packaging" / "offline" / "install"

TOO_OLD = """\
case $1 in
-V) echo Python 3.10.14 ;;
*) exit 1 ;;
esac
"""
NO_VENV = """\
case $2 in
*ensurepip*) exit 1 ;;
esac
"""


@pytest.mark.parametrize(
    ("python", "told"),
    [
        (
            TOO_OLD,
            (
                "release-mirror needs Python 3.11 or newer, and python3 is Python 3.10.14; try:"
                f" PYTHON=python3.12 {INSTALL}"
            ),
        ),
        (
            NO_VENV,
            "python3 cannot create virtual environments; install the package python3-venv",
        ),
        (
            None,
            "python3 is not installed; release-mirror needs Python 3.11 or newer",
        ),
    ],
    ids=["python 3.10", "no venv", "no python"],
)
def test_what_is_missing_is_told(tmp_path: Path, python: str | None, told: str) -> None:
    """An old Python, one without venv, and none: one sentence each, and no directory is made."""
    for name in ("sh", "dirname"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    if python:
        (tmp_path / "python3").write_text(f"#!/bin/sh\n{python}")
        (tmp_path / "python3").chmod(0o755)
    done = subprocess.run(
        [INSTALL, tmp_path / "target"],
        env={"PATH": os.fspath(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"install: {told}\n")
    assert not (tmp_path / "target").exists()
