"""Tags refused by real hooks of a real git server over HTTP: the server's reason is reported."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from mirror.core.domain.release import RepoRef
from mirror.core.retry import RetryPolicy
from mirror.git.errors import printed_by_server
from mirror.git.tag_pusher import GitRemote, Place, TagPusher
from support.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mirror.errors import MirrorError

TOKEN = "writing-token-of-the-test"
GIT = ("git", "-c", "user.name=Test", "-c", "user.email=test@example.com")


class GitServer:
    """``git http-backend`` behind a small HTTP server, with a source that has tags and a target."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = VirtualClock()
        self.url = ""
        for name in ("octo", "mirrors"):
            self.git("init", "--quiet", "--bare", str(root / name / "tool.git"))
        self.git("config", "http.receivepack", "true", at="mirrors/tool.git")
        tree = self.git("mktree", at="octo/tool.git")
        for tag in ("v1", "v2"):
            commit = self.git("commit-tree", tree, "-m", tag, at="octo/tool.git")
            self.git("tag", tag, commit, at="octo/tool.git")

    def git(self, *arguments: str, at: str = ".") -> str:
        command = [*GIT, *arguments]
        ran = subprocess.run(
            command, cwd=self.root / at, check=True, input="", capture_output=True, text=True
        )
        return ran.stdout.strip()

    def hook(self, name: str, script: str) -> None:
        path = self.root / "mirrors/tool.git/hooks" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    async def answer(self, request: web.Request) -> web.Response:
        environ = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "bot",
            "REMOTE_ADDR": "127.0.0.1",
        }
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            "git", "http-backend", stdin=pipe, stdout=pipe, env=environ
        )
        out, _ = await process.communicate(await request.read())
        head, _, body = out.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split()[0])
        return web.Response(status=status, headers=headers, body=body)

    async def push(self, *tags: str) -> dict[str, MirrorError]:
        async def authorization(_repo: RepoRef) -> str:
            return f"Bearer {TOKEN}"

        source, target = (
            Place(GitRemote(name, self.url, authorization), RepoRef.parse(repo))
            for name, repo in (("github", "octo/tool"), ("target", "mirrors/tool"))
        )
        pusher = TagPusher(self.root / "copies", self.clock, RetryPolicy(attempts=1))
        return await pusher.push(source, target, tags)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[GitServer]:
    made = GitServer(tmp_path)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, auto_decompress=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.mark.parametrize("hook", ["pre-receive", "update"])
async def test_what_a_hook_printed_is_the_reason(server: GitServer, hook: str) -> None:
    """Each line that a hook prints is in the failure, without progress, with advice that fits."""
    server.hook(hook, 'echo "Tags need a ticket:" >&2; echo "ask the release team" >&2; exit 1')
    failure = (await server.push("v1"))["v1"]
    assert "(Tags need a ticket: ask the release team" in str(failure)
    assert "hook declined" in str(failure)
    assert "100%" not in str(failure)
    assert failure.hint == "push-refused"


async def test_a_hook_that_refuses_one_tag_explains_that_one(server: GitServer) -> None:
    """The others arrive."""
    server.hook("update", '[ "$1" = refs/tags/v2 ] || exit 0; echo "v2 is reserved" >&2; exit 1')
    failures = await server.push("v1", "v2")
    assert list(failures) == ["v2"]
    assert "v2 is reserved" in str(failures["v2"])
    assert server.git("tag", at="mirrors/tool.git") == "v1"


async def test_what_a_hook_prints_is_bounded_and_harmless(server: GitServer) -> None:
    """A flood is cut, terminal sequences are removed, secrets are hidden."""
    server.hook(
        "pre-receive",
        f"printf '\\033[31mdenied for {TOKEN} and ghp_0123456789abcdef\\n' >&2\n"
        'i=0; while [ $i -lt 3000 ]; do echo "line $i of a flood" >&2; i=$((i+1)); done; exit 1',
    )
    text = str((await server.push("v1"))["v1"])
    assert len(text) <= 500
    assert text.isprintable()
    server.hook("pre-receive", f"printf 'not by {TOKEN} or ghp_0123456789abcdef\\n' >&2; exit 1")
    assert "(not by [hidden] or [hidden])" in str((await server.push("v1"))["v1"])


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ("remote: no\nTo http://host\n ! [remote rejected]", "no"),
        ("remote: Resolving deltas: 100% (3/3), done.        \nremote: no", "no"),
        ("remote: Compressing objects:  50% (1/2)\rremote: \nremote: no\nremote: no", "no"),
        (
            "remote: 100% of tags need a review, done or not",
            "100% of tags need a review, done or not",
        ),
        ("error: failed to push some refs", ""),
        ("remote: see https://user:pass@host/rules", "see https://host/rules"),
        ("remote: Authorization: Bearer abcdefghij", "Authorization: Bearer [hidden]"),
    ],
)
def test_what_a_server_printed(errors: str, said: str) -> None:
    """Lines after `remote:` count, once each; progress, git's own words and secrets do not."""
    assert printed_by_server(errors) == said
