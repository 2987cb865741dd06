from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mirror.github import TokenAuth

if TYPE_CHECKING:
    from datetime import datetime


class Nobody:
    """A client that is never asked."""

    async def ask_as(self, *_: str) -> Any:
        raise AssertionError

    def host_time(self) -> datetime:
        raise AssertionError


NOBODY = Nobody()


async def test_a_token_is_a_bearer() -> None:
    """Bearer is taken for every kind of token; without one there is no header."""
    assert await TokenAuth(lambda: "secret").header(NOBODY, "") == "Bearer secret"
    assert await TokenAuth().header(NOBODY, "") is None
    assert await TokenAuth(lambda: "").header(NOBODY, "") is None


async def test_a_refresh_tells_whether_the_secret_changed() -> None:
    """Asking again makes sense only with another token."""
    secrets = ["one", "one", "two"]
    auth = TokenAuth(lambda: secrets.pop(0))
    assert not await auth.refresh(NOBODY, "Bearer one", "")
    assert await auth.refresh(NOBODY, "Bearer one", "")
    assert await auth.header(NOBODY, "") == "Bearer two"
    assert await auth.refresh(NOBODY, "Bearer one", "")  # somebody else did it already
    assert not await TokenAuth().refresh(NOBODY, None, "")


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
