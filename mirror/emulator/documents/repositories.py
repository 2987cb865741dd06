"""Repositories, with what the caller may do in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.emulator.documents.accounts import account
from mirror.emulator.documents.shared import Document, node_id, repository_url, web_url
from mirror.emulator.model.accounts import allows

if TYPE_CHECKING:
    from mirror.emulator.model.accounts import Token
    from mirror.emulator.model.host import Host
    from mirror.emulator.model.repository import Repository

_REPOSITORY_LINKS = {
    "archive_url": "/{archive_format}{/ref}",
    "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors",
    "deployments_url": "/deployments",
    "downloads_url": "/downloads",
    "events_url": "/events",
    "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}",
    "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}",
    "languages_url": "/languages",
    "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "tags_url": "/tags",
    "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
    "hooks_url": "/hooks",
}
_COUNTERS = (
    "forks",
    "forks_count",
    "open_issues",
    "open_issues_count",
    "size",
    "stargazers_count",
    "watchers",
    "watchers_count",
)


def repository(host: Host, of: Repository, token: Token | None, *, full: bool = True) -> Document:
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
        **{key: url + suffix for key, suffix in _REPOSITORY_LINKS.items()},
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
