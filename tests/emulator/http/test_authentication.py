"""Who calls: tokens, their expiry, and the tokens that Apps sign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
import time
from typing import TYPE_CHECKING

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    from collections.abc import Callable

REPO = "/repos/octo/tool"
KEY = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
NUMBERS = KEY.public_key().public_numbers()


async def test_a_bad_token_is_401(host: Any) -> None:
    """Even where nobody needs one."""
    reply = await host.get(REPO, token="wrong")
    assert (reply.status, reply.json["message"]) == (401, "Bad credentials")
    assert (await host.get(REPO, token=None)).status == 200


async def test_tokens_expire(start: Callable[..., Any]) -> None:
    """The header tells when; afterwards it is 401."""
    now = [100.0]
    host = await start(clock=lambda: now[0])
    when = "1970-01-01 00:03:20 UTC"
    host.state.add_token("t", login="x", expires=when, expires_at=200.0)
    reply = await host.get(REPO, token="t")
    assert reply.headers["github-authentication-token-expiration"] == when
    now[0] = 200.0
    assert (await host.get(REPO, token="t")).status == 401
    host.state.revoke_token("t0ken")
    assert (await host.get(REPO)).status == 401


async def test_private_mode_hides_everything(start: Callable[..., Any]) -> None:
    """GHES in private mode answers nobody."""
    host = await start(private_mode=True)
    assert (await host.get(REPO, token=None)).status == 401
    assert (await host.get(REPO)).status == 200


def signed(issuer: str = "7", *, ahead: int = 540, back: int = 60, key: Any = KEY) -> str:
    now = int(time.time())
    claims = {"iss": issuer, "iat": now - back, "exp": now + ahead}
    return jwt.encode(claims, key, algorithm="RS256")


@pytest.mark.parametrize(
    "make",
    [
        lambda: signed(ahead=-1),
        lambda: signed(back=-120),
        lambda: signed(ahead=900),
        lambda: signed("8"),
        lambda: signed(key=OTHER),
        lambda: "a.b.c",
    ],
)
async def test_a_wrong_signature_is_401(host: Any, make: Callable[[], str]) -> None:
    """Expired, issued in the future, too long, of nobody, by another key, and no token at all."""
    token = make()
    host.state.add_app(7, installations={"octo": "read"}, public_key=(NUMBERS.n, NUMBERS.e))
    assert (await host.get("/app", token=token)).status == 401
    assert (await host.get("/app")).status == 401
