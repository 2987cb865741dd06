"""Who we are to a host: a token, or nobody."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Auth(Protocol):
    """What turns a credential into an ``Authorization`` header."""

    @property
    def fingerprint(self) -> str:
        """A short text that differs for another credential; nothing can be told from it."""
        ...

    async def header(self) -> str | None:
        """The header's value for a request that is sent now; ``None`` for none.

        Raises:
            GitHubError: The credential cannot be had.
        """
        ...

    async def refresh(self) -> bool:
        """Get the credential afresh, after the host refused it.

        Returns:
            Whether it is another one now, so that asking again makes sense.
        """
        ...


class TokenAuth:
    """A token: personal (classic or fine-grained) or of an installation.

    ``Bearer`` is taken for all of them.
    Source: https://docs.github.com/rest/authentication/authenticating-to-the-rest-api

    Args:
        read: Reads the secret afresh each time; ``None`` for requests without a token.
        host: The host's address: the same token at another host is another credential.
    """

    def __init__(self, read: Callable[[], str] | None = None, *, host: str = "") -> None:
        self._read = read
        self._host = host
        self._token = read() if read else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'a token' if self._token else 'anonymous'})"

    @property
    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of SHA-256 over host and token; ``anonymous`` for none."""
        if not self._token:
            return "anonymous"
        return hashlib.sha256(f"{self._host}\n{self._token}".encode()).hexdigest()[:16]

    async def header(self) -> str | None:
        """``Bearer`` and the token, or ``None``."""
        return f"Bearer {self._token}" if self._token else None

    async def refresh(self) -> bool:
        """Read the secret again; whether it changed."""
        before = self._token
        self._token = self._read() if self._read else ""
        return self._token != before
