"""The command line's grammar: global options, and commands that are imported when asked for."""

from __future__ import annotations

import copy
import functools
import importlib
from dataclasses import replace
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from mirror.cli import exit_status, signals
from mirror.cli.options import (
    ConfigFile,
    GlobalOptions,
    LogFormatOption,
    LogLevelOption,
    Version,
)
from mirror.cli.render.error_text import print_error

if TYPE_CHECKING:
    from collections.abc import Callable

COMMANDS = {
    "init": "Write a starter configuration.",
    "sync": "Bring the selected mirrors up to date, once.",
    "plan": "Show what sync would do; change nothing.",
    "daemon": "Mirror on a schedule until stopped.",
    "trigger": "Have the running daemon sync mirrors now.",
    "verify": "Compare mirrored assets with their sources.",
    "status": "Show what the ledger records; no network access.",
    "check": "Check the configuration, then the hosts.",
    "bundle": "Carry releases over an air gap.",
    "ledger": "Copy a ledger.",
    "demo": "See it at work, without an account.",
    "emulator": "Run one emulated GitHub host, for tests.",
    "schema": "Print the JSON Schema of the configuration.",
    "completion": "Print the completion script of a shell.",
}
"""Each is a function of that name in the module of that name in ``mirror.cli.commands``."""

BUNDLE_COMMANDS = {
    "pack": "Pack a bundle into volumes.",
    "unpack": "Unpack volumes into a bundle.",
    "receipt": "Print what a bundle holds, for the way back.",
    "verify": "Verify every digest of a bundle, and its signature.",
    "show": "Show what is in a bundle.",
    "prune": "Remove blobs that nothing refers to.",
}
"""Those of ``bundle``, in modules named ``bundle_pack`` and so on."""

LEDGER_COMMANDS = {"copy": "Copy a ledger into an empty one, and verify the copy."}
"""Those of ``ledger``."""

GROUPS = {"bundle": BUNDLE_COMMANDS, "ledger": LEDGER_COMMANDS}
"""Commands that have commands of their own."""

_WITHOUT_CONFIGURATION = frozenset({"copy", "demo", "emulator", "schema", "init", "completion"})
_WITHOUT_LOG = frozenset({"schema", "init", "completion"})
"""Every command accepts the global options; its help shows those that have an effect."""

_CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"]}


def _global_options(
    context: typer.Context,
    config: ConfigFile = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
    version: Version = False,
) -> None:
    r"""Mirror releases and their assets to a GitHub Enterprise Server.

    \b
    Start with:
      release-mirror demo      see it at work, without an account
      release-mirror init      write a configuration to start from
      release-mirror check     validate the configuration
      release-mirror plan      show what would be done
      release-mirror sync      do it

    The options below are accepted before and after the command.
    """
    del version
    context.obj = GlobalOptions(config, log_level, log_format)
    if context.invoked_subcommand is None:
        if config or log_level or log_format:
            context.fail("Missing command.")
        typer.echo(context.get_help())


def _bundle_options(context: typer.Context) -> None:
    r"""Carry releases over an air gap, in a bundle: a directory that stands for a host.

    Signers and keys are those of the configured host whose "bundle" is DIR.

    \b
    Examples:
      release-mirror bundle pack /srv/bundle --output /media/usb/releases
      release-mirror bundle unpack /media/usb/releases.* /srv/bundle
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _ledger_options(context: typer.Context) -> None:
    r"""Move the ledger between files and a database.

    \b
    Examples:
      release-mirror ledger copy /var/lib/release-mirror env:LEDGER_URL
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


class _LazyCommand(TyperCommand):
    """Stands in the list of commands for a module that is imported when its command runs."""

    def __init__(self, name: str, module: str, text: str) -> None:
        super().__init__(name, short_help=text)
        self._module = module

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        return load_command(self._module).make_context(*arguments, **more)


def load_command(module: str) -> Any:
    """Import a command from its module in ``mirror.cli.commands``."""
    if module == "daemon":  # a reload requested while the service is imported must not end it
        signals.ignore_until_handled()
    function = getattr(importlib.import_module(f"mirror.cli.commands.{module}"), module)
    name = module.rpartition("_")[2]
    app = _typer()
    app.command(name, context_settings=_CONTEXT, help=_help(function))(_exiting(function))
    command: Any = typer.main.get_command(app)
    for argument in command.params:
        if argument.param_type_name == "argument":
            argument.display_type_rich = _no_type
    command.params += [_overriding(option, name) for option in parser.params]
    return command


def _no_type(**_context: Any) -> str:
    """Show no type of an argument: ``<list[str]>`` means nothing to users."""
    return ""


def _exiting(function: Callable[..., int]) -> Callable[..., None]:
    """A command that ends with its exit status; an error becomes a sentence on standard error."""

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            status = function(*arguments, **options)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - no tracebacks for users
            print_error(error)
            status = exit_status.of_error(error)
        raise typer.Exit(status)

    return run


def _overriding(option: Any, command: str) -> Any:
    """A global option after the command: it replaces what was given before the command."""

    def override(context: typer.Context, _option: object, value: Any) -> None:
        if value is not None:
            context.obj = replace(context.obj, **{option.name: value})

    later = copy.copy(option)
    later.expose_value = False
    later.hidden = (option.name == "config" and command in _WITHOUT_CONFIGURATION) or (
        option.name in {"log_level", "log_format"} and command in _WITHOUT_LOG
    )
    if option.name != "version":
        later.callback = override
    return later


def _help(function: Callable[..., object]) -> str:
    """A docstring as help text, with the mark of preformatted blocks as the character itself."""
    return cleandoc(function.__doc__ or "").replace("\\b\n", "\b\n")


def _typer(**more: Any) -> typer.Typer:
    return typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, **more
    )


def _parser() -> Any:
    statuses = "".join(f"  {code:3}  {text}\n" for code, text in exit_status.MEANINGS.items())
    app = _typer(
        name="release-mirror",
        context_settings=_CONTEXT,
        epilog=f"\b\nExit status:\n{statuses}",
    )
    app.callback(invoke_without_command=True, help=_help(_global_options))(_global_options)
    group: Any = typer.main.get_command(app)
    for name, text in COMMANDS.items():
        nested = name in GROUPS
        group.add_command(_nested(name, group) if nested else _LazyCommand(name, name, text))
    return group


def _nested(name: str, parent: Any) -> Any:
    """A command that has commands of its own."""
    options = {"bundle": _bundle_options, "ledger": _ledger_options}[name]
    app = _typer(name=name, context_settings=_CONTEXT, short_help=COMMANDS[name])
    app.callback(invoke_without_command=True, help=_help(options))(options)
    group: Any = typer.main.get_command(app)
    for command, text in GROUPS[name].items():
        group.add_command(_LazyCommand(command, f"{name}_{command}", text))
    group.params += [_overriding(option, name) for option in parent.params]
    return group


parser = _parser()
