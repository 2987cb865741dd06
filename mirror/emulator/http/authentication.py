"""Who calls: personal access tokens, installation tokens, and the JSON Web Tokens of Apps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from mirror.emulator.http.answer import unauthorized
from mirror.emulator.model.accounts import Token

if TYPE_CHECKING:
    from mirror.emulator.model.accounts import App
    from mirror.emulator.model.emulated_host import Host

_LONGEST = 600
"""Seconds that the expiry of an App's token may be ahead."""

_SKEW = 60
_UNREADABLE = "A JSON web token could not be decoded"
_APP = "app:"
_PARTS = 3


def authenticate(host: Host, header: str | None) -> Token | None:
    """The token of an `Authorization` header; `None` without a header.

    Raises:
        ApiError: 401 for a credential that is unknown or has expired; it is not ignored.
    """
    if header is None:
        if host.private_mode:
            raise unauthorized("Must authenticate to access this API.")
        return None
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer" and value.count(".") == _PARTS - 1:
        return _app_token(host, value.strip())
    token = host.tokens.get(value.strip()) if scheme.lower() in ("token", "bearer") else None
    if token is None or (token.expires_at is not None and host.clock() >= token.expires_at):
        raise unauthorized("Bad credentials")
    return token


def calling_app(host: Host, token: Token | None) -> App:
    """The App that calls.

    Raises:
        ApiError: 401: this address is for Apps.
    """
    found = None
    if token is not None and token.value.startswith(_APP):
        found = host.apps.get(int(token.value.removeprefix(_APP)))
    if found is None:
        raise unauthorized(_UNREADABLE)
    return found


def _app_token(host: Host, value: str) -> Token:
    """The App that signed a JSON Web Token, as a token without permissions.

    Raises:
        ApiError: 401, with GitHub's message.
    """
    try:
        claims = jwt.decode(value, options={"verify_signature": False})
        issuer, issued, expires = str(claims["iss"]), int(claims["iat"]), int(claims["exp"])
        app = next(a for a in host.apps.values() if issuer in (str(a.id), a.client_id))
        if app.public_key is not None:
            modulus, exponent = app.public_key
            key = RSAPublicNumbers(exponent, modulus).public_key()
            jwt.PyJWS().decode(value, key, algorithms=["RS256"])
        elif jwt.get_unverified_header(value)["alg"] != "RS256" or value.endswith("."):
            raise unauthorized(_UNREADABLE)
    except (jwt.PyJWTError, StopIteration, KeyError, TypeError, ValueError):
        raise unauthorized(_UNREADABLE) from None
    now = host.clock()
    if issued > now + _SKEW / 2:
        raise unauthorized(
            "'Issued at' claim ('iat') must be an Integer representing the time that the "
            "assertion was issued"
        )
    if expires <= now:
        raise unauthorized(
            "'Expiration time' claim ('exp') must be a numeric value representing the future "
            "time at which the assertion expires"
        )
    if expires > now + _LONGEST + _SKEW:
        raise unauthorized("'Expiration time' claim ('exp') is too far in the future")
    return Token(f"{_APP}{app.id}", app.account, scopes=None)
