"""What the host says about itself: addresses, version, API versions, rate limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.emulator.http.answer import Answer, not_found
from mirror.emulator.http.routing import Routes
from mirror.emulator.model.host_options import API_VERSIONS

if TYPE_CHECKING:
    from mirror.emulator.http.call import Call

_ROOT = {
    "authorizations": "/authorizations",
    "code_search": "/search/code?q={query}{&page,per_page,sort,order}",
    "commit_search": "/search/commits?q={query}{&page,per_page,sort,order}",
    "current_user": "/user", "current_user_repositories": "/user/repos{?type,page,per_page,sort}",
    "emails": "/user/emails", "emojis": "/emojis", "events": "/events", "feeds": "/feeds",
    "followers": "/user/followers", "following": "/user/following{/target}",
    "gists": "/gists{/gist_id}", "hub": "/hub",
    "issue_search": "/search/issues?q={query}{&page,per_page,sort,order}", "issues": "/issues",
    "keys": "/user/keys",
    "label_search": "/search/labels?q={query}&repository_id={repository_id}{&page,per_page}",
    "notifications": "/notifications", "organization": "/orgs/{org}",
    "organization_repositories": "/orgs/{org}/repos{?type,page,per_page,sort}",
    "organization_teams": "/orgs/{org}/teams", "public_gists": "/gists/public",
    "rate_limit": "/rate_limit", "repository": "/repos/{owner}/{repo}",
    "repository_search": "/search/repositories?q={query}{&page,per_page,sort,order}",
    "starred": "/user/starred{/owner}{/repo}", "starred_gists": "/gists/starred",
    "topic_search": "/search/topics?q={query}{&page,per_page}", "user": "/users/{user}",
    "user_organizations": "/user/orgs",
    "user_repositories": "/users/{user}/repos{?type,page,per_page,sort}",
    "user_search": "/search/users?q={query}{&page,per_page,sort,order}",
}  # fmt: skip
"""The addresses of the API's root, https://docs.github.com/en/rest/meta/meta#github-api-root."""

routes = Routes()


@routes.route("GET", "/", "get-root")
async def get_root(call: Call) -> Answer:
    """The addresses of the API."""
    api, web = call.state.addresses.api, call.state.addresses.web
    made = {f"{name}_url": api + path for name, path in _ROOT.items()}
    made["current_user_authorizations_html_url"] = (
        f"{web}/settings/connections/applications{{/client_id}}"
    )
    return Answer.json(made)


@routes.route("GET", "/meta", "get-meta")
async def get_meta(call: Call) -> Answer:
    """`installed_version` is on GHES only."""
    version = {"installed_version": call.state.version} if call.state.kind == "ghes" else {}
    return Answer.json({"verifiable_password_authentication": True, **version})


@routes.route("GET", "/versions", "list-api-versions")
async def list_api_versions(call: Call) -> Answer:
    """API versions; GHES does not have this address."""
    if call.state.kind == "ghes":
        raise not_found()
    return Answer.json(list(API_VERSIONS))


@routes.route("GET", "/rate_limit", "get-rate-limit")
async def get_rate_limit(call: Call) -> Answer:
    """What is left; 404 where limits are off, as on GHES by default."""
    limits = call.state.limits
    if not limits.enabled:
        raise not_found("Rate limiting is not enabled.")
    core = limits.status(call.credential)
    resources = dict.fromkeys(("core", "search", "graphql"), core)
    return Answer.json({"resources": resources, "rate": core})
