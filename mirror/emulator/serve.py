"""A host in the foreground, as the command line runs it."""

from __future__ import annotations

import asyncio
import secrets
import sys
from typing import TYPE_CHECKING, Any

from mirror.emulator.model.seed import apply_seed, load_seed
from mirror.emulator.model.state import GitHubState
from mirror.emulator.server import Emulator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mirror.emulator.model.host_options import Kind


def _print_violation(sentence: str) -> None:
    sys.stderr.write(f"violation: {sentence}\n")


def _admin_token(state: GitHubState) -> str:
    found = next((token.value for token in state.tokens.values() if token.admin), None)
    return found or state.add_token(secrets.token_hex(20), login="emulator-admin", admin=True)


async def serve(
    announce: Callable[[dict[str, Any]], None],
    *,
    kind: Kind = "ghes",
    version: str = "3.17",
    port: int = 0,
    seed: Path | None = None,
    state_directory: Path | None = None,
) -> None:
    """Serve until cancelled.

    Args:
        announce: Called once with addresses and an administrator's token, when they work.
        kind: `ghes` or `github`.
        version: The version of GHES.
        port: The port of the API; 0 takes any free one.
        seed: A seed file; applied if there is no saved state.
        state_directory: Where the state is kept between runs.

    Raises:
        SeedError: The seed file is invalid; nothing was started.
        ValueError: The version is invalid.
        OSError: The port is in use, or the state cannot be saved.
    """
    content = load_seed(seed) if seed is not None else None
    state = GitHubState(kind=kind, version=version)
    state.invariants.listeners.append(_print_violation)
    emulator = Emulator(state, port=port, state_directory=state_directory)
    if content is not None and not state.repositories:
        apply_seed(state, content)
    token = _admin_token(state)
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
