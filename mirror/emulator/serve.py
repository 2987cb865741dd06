"""One emulated host in the foreground, as the command line runs it."""

from __future__ import annotations

import asyncio
import secrets
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mirror.emulator.model.seed import apply_seed, load_seed
from mirror.emulator.model.state import GitHubState
from mirror.emulator.server import Emulator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mirror.emulator.model.options import Kind

Announcement = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What the command line gives.

    Attributes:
        kind: `ghes` or `github`.
        version: The version of GHES.
        port: The port of the API; 0 takes any that is free.
        seed: A seed file; applied when there is no saved state.
        state_directory: Where the state is kept between runs.
    """

    kind: Kind = "ghes"
    version: str = "3.17"
    port: int = 0
    seed: Path | None = None
    state_directory: Path | None = None


def _complain(sentence: str) -> None:
    sys.stderr.write(f"violation: {sentence}\n")


def admin_token(state: GitHubState) -> str:
    """A token that may do everything, made when there is none."""
    found = next((token.value for token in state.tokens.values() if token.admin), None)
    return found or state.add_token(secrets.token_hex(20), login="emulator-admin", admin=True)


async def serve(options: ServeOptions, announce: Callable[[Announcement], None]) -> None:
    """Serve until cancelled; announce the addresses once, when they answer.

    Raises:
        SeedError: The seed file is wrong; nothing was started.
        OSError: The port is taken, or the state cannot be kept.
    """
    seed = load_seed(options.seed) if options.seed is not None else None
    state = GitHubState(kind=options.kind, version=options.version)
    state.invariants.listeners.append(_complain)
    emulator = Emulator(state, port=options.port, state_directory=options.state_directory)
    if seed is not None and not state.repositories:
        apply_seed(state, seed)
    token = admin_token(state)
    async with emulator:
        announce(
            {
                "kind": state.kind,
                "version": state.version,
                "url": emulator.url,
                "api_url": emulator.api_url,
                "upload_url": emulator.upload_url,
                "storage_url": emulator.storage_url,
                "token": token,
            }
        )
        await asyncio.Event().wait()
