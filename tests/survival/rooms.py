"""A small disk: a file system in memory, mounted where nobody but the commands run on it sees it."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.world import World

FILLER = "filler"


@dataclass(frozen=True)
class Step:
    """A command, and what happens to the room before it.

    Attributes:
        arguments: Of ``release-mirror``; nothing for none.
        before: Shell; the room is the working directory's ``$ROOM``.
    """

    arguments: tuple[str, ...]
    before: str = ""


@dataclass(frozen=True)
class Came:
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def told(self) -> str:
        return self.out + self.err


@cache
def entrance() -> tuple[str, ...]:
    """How to get a mount table of one's own; nothing where the system gives none."""
    for way in (("unshare", "-m"), ("unshare", "-Urm")):
        try:
            probe = "d=$(mktemp -d) && mount -t tmpfs probe $d && umount $d && rmdir $d"
            tried = subprocess.run([*way, "sh", "-c", probe], capture_output=True, check=False)
        except FileNotFoundError:
            return ()
        if tried.returncode == 0:
            return way
    return ()


def script(world: World, room: Path, options: str, steps: Sequence[Step]) -> str:
    """All of it as shell."""
    base = [sys.executable, "-m", "mirror", "--config", str(world.config_file)]
    lines = [
        "set -e",
        f"export ROOM={shlex.quote(str(room))}",
        f"mkdir -p $ROOM; mount -t tmpfs -o mode=700,{options} room $ROOM",
    ]
    for number, step in enumerate(steps):
        lines.append(step.before or ":")
        if step.arguments:
            lines += [
                "rc=0",
                f"{shlex.join([*base, *step.arguments])} >{number}.out 2>{number}.err || rc=$?",
                f"echo $rc >{number}.rc",
                f"rm -rf {number}.room; cp -a $ROOM {number}.room",
            ]
    return "\n".join(lines)


async def live(world: World, room: Path, options: str, steps: Sequence[Step]) -> list[Came]:
    """Run commands with a small disk mounted at a directory.

    Args:
        world: Whose configuration they get; what they leave of the room is in ``NUMBER.room``.
        room: Where it is mounted.
        options: Of the file system (``size=64k``).
        steps: One after the other.
    """
    if not entrance():
        pytest.skip("no file system can be mounted here")
    process = await asyncio.create_subprocess_exec(
        *entrance(),
        "sh",
        "-c",
        script(world, room, options, steps),
        cwd=world.directory,
        env={**os.environ, **world.environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return [came(world.directory, n) for n, step in enumerate(steps) if step.arguments]


def came(directory: Path, number: int) -> Came:
    texts = [(directory / f"{number}.{kind}").read_text() for kind in ("rc", "out", "err")]
    return Came(int(texts[0]), texts[1], texts[2])


def filled(spare: int) -> str:
    """Shell that leaves so many bytes of the room free."""
    return (
        "free=$(df --output=avail -B1 $ROOM | tail -1);"
        f' head -c $((free - {spare})) /dev/zero > "$ROOM/{FILLER}"'
    )


FREED = f'rm "$ROOM/{FILLER}"'
