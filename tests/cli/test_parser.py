"""The grammar: commands by name, options on both sides of them, and mistakes in either."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mirror.cli import commands
from mirror.cli.parser import COMMANDS, GROUPS

CONFIG = """
[target]
url = "https://ghe.example.com"
token = "env:TOKEN"
[sources.github]
url = "https://github.com"
[[mirrors]]
source = "octo/tool"
"""


def release_mirror(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mirror", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
        check=False,
    )


def test_every_module_is_a_command() -> None:
    """A file in `commands` is a command, and is listed with its name and one line of help."""
    files = Path(str(commands.__file__)).parent.glob("[a-z]*.py")
    assert {file.stem for file in files} == {
        *(COMMANDS.keys() - GROUPS.keys()),
        *(f"{group}_{name}" for group, nested in GROUPS.items() for name in nested),
    }
    for group, nested in GROUPS.items():
        assert all(text in release_mirror(group).stdout for text in nested.values())
    listed = release_mirror("--help").stdout
    for name, text in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(text)}$", listed, re.MULTILINE)
    assert "Exit status:" in listed


@pytest.mark.parametrize(
    "command",
    ["", *COMMANDS, *(f"{group} {name}" for group, nested in GROUPS.items() for name in nested)],
)
def test_help_fits_80_columns(command: str) -> None:
    """The help of the program and of each command fits 80 columns, with examples."""
    done = release_mirror(*command.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "release-mirror" in done.stdout.partition("\n")[2]
    assert "list[str]" not in done.stdout
    reads_a_file = command not in {
        "demo",
        "emulator",
        "schema",
        "init",
        "completion",
        "ledger copy",
    }
    assert ("--config" in done.stdout) == reads_a_file


@pytest.mark.parametrize(
    "arguments", ["--version", "--help", "schema", "status", "status octo/tool", "trigger"]
)
def test_what_is_quick_loads_little(arguments: str, tmp_path: Path) -> None:
    """Nothing that only other commands need is imported: help loads no settings, status no logs."""
    code = f"""
import atexit, sys
from mirror.cli.main import main
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
sys.argv = ["release-mirror", *{arguments.split()!r}]
main()
"""
    file = tmp_path / "config.toml"
    file.write_text(CONFIG)
    environ = {**os.environ, "RELEASE_MIRROR_CONFIG": str(file), "STATE_DIRECTORY": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environ
    )
    loaded = set(done.stderr.split())
    assert "mirror.cli.parser" in loaded, done.stderr
    unwanted = {"aiohttp", "jinja2", "jwt", "apprise"}
    if arguments != "trigger":
        unwanted |= {"asyncio", "structlog", "packaging"}
    if arguments in {"--version", "--help"}:
        unwanted |= {"pydantic", "msgspec", "rich", "importlib.metadata"}
    if "status" in arguments:
        assert ("never" in done.stdout, done.returncode) == (True, 1), done.stderr
    assert not unwanted & loaded


def test_the_option_after_the_command_wins() -> None:
    """A global option is taken on both sides of the command; the later one wins."""
    both = release_mirror("--config", "/first.toml", "status", "-c", "/second.toml")
    assert (both.returncode, both.stdout) == (2, "")
    assert "/second.toml" in both.stderr
    before = release_mirror("--config", "/first.toml", "status")
    assert "/first.toml" in before.stderr
    version = release_mirror("--version").stdout
    assert release_mirror("status", "--version").stdout == release_mirror("-V").stdout == version


@pytest.mark.parametrize(
    ("arguments", "suggested"),
    [
        ("statsu", "Did you mean 'status'"),
        ("sync --jsn", "--json"),
        ("--log-levl debug sync", "--log-level"),
        ("sync --log-level debg", "'debug', 'info', 'warning', 'error'"),
        ("emulator --kind gitlab", "'ghes', 'github'"),
        ("trigger --no-wait --json", "--no-wait"),
        ("verify --wait 5", "--repair"),
        ("sync --wait nan", "must be 0 or more"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_right_one(arguments: str, suggested: str) -> None:
    """A mistake in a command or an option is 2, with a suggestion and without a traceback."""
    done = release_mirror(*arguments.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert suggested in done.stderr
    assert "Traceback" not in done.stderr


def test_schema_and_a_reader_that_left() -> None:
    """The schema is JSON; a closed pipe is no error worth a word."""
    assert json.loads(release_mirror("schema").stdout)["properties"]["target"]
    script = '"$0" -m mirror schema | true; echo "${PIPESTATUS[0]}"'
    gone = subprocess.run(
        ["bash", "-c", script, sys.executable], capture_output=True, text=True, check=True
    )
    assert (gone.stdout.strip(), gone.stderr) == ("0", "")


def test_an_incomplete_installation(tmp_path: Path) -> None:
    """A missing shared library is one sentence that names it, with exit status 1."""
    (tmp_path / "aiohttp.py").write_text(
        "raise ImportError('libx.so.5: cannot open shared object')"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mirror", "demo"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "release-mirror: the installation is incomplete: libx.so.5: cannot open shared object;"
        " install it again\n"
    )
