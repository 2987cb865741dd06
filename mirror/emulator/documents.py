"""What the host holds, as the JSON that GitHub's API would show.

Releases and assets are rendered once and kept until they change.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mirror.emulator.access import allows, permission_in

if TYPE_CHECKING:
    from mirror.emulator.model import Account, Asset, Release, Repository, Token
    from mirror.emulator.state import GitHubState

Document = dict[str, Any]


def dumps(document: Any) -> str:
    """Compact JSON."""
    return json.dumps(document, separators=(",", ":"))


def node_id(kind: str, number: int | str) -> str:
    """An opaque identifier."""
    return base64.b64encode(f"{kind}:{number}".encode()).decode()


def repository_url(state: GitHubState, repository: Repository) -> str:
    """The API's address of a repository."""
    return f"{state.addresses.api}/repos/{repository.full_name}"


def web_url(state: GitHubState, repository: Repository) -> str:
    """The address of a repository for people."""
    return f"{state.addresses.web}/{repository.full_name}"


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


def account(state: GitHubState, account: Account) -> Document:
    """An account as it appears inside other things."""
    url = f"{state.addresses.api}/users/{account.login}"
    return {
        "login": account.login,
        "id": account.id,
        "node_id": node_id(account.type, account.id),
        "avatar_url": f"{state.addresses.web}/avatars/u/{account.id}?v=4",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{state.addresses.web}/{account.login}",
        **{key: url + suffix for key, suffix in _USER_LINKS.items()},
        "type": account.type,
        "site_admin": False,
    }


def _account_json(state: GitHubState, of: Account) -> str:
    if of.json is None:
        of.json = dumps(account(state, of))
    return of.json


def _owned(state: GitHubState, of: Account) -> list[Repository]:
    return [r for r in state.repositories.values() if r.owner is of]


def user(state: GitHubState, of: Account) -> Document:
    """An account as `/users/{login}` shows it."""
    return {
        **account(state, of),
        **dict.fromkeys(("name", "company", "blog", "location", "email", "hireable", "bio")),
        "public_repos": sum(not r.private for r in _owned(state, of)),
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": of.created_at,
        "updated_at": of.created_at,
    }


def private_user(state: GitHubState, of: Account) -> Document:
    """An account as `/user` shows it to itself."""
    private = sum(r.private for r in _owned(state, of))
    return {
        **user(state, of),
        "private_gists": 0,
        "total_private_repos": private,
        "owned_private_repos": private,
        "disk_usage": 0,
        "collaborators": 0,
        "two_factor_authentication": True,
    }


def organization(state: GitHubState, of: Account) -> Document:
    """An organization as `/orgs/{login}` shows it."""
    url = f"{state.addresses.api}/orgs/{of.login}"
    links = ("repos", "events", "hooks", "issues")
    return {
        "login": of.login,
        "id": of.id,
        "node_id": node_id("Organization", of.id),
        "url": url,
        **{f"{name}_url": f"{url}/{name}" for name in links},
        "members_url": f"{url}/members{{/member}}",
        "public_members_url": f"{url}/public_members{{/member}}",
        "avatar_url": f"{state.addresses.web}/avatars/u/{of.id}?v=4",
        "description": None,
        "has_organization_projects": True,
        "has_repository_projects": True,
        "public_repos": sum(not r.private for r in _owned(state, of)),
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "html_url": f"{state.addresses.web}/{of.login}",
        "type": "Organization",
        "created_at": of.created_at,
        "updated_at": of.created_at,
        "archived_at": None,
    }


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


def repository(
    state: GitHubState, of: Repository, token: Token | None, *, full: bool = True
) -> Document:
    """A repository, with what the caller may do in it; `full` adds what only a single one has."""
    url, web = repository_url(state, of), web_url(state, of)
    level = permission_in(state, of, token)
    made: Document = {
        "id": of.id,
        "node_id": node_id("Repository", of.id),
        "name": of.name,
        "full_name": of.full_name,
        "private": of.private,
        "owner": account(state, of.owner),
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


def asset_json(state: GitHubState, of: Repository, release: Release, asset: Asset) -> str:
    """An asset, rendered."""
    if asset.json is None:
        shown = release.untagged if release.draft else release.tag
        made: Document = {
            "url": f"{repository_url(state, of)}/releases/assets/{asset.id}",
            "id": asset.id,
            "node_id": node_id("ReleaseAsset", asset.id),
            "name": asset.name,
            "label": asset.label,
            "content_type": asset.content_type,
            "state": asset.state,
            "size": asset.size,
            "download_count": asset.download_count,
            "created_at": asset.created_at,
            "updated_at": asset.updated_at,
            "browser_download_url": f"{web_url(state, of)}/releases/download/"
            f"{quote(shown)}/{quote(asset.name)}",
        }
        if state.digests:
            made["digest"] = f"sha256:{asset.sha256}" if asset.state == "uploaded" else None
        uploader = _account_json(state, asset.uploader)
        asset.json = f'{dumps(made)[:-1]},"uploader":{uploader}}}'
    return asset.json


def release_json(state: GitHubState, of: Repository, release: Release) -> str:
    """A release with all its assets, rendered."""
    if release.json is None:
        assets = (asset_json(state, of, release, asset) for asset in release.assets)
        release.json = release_with(state, of, release, ",".join(assets))
    return release.json


def release_with(state: GitHubState, of: Repository, release: Release, assets: str) -> str:
    """A release with the assets that are given, rendered."""
    url, web = repository_url(state, of), web_url(state, of)
    here = f"{url}/releases/{release.id}"
    uploads = f"{state.addresses.uploads}/repos/{of.full_name}/releases/{release.id}"
    shown = quote(release.untagged if release.draft else release.tag)
    made: Document = {
        "url": here,
        "assets_url": f"{here}/assets",
        "upload_url": f"{uploads}/assets{{?name,label}}",
        "html_url": f"{web}/releases/tag/{shown}",
        "id": release.id,
        "node_id": node_id("Release", release.id),
        "tag_name": release.tag,
        "target_commitish": release.target_commitish,
        "name": release.name,
        "draft": release.draft,
        "prerelease": release.prerelease,
        "created_at": release.created_at,
        "published_at": release.published_at,
        "tarball_url": None if release.draft else f"{url}/tarball/{shown}",
        "zipball_url": None if release.draft else f"{url}/zipball/{shown}",
        "body": release.body,
    }
    if state.has_immutable:
        made |= {"immutable": release.immutable, "updated_at": release.updated_at}
    author = _account_json(state, release.author)
    return f'{dumps(made)[:-1]},"author":{author},"assets":[{assets}]}}'
