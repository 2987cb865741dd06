from __future__ import annotations

from mirror.github import TokenAuth


async def test_a_token_is_a_bearer() -> None:
    """Bearer is taken for every kind of token; without one there is no header."""
    assert await TokenAuth(lambda: "secret").header() == "Bearer secret"
    assert await TokenAuth().header() is None
    assert await TokenAuth(lambda: "").header() is None


async def test_a_refresh_tells_whether_the_secret_changed() -> None:
    """Asking again makes sense only with another token."""
    secrets = ["one", "one", "two"]
    auth = TokenAuth(lambda: secrets.pop(0))
    assert not await auth.refresh("Bearer one")
    assert await auth.refresh("Bearer one")
    assert await auth.header() == "Bearer two"
    assert await auth.refresh("Bearer one")  # somebody else did it already
    assert not await TokenAuth().refresh(None)


def test_a_fingerprint_differs_by_host_and_token_and_tells_neither() -> None:
    """What an ETag is worth depends on the credential; the ledger must not hold it."""
    auths = [
        TokenAuth(lambda: "t", host="a"),
        TokenAuth(lambda: "t", host="b"),
        TokenAuth(lambda: "u", host="a"),
    ]
    prints = {auth.fingerprint for auth in auths}
    assert len(prints) == 3
    assert all(len(text) == 16 for text in prints)
    assert TokenAuth().fingerprint == "anonymous"
    assert "secret" not in repr(TokenAuth(lambda: "secret"))
