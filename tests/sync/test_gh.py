"""GitHub's own command line, `gh`, works at both hosts over TLS, before and after a sync."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from yarl import URL

from mirror.emulator import GitHubState
from support.world import SOURCE_TOKEN, TARGET_TOKEN, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    shutil.which("gh") is None, reason="gh (Debian: gh) is not installed"
)


@dataclass(frozen=True)
class GitHubCli:
    """`gh` for one repository of a host, with a home of its own.

    The token is in its configuration file and not in the environment: old versions send
    `GH_ENTERPRISE_TOKEN` to every host, storage included.
    """

    home: Path
    repository: str

    @classmethod
    def at(cls, url: str, name: str, token: str, directory: Path) -> GitHubCli:
        home = directory / f"gh-{name.replace('/', '-')}"
        home.mkdir()
        address = URL(url)
        # Versions differ in whether the port belongs to the name under which a token is kept.
        known = {host: {"oauth_token": token} for host in (address.host, address.authority)}
        (home / "hosts.yml").write_text(json.dumps(known))
        return cls(home, f"{address.authority}/{name}")

    async def __call__(self, *arguments: str, status: int = 0) -> str:
        """Run `gh release …`; returns what it printed."""
        process = await asyncio.create_subprocess_exec(
            *("gh", "release", *arguments, "--repo", self.repository),
            cwd=self.home,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "GH_CONFIG_DIR": str(self.home),
                "GH_NO_UPDATE_NOTIFIER": "1",
                "GH_PROMPT_DISABLED": "1",
                "SSL_CERT_FILE": str(self.home.parent / "ca.pem"),
                "XDG_CACHE_HOME": str(self.home / "cache"),
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        assert process.returncode == status, out.decode()
        return out.decode()

    def write(self, name: str, text: str) -> str:
        (self.home / name).write_text(text)
        return name

    async def listed(self) -> list[list[str]]:
        """Title, mark and tag of every release, by title."""
        return sorted(line.split("\t")[:3] for line in (await self("list")).splitlines())

    async def seen(self, tag: str, folder: str) -> dict[str, Any]:
        """Everything of a release that a mirror can keep, with every byte."""
        fields = "name,tagName,body,isDraft,isPrerelease,assets"
        shown: dict[str, Any] = json.loads(await self("view", tag, "--json", fields))
        await self("download", tag, "--dir", folder)
        facts = ("label", "contentType", "size", "state")
        shown["assets"] = {
            asset["name"]: (
                *(asset[fact] for fact in facts),
                (self.home / folder / asset["name"]).read_bytes(),
            )
            for asset in shown["assets"]
        }
        return shown


@dataclass(frozen=True)
class Hosts:
    world: World
    source: GitHubCli
    target: GitHubCli


@pytest.fixture
async def hosts(tmp_path: Path) -> AsyncIterator[Hosts]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(tls)
    source = GitHubState(kind="ghes", version="3.20")
    source.add_repository("octo/tool")
    async with World(tmp_path, source=source, hosts='ca_file = "ca.pem"', tls=tls) as world:
        yield Hosts(
            world,
            GitHubCli.at(world.source_host.url, "octo/tool", SOURCE_TOKEN, tmp_path),
            GitHubCli.at(world.target_host.url, "mirrors/tool", TARGET_TOKEN, tmp_path),
        )
    assert world.source.violations == world.target.violations == []


async def test_what_gh_publishes_arrives(hosts: Hosts) -> None:
    """A release made, changed and deleted with `gh` is the same at both sides after each sync."""
    gh, copy, world = hosts.source, hosts.target, hosts.world
    files = gh.write("tool.txt", "one\n"), gh.write("notes.md", "# One\n")
    await gh("create", "v1", *files, "--title", "One", "--notes", "First")
    await gh("create", "team/v2", files[0], "--title", "Two", "--notes", "", "--prerelease")
    await gh("create", "v3", "--title", "Three", "--notes", "Later", "--draft")
    public = [["One", "Latest", "v1"], ["Two", "Pre-release", "team/v2"]]
    assert await gh.listed() == [public[0], ["Three", "Draft", "v3"], public[1]]
    assert (await world.sync()).status == "ok"
    assert await copy.listed() == public
    for tag in ("v1", "team/v2"):
        assert await copy.seen(tag, f"1/{tag}") == await gh.seen(tag, f"1/{tag}")

    gh.write("tool.txt", "another one\n")
    await gh("upload", "v1", "tool.txt", status=1)
    await gh("upload", "v1", "tool.txt", "--clobber")
    await gh("delete-asset", "v1", "notes.md", "--yes")
    await gh("edit", "v1", "--title", "One!", "--notes", "More")
    await gh("edit", "v3", "--draft=false")
    await gh("delete", "team/v2", "--yes", "--cleanup-tag")
    world.write_config(extra='[defaults]\non_delete = "delete"\n')
    assert (await world.sync()).status == "ok"
    assert await copy.listed() == [["One!", "", "v1"], ["Three", "Latest", "v3"]]
    assert await copy.listed() == await gh.listed()
    assert await copy.seen("v1", "2") == await gh.seen("v1", "2")
    assert "refs/tags/team/v2" not in world.source.repository("octo/tool").refs


async def test_gh_works_at_the_target(hosts: Hosts) -> None:
    """People use `gh` at the mirror, too: what they add themselves stays through the next sync."""
    gh, world = hosts.target, hosts.world
    world.source.add_release("octo/tool", "v1", name="One", assets={"tool.txt": b"one"})
    assert (await world.sync()).status == "ok"
    await gh("create", "local-1", gh.write("mine.txt", "mine"), "--title", "L", "--notes", "Ours")
    await gh("download", "v1", "--archive", "tar.gz")
    world.source.edit_release("octo/tool", "v1", body="Changed")
    assert (await world.sync()).status == "ok"
    assert {tag for _, _, tag in await gh.listed()} == {"v1", "local-1"}
    assert "Changed" in await gh("view", "v1")
    assert (await gh.seen("local-1", "1"))["assets"]["mine.txt"][-1] == b"mine"
    await gh("delete", "local-1", "--yes")
    assert [tag for _, _, tag in await gh.listed()] == ["v1"]
