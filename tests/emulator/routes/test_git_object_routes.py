"""Git objects over the API."""

from __future__ import annotations

import base64
from typing import Any

REPO = "/repos/octo/tool"


async def test_blobs_and_trees(host: Any) -> None:
    """Bytes come back as they went in."""
    content = base64.b64encode(bytes(range(256))).decode()
    body = {"content": content, "encoding": "base64"}
    made = (await host.send("POST", f"{REPO}/git/blobs", json=body)).json
    blob = (await host.get(f"{REPO}/git/blobs/{made['sha']}")).json
    assert base64.b64decode(blob["content"]) == bytes(range(256))
    entry = {"path": "x/y", "mode": "100755", "type": "blob", "sha": made["sha"]}
    tree = (await host.send("POST", f"{REPO}/git/trees", json={"tree": [entry]})).json
    whole = (await host.get(f"{REPO}/git/trees/{tree['sha']}?recursive=1")).json
    assert [(e["path"], e["mode"]) for e in whole["tree"]] == [("x", "040000"), ("x/y", "100755")]
