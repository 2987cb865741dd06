"""A host in the foreground, as the command line runs it."""

from __future__ import annotations

import asyncio
import os
import secrets
import ssl
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


def _tls(files: tuple[Path, Path]) -> ssl.SSLContext:
    """A server's context with the certificate and the private key of these PEM files.

    Raises:
        ValueError: One of them cannot be read, or they do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate, key = files
    for file in files:
        if not os.access(file, os.R_OK):
            raise ValueError(f"{file}: cannot be read")
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        reason = f": {error.reason}" if error.reason else ""
        raise ValueError(
            f"{certificate} and {key} are not a certificate and its private key in PEM{reason}"
        ) from None
    return context


async def serve(
    announce: Callable[[dict[str, Any]], None],
    *,
    kind: Kind = "ghes",
    version: str = "3.17",
    port: int = 0,
    web_port: int = 0,
    tls: tuple[Path, Path] | None = None,
    seed: Path | None = None,
    state_directory: Path | None = None,
) -> None:
    """Serve until cancelled.

    Args:
        announce: Called once with addresses and an administrator's token, when they work.
        kind: `ghes` or `github`.
        version: The version of GHES.
        port: The port of the API; 0 takes any free one.
        web_port: The port of the web host; 0 takes any free one.
        tls: Files with certificate and private key (PEM), to serve over TLS.
        seed: A seed file; applied if there is no saved state.
        state_directory: Where the state is kept between runs.

    Raises:
        ValueError: Version, ports, certificate, seed file or saved state are invalid.
        OSError: The port is in use, or the state cannot be saved.
    """
    content = load_seed(seed) if seed is not None else None
    state = GitHubState(kind=kind, version=version)
    state.invariants.listeners.append(_print_violation)
    emulator = Emulator(
        state,
        port=port,
        web_port=web_port,
        state_directory=state_directory,
        ssl_context=_tls(tls) if tls else None,
    )
    if content is not None and not state.repositories:
        apply_seed(state, content)
    token = _admin_token(state)
    async with emulator:
        announce(
            {
                "kind": state.kind,
                "version": state.version or None,
                "url": emulator.url,
                "api_url": emulator.api_url,
                "upload_url": emulator.upload_url,
                "storage_url": emulator.storage_url,
                "token": token,
            }
        )
        await asyncio.Event().wait()
