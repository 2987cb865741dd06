"""The emulator held against a client that was not written here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from github import Auth, Github

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KINDS = ("ghes", "github")


def pygithub(host: Any) -> Github:
    return Github(
        auth=Auth.Token("t0ken"),
        base_url=host.emulator.api_url,
        retry=None,
        seconds_between_requests=None,
        seconds_between_writes=None,
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_pygithub(start: Callable[..., Any], kind: str, tmp_path: Path) -> None:
    """PyGithub creates, uploads to, lists, edits and deletes releases and assets."""
    host = await start(kind=kind)
    file = tmp_path / "tool 1.bin"
    file.write_bytes(b"\x00" * 1000)

    loop = asyncio.get_running_loop()

    def upload(release: Any) -> Any:
        if kind == "ghes":
            return release.upload_asset(str(file), label="a tool")
        # PyGithub knows one origin of uploads beside the API's: the real one.
        sent = host.upload(release.id, "tool%201.bin&label=a%20tool", b"\x00" * 1000)
        asyncio.run_coroutine_threadsafe(sent, loop).result()
        return release.get_assets()[0]

    def story() -> None:
        with pygithub(host) as client:
            repository = client.get_repo("octo/tool")
            assert repository.permissions.admin
            release = repository.create_git_release("v2", "Two", "Text", draft=True)
            asset = upload(release)
            assert (asset.name, asset.label, asset.size) == ("tool.1.bin", "a tool", 1000)
            asset.update_asset("renamed.bin", "label")
            assert [a.name for a in release.get_assets()] == ["renamed.bin"]
            release = release.update_release("Two!", "More", draft=False)
            assert release.published_at is not None
            assert repository.get_latest_release().id == release.id
            assert repository.get_release("v2").name == "Two!"
            assert [r.tag_name for r in repository.get_releases()] == ["v2", "v1.0.0"]
            assert [tag.name for tag in repository.get_tags()] == ["v2", "v1.0.0"]
            assert asset.delete_asset()
            release.delete_release()
            assert [r.tag_name for r in repository.get_releases()] == ["v1.0.0"]

    await asyncio.to_thread(story)
    assert host.state.violations == []


@pytest.mark.parametrize("kind", KINDS)
async def test_pygithub_git(start: Callable[..., Any], kind: str) -> None:
    """PyGithub makes a repository, a file, a dated commit, an annotated tag and refs."""
    host = await start(kind=kind)
    host.state.add_organization("mirrors")

    def story() -> None:
        with pygithub(host) as client:
            repository = client.get_organization("mirrors").create_repo("tool", private=True)
            repository.create_file("README.md", "first", "# hi")
            sha = repository.get_git_ref("heads/main").object.sha
            tree = repository.get_git_tree(sha)
            assert [entry.path for entry in tree.tree] == ["README.md"]
            parent = repository.get_git_commit(sha)
            commit = repository.create_git_commit("dated", tree, [parent])
            tag = repository.create_git_tag("v1", "annotated", commit.sha, "commit")
            repository.create_git_ref("refs/tags/v1", tag.sha)
            assert repository.get_tags()[0].commit.sha == commit.sha
            assert repository.get_contents("README.md").decoded_content == b"# hi"  # type: ignore[union-attr]

    await asyncio.to_thread(story)
