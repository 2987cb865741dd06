"""The emulator held against GitHub's own OpenAPI descriptions."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from mirror.emulator import Fault
from support.openapi import SOURCES, Description, host_options

if TYPE_CHECKING:
    from collections.abc import Callable

REPO = "/repos/octo/tool"


async def as_app(host: Any) -> None:
    """What an App asks."""
    key = rsa.generate_private_key(65537, 2048)
    numbers = key.public_key().public_numbers()
    app = host.state.add_app(
        7, installations={"octo": "admin", "solo": "read"}, public_key=(numbers.n, numbers.e)
    )
    now = int(host.state.clock())
    token = jwt.encode({"iss": "7", "iat": now - 60, "exp": now + 300}, key, algorithm="RS256")
    number = app.installations["octo"].id
    for path in (
        "/app",
        "/app/installations",
        f"/app/installations/{number}",
        "/orgs/octo/installation",
        "/users/solo/installation",
        f"{REPO}/installation",
    ):
        assert (await host.get(path, token=token)).status == 200, path
    path = f"/app/installations/{number}/access_tokens"
    made = (await host.send("POST", path, token=token)).json["token"]
    # Its bot appears in other documents.
    draft = await host.send(
        "POST", f"{REPO}/releases", json={"tag_name": "app", "draft": True}, token=made
    )
    assert draft.json["author"]["type"] == "Bot"


async def git(host: Any) -> None:
    """Git objects, refs, files and archives."""

    async def post(what: str, **body: Any) -> Any:
        made = await host.send("POST", f"{REPO}/git/{what}", json=body)
        assert made.status == 201, made.body
        return made.json

    blob = await post("blobs", content="aGk=", encoding="base64")
    entry = {"path": "a.txt", "mode": "100644", "type": "blob", "sha": blob["sha"]}
    tree = await post("trees", tree=[entry])
    head = (await host.get(f"{REPO}/git/ref/heads/main")).json["object"]["sha"]
    commit = await post("commits", message="m", tree=tree["sha"], parents=[head])
    tag = await post("tags", tag="v5", message="m", object=commit["sha"], type="commit")
    ref = (await post("refs", ref="refs/tags/v5", sha=tag["sha"]))["ref"]
    host.state.add_commit("octo/tool", {"docs/a.md": "# A"}, "Docs")
    for path in (
        f"git/blobs/{blob['sha']}",
        f"git/trees/{tree['sha']}",
        f"git/commits/{commit['sha']}",
        f"git/tags/{tag['sha']}",
        "git/matching-refs/tags/v",
        "commits/main",
        "tags",
        "contents/README.md",
        "contents/docs",
    ):
        assert (await host.get(f"{REPO}/{path}")).status == 200, path
    for path in ("tarball/v5", "zipball/v5"):
        assert (await host.get(f"{REPO}/{path}")).status == 302
    body = {"message": "m", "content": base64.b64encode(b"x").decode()}
    assert (await host.send("PUT", f"{REPO}/contents/new.txt", json=body)).status == 201
    moved = {"sha": commit["sha"], "force": True}
    assert (await host.send("PATCH", f"{REPO}/git/{ref}", json=moved)).status == 200
    assert (await host.send("DELETE", f"{REPO}/git/{ref}")).status == 204


async def releases(host: Any) -> None:
    """Releases and assets, refusals included."""
    draft = await host.draft("v2")
    asset = (await host.upload(draft["id"], "a.bin&label=A")).json
    assert (await host.upload(draft["id"], "a.bin")).status == 422
    path = f"{REPO}/releases/assets/{asset['id']}"
    assert (await host.send("PATCH", path, json={"name": "b.bin", "label": ""})).status == 200
    assert (await host.get(path, Accept="application/octet-stream")).status == 302
    for path in ("", "/latest", "/tags/v1.0.0", f"/{draft['id']}", f"/{draft['id']}/assets"):
        assert (await host.get(f"{REPO}/releases{path}")).status == 200, path
    assert (await host.get(f"{REPO}/releases/tags/gone")).status == 404
    assert (await host.get(f"{REPO}/releases", token="wrong")).status == 401
    here = f"{REPO}/releases/{draft['id']}"
    assert (await host.send("PATCH", here, json={"draft": False})).status == 200
    assert (await host.send("POST", f"{REPO}/releases", json={"tag_name": "v2"})).status == 422
    assert (await host.get(f"{REPO}/releases/assets/{asset['id']}")).status == 200
    assert (await host.send("DELETE", f"{REPO}/releases/assets/{asset['id']}")).status == 204
    assert (await host.send("DELETE", here)).status == 204


async def accounts(host: Any) -> None:
    """The host itself, accounts and repositories."""
    host.state.account("solo", "User")
    limits = 200 if host.state.kind == "github" else 404
    for path, status in {
        "/": 200,
        "/meta": 200,
        "/rate_limit": limits,
        "/user": 200,
        "/user/repos": 200,
        "/users/solo": 200,
        "/users/solo/repos": 200,
        "/orgs/octo": 200,
        "/orgs/octo/repos?type=all&per_page=1": 200,
        f"{REPO}/actions/permissions": 200,
    }.items():
        assert (await host.get(path)).status == status, path
    for path, visibility in (("/user/repos", False), ("/orgs/octo/repos", True)):
        body = {"name": "fresh", "private": visibility, "auto_init": True}
        assert (await host.send("POST", path, json=body)).status == 201
    fresh = "/repos/octo/fresh"
    off = {"enabled": False}
    assert (await host.send("PUT", f"{fresh}/actions/permissions", json=off)).status == 204
    if host.state.kind == "github":
        for method, status in (("PUT", 204), ("GET", 200), ("DELETE", 204)):
            assert (await host.send(method, f"{fresh}/immutable-releases")).status == status
    assert (await host.send("PATCH", fresh, json={"name": "stale"})).status == 200
    assert (await host.get(fresh)).status == 301
    assert (await host.send("DELETE", "/repos/octo/stale")).status == 204


async def test_violations_are_found(start: Callable[..., Any]) -> None:
    """The check itself: a wrong value, an unknown parameter, key or operation is a violation."""
    host = await start()
    description = Description("ghes-3.19")
    description.watch(host.state)
    await host.get(f"{REPO}/releases?colour=red")
    await host.send("POST", f"{REPO}/releases", json={"tag_name": "v2", "draft": "no", "colour": 1})
    await host.get(f"{REPO}/colours")
    host.state.faults.add(Fault(kind="wrong-types", route="get-repository"))
    await host.get(REPO)
    found = "\n".join(description.violations)
    assert f"GET {REPO}/releases?colour=red: 200: the parameter colour is unknown" in found
    assert "the request: $.draft: 'no' is not of type 'boolean'" in found
    assert "the request's colour is unknown" in found
    assert f"GET {REPO}/colours: 404: no such operation" in found
    assert "the answer: $.full_name: 7 is not of type 'string'" in found


@pytest.mark.parametrize("name", SOURCES)
async def test_every_operation_is_as_described(start: Callable[..., Any], name: str) -> None:
    """Every described operation is served, and no request or answer violates the description."""
    host = await start(**host_options(name))
    description = Description(name)
    description.watch(host.state)
    for part in (accounts, releases, git, as_app):
        await part(host)
    assert description.violations == []
    assert description.unused() == set()
