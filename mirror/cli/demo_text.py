"""How the demo prints: headings, sentences, configuration files, proofs."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from mirror.cli.main import NAME
from mirror.cli.output import print_text
from mirror.cli.render.terminal import show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Proof = tuple[bool, str]
"""Whether a statement about the demo is true, and the statement."""


def heading(text: str) -> None:
    """The title of a step."""
    show(Padding(Text(text, style="bold cyan"), (1, 0)))


def say(text: str, *, apart: bool = False) -> None:
    """A paragraph, wrapped.

    Args:
        text: In one line.
        apart: After an empty line.
    """
    show(Padding(Text(text), (int(apart), 0, 0, 0)))


def show_file(text: str) -> None:
    """A configuration file, indented."""
    print_text("".join(f"    {line}".rstrip() + "\n" for line in text.splitlines()))


def show_commands(commands: Mapping[str, str]) -> None:
    """Commands to copy, each with what it does."""
    longest = max(map(len, commands))
    for command, purpose in commands.items():
        print_text(f"    {command:<{longest}}  {purpose}".rstrip() + "\n")


def program() -> str:
    """How a user starts this program: by its name if it is the one on the path."""
    started = sys.argv[0]
    found = shutil.which(NAME)
    if found and Path(found).resolve() == Path(started).resolve():
        return NAME
    if Path(started).name == NAME:
        return shlex.quote(started)
    return f"{shlex.quote(sys.executable)} -m mirror"


def show_proofs(proofs: Sequence[Proof]) -> bool:
    """A line for each; whether all are true."""
    for good, text in proofs:
        verdict = ("yes", "green") if good else (" NO", "bold red")
        show(Text.assemble("  ", verdict, f"  {text}"))
    return all(good for good, _ in proofs)
