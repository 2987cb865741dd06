"""``check``: validate the configuration and its secrets, then the hosts."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.app import check_keys, open_app
from mirror.check.check_results import CheckResult
from mirror.cli import event_loop, exit_status, startup
from mirror.cli.graceful_stop import GracefulStop
from mirror.cli.options import Json
from mirror.cli.output import print_error_line, print_text
from mirror.cli.render.check_text import check_tables
from mirror.cli.render.terminal import show
from mirror.core.text.sanitise import clean
from mirror.core.text.wording import count
from mirror.errors import ConfigError, Problem
from mirror.notify import Notifications
from mirror.system_clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mirror.config import Config, Secrets

ATTEMPTS = 2
"""Maximum attempts per request: the user is waiting for the answer."""


def check(
    context: typer.Context,
    offline: Annotated[
        bool, typer.Option("--offline", help="Check only the file and its secrets.")
    ] = False,
    as_json: Json = False,
) -> int:
    r"""Check the configuration, then the hosts: addresses, tokens, downloads, limits.

    Changes nothing; lists what cannot be verified without writing.

    \b
    Examples:
      release-mirror check
      release-mirror check --offline --config new.toml
    """
    config, secrets = startup.load_with_secrets(context.obj)
    startup.set_up_log(context.obj, config, "critical")
    for warning in secrets.warnings:
        print_error_line(f"warning: {clean(warning)}")
    notifications = _check_notifications(config, secrets)
    if offline:
        check_keys(config, secrets)
        _print_offline(config, len(secrets), as_json=as_json)
        return exit_status.OK
    results, number = event_loop.run(_check(config, secrets))
    if number is not None:
        return 128 + number
    results += notifications
    if as_json:
        _print_document(config, results)
    else:
        show(*check_tables(results))
    return exit_status.FAILED if _failed(results) else exit_status.OK


async def _check(config: Config, secrets: Secrets) -> tuple[list[CheckResult], int | None]:
    sync = config.sync.model_copy(update={"attempts": ATTEMPTS})
    async with open_app(replace(config, sync=sync), secrets) as app:
        stopper = GracefulStop()
        return await stopper.run(app.check()) or [], stopper.signal


def _check_notifications(config: Config, secrets: Secrets) -> list[CheckResult]:
    """What can be known about notifications without sending one.

    Raises:
        ConfigError: They cannot be sent as they are configured.
    """
    if not config.notify.urls and config.notify.heartbeat_url is None:
        return []
    notifications = Notifications.of(config, secrets, SystemClock())
    line = config.lines.find(("notify", "urls"))
    if bad := asyncio.run(notifications.unreadable()):
        text = "Apprise cannot read the address in {}, or lacks a library for it (not shown)"
        problems = [Problem("notify.urls", text.format(name), line) for name in bad]
        raise ConfigError(str(config.file), problems)
    detail = f"{notifications.configured}; delivery cannot be verified without sending"
    return [CheckResult("notify", "notifications", "unknown", detail)]


def _failed(results: Sequence[CheckResult]) -> bool:
    return any(result.status == "failed" for result in results)


def _print_offline(config: Config, secrets: int, *, as_json: bool) -> None:
    if as_json:
        _print_document(config, [])
        return
    mirrors, sources = len(config.mirrors), len(config.sources)
    print_text(
        f"{clean(config.file)} is good: {count(mirrors, 'mirror entry', 'mirror entries')},"
        f" {count(sources, 'source')}, {count(secrets, 'secret')} read.\n"
    )


def _print_document(config: Config, results: Sequence[CheckResult]) -> None:
    document = {
        "schema": 1,
        "command": "check",
        "status": "failed" if _failed(results) else "ok",
        "file": str(config.file),
        "checks": [
            {
                "host": result.host,
                "what": result.what,
                "status": result.status,
                "detail": result.detail,
            }
            for result in results
        ],
    }
    print_text(json.dumps(document, indent=2) + "\n")
