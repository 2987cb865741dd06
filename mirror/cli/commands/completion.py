"""``completion``: the script that has a shell complete commands and options."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]

from mirror.cli import exit_status
from mirror.cli.main import COMPLETION_VARIABLE, NAME
from mirror.cli.output import print_text


def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"],
        typer.Argument(metavar="SHELL", help="bash, zsh or fish.", show_default=False),
    ],
) -> int:
    r"""Print the completion script for a shell.

    \b
    Examples:
      source <(release-mirror completion bash)     # this shell; or in ~/.bashrc
      release-mirror completion zsh > ~/.zfunc/_release-mirror
      release-mirror completion fish | source
    """
    script = get_completion_script(prog_name=NAME, complete_var=COMPLETION_VARIABLE, shell=shell)
    print_text(script + "\n")
    return exit_status.OK
