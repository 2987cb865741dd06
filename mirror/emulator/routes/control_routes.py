"""The control API, which drives the emulator from another process.

A wrong request raises `ValueError`, `TypeError` or `KeyError`, which the handler answers with 400.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from mirror.emulator.faults.fault import Fault
from mirror.emulator.http.answer import Answer
from mirror.emulator.http.request_body import json_object
from mirror.emulator.http.routing import Routes
from mirror.emulator.model.seed import apply_seed, parse_seed

if TYPE_CHECKING:
    from mirror.emulator.http.call import Call
    from mirror.emulator.model.repository import Repository

_RELEASE = ("id", "tag", "name", "body", "draft", "prerelease", "created_at", "published_at")
_ASSET = ("id", "name", "label", "content_type", "state", "size", "sha256", "download_count")
_REPOSITORY = ("id", "visibility", "archived", "default_branch", "actions_enabled", "refs")
routes = Routes("control")


@routes.route("GET", "/requests", "control-requests")
async def get_requests(call: Call) -> Answer:
    """The requests after number `since`."""
    log, asked = call.state.log, call.request.query.get("since", "0")
    if not (asked.isascii() and asked.isdigit()):
        raise ValueError("since is the number of a request")
    since = int(asked)
    # Numbers have no gaps, so the first one tells how many to skip.
    first = log.records[0].n if log.records else 0
    wanted = islice(log.records, max(0, since + 1 - first), None)
    return Answer.json([record.as_json() for record in wanted])


@routes.route("DELETE", "/requests", "control-requests")
async def delete_requests(call: Call) -> Answer:
    """Forget the requests."""
    call.state.reset_requests()
    return Answer.nothing()


@routes.route("GET", "/violations", "control-violations")
async def get_violations(call: Call) -> Answer:
    """The violations, and the windows in which a replaced name was absent."""
    found = call.state.invariants
    return Answer.json(
        {
            "violations": found.violations,
            "windows": found.windows,
            "open_windows": found.open_windows,
        }
    )


@routes.route("POST", "/faults", "control-faults")
async def post_faults(call: Call) -> Answer:
    """Arm one fault, or those in `faults`."""
    document = await json_object(call)
    given = document.get("faults", [document])
    call.state.faults.add(*(Fault.from_json(one) for one in given))
    return Answer.nothing()


@routes.route("DELETE", "/faults", "control-faults")
async def delete_faults(call: Call) -> Answer:
    """Disarm all faults."""
    call.state.faults.clear()
    return Answer.nothing()


@routes.route("POST", "/resume", "control-resume")
async def post_resume(call: Call) -> Answer:
    """Let stalled bodies continue."""
    call.state.faults.resume()
    return Answer.nothing()


@routes.route("POST", "/seed", "control-seed")
async def post_seed(call: Call) -> Answer:
    """Add the content of a seed document."""
    apply_seed(call.state, parse_seed(await json_object(call), "the request"))
    return Answer.nothing()


@routes.route("POST", "/expect", "control-expect")
async def post_expect(call: Call) -> Answer:
    """Declare what a published release must hold, and which may be the latest."""
    document = await json_object(call)
    if "assets" in document:
        call.state.expect(document["repository"], document["tag"], document["assets"])
    if "latest" in document:
        call.state.expect_latest(document["repository"], document["latest"])
    return Answer.nothing()


@routes.route("GET", "/state", "control-state")
async def get_state(call: Call) -> Answer:
    """Everything, in a form to compare."""
    state = call.state
    repositories = {r.full_name: _repository(call, r) for r in state.repositories.values()}
    return Answer.json(
        {"kind": state.kind, "version": state.version or None, "repositories": repositories}
    )


def _repository(call: Call, repository: Repository) -> dict[str, Any]:
    tags = (ref for ref in repository.refs if ref.startswith("refs/tags/"))
    names = [ref.removeprefix("refs/tags/") for ref in tags]
    latest = repository.latest()
    return {
        **_attributes(repository, _REPOSITORY),
        "tags": {name: repository.tag_commit(name) for name in names},
        "latest": latest.tag if latest else None,
        "releases": [
            _attributes(release, _RELEASE)
            | {"assets": [_attributes(asset, _ASSET) for asset in release.assets]}
            for release in call.state.releases(repository.full_name)
        ],
    }


def _attributes(thing: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in names}
