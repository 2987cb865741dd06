"""The emulator held against clients and models that were not written here."""

from __future__ import annotations

import asyncio
import importlib
import warnings
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


def models() -> Any:
    """GitHub's models as githubkit has them, wherever this version of it keeps them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("githubkit.versions.latest.models")


@pytest.mark.parametrize("kind", KINDS)
async def test_documents_fit_githubs_models(start: Callable[..., Any], kind: str) -> None:
    """Every document validates against the models made from GitHub's own description."""
    host = await start(kind=kind)
    host.state.add_user("solo")
    sha = host.state.move_tag("octo/tool", "v2", annotated=True)
    draft = await host.draft("v3")
    await host.upload(draft["id"], "a.bin")
    known = models()
    repo = "/repos/octo/tool"
    tag = (await host.get(f"{repo}/git/ref/tags/v2")).json["object"]["sha"]
    cases: list[tuple[str, str]] = [
        ("Release", f"{repo}/releases/latest"),
        ("Release", f"{repo}/releases/{draft['id']}"),
        ("Release", f"{repo}/releases/tags/v1.0.0"),
        ("Release", f"{repo}/releases"),
        ("ReleaseAsset", f"{repo}/releases/{draft['id']}/assets"),
        ("FullRepository", repo),
        ("MinimalRepository", "/orgs/octo/repos"),
        ("OrganizationFull", "/orgs/octo"),
        ("PublicUser", "/users/solo"),
        ("PrivateUser", "/user"),
        ("GitRef", f"{repo}/git/ref/heads/main"),
        ("GitRef", f"{repo}/git/matching-refs/tags"),
        ("GitTag", f"{repo}/git/tags/{tag}"),
        ("GitCommit", f"{repo}/git/commits/{sha}"),
        ("GitTree", f"{repo}/git/trees/main?recursive=1"),
        ("Commit", f"{repo}/commits/{sha}"),
        ("Tag", f"{repo}/tags"),
        ("ContentFile", f"{repo}/contents/README.md"),
        ("ActionsRepositoryPermissions", f"{repo}/actions/permissions"),
    ]
    if kind == "github":
        cases.append(("RateLimitOverview", "/rate_limit"))
    for name, path in cases:
        reply = await host.get(path)
        assert reply.status == 200, (path, reply.body)
        documents = reply.json if isinstance(reply.json, list) else [reply.json]
        assert documents, path
        for document in documents:
            getattr(known, name).model_validate(document)
