"""`completion`: what a shell offers after a TAB."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mirror.cli.parser import COMMANDS


def complete(*words: str) -> list[str]:
    """What bash offers for the last of these words, through the script that is printed for it."""
    script = """
source <("$0" completion bash)
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_release_mirror_completion release-mirror
printf '%s\\n' "${COMPREPLY[@]}"
"""
    program = Path(sys.executable).with_name("release-mirror")
    done = subprocess.run(
        ["bash", "-c", script, program, "release-mirror", *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
    )
    return done.stdout.split()


def test_bash_completes_commands_options_and_values() -> None:
    """All of them, each where it may stand."""
    assert set(complete("")) == set(COMMANDS)
    assert complete("trig") == ["trigger"]
    assert "--no-wait" in complete("trigger", "--no")
    assert "--no-wait" not in complete("sync", "--no")
    assert complete("emulator", "--kind", "gi") == ["github"]


@pytest.mark.parametrize(("shell", "word"), [("zsh", "#compdef"), ("fish", "complete --command")])
def test_other_shells_get_scripts_of_their_own(shell: str, word: str) -> None:
    """Each in its language; an unknown shell is a usage error that names those there are."""
    command = [sys.executable, "-m", "mirror", "completion"]
    done = subprocess.run([*command, shell], capture_output=True, text=True, check=True)
    assert word in done.stdout
    wrong = subprocess.run([*command, "tcsh"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "fish" in wrong.stderr
