"""What the commands of ``bundle`` share: the host that a bundle stands for, progress, and interruption."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from mirror.bundle.directory import BundleDirectory
from mirror.bundle.signature import AllowedSigners
from mirror.cli import startup
from mirror.cli.output import is_terminal, print_error_line
from mirror.config import find_config_file
from mirror.config.load import SYSTEM_FILE, user_file
from mirror.core.text.sanitise import clean
from mirror.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mirror.bundle.directory import Contents
    from mirror.cli.options import GlobalOptions
    from mirror.config import Config
    from mirror.config.model import Host

Since = Annotated[
    Path | None,
    typer.Option(
        "--since",
        metavar="RECEIPT",
        help="Leave out what this file of bundle receipt lists.",
        show_default=False,
    ),
]
VolumeSize = Annotated[
    str,
    typer.Option("--volume-size", metavar="SIZE", help="Largest size of a volume, such as 700MiB."),
]


@dataclass(frozen=True, slots=True)
class BundleSettings:
    """The configuration as far as it is about one bundle.

    Attributes:
        config: All of it; ``None`` where there is no configuration file.
        host: The host whose ``bundle`` it is; ``None`` if no host is.
        name: Its table: ``target`` or the name of a source.
    """

    config: Config | None = None
    host: Host | None = None
    name: str = ""

    @property
    def sources(self) -> frozenset[str]:
        """The names of the sources that it is; more than one may read one bundle."""
        if self.config is None or self.host is None or self.host.bundle is None:
            return frozenset()
        place = self.host.bundle.resolve()
        sources = self.config.sources.items()
        return frozenset(n for n, h in sources if h.bundle and h.bundle.resolve() == place)

    @property
    def signers(self) -> AllowedSigners | None:
        """Who may sign the bundle; ``None`` where it is believed."""
        file = self.host.allowed_signers if self.host else None
        return AllowedSigners(file) if file else None


def find(options: GlobalOptions, directory: Path) -> BundleSettings:
    """The settings of a bundle: nobody needs a configuration file to carry one.

    Raises:
        ConfigError: The configuration file that was found, or asked for, is wrong.
    """
    asked = options.config or os.environ.get("RELEASE_MIRROR_CONFIG")
    places = (user_file(os.environ), SYSTEM_FILE)
    if not (asked or any(os.path.lexists(place) for place in places)):
        startup.set_up_log(options, None, "warning")
        return BundleSettings()
    find_config_file(options.config, os.environ)
    config = startup.load(options)
    startup.set_up_log(options, config, "warning")
    for name, host in config.hosts.items():
        if host.bundle and host.bundle.resolve() == directory.resolve():
            return BundleSettings(config, host, name)
    return BundleSettings(config)


def warn(text: str) -> None:
    """A warning on standard error."""
    print_error_line(f"warning: {clean(text)}")


def warn_unchecked(directory: Path, settings: BundleSettings) -> None:
    """Say that the signature of a bundle is not checked, and why."""
    if settings.host:
        table = "target" if settings.name == "target" else f"sources.{settings.name}"
        warn(f"the signature of the bundle is not checked: set allowed_signers in [{table}]")
    else:
        warn(
            "signatures are not checked: no host of the configuration has"
            f" bundle = {str(directory)!r}"
        )


def open_bundle(directory: Path, settings: BundleSettings) -> tuple[BundleDirectory, Contents]:
    """A bundle and its index.

    Raises:
        BundleError: There is none, or it is refused.
    """
    bundle = BundleDirectory(directory, settings.signers)
    contents = asyncio.run(bundle.contents())
    if contents is None:
        raise BundleError(f"there is no bundle in {directory}", kind="not-ready")
    return bundle, contents


@contextmanager
def progress(total: int, what: str, *, hidden: bool) -> Iterator[Callable[[int], None]]:
    """Show bytes, speed and the time that is left, if a person sees it.

    Args:
        total: Bytes.
        what: What is done.
        hidden: Show nothing.
    """
    if hidden or not is_terminal(sys.stderr):
        yield lambda _: None
        return
    from rich.progress import (  # noqa: PLC0415 - slow to import
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from mirror.cli.render.terminal import console  # noqa: PLC0415

    columns = (
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        "{task.description}", *columns, console=console(sys.stderr), transient=True
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT and SIGTERM clean up before they end the process."""

    def stop(number: int, _frame: object) -> NoReturn:
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def names(absent: Mapping[str, Sequence[str]]) -> str:
    """The assets whose bytes are not there: one line for each release."""
    return "".join(
        f"  {clean(release)}: {', '.join(map(clean, assets))}\n"
        for release, assets in absent.items()
    )
