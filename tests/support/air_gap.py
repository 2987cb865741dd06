"""Both sides of an air gap: a host like github.com, a bundle, a GitHub Enterprise Server.

Beside them, another server of the same kind gets the same releases directly: what a bundle carried
must look the same there, to a client that knows nothing of this program.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from yarl import URL

from mirror.app import App, open_app
from mirror.bundle.directory import BundleDirectory
from mirror.bundle.pack import Packer
from mirror.bundle.receipt import decode, encode, receipt_of
from mirror.bundle.unpack import Unpacker
from mirror.bundle.writable_directory import WritableDirectory
from mirror.config import load_config, resolve_secrets
from mirror.emulator import Emulator, GitHubState
from mirror.storage.files import Files
from support.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mirror.bundle.directory import Contents
    from mirror.bundle.signature import AllowedSigners
    from mirror.bundle.unpack import Unpacked
    from mirror.core.reporting.report import Report

TOKEN = "token-of-the-test"

MIRRORS = """
[[mirrors]]
source = "octo/tool"
target = "mirrors/tool"
"""
CARRIED = """
[[mirrors]]
source = "mirrors/*"
"""


class AirGap:
    """Runs each side as a user's next command does; all share one clock that nobody waits for.

    Attributes:
        brought: The bundle of the isolated side; unless it is carried, that of the connected one.
        mirrors: Of the connected side, and of the direct one.
        carried: Of the isolated side.
        target_keys, source_keys: More keys of the bundle, where it is written and where it is read.
    """

    def __init__(self, directory: Path, mirrors: str = MIRRORS, carried: str = CARRIED) -> None:
        self.directory = directory
        self.bundle = directory / "bundle"
        self.brought = self.bundle
        self.mirrors = mirrors
        self.carried = carried
        self.target_keys = self.source_keys = ""
        self.source = GitHubState(kind="github")
        self.isolated = GitHubState(kind="ghes", version="3.17")
        self.compared = GitHubState(kind="ghes", version="3.17")
        self.clock = VirtualClock()
        self.environ = {"TOKEN": TOKEN}
        self.app: App | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.hosts = {}
        for name in ("source", "isolated", "compared"):
            state = getattr(self, name)
            state.clock = lambda: self.clock.now().timestamp()
            state.add_token(TOKEN, login="bot", admin=True)
            if name != "source":
                state.add_organization("mirrors")
            self.hosts[name] = await self._stack.enter_async_context(Emulator(state))
        return self

    async def __aexit__(self, *about: object) -> None:
        await self._stack.aclose()

    # --- the three ways ---------------------------------------------------------------------------

    def configure(self, side: str) -> Path:
        """Write the configuration of ``connected``, ``isolated`` or ``direct``."""
        source = self._host("sources.github", "source")
        bundle = f'bundle = "{self.bundle}"\n'
        parts = {
            "connected": f"[target]\n{bundle}{self.target_keys}{source}{self.mirrors}",
            "isolated": (
                f"{self._host('target', 'isolated')}"
                f'[sources.github]\nbundle = "{self.brought}"\n{self.source_keys}{self.carried}'
            ),
            "direct": f"{self._host('target', 'compared')}{source}{self.mirrors}",
        }
        path = self.directory / f"{side}.toml"
        path.write_text(f'{parts[side]}\n[ledger]\ndirectory = "{self.directory / side}"\n')
        return path

    @property
    def config_file(self) -> Path:
        """The configuration of the isolated side."""
        return self.configure("isolated")

    def _host(self, table: str, name: str) -> str:
        host = self.hosts[name]
        api = f'api_url = "{host.api_url}"\n' if name == "source" else ""
        return (
            f'\n[{table}]\nurl = "{host.url}"\n{api}token = "env:TOKEN"\n'
            f'upload_origin = "{host.upload_url.rstrip("/").removesuffix("/api/uploads")}"\n'
        )

    async def run(self, side: str, command: str = "sync", **options: Any) -> Report:
        """Run a command on one side."""
        config = load_config(self.configure(side), self.environ)
        secrets = resolve_secrets(config, self.environ)
        async with open_app(config, secrets, clock=self.clock) as app:
            self.app = app
            report: Report = await getattr(app, command)(**options)
            return report

    async def write(self, **options: Any) -> Report:
        """From the source into the bundle."""
        return await self.run("connected", **options)

    async def read(self, **options: Any) -> Report:
        """From the bundle into the isolated server."""
        return await self.run("isolated", **options)

    async def carry(self) -> tuple[Report, Report]:
        """Both, and directly as well; the reports of the two sides of the gap."""
        written = await self.write()
        read = await self.read()
        await self.run("direct")
        return written, read

    async def deliver(
        self, *, since_receipt: bool = False, signers: AllowedSigners | None = None
    ) -> tuple[int, Unpacked]:
        """Pack the bundle, and unpack it for the isolated side; the bytes that were carried.

        Args:
            since_receipt: Leave out what the other side's receipt lists.
            signers: Who may sign what is unpacked.
        """
        bundle, contents = await opened(self.bundle)
        known: Sequence[str] = ()
        if since_receipt:
            receipt = await encode(receipt_of(*await opened(self.brought)), None)
            known = (await decode(receipt, contents, None)).blobs
        packer = Packer(bundle, contents, Files())
        packed = packer.pack(self.directory / "volume", *packer.prepare(known), 10**10)
        target = WritableDirectory(self.brought, Files(), self.clock)
        return packed.size, await Unpacker(target, signers, Files()).unpack(packed.volumes)

    # --- what a client sees -----------------------------------------------------------------------

    async def seen(self, name: str, repo: str = "mirrors/tool") -> Any:
        """Everything that a client reads of a repository at a server, by plain HTTP."""
        api = f"{self.hosts[name].api_url}/repos/{repo}"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            aiohttp.ClientSession() as storage,
        ):

            async def get(url: str) -> Any:
                async with session.get(url) as answer:
                    return await answer.json() if answer.status == 200 else answer.status

            async def digest(url: str) -> str:
                plain = {"Accept": "application/octet-stream"}
                async with session.get(url, headers=plain, allow_redirects=False) as answer:
                    place = URL(answer.headers["Location"], encoded=True)
                async with storage.get(place) as answer:  # which refuses a token
                    answer.raise_for_status()
                    return hashlib.sha256(await answer.read()).hexdigest()

            repository = await get(api)
            if isinstance(repository, int):
                return repository
            releases = await get(f"{api}/releases?per_page=100")
            latest = await get(f"{api}/releases/latest")
            tags = {}
            for release in releases:
                ref = await get(f"{api}/git/ref/tags/{release['tag_name']}")
                if isinstance(ref, dict):
                    commit = await get(f"{api}/git/commits/{ref['object']['sha']}")
                    tags[release["tag_name"]] = (commit["message"], commit["author"]["date"])
            return {
                "about": (repository["description"], repository["private"]),
                "latest": latest["tag_name"] if isinstance(latest, dict) else latest,
                "tags": tags,
                "releases": {
                    (release["tag_name"], release["draft"]): {
                        "text": (release["name"], unmarked(release["body"]), release["prerelease"]),
                        "assets": {
                            asset["name"]: (
                                asset["label"], asset["content_type"], asset["state"],
                                asset["size"], await digest(asset["url"]),
                            )
                            for asset in release["assets"]
                        },
                    }
                    for release in releases
                },
            }  # fmt: skip

    async def same(self, repo: str = "mirrors/tool") -> None:
        """The isolated server shows what the other one got directly."""
        assert await self.seen("isolated", repo) == await self.seen("compared", repo)

    @property
    def index(self) -> dict[str, Any]:
        """The bundle's index, as anybody may read it."""
        document: dict[str, Any] = json.loads((self.bundle / "index.json").read_bytes())
        return document

    def leftovers(self) -> list[str]:
        """What is in the staging area beside its lock."""
        staging = self.bundle / "staging"
        return [str(p.relative_to(staging)) for p in staging.rglob("*") if p.name != "lock"]


async def opened(path: Path) -> tuple[BundleDirectory, Contents]:
    """A bundle and its index."""
    bundle = BundleDirectory(path)
    contents = await bundle.contents()
    assert contents is not None
    return bundle, contents


def unmarked(body: str | None) -> str:
    """A draft's text without the mark of its source, which is another one for a bundle."""
    return re.sub(r"\n*<!-- release-mirror \S+ -->", "", body or "")
