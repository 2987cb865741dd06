"""GitHub Apps, their installations, and the tokens they get."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.emulator.model.iso_time import iso

if TYPE_CHECKING:
    from mirror.emulator.documents.shared import Document
    from mirror.emulator.model.accounts import App, Installation, Permission, Token
    from mirror.emulator.model.host import Host


def _permissions(level: Permission) -> dict[str, str]:
    found = {"contents": "read" if level == "read" else "write", "metadata": "read"}
    return found | ({"administration": "write"} if level == "admin" else {})


def installation(host: Host, app: App, of: Installation) -> Document:
    """An installation."""
    return {
        "id": of.id,
        "app_id": app.id,
        "account": {"login": of.account.login, "id": of.account.id},
        "access_tokens_url": f"{host.addresses.api}/app/installations/{of.id}/access_tokens",
        "repository_selection": "all",
        "permissions": _permissions(of.permission),
        "target_type": of.account.type,
        "suspended_at": of.suspended_at,
    }


def installation_token(token: Token) -> Document:
    """A new installation token."""
    return {
        "token": token.value,
        "expires_at": iso(token.expires_at or 0.0),
        "permissions": _permissions(next(iter(token.owners.values()))),
        "repository_selection": "all",
    }
