"""What a failure is called, and the commands that help."""

from __future__ import annotations

import shlex
from typing import get_args

import pytest

from mirror.cli.main import main
from mirror.core.hints import cause, command
from mirror.errors import FailureKind

KINDS: tuple[FailureKind, ...] = get_args(FailureKind)


def test_every_kind_has_a_cause_and_a_command() -> None:
    """Causes are a few words, each another; beside a daemon, ``sync`` is never suggested."""
    causes = {cause(kind) for kind in KINDS}
    assert len(causes) == len(KINDS)
    assert max(len(words.split()) for words in causes) <= 4
    assert not [kind for kind in KINDS if " sync " in command(kind, "github:o/r", daemon=True)]


def test_a_command_can_be_run_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    """Each names a command of the program and options that it has."""
    commands = {
        command(kind, "github:o/r", daemon=daemon) for kind in KINDS for daemon in (True, False)
    }
    for text in sorted(commands):
        name, *arguments = shlex.split(text)
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--help"])
        assert (name, ended.value.code) == ("release-mirror", 0)
        assert "Usage: release-mirror" in capsys.readouterr().out


def test_a_name_of_others_is_one_word_of_a_shell() -> None:
    """Whatever a source is called, pasting the command runs no other."""
    name = "github:o/r; rm -rf '$HOME'"
    assert shlex.split(command("empty", name, daemon=True)) == ["release-mirror", "plan", name]
