"""Accounts: users and organizations, as others and as they themselves see them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from mirror.emulator.documents.shared import Document, node_id

if TYPE_CHECKING:
    from mirror.emulator.model.accounts import Account, Token
    from mirror.emulator.model.emulated_host import Host
    from mirror.emulator.model.repository import Repository

_USER_LINKS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}


def account(host: Host, of: Account) -> Document:
    """An account as it appears inside other documents."""
    url = f"{host.addresses.api}/users/{quote(of.login)}"
    page = f"apps/{of.login.removesuffix('[bot]')}" if of.type == "Bot" else of.login
    return {
        "login": of.login,
        "id": of.id,
        "node_id": node_id(of.type, of.id),
        "avatar_url": f"{host.addresses.web}/avatars/u/{of.id}?v=4",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{host.addresses.web}/{page}",
        **{key: url + suffix for key, suffix in _USER_LINKS.items()},
        "type": of.type,
        "site_admin": False,
    }


def _owned(host: Host, of: Account) -> list[Repository]:
    return [r for r in host.repositories.values() if r.owner is of]


def _public_counts(host: Host, of: Account) -> Document:
    return {
        "public_repos": sum(not r.private for r in _owned(host, of)),
        **dict.fromkeys(("public_gists", "followers", "following"), 0),
        "created_at": of.created_at,
        "updated_at": of.created_at,
    }


def user(host: Host, of: Account) -> Document:
    """An account as `/users/{login}` shows it."""
    return {
        **account(host, of),
        **dict.fromkeys(("name", "company", "blog", "location", "email", "hireable", "bio")),
        **_public_counts(host, of),
    }


def private_user(host: Host, of: Account) -> Document:
    """An account as `/user` shows it to itself."""
    private = sum(r.private for r in _owned(host, of))
    return {
        **user(host, of),
        "total_private_repos": private,
        "owned_private_repos": private,
        **dict.fromkeys(("private_gists", "disk_usage", "collaborators"), 0),
        "two_factor_authentication": True,
    }


def organization(host: Host, of: Account) -> Document:
    """An organization as `/orgs/{login}` shows it."""
    url = f"{host.addresses.api}/orgs/{of.login}"
    links = ("repos", "events", "hooks", "issues")
    return {
        "login": of.login,
        "id": of.id,
        "node_id": node_id("Organization", of.id),
        "url": url,
        **{f"{name}_url": f"{url}/{name}" for name in links},
        "members_url": f"{url}/members{{/member}}",
        "public_members_url": f"{url}/public_members{{/member}}",
        "avatar_url": f"{host.addresses.web}/avatars/u/{of.id}?v=4",
        "description": None,
        "has_organization_projects": True,
        "has_repository_projects": True,
        **_public_counts(host, of),
        "html_url": f"{host.addresses.web}/{of.login}",
        "type": "Organization",
        "archived_at": None,
    }


def membership(host: Host, of: Account, token: Token, may_create: bool) -> Document:
    """The owner of a token as a member of an organization."""
    shown = organization(host, of)
    simple = ("login", "id", "node_id", "url", "repos_url", "events_url", "hooks_url", "issues_url")
    more = ("members_url", "public_members_url", "avatar_url", "description")
    return {
        "url": f"{shown['url']}/memberships/{token.account.login}",
        "state": "active",
        "role": "admin" if token.admin else "member",
        "organization_url": shown["url"],
        "organization": {key: shown[key] for key in (*simple, *more)},
        "user": account(host, token.account),
        "permissions": {"can_create_repository": may_create},
    }
