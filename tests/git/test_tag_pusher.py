"""Tags by the real `git`, between two emulated hosts: what arrives, what is refused, what leaks."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import ssl
import subprocess
import tempfile
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import trustme

from mirror.core.domain.release import RepoRef
from mirror.core.retry import RetryPolicy
from mirror.emulator import Emulator, Fault, GitHubState, PushRule, RequestRecord
from mirror.errors import (
    AuthError,
    ConnectionLost,
    GitError,
    MirrorError,
    NotFound,
    Stalled,
    Unmirrorable,
    Unreachable,
    Waiting,
)
from mirror.git.errors import plain
from mirror.git.tag_pusher import GitRemote, Place, TagPusher, valid_name
from support.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SOURCE = "octo/tool"
TARGET = "mirrors/tool"
READ, WRITE = "reading/+token@of:the?test", "writing-token-of-the-test"


class Scene:
    """A private source with tags, an empty private target, and a pusher between them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = VirtualClock()
        self.source = GitHubState(kind="github", clock=self.clock.timestamp)
        self.target = GitHubState(kind="ghes", clock=self.clock.timestamp)
        self.source.add_token(READ, login="reader", repositories={SOURCE: "read"})
        self.target.add_token(WRITE, login="bot", repositories={TARGET: "write"})
        self.source.add_repository(SOURCE, private=True)
        self.target.add_repository(TARGET, private=True, empty=True)
        self.source.move_tag(SOURCE, "v1", annotated=True)
        self.source.move_tag(SOURCE, "v2")
        self.source.move_tag(SOURCE, "other")
        self.tokens = {"github": READ, "target": WRITE}
        self.copies = directory / "git"

    async def open(self, stack: AsyncExitStack, tls: ssl.SSLContext | None = None) -> None:
        self.source_host = await stack.enter_async_context(Emulator(self.source, ssl_context=tls))
        self.target_host = await stack.enter_async_context(Emulator(self.target, ssl_context=tls))
        self.at_source = self.place("github", self.source_host.url, SOURCE)
        self.at_target = self.place("target", self.target_host.url, TARGET)

    def place(self, name: str, url: str, repository: str, **more: Any) -> Place:
        async def authorization(_repo: RepoRef) -> str | None:
            token = self.tokens[name]
            return f"Bearer {token}" if token else None

        return Place(GitRemote(name, url, authorization, **more), RepoRef.parse(repository))

    def pusher(self, attempts: int = 3) -> TagPusher:
        return TagPusher(self.copies, self.clock, RetryPolicy(attempts=attempts), random.random)

    async def push(self, *tags: str, attempts: int = 3) -> dict[str, MirrorError]:
        return await self.pusher(attempts).push(self.at_source, self.at_target, tags)

    def target_refs(self) -> dict[str, str]:
        return self.target.repository(TARGET).refs

    def source_refs(self, *tags: str) -> dict[str, str]:
        refs = self.source.repository(SOURCE).refs
        return {f"refs/tags/{tag}": refs[f"refs/tags/{tag}"] for tag in tags}

    @property
    def copy(self) -> Path:
        return self.copies / "github" / "octo" / "tool.git"

    def leaks(self) -> list[str]:
        """Files below our directory that hold a token, in any spelling."""
        spelled = [t.encode() for token in self.tokens.values() for t in (token, quote(token, ""))]
        return [
            str(path)
            for path in self.directory.rglob("*")
            if path.is_file() and any(token in path.read_bytes() for token in spelled)
        ]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path)
    async with AsyncExitStack() as stack:
        await made.open(stack)
        yield made


async def test_exactly_the_wanted_tags_arrive_as_they_are(scene: Scene) -> None:
    """An annotated tag stays one, by the same name of its object; nothing else comes along."""
    assert await scene.push("v1", "v2") == {}
    assert scene.target_refs() == scene.source_refs("v1", "v2")
    here = scene.target.repository(TARGET).objects
    assert here.kind(scene.target_refs()["refs/tags/v1"]) == "tag"
    there = scene.source.repository(SOURCE).tag_commit("v1")
    assert scene.target.repository(TARGET).tag_commit("v1") == there
    assert scene.leaks() == []


async def test_what_is_there_is_not_pushed_again_and_what_is_new_costs_what_is_new(
    scene: Scene,
) -> None:
    """The kept copy is fetched into; tags at the target are left alone without a push."""
    await scene.push("v1")
    scene.target.reset_requests()
    scene.source.reset_requests()
    assert await scene.push("v1") == {}
    assert scene.target.count(route="git-receive-pack") == 0
    assert scene.source.count(route="git-upload-pack") == 1  # the list
    assert await scene.push("v1", "v2") == {}
    assert scene.target_refs() == scene.source_refs("v1", "v2")


async def test_processes_that_share_a_directory_get_one_each(scene: Scene) -> None:
    """The second one works beside the first, which has the directory."""
    first, second = (
        TagPusher(scene.copies, scene.clock, RetryPolicy(attempts=1), shared=True) for _ in range(2)
    )
    for pusher in (first, second):
        assert await pusher.push(scene.at_source, scene.at_target, ["v1"]) == {}
    assert first.directory == scene.copies
    assert second.directory == scene.copies.with_name("git-2")


async def test_a_moved_tag_waits_and_is_never_moved(scene: Scene) -> None:
    """Where the target has another commit, the tag stays, and both commits are told."""
    await scene.push("v1")
    before = dict(scene.target_refs())
    old = str(scene.target.repository(TARGET).tag_commit("v1"))
    new = scene.source.move_tag(SOURCE, "v1", annotated=True)
    failures = await scene.push("v1", "v2")
    assert list(failures) == ["v1"]
    assert isinstance(failures["v1"], Waiting)
    assert old in str(failures["v1"])
    assert new in str(failures["v1"])
    assert scene.target_refs() == before | scene.source_refs("v2")


async def test_a_lightweight_tag_of_the_same_commit_is_the_tag(scene: Scene) -> None:
    """Only the commits are compared, as an API can make lightweight tags alone."""
    await scene.push("v2")
    scene.source.move_tag(
        SOURCE, "v2", scene.source.repository(SOURCE).tag_commit("v2"), annotated=True
    )
    assert await scene.push("v2") == {}


async def test_a_tag_that_the_source_lacks_waits_alone(scene: Scene) -> None:
    """The others arrive."""
    failures = await scene.push("v1", "v404")
    assert list(failures) == ["v404"]
    assert isinstance(failures["v404"], Waiting)
    assert "refs/tags/v1" in scene.target_refs()


HOSTILE = ["--upload-pack=touch pwned", "a b", "x:y", "a..b", "v1^{}", "*", "a\nb", "", "@",
           "x.lock", ".x", "a//b", "a~1", "\x00", "\ud800", "-c"]  # fmt: skip


async def test_hostile_names_are_names_or_nothing(scene: Scene) -> None:
    """What git cannot have as a tag is never told to git; what looks like an option is no option."""
    scene.source.move_tag(SOURCE, "--upload-pack=touch${IFS}pwned")
    scene.source.move_tag(SOURCE, "-c")
    scene.source.move_tag(SOURCE, "$(touch pwned)".replace(" ", "${IFS}"))
    odd = ["--upload-pack=touch${IFS}pwned", "-c", "$(touch${IFS}pwned)"]
    failures = await scene.push(*HOSTILE, *odd, "v1")
    refused = {tag for tag, error in failures.items() if isinstance(error, Unmirrorable)}
    assert refused == {tag for tag in HOSTILE if tag != "-c"}
    assert failures.keys() == refused
    assert scene.target_refs() == scene.source_refs(*odd, "v1")
    assert not [p for p in [*scene.directory.rglob("pwned*"), Path("pwned")] if p.exists()]


@pytest.mark.parametrize(
    ("name", "good"),
    [("v1.0", True), ("a/b", True), ("ünï", True), ("-x", True), ("v1@2", True)]
    + [(name, name == "-c") for name in HOSTILE],
)
def test_names_are_judged_as_git_judges_them(name: str, good: bool) -> None:
    """The rules of `git check-ref-format`."""
    assert valid_name(name) is good


async def test_a_rule_refuses_one_tag_and_the_others_arrive(scene: Scene) -> None:
    """Its reason is told in the host's words, for that tag alone."""
    scene.target.repository(TARGET).push_rules.append(PushRule("refs/tags/v1"))
    failures = await scene.push("v1", "v2", "other")
    assert list(failures) == ["v1"]
    assert isinstance(failures["v1"], GitError)
    assert "push declined due to repository rule violations" in str(failures["v1"])
    assert "GH013" in str(failures["v1"])
    assert scene.target_refs() == scene.source_refs("v2", "other")


async def test_workflow_files_want_a_scope_and_it_is_named(scene: Scene) -> None:
    """A token without the permission for workflows is told what it lacks."""
    scene.target.add_token(WRITE, login="bot", repositories={TARGET: "write"}, scopes="repo")
    scene.source.add_commit(SOURCE, {".github/workflows/ci.yml": "on: push\n"}, "CI")
    scene.source.move_tag(SOURCE, "v3")
    failures = await scene.push("v1", "v3")
    assert list(failures) == ["v3"]
    assert "scope `workflow`" in str(failures["v3"])


@pytest.mark.parametrize(
    ("tokens", "kind", "words"),
    [
        ({"github": "wrong"}, AuthError, "github: git cannot read"),
        ({"github": ""}, AuthError, "the token was refused, or there is none"),
        ({"target": "wrong"}, AuthError, "target: git cannot push to"),
        ({"target": "poor"}, AuthError, "it needs to write contents there"),
        ({"target": "stranger"}, NotFound, "the token may not see it"),
    ],
)
async def test_a_credential_that_is_not_enough_is_an_operators_matter(
    scene: Scene, tokens: dict[str, str], kind: type[MirrorError], words: str
) -> None:
    """The host is named, nothing is tried again, and no prompt waits for anybody."""
    scene.target.add_token("poor", login="poor", repositories={TARGET: "read"})
    scene.target.add_token("stranger", login="stranger")
    scene.tokens |= tokens
    with pytest.raises(kind, match=re.escape(words)) as caught:
        await scene.push("v1")
    assert all(token not in str(caught.value) for token in scene.tokens.values() if token)
    assert scene.clock.slept == []
    assert scene.leaks() == []


async def test_a_pack_that_breaks_is_fetched_again(scene: Scene) -> None:
    """What may pass by itself is tried again in the same pass; the copy on disk survives it."""
    scene.source.faults.add(
        Fault(kind="reset-midway", route="git-upload-pack", nth=2, at_byte=30, times=2)
    )
    scene.target.faults.add(Fault(kind="status", route="git-receive-pack", status=502))
    assert await scene.push("v1", "v2") == {}
    assert scene.target_refs() == scene.source_refs("v1", "v2")
    assert len(scene.clock.slept) >= 2


async def test_a_lost_answer_to_a_push_is_settled_by_looking(scene: Scene) -> None:
    """What was pushed although no answer came is found to be there."""
    scene.target.faults.add(Fault(kind="lost-reply", route="git-receive-pack"))
    assert await scene.push("v1", "v2") == {}
    assert scene.target_refs() == scene.source_refs("v1", "v2")


async def test_a_host_that_stays_broken_is_a_failure_after_some_tries(scene: Scene) -> None:
    """Every wait and every repetition has an end."""
    scene.source.faults.add(Fault(kind="reset", route="git-refs", times=None))
    with pytest.raises(ConnectionLost, match="github: git cannot read") as caught:
        await scene.push("v1")
    assert caught.value.attempts == 3


async def test_an_unreachable_host_is_said_to_be_unreachable(scene: Scene) -> None:
    """With what to check."""
    scene.at_target = scene.place("target", "http://127.0.0.1:1", TARGET)
    with pytest.raises(Unreachable, match="it cannot be reached") as caught:
        await scene.push("v1")
    assert caught.value.hint == "reachability"


async def test_a_silent_host_is_left(scene: Scene) -> None:
    """No byte for the stall time-out ends the command and all of its processes."""
    scene.source.faults.add(Fault(kind="delay", route="git-refs", seconds=None, times=None))
    scene.at_source = scene.place("github", scene.source_host.url, SOURCE, stall_timeout=0.4)
    with pytest.raises(Stalled, match="nothing moved for"):
        await scene.push("v1", attempts=1)
    assert processes(str(scene.copies)) == []


async def test_a_cancelled_push_leaves_no_process_and_no_secret(scene: Scene) -> None:
    """Killed in the middle of a pack; the next pass does the rest."""
    scene.source.faults.add(
        Fault(kind="stall", route="git-upload-pack", nth=2, at_byte=30, times=1)
    )
    half = asyncio.Event()

    def look(record: RequestRecord) -> None:
        if record.route == "git-upload-pack" and scene.source.count(route=record.route):
            half.set()

    scene.source.on_request(look)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(scene.push("v1", "v2"))
        await half.wait()
        assert processes(str(scene.copies)) != []
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert processes(str(scene.copies)) == []
    assert scene.leaks() == []
    assert scene.target_refs() == {}
    assert await scene.push("v1", "v2") == {}
    assert scene.target_refs() == scene.source_refs("v1", "v2")


def processes(mark: str) -> list[str]:
    """Command lines of processes that hold a text, ours aside."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if mark in line and path.parent.name != str(os.getpid()):
                found.append(line)
    return found


@pytest.mark.parametrize("damage", ["head", "object", "pack", "lock", "nothing-left"])
async def test_a_damaged_copy_is_made_again_once(scene: Scene, damage: str) -> None:
    """Whatever a killed git, a full disk or a person did to it."""
    await scene.push("v1")
    if damage == "head":
        (scene.copy / "HEAD").write_text("rubbish")
    elif damage == "lock":
        (scene.copy / "packed-refs.lock").touch()
        (scene.copy / "refs" / "tags" / "v2.lock").touch()
    elif damage == "nothing-left":
        shutil.rmtree(scene.copy / "objects")
    else:
        scene.source.move_tag(SOURCE, "v9")
        pattern = "objects/??/*" if damage == "object" else "objects/pack/*.pack"
        for path in scene.copy.glob(pattern):
            path.chmod(0o600)
            path.write_bytes(b"rubbish")
    assert await scene.push("v1", "v2", "other") == {}
    assert scene.target_refs() == scene.source_refs("v1", "v2", "other")


async def test_no_token_is_in_any_command_line_environment_or_log(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of git, not of any child of git, at no request; nor do settings of people reach it."""
    record = scene.directory / "record"
    real = shutil.which("git")
    bin_ = scene.directory / "bin"
    bin_.mkdir()
    fake = bin_ / "git"
    fake.write_text(
        f"#!/bin/sh\n[ \"$1\" = http-backend ] || tr '\\0' '\\n' </proc/$$/environ >>{record}\n"
        f"[ \"$1\" = http-backend ] || tr '\\0' '\\n' </proc/$$/cmdline >>{record}\n"
        f'exec {real} "$@"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    monkeypatch.setenv("GIT_SSH_COMMAND", "leaked-setting")
    seen: list[bytes] = []

    def look(_record: object) -> None:
        ours = Path(f"/proc/{os.getpid()}")
        for path in Path("/proc").glob("[0-9]*"):
            if path != ours:
                for name in ("cmdline", "environ"):
                    with suppress(OSError):
                        seen.append((path / name).read_bytes())

    scene.source.on_request(look)
    scene.target.on_request(look)
    assert await scene.push("v1", "v2") == {}
    text = record.read_bytes()
    assert text.count(b"GIT_TERMINAL_PROMPT=0") >= 4
    assert b"receive-pack" not in text
    assert b"leaked-setting" not in text
    assert any(b"git-remote-http" in part for part in seen)
    for token in (READ, WRITE):
        for spelled in (token.encode(), quote(token, safe="").encode()):
            assert spelled not in text
            assert not any(spelled in part for part in seen)
    assert scene.leaks() == []
    assert b"token" not in (scene.copy / "config").read_bytes()


def hostile_settings(scene: Scene) -> str:
    """What would lead git astray, or leave a file named ``believed``, if it were read."""
    believed, hooks = scene.directory / "believed", scene.directory / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("pre-push", "reference-transaction", "post-checkout", "pre-auto-gc"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {believed}\nexit 1\n")
        (hooks / name).chmod(0o755)
    hosts = (scene.source_host.url, scene.target_host.url)
    astray = "".join(
        f'[http "{url}"]\n\tproxy = http://127.0.0.1:1\n'
        f'[credential "{url}"]\n\thelper = "!touch {believed};:"\n'
        for url in hosts
    )
    return (
        '[url "http://127.0.0.1:1/"]\n\tinsteadOf = http://\n\tpushInsteadOf = http://\n'
        f'{astray}[core]\n\thooksPath = {hooks}\n\tfsmonitor = "touch {believed};:"\n'
        f"[init]\n\ttemplateDir = {scene.directory}\n[trace2]\n\tnormalTarget = {believed}\n"
    )


def enclosed(scene: Scene, *, bare: bool) -> None:
    """Make the directory that holds everything of ours a repository of somebody else."""
    place = scene.directory if bare else scene.directory / ".git"
    options = ("--bare", "-q", "--initial-branch=main", "--template=")
    subprocess.run(("git", "init", *options, str(place)), check=True)
    with (place / "config").open("a") as config:
        config.write(
            hostile_settings(scene)
            if bare
            else f"[core]\n\tbare = false\n{hostile_settings(scene)}"
        )


@pytest.mark.parametrize(
    "place", ["work tree", "bare repository", "home", "named files", "variables"]
)
async def test_nobodys_settings_reach_git(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Of no file, no variable and no enclosing repository: to list, make, fetch, push and check."""
    home = scene.directory / "people"
    (home / "git").mkdir(parents=True)
    (home / ".netrc").write_text("machine 127.0.0.1 login x password wrong\n")
    monkeypatch.setenv("HOME", str(home))
    if place in {"work tree", "bare repository"}:
        enclosed(scene, bare=place == "bare repository")
    elif place == "variables":
        enclosed(scene, bare=False)
        monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
        monkeypatch.setenv("GIT_CONFIG_KEY_0", "url.http://127.0.0.1:1/.insteadOf")
        monkeypatch.setenv("GIT_CONFIG_VALUE_0", "http://")
        monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'http.proxy=http://127.0.0.1:1'")
        monkeypatch.setenv("GIT_TRACE", str(scene.directory / "believed"))
        monkeypatch.setenv("GIT_TEMPLATE_DIR", str(scene.directory))
        monkeypatch.setenv("GIT_NAMESPACE", "elsewhere")
        monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(scene.directory / "believed"))
        monkeypatch.setenv("GIT_EXEC_PATH", str(scene.directory))
        monkeypatch.setenv("GIT_ASKPASS", f"touch {scene.directory}/believed")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.setenv("GIT_DIR", str(scene.directory / ".git"))
        monkeypatch.setenv("GIT_WORK_TREE", str(scene.directory))
    elif place == "home":
        for name in (".gitconfig", "git/config"):
            (home / name).write_text(hostile_settings(scene))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    else:
        (home / "settings").write_text(hostile_settings(scene))
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / "settings"))
        monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(home / "settings"))
    monkeypatch.setattr(tempfile, "tempdir", str(scene.directory))
    assert await scene.pusher().look(scene.at_source) == 3  # lists
    assert await scene.push("v1") == {}  # lists, makes, fetches, pushes
    pack = next((scene.copy / "objects" / "pack").glob("*.pack"))
    pack.chmod(0o600)
    pack.write_bytes(b"rubbish")
    assert await scene.push("v1", "v2", "other") == {}  # and checks
    assert scene.target_refs() == scene.source_refs("v1", "v2", "other")
    assert not (scene.directory / "believed").exists()
    assert not list(scene.copy.glob("hooks/*"))


async def test_each_git_is_told_its_repository_and_nothing_else(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command has an empty home and working directory, and of git's variables ours alone."""
    record = scene.directory / "record"
    bin_ = scene.directory / "bin"
    bin_.mkdir()
    (bin_ / "git").write_text(
        f'#!/bin/sh\n{{ echo "command $*"; ls -A "$HOME" . ; env; }} >>{record}.$$\n'
        f'exec {shutil.which("git")} "$@"\n'
    )
    (bin_ / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_CONFIG", "GIT_SSL_NO_VERIFY", "GIT_ANY"):
        monkeypatch.setenv(name, str(scene.directory / "leaked"))
    await scene.push("v1")
    verbs = set()
    for path in scene.directory.glob("record.*"):
        text = path.read_text()
        if "GATEWAY_INTERFACE" in text or "emulator-git" in text:
            continue  # the emulated host's own
        lines = text.splitlines()
        variables = {
            line.partition("=")[0]: line.partition("=")[2] for line in lines if "=" in line
        }
        assert "leaked" not in text
        home = Path(variables["HOME"])
        assert home.is_relative_to(scene.copies)
        assert variables["XDG_CONFIG_HOME"] == variables["PWD"] == str(home)
        assert Path(variables["GIT_DIR"]).is_relative_to(scene.copies)
        assert {name for name in variables if name.startswith("GIT_")} == {
            "GIT_ATTR_NOSYSTEM",
            "GIT_CEILING_DIRECTORIES",
            "GIT_CONFIG_GLOBAL",
            "GIT_CONFIG_NOSYSTEM",
            "GIT_DIR",
            "GIT_TERMINAL_PROMPT",
        }
        assert lines[1:4] == [".:", "", f"{home}:"]
        verbs |= {"init", "fetch", "push", "ls-remote", "for-each-ref"} & set(lines[0].split())
    assert verbs == {"init", "fetch", "push", "ls-remote", "for-each-ref"}


async def test_hooks_in_the_copy_do_not_run(scene: Scene) -> None:
    """Nor what somebody put into the copy."""
    await scene.push("v1")
    hook = scene.copy / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    assert await scene.push("v1", "v2") == {}


async def test_a_directory_with_a_colon_is_no_list_of_directories(scene: Scene) -> None:
    """The enclosing repository stays out of it whatever our own directory is called."""
    enclosed(scene, bare=False)
    scene.copies = scene.directory / "a:b" / "git"
    scene.copies.parent.mkdir()
    assert await scene.push("v1") == {}
    assert scene.target_refs() == scene.source_refs("v1")


async def test_a_credential_goes_to_its_own_repository_alone(scene: Scene) -> None:
    """A redirect is not followed, so that no token can be taken elsewhere by one."""
    scene.source.faults.add(
        Fault(kind="redirect", route="git-refs", location=f"{scene.target_host.url}/{TARGET}.git"
              "/info/refs?service=git-upload-pack", times=None),
    )  # fmt: skip
    with pytest.raises(GitError, match="redirects elsewhere"):
        await scene.push("v1")
    assert scene.target.count(route="git-refs") == 0


async def test_without_git_it_is_said_what_is_missing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error with what to do, not a traceback."""
    monkeypatch.setenv("PATH", str(scene.directory))
    with pytest.raises(GitError, match=r'tags = "push" needs the git program') as caught:
        await scene.push("v1")
    assert caught.value.hint == "install-git"


async def test_an_own_authority_is_trusted_by_its_file_alone(tmp_path: Path) -> None:
    """`ca_file` reaches git beside the system's roots; without it, the error names it."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    scene = Scene(tmp_path)
    async with AsyncExitStack() as stack:
        await scene.open(stack, context)
        with pytest.raises(Unreachable) as caught:
            await scene.push("v1")
        assert caught.value.hint == "trust-ca"
        assert caught.value.permanent
        assert scene.clock.slept == []
        for name in ("at_source", "at_target"):
            place = getattr(scene, name)
            setattr(scene, name, replace(place, remote=replace(place.remote, ca_file=ca_file)))
        assert await scene.push("v1", "v2") == {}
        assert scene.target_refs() == scene.source_refs("v1", "v2")


async def test_a_proxy_is_asked_with_its_password(scene: Scene) -> None:
    """The proxy's user and password reach the proxy, and no command line."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            known = b"Proxy-Authorization" in asked[-1]
            status = b"502 No" if known else b"407 Who\r\nProxy-Authenticate: Basic realm=x"
            writer.write(
                b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        scene.at_source = scene.place(
            "github", scene.source_host.url, SOURCE, proxy=f"http://me:pass%40word@127.0.0.1:{port}"
        )
        with pytest.raises(MirrorError) as caught:
            await scene.push("v1", attempts=1)
    assert "pass" not in str(caught.value)
    assert any(b"Proxy-Authorization: Basic bWU6cGFzc0B3b3Jk" in head for head in asked)


async def test_two_mirrors_of_one_source_share_its_copy_in_turn(scene: Scene) -> None:
    """They never work in it at the same time."""
    scene.target.add_repository("mirrors/second", private=True, empty=True)
    scene.target.add_token(
        WRITE, login="bot", repositories={TARGET: "write", "mirrors/second": "write"}
    )
    second = scene.place("target", scene.target_host.url, "mirrors/second")
    pusher = scene.pusher()
    async with asyncio.TaskGroup() as group:
        one = group.create_task(pusher.push(scene.at_source, scene.at_target, ["v1"]))
        two = group.create_task(pusher.push(scene.at_source, second, ["v1", "v2"]))
    assert one.result() == two.result() == {}
    assert scene.target.repository("mirrors/second").refs == scene.source_refs("v1", "v2")


async def test_what_a_killed_run_left_is_removed(scene: Scene) -> None:
    """A private directory of a process that had no time to remove it goes with the next push."""
    left = scene.copies / "private-left"
    left.mkdir(parents=True)
    (left / "credentials").write_text(WRITE)
    await scene.push("v1")
    assert not left.exists()


async def test_what_the_disk_refuses_is_an_error_with_its_place(scene: Scene) -> None:
    """Not a traceback: the directory and the reason."""
    scene.copies.write_text("a file where a directory should be")
    with pytest.raises(GitError, match=r"git cannot work in .*git"):
        await scene.push("v1")


async def test_an_empty_target_gets_a_branch_where_that_is_wanted(scene: Scene) -> None:
    """At the commit of a tag, for hosts that make no release in a repository without a branch."""
    await scene.push("v1")
    await scene.pusher().push_branch(scene.at_source, scene.at_target, "main", "v1")
    target = scene.target.repository(TARGET)
    assert target.head() == target.tag_commit("v1")


def test_a_text_of_git_is_one_line_without_secrets() -> None:
    """What a host says reaches people bounded and harmless."""
    assert (
        plain("remote: \x1b[31mno\nhttps://me:secret@host/x\r") == "remote: [31mno https://host/x"
    )
    assert len(plain("x" * 9000)) <= 500
