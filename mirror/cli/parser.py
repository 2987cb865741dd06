"""The command line's grammar."""

from __future__ import annotations

from inspect import cleandoc
from typing import TYPE_CHECKING, Any

import typer

from mirror.cli import verbs
from mirror.cli.options import Common, ConfigFile, LogFormatOption, LogLevelOption, Version

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMES: dict[str, Any] = {"help_option_names": ["-h", "--help"]}

_EXIT_STATUSES = """\
\b
Exit status:
    0  everything selected is in sync, or there was nothing to do
    1  finished, and something failed, waits or is quarantined
    2  usage or configuration error; nothing was changed
    3  plan --detailed-exit-code: changes are pending
   75  another run holds the ledger's lock
  130  stopped by Ctrl-C (143: by SIGTERM), after a clean stop
"""


def _help(text: str | None) -> str:
    """A docstring as help: its mark of a block (backslash, b) becomes the character itself."""
    return cleandoc(text or "").replace("\\b\n", "\b\n")


parser = typer.Typer(
    name="release-mirror",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=_NAMES,
    epilog=_EXIT_STATUSES,
)


def _before(
    context: typer.Context,
    config: ConfigFile = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
    version: Version = False,
) -> None:
    r"""Mirror releases and their assets to a GitHub Enterprise Server.

    \b
    Start with:
      release-mirror demo                see it at work, without an account
      release-mirror check               is the configuration good?
      release-mirror plan                what would be done?
      release-mirror sync                do it

    The options below are accepted before and after the command.
    """
    del version
    context.obj = Common(config, log_level, log_format)
    if context.invoked_subcommand is None:
        if config or log_level or log_format:
            context.fail("Missing command.")
        typer.echo(context.get_help())


parser.callback(invoke_without_command=True, help=_help(_before.__doc__))(_before)

_VERBS: dict[Callable[..., None], str] = {
    verbs.sync: "Bring the selected mirrors up to date, once.",
    verbs.plan: "Tell what sync would do; writes nothing.",
    verbs.verify: "Compare mirrored assets with their sources.",
    verbs.status: "Show what the ledger knows; touches no network.",
    verbs.check: "Check the configuration, then the hosts.",
    verbs.demo: "See it at work, without an account.",
    verbs.emulator: "Run one emulated GitHub host, for tests.",
    verbs.schema: "Print the JSON Schema of the configuration.",
    verbs.daemon: "Mirror on a schedule, until told to stop.",
}

for _verb, _short in _VERBS.items():
    parser.command(context_settings=_NAMES, short_help=_short, help=_help(_verb.__doc__))(_verb)
