"""The verbs: one short function each, its help text and its options."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the signatures
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from mirror.cli.main import guarded
from mirror.cli.options import (
    Common,
    ConfigFile,
    Full,
    Json,
    LogFormatOption,
    LogLevelOption,
    NoProgress,
    Patterns,
    Quiet,
    Version,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def _finish(work: Callable[[], int]) -> NoReturn:
    """End with the status of a piece of work, which imports what it needs by itself."""
    raise typer.Exit(guarded(work))


def _pass(common: Common, **wishes: Any) -> NoReturn:
    def work() -> int:
        from mirror.cli.pass_runner import Wish, run  # noqa: PLC0415 - heavy, and not for every verb

        return run(common, Wish(**wishes))

    _finish(work)


def _common(
    context: typer.Context,
    file: Path | None,
    level: LogLevelOption,
    format_: LogFormatOption,
) -> Common:
    before = context.obj if isinstance(context.obj, Common) else Common()
    return before.over(file, level, format_)


def sync(
    context: typer.Context,
    patterns: Patterns = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be done: the same as plan.")
    ] = False,
    json: Json = False,
    full: Full = False,
    no_progress: NoProgress = False,
    quiet: Quiet = False,
    wait: Wait = 0.0,
    config: ConfigFile = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
    version: Version = False,
) -> None:
    r"""Bring the selected mirrors up to date, once.

    \b
    Examples:
      release-mirror sync
      release-mirror sync 'hashicorp/*' cli/cli
      release-mirror sync --quiet            # for cron: silent while all is well
      release-mirror sync --json > report.json
    """
    del version
    _pass(
        _common(context, config, log_level, log_format),
        command="plan" if dry_run else "sync",
        patterns=tuple(patterns or ()),
        as_json=json,
        full=full,
        progress=not no_progress,
        quiet=quiet,
        wait=wait,
    )


def plan(
    context: typer.Context,
    patterns: Patterns = None,
    json: Json = False,
    full: Full = False,
    no_progress: NoProgress = False,
    quiet: Quiet = False,
    detailed: Annotated[
        bool,
        typer.Option("--detailed-exit-code", help="Exit with 3 where changes are pending."),
    ] = False,
    config: ConfigFile = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
    version: Version = False,
) -> None:
    r"""Tell what sync would do. Writes nothing anywhere.

    \b
    Examples:
      release-mirror plan
      release-mirror plan cli/cli --full
      release-mirror plan --detailed-exit-code --quiet || echo 'changes, or a failure'
    """
    del version
    _pass(
        _common(context, config, log_level, log_format),
        command="plan",
        patterns=tuple(patterns or ()),
        as_json=json,
        full=full,
        progress=not no_progress,
        quiet=quiet,
        detailed=detailed,
    )


def status(
    context: typer.Context,
    patterns: Patterns = None,
    json: Json = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write the status page as one file (- is standard output).",
            show_default=False,
        ),
    ] = None,
    config: ConfigFile = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
    version: Version = False,
) -> None:
    r"""Show what the ledger knows. Touches no network and writes nothing.

    \b
    Examples:
      release-mirror status
      release-mirror status 'cli/*' --json
      release-mirror status --html /var/www/html/mirror.html   # for cron
    """
    del version
    common = _common(context, config, log_level, log_format)

    def work() -> int:
        from mirror.cli.commands.status import show_status  # noqa: PLC0415

        return show_status(common, patterns or (), as_json=json, html=html)

    _finish(work)


def check(
    context: typer.Context,
    offline: Annotated[
        bool, typer.Option("--offline", help="Stop after the file and its secrets.")
    ] = False,
    json: Json = False,
    config: ConfigFile = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
    version: Version = False,
) -> None:
    r"""Check the configuration, then the hosts: addresses, tokens, downloads, limits.

    Writes nothing, and says what cannot be proven without writing.

    \b
    Examples:
      release-mirror check
      release-mirror check --offline --config new.toml
    """
    del version
    common = _common(context, config, log_level, log_format)

    def work() -> int:
        from mirror.cli.commands.status import show_check  # noqa: PLC0415

        return show_check(common, offline=offline, as_json=json)

    _finish(work)


def demo(
    context: typer.Context,
    keep: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Leave the hosts running until Ctrl-C.")
    ] = False,
    no_progress: NoProgress = False,
    config: ConfigFile = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
    version: Version = False,
) -> None:
    r"""Show it at work, without an account: one emulated host is mirrored to another.

    Both hosts are on this machine; nothing leaves it, and nothing stays.

    \b
    Examples:
      release-mirror demo
      release-mirror demo --keep
    """
    del version
    common = _common(context, config, log_level, log_format)

    def work() -> int:
        from mirror.cli.commands.demo import run  # noqa: PLC0415

        return run(common, keep=keep, progress=not no_progress)

    _finish(work)


def emulator(
    context: typer.Context,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Of the API; 0 takes any free one.")
    ] = 0,
    kind: Annotated[
        str, typer.Option("--kind", metavar="[ghes|github]", help="Which kind of host to be.")
    ] = "ghes",
    ghes_version: Annotated[
        str, typer.Option("--ghes-version", metavar="X.Y", help="The version to be.")
    ] = "3.17",
    seed: Annotated[
        Path | None,
        typer.Option(
            "--seed", metavar="FILE", help="What it holds at first (JSON).", show_default=False
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state", metavar="DIR", help="Keep what it holds there.", show_default=False
        ),
    ] = None,
    config: ConfigFile = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
    version: Version = False,
) -> None:
    r"""Run one emulated GitHub host, for tests and trials, until it is stopped.

    Prints one JSON line with its addresses and a token when it is ready.

    \b
    Examples:
      release-mirror emulator --port 8080
      release-mirror emulator --kind github --seed seed.json
    """
    del version
    common = _common(context, config, log_level, log_format)

    def work() -> int:
        from mirror.cli.commands.emulator import run  # noqa: PLC0415

        return run(common, kind, ghes_version, port, seed, state)

    _finish(work)


def schema(
    context: typer.Context,
    config: ConfigFile = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
    version: Version = False,
) -> None:
    r"""Print the JSON Schema of the configuration file, for editors.

    \b
    Example:
      release-mirror schema > config.schema.json
    """
    del context, config, log_level, log_format, version

    def work() -> int:
        from mirror.cli.commands.status import show_schema  # noqa: PLC0415

        return show_schema()

    _finish(work)


def verify(
    context: typer.Context,
    patterns: Patterns = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Send again what differs or is missing.")
    ] = False,
    json: Json = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="Believe no digest that a host gives: read all bytes."),
    ] = False,
    no_progress: NoProgress = False,
    quiet: Quiet = False,
    wait: Wait = 0.0,
    config: ConfigFile = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
    version: Version = False,
) -> None:
    r"""Compare every mirrored asset with its source, by digest.

    Where both hosts give a digest, and it is the one that was recorded, that is enough; otherwise
    all bytes of both sides are read. Writes nothing, unless --repair is given.

    \b
    Examples:
      release-mirror verify
      release-mirror verify cli/cli --full
      release-mirror verify --repair --quiet   # for cron: weekly
    """
    del version
    _pass(
        _common(context, config, log_level, log_format),
        command="verify",
        patterns=tuple(patterns or ()),
        as_json=json,
        full=full,
        progress=not no_progress,
        quiet=quiet,
        wait=wait,
        repair=repair,
    )


def daemon(
    context: typer.Context,
    config: ConfigFile = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
    version: Version = False,
) -> None:
    r"""Mirror on a schedule, with a status page, metrics and webhooks, until told to stop.

    \b
    Signals:
      SIGTERM, SIGINT   finish what is in flight, then exit; again: exit at once
      SIGHUP            read the configuration again
      SIGUSR1           start every mirror now

    \b
    Examples:
      release-mirror daemon
      release-mirror daemon --log-level debug
    """
    del version
    common = _common(context, config, log_level, log_format)

    def work() -> int:
        from mirror.cli.commands.daemon import run  # noqa: PLC0415 - heavy, and not for every verb

        return run(common)

    _finish(work)
