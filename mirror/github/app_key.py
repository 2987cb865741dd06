"""The private key of a GitHub App, which signs its short-lived JSON Web Tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

BACK = timedelta(seconds=60)
"""How far a token's time of issue lies in the past, because clocks differ."""

AHEAD = timedelta(minutes=9)
"""How long a token is valid; GitHub accepts at most 10 minutes."""


class AppKey:
    """Signs JSON Web Tokens.

    Source: https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app

    Args:
        issuer: The App's id.
        read: Reads the key (PEM); called again after a refusal.

    Raises:
        ValueError: The content is not a usable key; the message repeats nothing of it.
    """

    def __init__(self, issuer: int, read: Callable[[], str]) -> None:
        self._issuer = issuer
        self._read = read
        self._pem = read()
        self._key = _parse(self._pem)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._issuer})"

    def sign(self, now: datetime) -> str:
        """A token for the App itself, at the host's time."""
        claims = {
            "iat": int((now - BACK).timestamp()),
            "exp": int((now + AHEAD).timestamp()),
            "iss": str(self._issuer),
        }
        return jwt.encode(claims, self._key, algorithm="RS256")

    def reread(self) -> bool:
        """Read the key again; whether it has changed. An invalid key is ignored."""
        before, self._pem = self._pem, self._read()
        if self._pem == before:
            return False
        try:
            self._key = _parse(self._pem)
        except ValueError:
            return False
        return True


def _parse(pem: str) -> RSAPrivateKey:
    if "PRIVATE KEY-----" not in pem:
        raise ValueError(
            "is not a private key; expected the PEM file that GitHub generated for the App, with the line"
            ' "-----BEGIN RSA PRIVATE KEY-----"'
        )
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise ValueError("is protected by a passphrase; store it without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(
            "is damaged: it has the header of a private key, but cannot be decoded"
        ) from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(  # noqa: TRY004 - about the file's content
            "is not an RSA key; Apps sign with the RSA key that GitHub generated"
        )
    return key
