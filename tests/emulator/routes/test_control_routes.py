"""The control API."""

from __future__ import annotations

from typing import Any

from support.seed_document import SEED


def control(host: Any, path: str) -> str:
    return f"{host.emulator.url}/_emulator/{path}"


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
