"""Git over HTTP, by the real `git` program: what it reads and pushes is what the host holds."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from mirror.emulator import Emulator, Fault, GitHubState, PushRule

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

REPO = "octo/tool"
WORKFLOW = {".github/workflows/ci.yml": "on: push\n"}


class Git:
    """A clone on this machine."""

    def __init__(self, directory: Path, host: Emulator) -> None:
        self.directory = directory
        self.host = host

    def url(self, login: str = "", repository: str = REPO) -> str:
        scheme, _, place = self.host.url.partition("://")
        return (
            f"{scheme}://{login}@{place}/{repository}.git"
            if login
            else f"{self.host.url}/{repository}.git"
        )

    async def __call__(self, *arguments: str, good: bool = True) -> str:
        person = {f"GIT_{who}_{what}": "a@example.com"
                  for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            cwd=self.directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.directory),
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_TERMINAL_PROMPT": "0",
                "LC_ALL": "C",
                **person,
            },
        )
        out, _ = await process.communicate()
        assert (process.returncode == 0) is good, out.decode()
        return out.decode()


@pytest.fixture
async def state() -> GitHubState:
    made = GitHubState(kind="ghes")
    made.add_token("admin", login="boss", admin=True)
    made.add_token("reader", login="reader", repositories={REPO: "read"})
    made.add_token("plain", login="writer", repositories={REPO: "write"}, scopes="repo")
    made.add_repository(REPO, private=True)
    made.move_tag(REPO, "v1", annotated=True)
    made.move_tag(REPO, "v2")
    return made


@pytest.fixture
async def git(state: GitHubState, tmp_path: Path) -> AsyncIterator[Git]:
    async with Emulator(state) as host:
        yield Git(tmp_path, host)


def refs(listing: str) -> dict[str, str]:
    lines = (line.partition("\t") for line in listing.splitlines())
    return {name: sha for sha, _, name in lines if name.startswith("refs/") and "^" not in name}


async def test_a_clone_has_every_ref_under_the_names_of_the_api(
    state: GitHubState, git: Git
) -> None:
    """Commits, trees, blobs and tag objects arrive whole, and git itself finds them sound."""
    listing = await git("ls-remote", git.url("any:admin"))
    assert refs(listing) == state.repository(REPO).refs
    await git("clone", "--mirror", git.url("any:admin"), "c.git")
    assert "missing" not in await git("--git-dir=c.git", "fsck", "--strict")
    assert (await git("--git-dir=c.git", "cat-file", "-t", "v1")).strip() == "tag"


async def test_a_push_brings_commits_and_annotated_tags_into_the_api(
    state: GitHubState, git: Git
) -> None:
    """What was pushed is a change of state, is peeled like any other tag, and is there to clone."""
    changes: list[int] = []
    state.change_listeners.append(lambda: changes.append(1))
    await git("clone", git.url("any:admin"), "c")
    await git("-C", "c", "commit", "--allow-empty", "-m", "More")
    await git("-C", "c", "tag", "-a", "v3", "-m", "Three")
    assert not changes
    await git("-C", "c", "push", "origin", "v3", "HEAD:refs/heads/topic", ":refs/tags/v2")
    assert changes
    repository = state.repository(REPO)
    assert repository.objects.kind(repository.refs["refs/tags/v3"]) == "tag"
    assert repository.tag_commit("v3") == repository.refs["refs/heads/topic"]
    assert repository.tag_commit("v2") is None
    assert refs(await git("ls-remote", git.url("any:admin"))) == repository.refs


@pytest.mark.parametrize(
    ("login", "reads", "writes", "words"),
    [
        ("any:admin", True, True, ""),
        ("any:reader", True, False, "Permission to octo/tool.git denied to reader."),
        ("any:wrong", False, False, "Authentication failed"),
        ("", False, False, "could not read Username"),
    ],
)
async def test_a_token_is_any_users_password(
    git: Git, login: str, reads: bool, writes: bool, words: str
) -> None:
    """A private repository is read and written by those who may, and refused in GitHub's words."""
    await git("clone", "--bare", git.url("any:admin"), "c.git")
    listed = await git("ls-remote", git.url(login), good=reads)
    pushed = await git("-C", "c.git", "push", git.url(login), "v1:refs/tags/n", good=writes)
    assert reads or words in listed
    assert words in pushed


async def test_a_public_repository_is_read_by_anyone(state: GitHubState, git: Git) -> None:
    """No token is needed to read, and one is to write; what is not there asks for a login."""
    state.add_repository("octo/open")
    await git("clone", "--bare", git.url(repository="octo/open"), "c.git")
    refused = await git(
        "-C", "c.git", "push", git.url(repository="octo/open"), "HEAD:refs/heads/x", good=False
    )
    assert "could not read Username" in refused
    missing = await git("ls-remote", git.url("any:admin", "octo/none"), good=False)
    assert "not found" in missing


async def test_a_rule_refuses_some_tags_and_lets_others_in(state: GitHubState, git: Git) -> None:
    """The refused ref and its reason are named; the rest of the push is done."""
    state.repository(REPO).push_rules.append(PushRule("refs/tags/bad*"))
    await git("clone", "--bare", git.url("any:admin"), "c.git")
    out = await git(
        "-C", "c.git", "push", git.url("any:admin"), "v1:refs/tags/bad1", "v1:refs/tags/good",
        good=False,
    )  # fmt: skip
    assert "remote: error: GH013: Repository rule violations found." in out
    assert "[remote rejected] v1 -> bad1 (push declined due to repository rule violations)" in out
    assert "[new tag]" in out
    assert "refs/tags/good" in state.repository(REPO).refs
    assert "refs/tags/bad1" not in state.repository(REPO).refs
    state.repository(REPO).push_rules.clear()
    await git("-C", "c.git", "push", git.url("any:admin"), "v1:refs/tags/bad1")
    assert "refs/tags/bad1" in state.repository(REPO).refs


async def test_workflows_want_a_scope_of_their_own(state: GitHubState, git: Git) -> None:
    """Without the `workflow` scope a tag whose commit brings workflow files is refused."""
    state.add_repository("octo/other")
    state.add_commit("octo/other", WORKFLOW, "Workflows")
    state.move_tag("octo/other", "v9")
    await git("clone", "--bare", git.url(repository="octo/other"), "c.git")
    push = ("-C", "c.git", "push")
    out = await git(*push, git.url("any:plain"), "v9:refs/tags/v9", good=False)
    assert "refusing to allow a Personal Access Token to create or update workflow" in out
    await git(*push, git.url("any:admin"), "v9:refs/tags/v9")


async def test_what_actions_would_run_is_counted(state: GitHubState, git: Git) -> None:
    """A pushed tag with workflow files starts them where Actions is on, and only there."""
    state.add_repository("octo/other")
    state.add_commit("octo/other", WORKFLOW, "Workflows")
    state.move_tag("octo/other", "v9")
    await git("clone", "--bare", git.url(repository="octo/other"), "c.git")
    repository = state.repository(REPO)
    repository.actions_enabled = False
    await git("-C", "c.git", "push", git.url("any:admin"), "v9:refs/tags/v9")
    assert repository.runs == []
    repository.actions_enabled = True
    await git("-C", "c.git", "push", git.url("any:admin"), "v9:refs/tags/v10")
    assert repository.runs == ["push refs/tags/v10"]


async def test_a_renamed_repository_redirects(state: GitHubState, git: Git) -> None:
    """Git follows the old name to the new one, as it does at GitHub."""
    state.rename_repository(REPO, "octo/new")
    assert "refs/tags/v1" in refs(await git("ls-remote", git.url("any:admin")))


async def test_faults_reach_git(state: GitHubState, git: Git) -> None:
    """Routes of git have names of their own, so that a pack can break in the middle."""
    state.faults.add(Fault(kind="reset-midway", route="git-upload-pack", nth=2, at_byte=20))
    broken = await git("clone", "--bare", git.url("any:admin"), "c.git", good=False)
    assert "early EOF" in broken or "RPC failed" in broken
    assert state.count(route="git-upload-pack") == 2
    assert state.count(route="git-refs") >= 1
