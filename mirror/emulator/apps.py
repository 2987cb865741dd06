"""GitHub Apps: the tokens they sign themselves, and those of their installations."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mirror.emulator.errors import ApiError, forbidden
from mirror.emulator.git import iso
from mirror.emulator.model import Token

if TYPE_CHECKING:
    from mirror.emulator.host import Host
    from mirror.emulator.model import Account, Permission

LONGEST = 600
"""Seconds that a token an App signs may be ahead."""

SKEW = 60
LIFETIME = 3600
"""Seconds for which an installation's token is valid."""

_PARTS = 3
# What PKCS #1 v1.5 puts before a SHA-256.
_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


@dataclass(slots=True)
class Installation:
    """An App in an account: what it may do in the account's repositories, unless suspended."""

    id: int
    account: Account
    permission: Permission
    suspended_at: str | None = None


@dataclass(frozen=True, slots=True)
class App:
    """A GitHub App.

    Attributes:
        id: Its number.
        client_id: Its other name, which may be the issuer of its tokens as well.
        account: Its bot.
        public_key: Modulus and exponent; `None` takes any signature.
        installations: By lower-case login.
    """

    id: int
    client_id: str
    account: Account
    public_key: tuple[int, int] | None
    installations: dict[str, Installation] = field(default_factory=dict)


def looks_signed(value: str) -> bool:
    """Whether a credential is a JSON Web Token."""
    return value.count(".") == _PARTS - 1


def _unauthorized(message: str) -> ApiError:
    return ApiError(HTTPStatus.UNAUTHORIZED, message)


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _verifies(app: App, signed: str, signature: bytes) -> bool:
    """RSASSA-PKCS1-v1_5 with SHA-256."""
    if app.public_key is None:
        return bool(signature)
    modulus, exponent = app.public_key
    length = (modulus.bit_length() + 7) // 8
    opened = pow(int.from_bytes(signature, "big"), exponent, modulus).to_bytes(length, "big")
    digest = _DIGEST_INFO + hashlib.sha256(signed.encode()).digest()
    return opened == b"\x00\x01" + b"\xff" * (length - len(digest) - 3) + b"\x00" + digest


def signed_by(host: Host, value: str) -> Token:
    """The App behind a token that it signed itself, as a token that may do nothing else.

    Raises:
        ApiError: 401, in GitHub's words.
    """
    signed, _, signature = value.rpartition(".")
    try:
        header, claims = (json.loads(_decoded(part)) for part in signed.split("."))
        issuer, issued, expires = str(claims["iss"]), int(claims["iat"]), int(claims["exp"])
        proof, algorithm = _decoded(signature), header["alg"]
    except (ValueError, KeyError, TypeError):
        raise _unauthorized("A JSON web token could not be decoded") from None
    app = next((a for a in host.apps.values() if issuer in (str(a.id), a.client_id)), None)
    now = host.clock()
    if app is None or algorithm != "RS256" or not _verifies(app, signed, proof):
        raise _unauthorized("A JSON web token could not be decoded")
    if issued > now + SKEW / 2:
        raise _unauthorized(
            "'Issued at' claim ('iat') must be an Integer representing the time that the "
            "assertion was issued"
        )
    if expires <= now:
        raise _unauthorized(
            "'Expiration time' claim ('exp') must be a numeric value representing the future "
            "time at which the assertion expires"
        )
    if expires > now + LONGEST + SKEW:
        raise _unauthorized("'Expiration time' claim ('exp') is too far in the future")
    return Token(f"app:{app.id}", app.account, scopes=None)


def app_of(host: Host, token: Token | None) -> App:
    """The App that calls.

    Raises:
        ApiError: 401: this address is for Apps.
    """
    found = None
    if token is not None and token.value.startswith("app:"):
        found = host.apps.get(int(token.value.removeprefix("app:")))
    if found is None:
        raise _unauthorized("A JSON web token could not be decoded")
    return found


def issue(host: Host, app: App, installation: Installation) -> Token:
    """A new token of an installation, for an hour.

    Raises:
        ApiError: 403: the account suspended it.
    """
    if installation.suspended_at is not None:
        raise forbidden("This installation has been suspended")
    expires = host.clock() + LIFETIME
    token = Token(
        f"ghs_{secrets.token_hex(18)}",
        app.account,
        owners={installation.account.login.lower(): installation.permission},
        scopes=None,
        expires_at=expires,
    )
    host.tokens[token.value] = token
    host.touched()
    return token


def shown(host: Host, app: App, installation: Installation) -> dict[str, Any]:
    """An installation as the API shows it."""
    api = host.addresses.api
    return {
        "id": installation.id,
        "app_id": app.id,
        "account": {"login": installation.account.login, "id": installation.account.id},
        "access_tokens_url": f"{api}/app/installations/{installation.id}/access_tokens",
        "repository_selection": "all",
        "permissions": permissions(installation.permission),
        "target_type": installation.account.type,
        "suspended_at": installation.suspended_at,
    }


def permissions(level: Permission) -> dict[str, str]:
    """What an App may do, in the API's words."""
    found = {"contents": "read" if level == "read" else "write", "metadata": "read"}
    return found | ({"administration": "write"} if level == "admin" else {})


def grant(token: Token) -> dict[str, Any]:
    """The answer to who asks for an installation's token."""
    permission = next(iter(token.owners.values()))
    return {
        "token": token.value,
        "expires_at": iso(token.expires_at or 0.0),
        "permissions": permissions(permission),
        "repository_selection": "all",
    }
