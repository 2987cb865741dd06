"""``emulator``: one emulated host in the foreground."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from mirror.cli import exit_status, startup
from mirror.cli.graceful_stop import GracefulStop
from mirror.cli.output import print_text
from mirror.emulator import serve
from mirror.errors import MirrorError, UsageError


def emulator(
    context: typer.Context,
    port: Annotated[
        int,
        typer.Option("--port", metavar="N", min=0, max=65535, help="API port; 0: any free port."),
    ] = 0,
    web_port: Annotated[
        int,
        typer.Option(
            "--web-port",
            metavar="N",
            min=0,
            max=65535,
            help="Web port; 0: any free port. With --kind ghes, API and web share one port.",
        ),
    ] = 0,
    kind: Annotated[
        Literal["ghes", "github"],
        typer.Option("--kind", metavar="[ghes|github]", help="Kind of host to emulate."),
    ] = "ghes",
    ghes_version: Annotated[
        str, typer.Option("--ghes-version", metavar="X.Y", help="GHES version to emulate.")
    ] = "3.17",
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            "--tls-cert",
            metavar="FILE",
            help="Serve over TLS with this certificate (PEM), for 127.0.0.1 and localhost.",
            show_default=False,
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(
            "--tls-key", metavar="FILE", help="Its private key (PEM).", show_default=False
        ),
    ] = None,
    seed: Annotated[
        Path | None,
        typer.Option("--seed", metavar="FILE", help="Initial content (JSON).", show_default=False),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state", metavar="DIR", help="Persist the content here.", show_default=False
        ),
    ] = None,
) -> int:
    r"""Run one emulated GitHub host in the foreground, for tests and trials.

    When it is ready it prints one line of JSON with its addresses and a token.

    \b
    Examples:
      release-mirror emulator --port 8080
      release-mirror emulator --kind github --seed seed.json
      release-mirror emulator --tls-cert cert.pem --tls-key key.pem
    """
    startup.set_up_log(context.obj, None, "warning")

    def announce(document: dict[str, object]) -> None:
        print_text(json.dumps(document) + "\n")

    if (tls_cert is None) != (tls_key is None):
        raise UsageError("--tls-cert and --tls-key go together")
    serving = serve(
        announce,
        kind=kind,
        version=ghes_version,
        port=port,
        web_port=web_port,
        tls=(tls_cert, tls_key) if tls_cert and tls_key else None,
        seed=seed,
        state_directory=state,
    )
    try:
        asyncio.run(GracefulStop().run(serving))
    except ValueError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise MirrorError(f"the emulator cannot start: {error.strerror or error}") from error
    return exit_status.OK
