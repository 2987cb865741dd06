"""Control over HTTP, for who drives the emulator from another process."""

from __future__ import annotations

from http import HTTPStatus
from itertools import islice
from typing import Any

from mirror.emulator.errors import ApiError, Item
from mirror.emulator.faults import Fault
from mirror.emulator.routing import Answer, Call, route
from mirror.emulator.seed import SeedError, apply_seed, parse_seed


def _wrong(message: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, message, documented=False)


@route("GET", "/requests", "control-requests", origin="control")
async def get_requests(call: Call) -> Answer:
    """The requests after number `since`."""
    log, asked = call.state.log, call.request.query.get("since", "0")
    if not (asked.isascii() and asked.isdigit()):
        raise _wrong("since is the number of a request")
    since = int(asked)
    # Numbers are without gaps, so that what to skip is known.
    first = log.records[0].n if log.records else 0
    wanted = islice(log.records, max(0, since + 1 - first), None)
    return Answer.json([record.as_json() for record in wanted])


@route("DELETE", "/requests", "control-requests", origin="control")
async def delete_requests(call: Call) -> Answer:
    """Forget the requests."""
    call.state.reset_requests()
    return Answer.nothing()


@route("GET", "/violations", "control-violations", origin="control")
async def get_violations(call: Call) -> Answer:
    """What a reader could see and should not, and how often a name was absent for a moment."""
    found = call.state.invariants
    return Answer.json(
        {
            "violations": found.violations,
            "windows": found.windows,
            "open_windows": found.open_windows,
        }
    )


@route("POST", "/faults", "control-faults", origin="control")
async def post_faults(call: Call) -> Answer:
    """Arm one fault, or those in `faults`."""
    document = await call.document()
    given = document.get("faults", [document])
    try:
        call.state.faults.add(*(Fault.from_json(one) for one in given))
    except (TypeError, ValueError) as error:
        raise _wrong(str(error)) from None
    return Answer.nothing()


@route("DELETE", "/faults", "control-faults", origin="control")
async def delete_faults(call: Call) -> Answer:
    """Disarm all faults."""
    call.state.faults.clear()
    return Answer.nothing()


@route("POST", "/resume", "control-resume", origin="control")
async def post_resume(call: Call) -> Answer:
    """Let the bodies that stall flow on."""
    call.state.faults.resume()
    return Answer.nothing()


@route("POST", "/seed", "control-seed", origin="control")
async def post_seed(call: Call) -> Answer:
    """Add what a seed document says."""
    try:
        apply_seed(call.state, parse_seed(await call.document(), "the request"))
    except SeedError as error:
        raise _wrong(str(error)) from None
    return Answer.nothing()


@route("POST", "/expect", "control-expect", origin="control")
async def post_expect(call: Call) -> Answer:
    """Declare what a published release must hold, and which may be the latest."""
    document = await call.document()
    try:
        if "assets" in document:
            call.state.expect(document["repository"], document["tag"], document["assets"])
        if "latest" in document:
            call.state.expect_latest(document["repository"], document["latest"])
    except KeyError as error:
        raise _wrong(f"missing or unknown: {error}") from None
    return Answer.nothing()


@route("GET", "/state", "control-state", origin="control")
async def get_state(call: Call) -> Answer:
    """Everything, in a form to compare."""
    state = call.state
    return Answer.json(
        {
            "kind": state.kind,
            "version": state.version,
            "repositories": {
                repository.full_name: {
                    "id": repository.id,
                    "visibility": repository.visibility,
                    "archived": repository.archived,
                    "default_branch": repository.default_branch,
                    "actions_enabled": repository.actions_enabled,
                    "refs": repository.refs,
                    "tags": {
                        ref.removeprefix("refs/tags/"): repository.objects.peel(sha)
                        for ref, sha in repository.refs.items()
                        if ref.startswith("refs/tags/")
                    },
                    "latest": latest.tag if (latest := repository.latest()) else None,
                    "releases": _releases(call, repository.full_name),
                }
                for repository in state.repositories.values()
            },
        }
    )


def _releases(call: Call, full_name: str) -> list[Item]:
    return [
        {
            "id": release.id,
            "tag": release.tag,
            "name": release.name,
            "body": release.body,
            "draft": release.draft,
            "prerelease": release.prerelease,
            "created_at": release.created_at,
            "published_at": release.published_at,
            "assets": [_asset(asset) for asset in release.assets],
        }
        for release in call.state.releases(full_name)
    ]


def _asset(asset: Any) -> Item:
    keys = ("id", "name", "label", "content_type", "state", "size", "sha256", "download_count")
    return {key: getattr(asset, key) for key in keys}
