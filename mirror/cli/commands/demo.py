"""``demo``: two emulated hosts on this machine, and a real sync between them."""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
import time
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.app import open_app
from mirror.cli import exit_status, startup
from mirror.cli.demo_air_gap import AirGapDemo
from mirror.cli.demo_source import fill
from mirror.cli.graceful_stop import GracefulStop
from mirror.cli.options import NoProgress
from mirror.cli.output import is_terminal, print_error_line, print_text
from mirror.cli.render.progress_bars import live_display
from mirror.cli.render.sync_text import summary
from mirror.cli.render.tables import requests
from mirror.cli.render.terminal import show
from mirror.config import load_config, resolve_secrets
from mirror.core.reporting.progress import Progress
from mirror.core.text.wording import count, duration, size
from mirror.emulator import Emulator, GitHubState, normalise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mirror.core.reporting.report import Report
    from mirror.emulator import Asset, Release

SLOW = 8_000_000
"""Bytes per second of an upload with a live display: slow enough to see, fast enough to wait for."""

_CONFIGURATION = """\
[target]
url = "{target}"
token = "env:DEMO_TARGET_TOKEN"

[sources.github]
url = "{source}"
api_url = "{api}"
token = "env:DEMO_SOURCE_TOKEN"
upload_origin = "{uploads}"

[defaults]
visibility = "public"

[[mirrors]]
source = "acme/*"
exclude = ["acme/*-archive"]
target = "mirrors/{{owner}}-{{repo}}"

[[mirrors]]
source = "octo/hello"
target = "mirrors/hello"

[ledger]
directory = "ledger"
"""

_TARGETS = {
    "acme/rocket": "mirrors/acme-rocket",
    "acme/satellite": "mirrors/acme-satellite",
    "acme/fonts": "mirrors/acme-fonts",
    "octo/hello": "mirrors/hello",
}


def demo(
    context: typer.Context,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep/--no-keep", help="Leave the hosts running until Ctrl-C.", show_default=False
        ),
    ] = False,
    air_gap: Annotated[
        bool,
        typer.Option(
            "--air-gap", help="Carry the releases in a bundle, and lose a volume on the way."
        ),
    ] = False,
    no_progress: NoProgress = False,
) -> int:
    r"""See it at work, without an account: mirror one emulated host to another.

    Both hosts run on this machine. Nothing leaves it, and nothing is left behind.

    \b
    Examples:
      release-mirror demo
      release-mirror demo --keep
      release-mirror demo --air-gap
    """
    startup.set_up_log(context.obj, None, "warning")
    drawn = not no_progress and is_terminal(sys.stderr)
    with tempfile.TemporaryDirectory(prefix="release-mirror-demo-") as directory:
        return asyncio.run(_Demo(Path(directory), drawn=drawn, keep=keep, air_gap=air_gap).run())


@dataclass(frozen=True, slots=True)
class _Hosts:
    source: Emulator
    target: Emulator


class _Demo:
    """The demo from start to end; it succeeds if every byte arrived and no reader saw half a release."""

    def __init__(self, directory: Path, *, drawn: bool, keep: bool, air_gap: bool) -> None:
        self._air_gap = air_gap
        self._directory = directory
        self._drawn = drawn
        self._keep = keep
        self._good = False
        self._waiting = False

    async def run(self) -> int:
        stopper = GracefulStop()
        await stopper.run(self._run())
        if stopper.signal is not None and not self._waiting:
            return 128 + stopper.signal
        return exit_status.OK if self._good else exit_status.FAILED

    async def _run(self) -> None:
        environ = {
            "DEMO_SOURCE_TOKEN": f"demo-{secrets.token_hex(16)}",
            "DEMO_TARGET_TOKEN": f"demo-{secrets.token_hex(16)}",
        }
        async with AsyncExitStack() as stack:
            hosts = await self._hosts(stack, environ)
            file = self._directory / "config.toml"
            configuration = self._configure(hosts, file)
            self._introduce(hosts, configuration)
            if self._air_gap:
                sync = partial(self._sync, environ=environ)
                gap = AirGapDemo(self._directory, hosts.target.url, sync)
                first, second = await gap.run(configuration)
            else:
                first = await self._sync(file, environ)
                show(*summary(first))
                print_text("\nOnce more, now that nothing has changed:\n\n")
                second = await self._sync(file, environ)
            self._good = self._judge(hosts, first, second)
            if self._keep:
                self._waiting = True
                self._invite(hosts)
                await asyncio.Event().wait()

    async def _hosts(self, stack: AsyncExitStack, environ: dict[str, str]) -> _Hosts:
        source = GitHubState(kind="github")
        source.add_token(environ["DEMO_SOURCE_TOKEN"], login="reader", permission="read")
        fill(source)
        target = GitHubState(kind="ghes", upload_rate=SLOW if self._drawn else 0)
        target.add_organization("mirrors")
        target.add_token(environ["DEMO_TARGET_TOKEN"], login="mirror-bot", admin=True)
        declared: set[str] = set()
        target.change_listeners.append(lambda: _expect(source, target, declared))
        return _Hosts(
            await stack.enter_async_context(Emulator(source)),
            await stack.enter_async_context(Emulator(target)),
        )

    def _configure(self, hosts: _Hosts, file: Path) -> str:
        text = _CONFIGURATION.format(
            target=hosts.target.url,
            source=hosts.source.url,
            api=hosts.source.api_url,
            uploads=hosts.source.upload_url,
        )
        file.write_text(text, encoding="utf-8")
        return text

    def _introduce(self, hosts: _Hosts, configuration: str) -> None:
        pairs = list(_releases(hosts.source.state, hosts.target.state))
        assets = [asset for release, _ in pairs for asset in release.assets]
        total = size(sum(asset.content.size for asset in assets))
        indented = "".join(f"    {line}".rstrip() + "\n" for line in configuration.splitlines())
        print_text(
            "Two emulated GitHub hosts are running on this machine, only for this demo:\n"
            f"  source  {hosts.source.url}, like github.com:\n"
            f"          {len(_TARGETS)} repositories, {count(len(pairs), 'release')},"
            f" {count(len(assets), 'asset')}, {total}\n"
            f"  target  {hosts.target.url}, like GitHub Enterprise Server"
            f" {hosts.target.state.version}: empty\n"
        )
        if self._air_gap:
            print_text("          no network leads from the source to it\n\n")
        else:
            print_text(f"\nThe configuration:\n\n{indented}\nrelease-mirror sync:\n\n")

    async def _sync(self, file: Path, environ: dict[str, str]) -> Report:
        config = load_config(file, environ)
        progress = Progress(time.monotonic)
        display = live_display(progress) if self._drawn else nullcontext()
        credentials = resolve_secrets(config, environ)
        async with open_app(config, credentials, observer=progress) as app:
            with display:
                return await app.sync()

    def _judge(self, hosts: _Hosts, first: Report, second: Report) -> bool:
        seconds = (second.finished_at - second.started_at).total_seconds()
        source, target = hosts.source.state, hosts.target.state
        pairs = list(_releases(source, target))
        assets = sum(len(release.assets) for release, _ in pairs)
        same = sum(_same_bytes(asset, copy) for release, copy in pairs for asset in release.assets)
        latest = sum(
            _latest(source, name) == _latest(target, copy) for name, copy in _TARGETS.items()
        )
        idle = second.status == "unchanged" and not any(r.actions for r in second.repositories)
        proofs = [
            (idle, f"nothing to do, found in {duration(seconds)} with {requests(second)}"),
            (first.status == "ok", "the first sync left nothing undone"),
            (same == assets, f"{same} of {count(assets, 'asset')} hold the same bytes (SHA-256)"),
            (
                latest == len(_TARGETS),
                f"{latest} of {len(_TARGETS)} repositories show the same latest release",
            ),
            (not target.violations, "at no moment could a reader see half a release"),
        ]
        for good, text in proofs:
            print_text(f"  {'yes' if good else ' NO'}  {text}\n")
        for sentence in target.violations:
            print_error_line(sentence)
        good = all(good for good, _ in proofs)
        print_text(
            f"\n{'Everything matches.' if good else 'Something is wrong: please report it.'}\n"
        )
        return good

    def _invite(self, hosts: _Hosts) -> None:
        api = hosts.target.api_url
        print_text(
            "\nThe hosts keep running; look at the target in another terminal:\n\n"
            f"    curl {api}/repos/mirrors/acme-rocket/releases\n\n"
            "Press Ctrl-C to end.\n"
        )


def _releases(source: GitHubState, target: GitHubState) -> Iterator[tuple[Release, Release | None]]:
    """Every release of the source, with its copy at the target."""
    for name, copy in _TARGETS.items():
        there = target.releases(copy) if copy in target.names else []
        copies = {release.tag: release for release in there if not release.draft}
        for release in source.releases(name):
            yield release, copies.get(release.tag)


def _same_bytes(asset: Asset, release: Release | None) -> bool:
    copy = release.asset(normalise(asset.name)) if release else None
    return copy is not None and copy.content.sha256 == asset.content.sha256


def _latest(state: GitHubState, name: str) -> str:
    latest = state.repository(name).latest() if name in state.names else None
    return latest.tag if latest else ""


def _expect(source: GitHubState, target: GitHubState, declared: set[str]) -> None:
    """Tell the target what the releases of each new repository must hold."""
    for name, copy in _TARGETS.items():
        if copy not in target.names or copy in declared:
            continue
        declared.add(copy)
        for release in source.releases(name):
            files = {normalise(asset.name): asset.content.sha256 for asset in release.assets}
            target.expect(copy, release.tag, files)
