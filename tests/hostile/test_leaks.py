"""Planted secrets, looked for in every byte that leaves: for other origins, and for people.

Run with ``-rP`` to see what was searched. Commands run as processes of their own, as a user's do.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import shutil
import signal
import sys
import time
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import structlog
from aiohttp import web

from faults.stories import _as_apps, _key
from hostile.secrets_planted import Search, pieces_of_key, planted
from mirror.cli.logs import configure
from mirror.emulator import Answer, Fault, RequestRecord
from support.bell import Bell
from support.clock import MachineClock
from support.daemon import daemon
from support.fakehost import FakeHost, fake_host
from support.process import run
from support.seed import sample
from support.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BYTES = b"the bytes of an asset " * 400
NAMES = (
    "source token",
    "target token",
    "webhook secret",
    "notify user",
    "notify path",
    "heartbeat",
)
MIRRORS = """
[[mirrors]]
source = "octo/tool"
target = "mirrors/tool"
tags = "push"
[[mirrors]]
source = "octo/archives"
target = "mirrors/archives"
assets.source_archives = true
[[mirrors]]
source = "octo/echo"
target = "mirrors/echo"
[[mirrors]]
source = "octo/pages"
target = "mirrors/pages"
[[mirrors]]
source = "octo/moved"
target = "mirrors/moved"
[[mirrors]]
source = "octo/uploads"
target = "mirrors/uploads"
[[mirrors]]
source = "octo/writes"
target = "mirrors/writes"
"""
REPOSITORIES = ("tool", "archives", "echo", "pages", "moved", "uploads", "writes")

GIT = """#!{python}
import json, os, sys
with open({log!r}, "a") as file:
    file.write(json.dumps({{"argv": sys.argv, "environ": dict(os.environ)}}) + "\\n")
os.execv({git!r}, [{git!r}, *sys.argv[1:]])
"""


class Stranger:
    """Another origin: it answers everything, and everything that it hears is kept."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.host: FakeHost

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        lines = [f"{request.method} {request.raw_path}", *map(repr, request.headers.items())]
        self.heard.append("\n".join(lines).encode() + b"\n\n" + body)
        if "asset" in request.path:
            return web.Response(body=BYTES)
        return web.json_response([])

    @property
    def everything(self) -> bytes:
        return b"\n".join(self.heard)


class Processes:
    """Looks at the processes of a command while it runs: command lines and environments."""

    def __init__(self) -> None:
        self.children: dict[str, bytes] = {}
        self.own = b""

    async def watch(self, process: asyncio.subprocess.Process) -> None:
        while process.returncode is None:
            self._look(process.pid)
            await asyncio.sleep(0.02)

    def _look(self, root: int) -> None:
        pids = [root]
        for pid in pids:
            self._keep(pid, root)
            for thread in Path(f"/proc/{pid}/task").glob("*/children"):
                with suppress(OSError):
                    pids += map(int, thread.read_text().split())

    def _keep(self, pid: int, root: int) -> None:
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            environ = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return
        if pid == root:
            self.own = line
        elif line and b"-m\0mirror" not in line:  # between fork and exec it is still ours
            self.children[line.decode("utf-8", "replace")] = line + b"\n" + environ


def seed(world: World) -> None:
    """Repositories whose content, too, names other origins."""
    for name in REPOSITORIES:
        world.source.add_repository(f"octo/{name}", private=True)
    files = {
        ".gitmodules": '[submodule "s"]\n\tpath = s\n\turl = {}/octo/sub.git\n',
        ".lfsconfig": "[lfs]\n\turl = {}/lfs\n",
        ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
        "big.bin": f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n",
    }
    stranger = world.environ["STRANGER"]
    world.source.add_commit(
        "octo/tool", {name: text.replace("{}", stranger) for name, text in files.items()}, "Files"
    )
    for name in REPOSITORIES:
        world.source.add_release(
            f"octo/{name}",
            "v1",
            name="One",
            body=f"![picture]({stranger}/picture)",
            date="2026-01-01T00:00:00Z",
            assets={"tool.bin": BYTES, "notes.txt": b"notes"},
        )


def lie(world: World, stranger: str) -> None:
    """From now on both hosts name another origin wherever an answer can."""

    def source(record: RequestRecord, answer: Answer) -> None:
        if "octo/pages/releases" in record.path and record.route == "list-releases":
            answer.headers["Link"] = f'<{stranger}/repos/octo/pages/releases?page=2>; rel="next"'
        if record.route == "list-releases" and answer.body.startswith(b"["):
            _name_strangers(answer, stranger)
        if "octo/echo/releases/assets" in record.path:
            _echo(record, answer)

    def target(record: RequestRecord, answer: Answer) -> None:
        if "mirrors/uploads/releases" in record.path and answer.body:
            text = answer.body.decode().replace(world.target_host.upload_url, f"{stranger}/up")
            answer.body = text.encode()
        if "mirrors/echo/releases" in record.path and record.method == "POST":
            _echo(record, answer)

    world.source.tamper, world.target.tamper = source, target
    _redirect(world, stranger)


def _name_strangers(answer: Answer, stranger: str) -> None:
    document = json.loads(answer.body)
    for release in document:
        release["url"] = release["assets_url"] = f"{stranger}/release"
        for asset in release["assets"]:
            asset["url"] = asset["browser_download_url"] = f"{stranger}/asset"
    answer.body = json.dumps(document).encode()


def _redirect(world: World, stranger: str) -> None:
    """Downloads, listings and writes are sent to another origin."""
    for side, route, match, status, location in (
        (world.source, "download-asset", "octo/tool", 302, "/asset{path}"),
        (world.source, "list-releases", "octo/moved", 302, "{path}"),
        (world.source, "archive-download", None, 302, "/asset{path}"),
        (world.target, "create-release", "mirrors/writes", 307, "{path}"),
    ):
        fault = Fault(
            kind="redirect",
            route=route,
            match=match,
            status=status,
            location=f"{stranger}{location}",
            times=None,
        )
        side.faults.add(fault)


def _echo(record: RequestRecord, answer: Answer) -> None:
    """What a proxy in between may do: it says back what it heard, in every way."""
    sent = record.authorization or ""
    answer.status = 422
    answer.content_type = "application/json; charset=utf-8"
    answer.content = None
    errors = [{"message": sent, "code": "custom", "field": sent}, sent]
    answer.body = json.dumps({"message": f"You sent: {sent}", "errors": errors}).encode()


class Setting:
    """A world, a stranger, people to be told, and everything that is planted."""

    def __init__(self, world: World, stranger: Stranger, bell: Bell, directory: Path) -> None:
        self.world = world
        self.stranger = stranger
        self.bell = bell
        self.directory = directory
        self.git_log = directory / "git.log"
        self.more: dict[str, str] = {}

    def search(self) -> Search:
        """Everything that is secret by now; tokens of installations and signatures among it."""
        secrets = {name: planted(name) for name in NAMES} | self.more
        for role, state in (("source", self.world.source), ("target", self.world.target)):
            granted = [value for value in state.tokens if value not in secrets.values()]
            secrets |= {f"{role} installation token {n}": v for n, v in enumerate(granted, 1)}
        for record in self.world.source.requests:
            if "&sig=" in record.query:
                secrets["signed storage address"] = record.query.rpartition("&sig=")[2]
        return Search(secrets)

    def look_everywhere(self, search: Search) -> None:
        """The places that are the same after every command."""
        search.look("another origin: all that it heard", self.stranger.everything)
        assert self.stranger.heard
        for ring in self.bell.rings:
            head = "\n".join(f"{key}: {value}" for key, value in ring.headers.items())
            owned = {"heartbeat"} if "beat" in ring.path else {"notify user", "notify path"}
            search.look("notices and heartbeat", f"{ring.path}\n{head}", owned)
            search.look("notices and heartbeat", ring.body)
        for path in sorted(self.world.ledger.rglob("*")):
            search.look("ledger: names of files and directories", str(path))
            if path.is_file():
                search.look("ledger, index, spool, copies of git", path.read_bytes())
        other = {"source": "target", "target": "source"}
        for role, state in (("source", self.world.source), ("target", self.world.target)):
            own = {name for name in search.secrets if name.startswith(role)}
            own |= {"signed storage address"} if role == "source" else set()
            for record in state.requests:
                head = f"{record.path}?{record.query} {record.authorization} {record.headers}"
                search.look(f"the {role}: what is of the {other[role]}", head, own)
                sent = json.dumps(record.document) if record.document else ""
                search.look(f"the {role}: documents that it was sent", sent)
                if record.origin == "storage":
                    assert record.authorization is None
        for line in self.git_log.read_text().splitlines() if self.git_log.exists() else ():
            search.look("git: command line and environment", line)

    def look_at(self, search: Search, place: str, processes: Processes) -> None:
        """The processes of one command."""
        search.look(f"{place}: own command line", processes.own)
        for content in processes.children.values():
            search.look(f"{place}: children, command lines and environments", content)


@pytest.fixture
async def setting(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Setting]:
    apps = getattr(request, "param", "tokens") == "apps"
    stranger = Stranger()
    programs = tmp_path / "bin"
    programs.mkdir()
    git = shutil.which("git")
    assert git
    wrapper = programs / "git"
    wrapper.write_text(GIT.format(python=sys.executable, log=str(tmp_path / "git.log"), git=git))
    wrapper.chmod(0o755)
    async with (
        fake_host(stranger.answer) as host,
        Bell() as bell,
        World(
            tmp_path,
            MIRRORS,
            clock=MachineClock(),
            extra='[notify]\nurls = ["env:NOTIFY"]\nheartbeat_url = "env:BEAT"\n'
            '[sync]\nattempts = 2\ntransfer = "spool"\n[daemon]\nlisten = "127.0.0.1:0"\n'
            'interval = "1h"\njitter = "0s"\nwebhook_secret = "env:WEBHOOK_SECRET"\n',
        ) as world,
    ):
        stranger.host = host
        user, path = planted("notify user"), planted("notify path")
        world.environ |= {
            "STRANGER": host.url,
            "SOURCE_TOKEN": planted("source token"),
            "TARGET_TOKEN": planted("target token"),
            "WEBHOOK_SECRET": planted("webhook secret"),
            "NOTIFY": f"json://{user}:{user}@127.0.0.1:{bell.port}/people/{path}",
            "BEAT": f"http://127.0.0.1:{bell.port}/beat/{planted('heartbeat')}",
            "PATH": f"{programs}:{os.environ['PATH']}",
        }
        world.source.add_token(planted("source token"), login="reader", admin=True)
        world.target.add_token(planted("target token"), login="mirror-bot", admin=True)
        made = Setting(world, stranger, bell, tmp_path)
        if apps:
            _as_apps(world)
            (tmp_path / "app.pem").chmod(0o600)
            made.more |= pieces_of_key(_key()[0])
        seed(world)
        lie(world, host.url)
        yield made


COMMANDS = (
    ("check",),
    ("plan", "--json"),
    ("sync", "--log-level", "debug", "--log-format", "console"),
    ("sync", "--full", "--json", "--log-level", "debug", "--log-format", "json"),
    ("verify", "--json", "--log-level", "debug"),
    ("status", "--json"),
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("setting", sample(("tokens", "apps"), 1), indirect=True)
async def test_nothing_leaks_from_a_command(setting: Setting) -> None:
    """Hosts name another origin in every field that can; nothing secret is heard there, or told."""
    outputs: list[tuple[str, str, Processes]] = []
    for command in COMMANDS:
        processes = Processes()
        began = time.monotonic()
        finished = await run(setting.world, *command, during=processes.watch)
        print(f"{time.monotonic() - began:.0f} s: {' '.join(command)}")  # noqa: T201
        assert "Traceback" not in finished.err or "debug" in command
        assert "internal error" not in finished.out + finished.err
        outputs.append((command[0], finished.out + finished.err, processes))
        if command[0] == "sync":
            assert finished.status == 1, finished.err
            assert "[hidden]" in finished.out + finished.err  # the echo was heard
    page = setting.directory / "page.html"
    finished = await run(setting.world, "status", "--html", str(page))
    search = setting.search()
    if page.exists():
        search.look("status --html", page.read_bytes())
    for place, text, processes in outputs:
        search.look(f"{place}: standard output and error", text)
        setting.look_at(search, place, processes)
    setting.look_everywhere(search)
    assert "signed storage address" in search.secrets
    assert setting.git_log.exists()
    assert any("apprise_program" in line for *_, p in outputs for line in p.children)
    assert {"/beat", "/people"} & {
        ring.path[:7] for ring in setting.bell.rings
    } or setting.bell.rings
    print(search.table())  # noqa: T201
    assert search.found == []
    assert not list(setting.world.ledger.rglob("private-*"))


async def test_nothing_leaks_from_the_service(setting: Setting) -> None:
    """Its pages, its metrics, its log at ``debug``, and the answers to webhooks that name others."""
    pages: dict[str, str] = {}
    processes = Processes()
    environ = {"WEBHOOK_SECRET": planted("webhook secret")}
    stranger = setting.stranger.host.url
    async with (
        daemon(
            setting.world, environ=environ, program=("-m", "mirror", "--log-level", "debug")
        ) as service,
        asyncio.TaskGroup() as group,
    ):
        watching = group.create_task(processes.watch(service.process))
        await service.event("pass.finished")
        for path in ("/", "/api/status", "/metrics", "/healthz", "/readyz", "/?search=octo"):
            pages[path] = (await service.get(path))[1]
        document = {
            "action": "published",
            "repository": {"full_name": "octo/tool", "url": stranger, "html_url": stranger},
            "release": {"url": stranger, "upload_url": stranger, "assets_url": stranger},
        }
        pages["webhook"] = await _deliver(service.address, document)
        service.signal(signal.SIGTERM)
        await service.stopped()
        watching.cancel()
    search = setting.search()
    for path, text in pages.items():
        search.look(f"the service: {path}", text)
    search.look("the service: log at debug, JSON", json.dumps(service.events))
    setting.look_at(search, "the service", processes)
    setting.look_everywhere(search)
    print(search.table())  # noqa: T201
    assert search.found == []


async def test_nothing_leaks_through_a_proxy_that_says_it_back(setting: Setting) -> None:
    """The proxy's password is the proxy's alone, and no text has what it heard."""
    heard: list[str] = []

    async def proxy(request: web.Request) -> web.Response:
        heard.append(str(request.headers.get("Proxy-Authorization")))
        said = " ".join(f"{key}: {value}" for key, value in request.headers.items())
        page = f"<html><title>{said}</title>{said}</html>"
        return web.Response(status=403, text=page, content_type="text/html")

    password = planted("proxy password")
    setting.more["proxy password"] = password
    login = b64encode(f"me:{password}".encode()).decode()
    setting.more["proxy login"] = login
    outputs = []
    async with fake_host(proxy) as host:
        address = host.url.replace("//", f"//me:{password}@")
        environ = {"HTTP_PROXY": address, "http_proxy": address}
        for command in ("check", "sync"):
            processes = Processes()
            finished = await run(
                setting.world,
                command,
                "--log-level",
                "debug",
                during=processes.watch,
                environ=environ,
            )
            assert finished.status == 1, finished.err
            outputs.append((command, finished.out + finished.err, processes))
    assert f"Basic {login}" in heard
    search = setting.search()
    for place, text, processes in outputs:
        search.look(f"{place} by a proxy: output", text)
        search.look(f"{place} by a proxy: own command line", processes.own)
        for line, content in processes.children.items():
            # What sends notices has to know the proxy; its address comes from the environment.
            allowed = {"proxy password"} if "apprise_program" in line else ()
            search.look(f"{place} by a proxy: children", content, allowed)
    for path in setting.world.ledger.rglob("*"):
        if path.is_file():
            search.look("by a proxy: ledger", path.read_bytes())
    print(search.table())  # noqa: T201
    assert search.found == []


def test_no_traceback_shows_what_its_frames_hold(capsys: pytest.CaptureFixture[str]) -> None:
    """At ``debug`` a crash is told with its lines of code, and not with the values in them."""
    token = planted("source token")

    def crash(secret: str) -> None:
        headers = {"X": secret}
        raise RuntimeError("a crash" if headers else "")

    for format_ in ("console", "json"):
        configure("debug", format_)
        try:
            crash(token)
        except RuntimeError as error:
            structlog.get_logger().debug("command.crashed", exc_info=error)
            structlog.get_logger().error("crashed", exc_info=True)
    search = Search({"source token": token})
    text = capsys.readouterr().err
    assert text.count("RuntimeError: a crash") == 4
    search.look("tracebacks", text)
    assert search.found == []


async def _deliver(address: str, document: dict[str, Any]) -> str:
    body = json.dumps(document).encode()
    digest = hmac.new(planted("webhook secret").encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "X-Hub-Signature-256": f"sha256={digest}",
        "X-GitHub-Event": "release",
        "Content-Type": "application/json",
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{address}/webhooks/github", data=body, headers=headers) as response,
    ):
        assert response.status == 202, await response.text()
        return await response.text()
