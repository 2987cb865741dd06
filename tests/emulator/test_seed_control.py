"""Seeds, control over HTTP, the state on disk, and the host in the foreground."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme

from mirror.emulator import (
    ROUTES,
    Emulator,
    Generated,
    GitHubState,
    SeedError,
    ServeOptions,
    apply_seed,
    load_seed,
    parse_seed,
    serve,
)

if TYPE_CHECKING:
    from pathlib import Path

SEED = {
    "organizations": ["mirrors"],
    "tokens": [{"token": "s3cret", "login": "bot", "admin": True}],
    "options": {"max_assets": 5},
    "repositories": [
        {
            "name": "octo/seeded",
            "visibility": "private",
            "archived": True,
            "releases": [
                {
                    "tag": "v1",
                    "date": "2026-01-01T00:00:00Z",
                    "latest": True,
                    "annotated": True,
                    "assets": [
                        {"name": "a", "text": "hi"},
                        {"name": "b", "base64": "aGk=", "content_type": "text/plain"},
                        {"name": "c", "size": 1000, "seed": 3, "label": "C"},
                        {"name": "d", "size": 0, "state": "starter"},
                    ],
                },
                {"tag": "v2", "draft": True},
            ],
        }
    ],
}


def control(host: Any, path: str) -> str:
    return f"{host.emulator.url}/_emulator/{path}"


def test_a_seed_is_applied(tmp_path: Path) -> None:
    """Everything it says is there."""
    path = tmp_path / "seed.json"
    path.write_text(json.dumps(SEED))
    state = GitHubState()
    apply_seed(state, load_seed(path))
    assert state.max_assets == 5
    repository = state.repository("octo/seeded")
    assert (repository.visibility, repository.archived) == ("private", True)
    release = state.release("octo/seeded", "v1")
    assert release.published_at == release.created_at == "2026-01-01T00:00:00Z"
    assert [(a.name, a.size, a.label, a.state) for a in release.assets] == [
        ("a", 2, None, "uploaded"),
        ("b", 2, None, "uploaded"),
        ("c", 1000, "C", "uploaded"),
        ("d", 0, None, "starter"),
    ]
    assert release.assets[2].sha256 == Generated(seed=3, size=1000).sha256
    assert state.release("octo/seeded", "v2").draft
    with pytest.raises(SeedError, match="has a release v1"):
        apply_seed(state, load_seed(path))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"repos": []}, "repos: Extra inputs"),
        ({"repositories": [{"name": "x"}]}, r"repositories.0.name"),
        ({"tokens": [{"token": "a", "permission": "all"}]}, r"tokens.0.permission"),
        (
            {
                "repositories": [
                    {"name": "o/r", "releases": [{"tag": "v", "assets": [{"name": "a"}]}]}
                ]
            },
            r"releases.0.assets.0: .*exactly one of size",
        ),
        ([], "document"),
    ],
)
def test_a_wrong_seed_is_explained(document: Any, words: str) -> None:
    """The message names the place and what is allowed."""
    with pytest.raises(SeedError, match=words):
        parse_seed(document, "seed.json")


def test_an_unreadable_seed_is_explained(tmp_path: Path) -> None:
    """With the file's name."""
    with pytest.raises(SeedError, match=r"gone\.json: No such file"):
        load_seed(tmp_path / "gone.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(SeedError, match=r"bad\.json"):
        load_seed(tmp_path / "bad.json")


async def test_control(host: Any) -> None:
    """Another process seeds, scripts faults, declares expectations and reads what happened."""

    async def send(method: str, path: str, body: Any = None) -> Any:
        return await host.send(method, control(host, path), token=None, json=body)

    assert (await send("POST", "seed", SEED)).status == 204
    wrong = await send("POST", "seed", {"x": 1})
    assert (wrong.status, "x: Extra" in wrong.json["message"]) == (400, True)
    fault = {"kind": "status", "route": "get-meta", "status": 500}
    assert (await send("POST", "faults", {"faults": [fault, fault]})).status == 204
    assert (await send("POST", "faults", {"kind": "reset", "route": "x"})).status == 400
    assert (await host.get("/meta")).status == 500
    assert (await send("DELETE", "faults")).status == 204
    assert (await send("POST", "resume")).status == 204
    assert (await host.get("/meta")).status == 200
    seen = (await send("GET", "requests?since=1")).json
    assert [(r["n"], r["route"], r["status"]) for r in seen] == [(2, "get-meta", 200)]
    assert (await send("DELETE", "requests")).status == 204
    assert (await send("GET", "requests")).json == []
    expectation = {"repository": "octo/tool", "tag": "v1.0.0", "assets": {"x": None}, "latest": []}
    assert (await send("POST", "expect", expectation)).status == 204
    assert (await send("POST", "expect", {"repository": "no/no", "latest": []})).status == 400
    assert (await send("GET", "violations")).json == {
        "violations": [
            "octo/tool v1.0.0: published without the asset x",
            "octo/tool: v1.0.0 is shown as the latest release",
        ],
        "windows": 0,
        "open_windows": [],
    }
    state = (await send("GET", "state")).json["repositories"]["octo/tool"]
    assert state["latest"] == "v1.0.0"
    assert state["releases"][0]["assets"][0]["size"] == 11
    assert len(state["releases"][0]["assets"][0]["sha256"]) == 64
    assert (await send("GET", "nothing")).status == 404


async def test_the_state_survives(tmp_path: Path) -> None:
    """What was there is there again: releases, bytes, tags, tokens, numbers."""
    first = GitHubState()
    token = first.add_token("t", admin=True)
    first.add_repository("o/r")
    async with Emulator(first, state_directory=tmp_path) as emulator:
        first.add_release("o/r", "v1", assets={"a": b"small", "g": Generated(seed=1, size=10)})
        release = first.add_release("o/r", "v2", draft=True)
        url = f"{emulator.upload_url}/repos/o/r/releases/{release.id}/assets?name=up"
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=b"uploaded", headers=headers) as reply,
        ):
            assert reply.status == 201
    second = GitHubState()
    async with Emulator(second, state_directory=tmp_path):
        assert second.asset("o/r", "v1", "a").content.read(0, 9) == b"small"
        assert second.asset("o/r", "v2", "up").content.read(0, 9) == b"uploaded"
        assert isinstance(second.asset("o/r", "v1", "g").content, Generated)
        assert second.tokens["t"].admin
        assert second.repository("o/r").refs == first.repository("o/r").refs
        assert second.number() > first.last_id


async def test_serving_in_the_foreground(tmp_path: Path) -> None:
    """It announces itself once, when it answers, with an administrator's token."""
    path = tmp_path / "seed.json"
    path.write_text(json.dumps({**SEED, "tokens": []}))
    announced: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    options = ServeOptions(kind="github", seed=path, state_directory=tmp_path / "state")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(serve(options, announced.put_nowait))
        told = await announced.get()
        headers = {"Authorization": f"token {told['token']}"}
        url = f"{told['api_url']}/repos/octo/seeded"
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as reply:
            assert (await reply.json())["permissions"]["admin"] is True
        task.cancel()
    assert set(told) == {
        "kind", "version", "url", "api_url", "upload_url", "storage_url", "token",
    }  # fmt: skip
    assert (tmp_path / "state" / "state.json").exists()


async def test_a_port_that_is_taken(host: Any) -> None:
    """An error, and nothing is left open."""
    port = int(host.emulator.url.rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        async with Emulator(GitHubState(), port=port):
            pass


async def test_tls() -> None:
    """Every origin over TLS, with a certificate of one's own."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    state = GitHubState()
    state.add_repository("o/r")
    release = state.add_release("o/r", "v1", assets={"a": b"bytes"})
    async with Emulator(state, ssl_context=server) as emulator:
        assert emulator.storage_url.startswith("https://")
        url = f"{emulator.url}/o/r/releases/download/v1/{release.assets[0].name}"
        async with (
            aiohttp.ClientSession(requote_redirect_url=False) as session,
            session.get(url, ssl=client) as reply,
        ):
            assert await reply.read() == b"bytes"


def test_routes_have_stable_names() -> None:
    """Names that scripts rely on."""
    assert {
        "list-releases", "get-release", "latest-release", "release-by-tag", "create-release",
        "update-release", "delete-release", "list-assets", "get-asset", "download-asset",
        "storage-download", "upload-asset", "update-asset", "delete-asset", "get-repository",
        "create-repository", "get-ref", "create-ref", "create-commit", "create-tree",
        "put-contents", "list-tags", "get-commit", "list-org-repositories",
        "list-user-repositories", "get-meta", "set-actions-permissions",
    } <= ROUTES  # fmt: skip
