"""Files over the API."""

from __future__ import annotations

import base64
from typing import Any


async def test_the_first_file_of_an_empty_repository(host: Any) -> None:
    """PUT contents makes the commit and the branch; then a file is replaced only by its SHA."""
    host.state.add_repository("octo/new", empty=True)
    path = "/repos/octo/new/contents/docs/README.md"
    who = {"name": "M", "email": "m@x", "date": "2019-01-01T00:00:00Z"}
    body = {"message": "first", "content": base64.b64encode(b"hi").decode(), "committer": who}
    for write in ("blobs", "trees", "commits", "refs"):
        assert (await host.send("POST", f"/repos/octo/new/git/{write}", json={})).status == 409
    made = await host.send("PUT", path, json=body)
    assert made.status == 201
    assert made.json["commit"]["author"]["date"] == "2019-01-01T00:00:00Z"
    assert (await host.get("/repos/octo/new")).json["default_branch"] == "main"
    file = (await host.get(path)).json
    assert base64.b64decode(file["content"]) == b"hi"
    assert [e["name"] for e in (await host.get("/repos/octo/new/contents")).json] == ["docs"]
    assert (await host.send("PUT", path, json=body)).status == 422
    assert (await host.send("PUT", path, json={**body, "sha": "0" * 40})).status == 409
    assert (await host.send("PUT", path, json={**body, "sha": file["sha"]})).status == 200
