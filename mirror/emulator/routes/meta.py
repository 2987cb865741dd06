"""What the host says about itself: addresses, version, API versions, rate limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.emulator.http.answer import Answer
from mirror.emulator.http.error_responses import not_found
from mirror.emulator.http.routing import Routes
from mirror.emulator.model.host_options import API_VERSIONS

if TYPE_CHECKING:
    from mirror.emulator.http.call import Call

routes = Routes()


@routes.route("GET", "/", "get-root")
async def get_root(call: Call) -> Answer:
    """The addresses of the API."""
    api = call.state.addresses.api
    return Answer.json(
        {
            "current_user_url": f"{api}/user",
            "repository_url": f"{api}/repos/{{owner}}/{{repo}}",
            "organization_url": f"{api}/orgs/{{org}}",
            "rate_limit_url": f"{api}/rate_limit",
        }
    )


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
