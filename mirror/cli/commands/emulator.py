"""``emulator``: one emulated host in the foreground."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Literal

from mirror.cli.main import OK
from mirror.cli.render.terminal import print_text
from mirror.cli.signals import Stopper
from mirror.errors import MirrorError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.cli.options import Common
    from mirror.emulator import ServeOptions

KINDS: dict[str, Literal["ghes", "github"]] = {"ghes": "ghes", "github": "github"}


def run(
    common: Common, kind: str, version: str, port: int, seed: Path | None, state: Path | None
) -> int:
    """Serve until a signal comes, which is how it is meant to end: status 0.

    Raises:
        UsageError: An option or the seed file is wrong.
        MirrorError: The port is taken, or the state cannot be kept.
    """
    from mirror.emulator import SeedError, ServeOptions  # noqa: PLC0415 - takes its time

    common.log(None, "warning")
    if kind not in KINDS:
        raise UsageError(f"--kind is {kind!r}; it must be {' or '.join(KINDS)}")
    options = ServeOptions(
        kind=KINDS[kind], version=version, port=port, seed=seed, state_directory=state
    )
    try:
        asyncio.run(_serve(options))
    except SeedError as error:
        raise UsageError(str(error)) from error
    except ValueError as error:
        raise UsageError(f"--ghes-version: {error}") from error
    except OSError as error:
        raise MirrorError(f"the emulator cannot start: {error.strerror or error}") from error
    return OK


async def _serve(options: ServeOptions) -> None:
    from mirror.emulator import serve  # noqa: PLC0415

    def announce(document: dict[str, object]) -> None:
        print_text(json.dumps(document) + "\n")

    await Stopper().run(serve(options, announce))
