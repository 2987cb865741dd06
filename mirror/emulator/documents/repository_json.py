"""Repositories, with what the caller may do in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.emulator.documents.account_json import account
from mirror.emulator.documents.shared import Document, node_id, repository_url, web_url
from mirror.emulator.model.accounts import allows

if TYPE_CHECKING:
    from mirror.emulator.model.account_host import AccountHost
    from mirror.emulator.model.accounts import Token
    from mirror.emulator.model.repository import Repository

_LINKS = {
    "archive": "/{archive_format}{/ref}", "assignees": "/assignees{/user}",
    "blobs": "/git/blobs{/sha}", "branches": "/branches{/branch}",
    "collaborators": "/collaborators{/collaborator}", "comments": "/comments{/number}",
    "commits": "/commits{/sha}", "compare": "/compare/{base}...{head}",
    "contents": "/contents/{+path}", "git_commits": "/git/commits{/sha}",
    "git_refs": "/git/refs{/sha}", "git_tags": "/git/tags{/sha}",
    "issue_comment": "/issues/comments{/number}", "issue_events": "/issues/events{/number}",
    "issues": "/issues{/number}", "keys": "/keys{/key_id}", "labels": "/labels{/name}",
    "milestones": "/milestones{/number}",
    "notifications": "/notifications{?since,all,participating}", "pulls": "/pulls{/number}",
    "releases": "/releases{/id}", "statuses": "/statuses/{sha}", "trees": "/git/trees{/sha}",
}  # fmt: skip
_PLAIN_LINKS = (
    "contributors", "deployments", "downloads", "events", "forks", "hooks", "languages", "merges",
    "stargazers", "subscribers", "subscription", "tags", "teams",
)  # fmt: skip
_COUNTERS = (
    "forks", "forks_count", "open_issues", "open_issues_count", "size", "stargazers_count",
    "watchers", "watchers_count",
)  # fmt: skip


def repository(
    host: AccountHost, of: Repository, token: Token | None, *, full: bool = True
) -> Document:
    """A repository; `full` adds what lists leave out."""
    url, web = repository_url(host, of), web_url(host, of)
    level = host.permission(of, token)
    made: Document = {
        "id": of.id,
        "node_id": node_id("Repository", of.id),
        "name": of.name,
        "full_name": of.full_name,
        "private": of.private,
        "owner": account(host, of.owner),
        "html_url": web,
        "description": of.description,
        "fork": of.fork,
        "url": url,
        **{f"{name}_url": f"{url}/{name}" for name in _PLAIN_LINKS},
        **{f"{name}_url": url + suffix for name, suffix in _LINKS.items()},
        "git_url": f"git:{web.partition(':')[2]}.git",
        "ssh_url": f"git@{web.partition('//')[2].partition('/')[0]}:{of.full_name}.git",
        "clone_url": f"{web}.git",
        "svn_url": web,
        "mirror_url": None,
        "homepage": None,
        "language": None,
        "license": None,
        **dict.fromkeys(_COUNTERS, 0),
        "default_branch": of.default_branch,
        "has_issues": True,
        "has_projects": True,
        "has_wiki": True,
        "has_pages": False,
        "has_discussions": False,
        "has_downloads": True,
        "archived": of.archived,
        "disabled": False,
        "visibility": of.visibility,
        "is_template": False,
        "allow_forking": True,
        "topics": [],
        "created_at": of.created_at,
        "updated_at": of.pushed_at,
        "pushed_at": of.pushed_at,
    }
    if token is not None:
        made["permissions"] = {
            "admin": level == "admin",
            "maintain": level == "admin",
            "push": allows(level, "write"),
            "triage": allows(level, "write"),
            "pull": True,
        }
    if full:
        made |= {"network_count": 0, "subscribers_count": 0}
    return made
