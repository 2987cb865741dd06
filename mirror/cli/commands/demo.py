"""``demo``: two emulated hosts on this machine, and real syncs between them."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.app import open_app
from mirror.cli import exit_status, startup
from mirror.cli.demo_air_gap import AirGapDemo
from mirror.cli.demo_direct import CONFIGURATION, DirectDemo, nothing_to_do
from mirror.cli.demo_hosts import MIRRORS, DemoHosts
from mirror.cli.demo_source import fill
from mirror.cli.demo_text import Proof, heading, program, say, show_commands, show_file, show_proofs
from mirror.cli.graceful_stop import SIGNALS, GracefulStop
from mirror.cli.options import NoProgress
from mirror.cli.output import is_terminal, print_error_line, print_text
from mirror.cli.pass_runner import IN_THE_REPORT
from mirror.cli.render.progress_bars import live_display
from mirror.config import load_config, resolve_secrets
from mirror.core.reporting.progress import Progress
from mirror.core.text.wording import count, size
from mirror.emulator import Emulator, GitHubState

if TYPE_CHECKING:
    from mirror.core.reporting.report import Report

SLOW = 8_000_000
"""Bytes per second of an upload with a live display: slow enough to see, fast enough to wait for."""

_CONFIGURATION = """\
[target]
url = "{target}"
token = "file:target.token"

[sources.github]
url = "{source}"
token = "file:source.token"
api_url = "{api}"        # of real hosts, this one and
upload_origin = "{uploads}"  # this one follow from url

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


def demo(
    context: typer.Context,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep/--no-keep",
            help="Keep hosts, daemon and status page until Ctrl-C.",
            show_default=False,
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

    Shows a failure and its recovery, then the daemon, a webhook and the status
    page. Both hosts run on this machine. Nothing leaves it or is left behind.

    \b
    Examples:
      release-mirror demo
      release-mirror demo --keep
      release-mirror demo --air-gap
    """
    startup.set_up_log(context.obj, None, "warning", told=IN_THE_REPORT)
    drawn = not no_progress and is_terminal(sys.stderr)
    return asyncio.run(_Demo(drawn=drawn, keep=keep, air_gap=air_gap).run())


class _Demo:
    """The demo from start to end; it succeeds if every byte arrived and no reader saw half a release."""

    def __init__(self, *, drawn: bool, keep: bool, air_gap: bool) -> None:
        self._air_gap = air_gap
        self._drawn = drawn
        self._keep = keep
        self._good = False
        self._waiting = False

    async def run(self) -> int:
        # Whenever it is stopped, and however often, it removes its files and ends its daemon.
        signals = list(SIGNALS)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            signals.append(signal.SIGHUP)
        stopper = GracefulStop(signals=signals, insist=False)
        await stopper.run(self._run())
        if stopper.signal is not None and not self._waiting:
            return 128 + stopper.signal
        return exit_status.OK if self._good else exit_status.FAILED

    async def _run(self) -> None:
        async with AsyncExitStack() as stack:
            directory = Path(tempfile.mkdtemp(prefix="release-mirror-demo-"))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            names = ("source.token", "target.token", "webhook.secret")
            tokens = [_secret(directory / name) for name in names]
            hosts = await self._hosts(stack, *tokens[:2])
            configuration = _CONFIGURATION.format(
                target=hosts.target.url,
                source=hosts.source.url,
                api=hosts.source.api_url,
                uploads=hosts.source.upload_url,
            )
            self._introduce(hosts)
            direct = None
            if self._air_gap:
                file = directory / "isolated.toml"
                gap = AirGapDemo(directory, hosts.target.url, self._sync)
                first, second = await gap.run(configuration)
                good = first.status == "ok"
                story = [
                    (good, "the sync of all volumes left nothing undone"),
                    nothing_to_do(second),
                ]
            else:
                configuration += CONFIGURATION
                file = directory / "config.toml"
                file.write_text(configuration, encoding="utf-8")
                heading("The configuration")
                show_file(configuration)
                direct = DirectDemo(hosts, file, tokens[2], self._sync)
                story = await direct.run(stack)
            self._good = self._judge(hosts, story)
            if self._keep:
                self._waiting = True
                await self._stay(hosts, file, direct)
            else:
                self._say_what_is_next()

    async def _hosts(
        self, stack: AsyncExitStack, source_token: str, target_token: str
    ) -> DemoHosts:
        source = GitHubState(kind="github")
        source.add_token(source_token, login="reader", permission="read")
        fill(source)
        target = GitHubState(kind="ghes", upload_rate=SLOW if self._drawn else 0)
        target.add_organization("mirrors")
        target.add_token(target_token, login="mirror-bot", admin=True)
        hosts = DemoHosts(
            await stack.enter_async_context(Emulator(source)),
            await stack.enter_async_context(Emulator(target)),
        )
        for name in MIRRORS:
            for release in source.releases(name):
                hosts.expect(name, release.tag)
        return hosts

    def _introduce(self, hosts: DemoHosts) -> None:
        releases = [release for release, _ in hosts.releases()]
        assets = [asset for release in releases for asset in release.assets]
        total = size(sum(asset.content.size for asset in assets))
        say(
            "This demo mirrors releases between two emulated GitHub hosts on this machine:"
            " it needs no account, and leaves nothing behind."
        )
        print_text(
            f"\n  source  {hosts.source.url}, like github.com:\n"
            f"          {len(MIRRORS)} repositories, {count(len(releases), 'release')},"
            f" {count(len(assets), 'asset')}, {total}\n"
            f"  target  {hosts.target.url}, like GitHub Enterprise Server"
            f" {hosts.target.state.version}: empty\n"
        )
        if self._air_gap:
            print_text("          no network leads from the source to it\n")

    async def _sync(self, file: Path) -> Report:
        config = load_config(file, {})
        progress = Progress(time.monotonic)
        display = live_display(progress) if self._drawn else nullcontext()
        async with open_app(config, resolve_secrets(config, {}), observer=progress) as app:
            with display:
                return await app.sync()

    def _judge(self, hosts: DemoHosts, story: list[Proof]) -> bool:
        assets, same = hosts.assets()
        latest, violations = hosts.same_latest(), hosts.target.state.violations
        heading("Is everything there?")
        good = show_proofs(
            [
                *story,
                (
                    same == assets,
                    f"{same} of {count(assets, 'asset')} hold the same bytes (SHA-256)",
                ),
                (
                    latest == len(MIRRORS),
                    f"{latest} of {len(MIRRORS)} repositories show the same latest release",
                ),
                (not violations, "at no moment could a reader see half a release"),
            ]
        )
        for sentence in violations:
            print_error_line(sentence)
        say("Everything matches." if good else "Something is wrong: please report it.", apart=True)
        return good

    def _say_what_is_next(self) -> None:
        print_text("\nNext, with a server of your own:\n\n")
        show_commands(
            {
                f"{program()} init": "write a configuration to start from",
                f"{program()} check": "test hosts, certificates and tokens",
                f"{program()} plan": "show what a sync would do",
                f"{program()} sync": "mirror",
            }
        )
        if not self._air_gap:
            print_text("\nTo look at the status page and to try commands:\n\n")
            show_commands({f"{program()} demo --keep": ""})

    async def _stay(self, hosts: DemoHosts, file: Path, direct: DirectDemo | None) -> None:
        """Keep everything running until a signal."""
        say("Everything keeps running. To try commands in another terminal:", apart=True)
        commands = {"status": "what was mirrored", "verify --full": "compare every byte"}
        if direct:
            commands["trigger --full"] = "have the daemon sync now"
        print_text(f"\n    export RELEASE_MIRROR_CONFIG={file}\n")
        show_commands({f"{program()} {command}": purpose for command, purpose in commands.items()})
        show_commands({f"curl {hosts.target.api_url}/repos/mirrors/acme-rocket/releases": ""})
        keys = "Press Ctrl-C to end."
        if direct:
            say(f"The status page: {direct.address}", apart=True)
            if sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp():
                say(f"Press Enter to publish another release at the source. {keys}")
                await direct.publish_on_enter()
        say(keys, apart=True)
        await asyncio.Event().wait()


def _secret(file: Path) -> str:
    """Make up a secret and write it to a file that only its owner reads."""
    secret = secrets.token_hex(16)
    file.touch(mode=0o600)
    file.write_text(secret, encoding="utf-8")
    return secret
