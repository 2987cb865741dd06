"""Refs, tags, and commits by any name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mirror.emulator.documents import git as documents
from mirror.emulator.http.answer import Answer, conflict, not_found, unprocessable
from mirror.emulator.http.request_body import json_object
from mirror.emulator.http.routing import Routes
from mirror.emulator.model.git_objects import valid_ref
from mirror.emulator.routes.repository_routes import REPOSITORY

if TYPE_CHECKING:
    from mirror.emulator.http.call import Call
    from mirror.emulator.model.accounts import Permission
    from mirror.emulator.model.repository import Repository

GIT = f"{REPOSITORY}/git"
routes = Routes()


def git_repository(call: Call, need: Permission = "read") -> Repository:
    """The repository of the path, which must have a commit."""
    found = call.repository(need)
    if found.empty:
        raise conflict("Git Repository is empty.")
    return found


def any_object(repository: Repository, sha: Any) -> str:
    """The SHA of an object from a request.

    Raises:
        ApiError: 422.
    """
    if not isinstance(sha, str) or repository.objects.kind(sha) is None:
        raise unprocessable("Object does not exist")
    return sha


@routes.route("GET", f"{GIT}/ref/{{ref*}}", "get-ref")
async def get_ref(call: Call) -> Answer:
    """A ref by its exact name."""
    repository = git_repository(call)
    name = f"refs/{call.params['ref']}"
    if name not in repository.refs or call.lagging([repository.ref_ids[name]]):
        raise not_found()
    return Answer.json(documents.ref(call.state, repository, name))


def _matching(call: Call, prefix: str, path: str) -> Answer:
    repository = git_repository(call)
    names = sorted(name for name in repository.refs if name.startswith(prefix))
    lagging = call.lagging(repository.ref_ids[name] for name in names)
    return call.page_of(
        [name for name in names if repository.ref_ids[name][0] not in lagging],
        f"/repositories/{repository.id}/git/{path}",
        lambda name: documents.ref(call.state, repository, name),
    )


@routes.route("GET", f"{GIT}/refs", "list-refs")
@routes.route("GET", f"{GIT}/matching-refs/{{ref*}}", "list-matching-refs")
async def list_refs(call: Call) -> Answer:
    """All refs, or those that begin with a prefix."""
    ref = call.params.get("ref", "")
    return _matching(call, f"refs/{ref}", f"matching-refs/{ref}" if ref else "refs")


@routes.route("GET", f"{GIT}/refs/{{ref*}}", "list-refs")
async def list_refs_below(call: Call) -> Answer:
    """The ref of that name, else those that begin with it, as old servers answer."""
    repository = git_repository(call)
    name = f"refs/{call.params['ref']}"
    if name in repository.refs and not call.lagging([repository.ref_ids[name]]):
        return Answer.json(documents.ref(call.state, repository, name))
    if not any(known.startswith(name) for known in repository.refs):
        raise not_found()
    return _matching(call, name, name)


@routes.route("POST", f"{GIT}/refs", "create-ref")
async def create_ref(call: Call) -> Answer:
    """Create a ref."""
    repository = git_repository(call, "write")
    asked = await json_object(call)
    name = asked.get("ref")
    if not isinstance(name, str) or not name.startswith("refs/") or name.count("/") < 2:
        raise unprocessable("Reference name must start with 'refs/' and have at least two slashes")
    if not valid_ref(name):
        raise unprocessable(f"{name} is not a valid ref name.")
    if name in repository.refs:
        raise unprocessable("Reference already exists")
    call.state.set_ref(repository, name, any_object(repository, asked.get("sha")))
    call.state.run_workflows(repository, "push", name)
    return Answer.created(documents.ref(call.state, repository, name))


def _changeable(call: Call, repository: Repository) -> str:
    name = f"refs/{call.params['ref']}"
    if name not in repository.refs:
        raise unprocessable("Reference does not exist")
    release = repository.published(name.removeprefix("refs/tags/"))
    if release is not None and release.immutable and name.startswith("refs/tags/"):
        raise unprocessable("Cannot change the tag of an immutable release")
    return name


@routes.route("PATCH", f"{GIT}/refs/{{ref*}}", "update-ref")
async def update_ref(call: Call) -> Answer:
    """Move a ref; backwards or sideways only with `force`."""
    repository = git_repository(call, "write")
    asked = await json_object(call)
    name = _changeable(call, repository)
    sha = any_object(repository, asked.get("sha"))
    if not asked.get("force") and not repository.objects.descends(sha, repository.refs[name]):
        raise unprocessable("Update is not a fast forward")
    call.state.set_ref(repository, name, sha)
    return Answer.json(documents.ref(call.state, repository, name))


@routes.route("DELETE", f"{GIT}/refs/{{ref*}}", "delete-ref")
async def delete_ref(call: Call) -> Answer:
    """Delete a ref; the release of a deleted tag becomes a draft."""
    repository = git_repository(call, "write")
    call.state.delete_ref(repository, _changeable(call, repository))
    return Answer.nothing()


@routes.route("GET", f"{REPOSITORY}/commits/{{ref*}}", "get-commit")
async def get_commit(call: Call) -> Answer:
    """The commit of a branch, a tag or a SHA."""
    repository = git_repository(call)
    sha = repository.resolve(call.params["ref"])
    if sha is None:
        raise unprocessable(f"No commit found for SHA: {call.params['ref']}")
    return Answer.json(documents.commit(call.state, repository, sha))


@routes.route("GET", f"{REPOSITORY}/tags", "list-tags")
async def list_tags(call: Call) -> Answer:
    """Tags with their commits, annotated ones peeled."""
    repository = call.repository()
    refs = [ref for ref in sorted(repository.refs, reverse=True) if ref.startswith("refs/tags/")]
    lagging = call.lagging(repository.ref_ids[ref] for ref in refs)
    names = [ref.removeprefix("refs/tags/") for ref in refs
             if repository.ref_ids[ref][0] not in lagging]  # fmt: skip
    return call.page_of(
        [(name, sha) for name in names if (sha := repository.tag_commit(name)) is not None],
        f"/repositories/{repository.id}/tags",
        lambda tag: documents.tag(call.state, repository, *tag),
    )
