"""The private key of a GitHub App: what it signs proves for some minutes who asks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

BACK = timedelta(seconds=60)
"""How far in the past a token is said to be issued: clocks differ."""

AHEAD = timedelta(minutes=9)
"""How long it is valid; the host takes 10 minutes at most."""


class AppKey:
    """Signs JSON Web Tokens.

    Source: https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app

    Args:
        issuer: The App's id.
        read: Reads the key (PEM) afresh each time.

    Raises:
        ValueError: What was read is no key that can sign; the sentence repeats nothing of it.
    """

    def __init__(self, issuer: int, read: Callable[[], str]) -> None:
        self._issuer = issuer
        self._read = read
        self._pem = read()
        self._key = _parse(self._pem)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._issuer})"

    def sign(self, now: datetime) -> str:
        """A token of the App itself, at the host's time."""
        import jwt  # noqa: PLC0415 - takes its time, and most have no App

        claims = {
            "iat": int((now - BACK).timestamp()),
            "exp": int((now + AHEAD).timestamp()),
            "iss": str(self._issuer),
        }
        return jwt.encode(claims, self._key, algorithm="RS256")

    def reread(self) -> bool:
        """Read the key again; whether it is another one now. One that is no key is not taken."""
        before, self._pem = self._pem, self._read()
        if self._pem == before:
            return False
        try:
            self._key = _parse(self._pem)
        except ValueError:
            return False
        return True


def _parse(pem: str) -> RSAPrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - as jwt above
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    if "PRIVATE KEY-----" not in pem:
        raise ValueError(
            "is no private key: what is expected is the PEM file that the host made for the App,"
            ' with the line "-----BEGIN RSA PRIVATE KEY-----"'
        )
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise ValueError(
            "is protected by a passphrase: keep it without one, as the host made it"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(
            "is damaged: it begins as a private key (PEM) and cannot be read to its end"
        ) from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(  # noqa: TRY004 - of the file's content, not of an argument
            "is not an RSA key: Apps sign with RSA, by the key that the host made"
        )
    return key
