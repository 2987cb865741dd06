"""Tokens of App installations."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    from collections.abc import Callable

REPO = "/repos/octo/tool"
KEY = rsa.generate_private_key(65537, 2048)
NUMBERS = KEY.public_key().public_numbers()


def signed(issuer: str = "7", *, ahead: int = 540, back: int = 60, key: Any = KEY) -> str:
    now = int(time.time())
    claims = {"iss": issuer, "iat": now - back, "exp": now + ahead}
    return jwt.encode(claims, key, algorithm="RS256")


async def test_an_app_gets_a_token_for_an_hour(start: Callable[..., Any]) -> None:
    """Installation by owner, then a token that may write there and nowhere else."""
    now = [time.time()]
    host = await start(clock=lambda: now[0])
    host.state.add_repository("else/where")
    host.state.add_app(
        7, client_id="Iv1.x", installations={"Octo": "admin"}, public_key=(NUMBERS.n, NUMBERS.e)
    )
    assert (await host.get("/app", token=signed("Iv1.x"))).json["id"] == 7
    found = await host.get(f"{REPO}/installation", token=signed())
    assert (await host.get("/orgs/octo/installation", token=signed())).json == found.json
    assert (await host.get("/repos/else/where/installation", token=signed())).status == 404
    url = found.json["access_tokens_url"]
    grant = await host.send("POST", url, token=signed())
    assert grant.status == 201
    token = grant.json["token"]
    document = {"tag_name": "v2", "draft": True}
    made = await host.send("POST", f"{REPO}/releases", token=token, json=document)
    assert made.status == 201
    path = "/repos/else/where/releases"
    assert (await host.send("POST", path, token=token, json=document)).status == 403
    created = await host.send("POST", "/orgs/octo/repos", token=token, json={"name": "x"})
    assert created.status == 201
    now[0] += 3600
    assert (await host.get(REPO, token=token)).status == 401
