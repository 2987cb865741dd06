"""Two emulated hosts on loopback and a configuration that mirrors between them."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from mirror.app import App, open_app
from mirror.config import load_config, resolve_secrets
from mirror.emulator import Emulator, GitHubState
from support.clock import VirtualClock

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from pathlib import Path

    from mirror.core.reporting.report import Observer, Report, RepositoryReport
    from mirror.emulator import Release

SOURCE_TOKEN = "source-token-of-the-test"
TARGET_TOKEN = "target-token-of-the-test"


class World:
    """A source, a target, and `sync` between them with a virtual clock.

    Each `sync` starts from scratch, as a user's next command does, with the same ledger. Both hosts
    and the application share the current `clock`. If the application is a separate process, it is
    a `MachineClock`.
    """

    def __init__(
        self,
        directory: Path,
        mirrors: str = '[[mirrors]]\nsource = "octo/tool"\ntarget = "mirrors/tool"\n',
        *,
        source: GitHubState | None = None,
        target: GitHubState | None = None,
        extra: str = "",
        hosts: str = "",
        tls: ssl.SSLContext | None = None,
        clock: VirtualClock | None = None,
        ledger_url: str = "",
    ) -> None:
        self.directory = directory
        self.mirrors = mirrors
        self.extra = extra
        self.hosts = hosts
        self.source_limits = self.target_limits = ""  # keys of one host
        self.tls = tls
        self.source = source or GitHubState(kind="github")
        self.target = target or GitHubState(kind="ghes", version="3.17")
        self.clock = clock or VirtualClock()
        for host in (self.source, self.target):
            host.clock = self.time
        self.ledger_url = ledger_url
        self.environ = {"SOURCE_TOKEN": SOURCE_TOKEN, "TARGET_TOKEN": TARGET_TOKEN}
        if ledger_url:
            self.environ["LEDGER_URL"] = ledger_url
        self.app: App | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.source.add_token(SOURCE_TOKEN, login="reader", admin=True)
        self.target.add_token(TARGET_TOKEN, login="mirror-bot", admin=True)
        self.target.add_organization("mirrors")
        self.source_host = await self._stack.enter_async_context(
            Emulator(self.source, ssl_context=self.tls)
        )
        self.target_host = await self._stack.enter_async_context(
            Emulator(self.target, ssl_context=self.tls)
        )
        self.write_config()
        return self

    async def __aexit__(self, *about: object) -> None:
        await self._stack.aclose()

    def time(self) -> float:
        """The hosts' time, from the current clock."""
        return self.clock.timestamp()

    @property
    def config_file(self) -> Path:
        return self.directory / "config.toml"

    @property
    def ledger(self) -> Path:
        return self.directory / "ledger"

    def write_config(self, mirrors: str | None = None, extra: str | None = None) -> None:
        self.mirrors = self.mirrors if mirrors is None else mirrors
        self.extra = self.extra if extra is None else extra
        source, target = self.source_host, self.target_host
        self.config_file.write_text(
            f"""
[target]
url = "{target.url}"
api_url = "{target.api_url}"
upload_origin = "{origin(target.upload_url)}"
token = "env:TARGET_TOKEN"
{self.hosts}{self.target_limits}

[sources.github]
url = "{source.url}"
api_url = "{source.api_url}"
token = "env:SOURCE_TOKEN"
{self.hosts}{self.source_limits}

[ledger]
{'url = "env:LEDGER_URL"' if self.ledger_url else f'directory = "{self.ledger}"'}

{self.extra}
{self.mirrors}
"""
        )

    def expect(self, source: str = "octo/tool", target: str = "mirrors/tool") -> None:
        """Make the target's emulator check that no release is ever visible incomplete."""
        for release in self.source.releases(source):
            assets = {asset.name: asset.sha256 for asset in release.assets}
            self.target.expect(target, release.tag, assets)

    async def sync(
        self, *patterns: str, full: bool = False, observer: Observer | None = None
    ) -> Report:
        return await self._run("sync", patterns, full=full, observer=observer)

    async def plan(self, *patterns: str, full: bool = False) -> Report:
        return await self._run("plan", patterns, full=full)

    async def _run(
        self,
        command: str,
        patterns: Sequence[str],
        *,
        full: bool,
        observer: Observer | None = None,
    ) -> Report:
        config = load_config(self.config_file, self.environ)
        secrets = resolve_secrets(config, self.environ)
        async with open_app(config, secrets, clock=self.clock, observer=observer) as app:
            self.app = app
            run = app.sync if command == "sync" else app.plan
            return await run(patterns, full=full)

    async def let_go(self) -> None:
        """Resume stalled transfers at the target, and end those whose clients have disconnected.

        While a server does not read, it cannot notice that the client has disconnected.
        """
        self.target.faults.resume()
        releases = [r for name in self.target.names for r in self.target.releases(name)]
        async with asyncio.timeout(30):
            while any(release.arriving for release in releases):  # noqa: ASYNC110 - of a socket
                await asyncio.sleep(0.01)

    # -- results ----------------------------------------------------------------------------------

    def published(self, repository: str = "mirrors/tool") -> dict[str, Release]:
        return {r.tag: r for r in self.target.releases(repository) if not r.draft}

    def latest(self, repository: str = "mirrors/tool") -> str | None:
        """The target's latest release."""
        found = self.target.repository(repository).latest()
        return found.tag if found else None

    def drafts(self, repository: str = "mirrors/tool") -> list[Release]:
        return [r for r in self.target.releases(repository) if r.draft]

    def same(self, source: str = "octo/tool", target: str = "mirrors/tool") -> list[str]:
        """Differences between the published releases of both sides; empty if in sync."""
        ours, theirs = self.source.releases(source), self.published(target)
        wrong = [f"{tag} is only at the target" for tag in set(theirs) - {r.tag for r in ours}]
        for release in ours:
            if release.draft:
                continue
            copy = theirs.get(release.tag)
            if copy is None:
                wrong.append(f"{release.tag} is missing")
                continue
            for field in ("name", "body", "prerelease"):
                one, other = getattr(release, field), getattr(copy, field)
                if (one or "") != (other or ""):
                    wrong.append(f"{release.tag}.{field}: {one!r} != {other!r}")
            if _assets(release) != _assets(copy):
                wrong.append(f"{release.tag}: {_assets(release)} != {_assets(copy)}")
        wrong += [f"draft {r.tag} is left" for r in self.drafts(target)]
        wrong += [
            f"{r.tag}/{a.name} is {a.state}"
            for r in theirs.values()
            for a in r.assets
            if a.state != "uploaded"
        ]
        return wrong + list(self.target.violations)

    async def download(self, url: str) -> bytes:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            response.raise_for_status()
            return await response.read()


def _assets(release: Any) -> dict[str, tuple[Any, ...]]:
    return {
        asset.name: (asset.size, asset.sha256, asset.label or "", asset.content_type)
        for asset in release.assets
    }


def origin(url: str) -> str:
    """Scheme, host and port of a URL."""
    return "/".join(url.split("/")[:3])


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def only(report: Report) -> RepositoryReport:
    """The only repository of a report."""
    (repository,) = report.repositories
    return repository
