"""The verbs that only look: ``status``, ``check``, ``schema``."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mirror.cli.event_loop import run as run_loop
from mirror.cli.main import FAILED, OK
from mirror.cli.render.terminal import print_bytes, print_text, show
from mirror.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mirror.check.checker import CheckResult
    from mirror.cli.options import Common
    from mirror.config import Config, Secrets
    from mirror.overview import Overview

STDOUT = Path("-")

CHECK_ATTEMPTS = 2
"""Tries of a request in a check: whoever looks wants to know now."""


def show_status(
    common: Common,
    patterns: Sequence[str],
    *,
    as_json: bool,
    html: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Print what the ledger knows, or write it as a page to ``html`` (``-``: standard output).

    With a page nothing is printed but what ``as_json`` asks for.

    Raises:
        ConfigError: The configuration is wrong.
        UsageError: No configured source can match a pattern; two documents for one output.
        LedgerError: There is no ledger, or it cannot be read.
        MirrorError: The page cannot be written.
    """
    from mirror.overview import read_overview  # noqa: PLC0415 - takes its time

    if html == STDOUT and as_json:
        raise UsageError("--json and --html - would both write to standard output")
    config = common.load(environ)
    common.log(config, "warning")
    overview = asyncio.run(read_overview(config, patterns))
    statuses, now = overview.statuses, datetime.now(UTC)
    if html is not None:
        _write_page(html, config, overview, now)
    if as_json:
        document = {"schema": 1, "mirrors": [status.to_json(now) for status in statuses]}
        print_text(json.dumps(document, indent=2) + "\n")
    elif html is None:
        from mirror.cli.render.status import status_tables  # noqa: PLC0415

        show(*status_tables(statuses, now))
    return OK


def _write_page(file: Path, config: Config, overview: Overview, now: datetime) -> None:
    from mirror import __version__  # noqa: PLC0415
    from mirror.cli.atomic_write import publish  # noqa: PLC0415
    from mirror.page import EVERYTHING, page_data, render  # noqa: PLC0415

    page = render(
        page_data(
            now=now,
            statuses=overview.statuses,
            links={name: host.url for name, host in config.hosts.items()},
            passes=overview.passes,
            version=__version__,
            query=EVERYTHING,
        )
    )
    if file == STDOUT:
        print_bytes(page.encode())
    else:
        publish(file, page.encode())


def show_check(
    common: Common, *, offline: bool, as_json: bool, environ: Mapping[str, str] = os.environ
) -> int:
    """Check the configuration and its secrets, then the hosts.

    Raises:
        ConfigError: The configuration is wrong, or a secret cannot be read.
    """
    from mirror.config import resolve_secrets  # noqa: PLC0415

    config = common.load(environ)
    common.log(config, "critical")
    secrets = resolve_secrets(config, environ)
    _warn(secrets)
    told = _check_notifications(config, secrets)
    if offline:
        if any(host.app for host in config.hosts.values()):
            from mirror.app import check_keys  # noqa: PLC0415 - takes its time

            check_keys(config, secrets)
        return _show_offline(config, len(secrets), as_json=as_json)
    results, number = run_loop(_check(config, secrets))
    results += told
    if number is not None:
        return 128 + number
    if as_json:
        print_text(json.dumps(_check_document(config, results), indent=2) + "\n")
    else:
        from mirror.cli.render.status import check_tables  # noqa: PLC0415

        show(*check_tables(results))
    return FAILED if any(result.status == "failed" for result in results) else OK


def _warn(secrets: Secrets) -> None:
    from mirror.cli.render.terminal import say  # noqa: PLC0415
    from mirror.core.text.sanitise import clean  # noqa: PLC0415

    for warning in secrets.warnings:
        say(f"warning: {clean(warning)}")


def _check_notifications(config: Config, secrets: Secrets) -> list[CheckResult]:
    """What can be told of notifications without sending one.

    Raises:
        ConfigError: They cannot be sent as they are configured.
    """
    if not config.notify.urls and config.notify.heartbeat_url is None:
        return []
    from mirror.check.checker import CheckResult  # noqa: PLC0415
    from mirror.errors import ConfigError, Problem  # noqa: PLC0415
    from mirror.notify import Notifications  # noqa: PLC0415
    from mirror.system_clock import SystemClock  # noqa: PLC0415

    notifications = Notifications.of(config, secrets, SystemClock())
    line = config.lines.find(("notify", "urls"))
    if bad := asyncio.run(notifications.unreadable()):
        text = "Apprise cannot read the address in {}, or lacks a library for it (not shown)"
        problems = [Problem("notify.urls", text.format(name), line) for name in bad]
        raise ConfigError(str(config.file), problems)
    detail = f"{notifications.configured}; that they arrive cannot be proven without sending"
    return [CheckResult("notify", "notifications", "unknown", detail)]


def _show_offline(config: Config, secrets: int, *, as_json: bool) -> int:
    if as_json:
        print_text(json.dumps(_check_document(config, []), indent=2) + "\n")
        return OK
    from mirror.core.text.sanitise import clean  # noqa: PLC0415
    from mirror.core.text.wording import count  # noqa: PLC0415

    mirrors, sources = len(config.mirrors), len(config.sources)
    print_text(
        f"{clean(config.file)} is good: {count(mirrors, 'mirror entry', 'mirror entries')},"
        f" {count(sources, 'source')}, {count(secrets, 'secret')} read.\n"
    )
    return OK


def _check_document(config: Config, results: Sequence[CheckResult]) -> dict[str, object]:
    failed = any(result.status == "failed" for result in results)
    return {
        "schema": 1,
        "command": "check",
        "status": "failed" if failed else "ok",
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


async def _check(config: Config, secrets: Secrets) -> tuple[list[CheckResult], int | None]:
    from dataclasses import replace  # noqa: PLC0415

    from mirror.app import open_app  # noqa: PLC0415
    from mirror.cli.signals import Stopper  # noqa: PLC0415

    sync = config.sync.model_copy(update={"attempts": CHECK_ATTEMPTS})
    async with open_app(replace(config, sync=sync), secrets) as app:
        stopper = Stopper()
        return await stopper.run(app.check()) or [], stopper.signal


def show_schema() -> int:
    """Print the JSON Schema of the configuration file."""
    from mirror.config import schema  # noqa: PLC0415

    print_text(json.dumps(schema(), indent=2) + "\n")
    return OK
