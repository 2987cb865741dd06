"""Git over the API: refs, tags, commits by any name."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from mirror.emulator import documents_git
from mirror.emulator.errors import conflict, not_found, unprocessable
from mirror.emulator.releases import valid_ref
from mirror.emulator.routing import Answer, Call, route

if TYPE_CHECKING:
    from mirror.emulator.model import Permission, Repository

GIT = "/repos/{owner}/{repo}/git"
REPOSITORY = "/repos/{owner}/{repo}"


def git_repository(call: Call, need: Permission = "read") -> Repository:
    """The repository; an empty one has no git database."""
    found = call.repository(need)
    if found.empty:
        raise conflict("Git Repository is empty.")
    return found


@route("GET", f"{GIT}/ref/{{ref*}}", "get-ref")
async def get_ref(call: Call) -> Answer:
    """One ref by its exact name."""
    repository = git_repository(call)
    name = f"refs/{call.params['ref']}"
    if name not in repository.refs or call.hidden([repository.ref_ids[name]]):
        raise not_found()
    return Answer.json(documents_git.ref(call.state, repository, name))


def _matching(call: Call, prefix: str, path: str) -> Answer:
    repository = git_repository(call)
    names = sorted(name for name in repository.refs if name.startswith(prefix))
    hidden = call.hidden([repository.ref_ids[name] for name in names])
    shown = [name for name in names if repository.ref_ids[name][0] not in hidden]
    made = [documents_git.ref(call.state, repository, name) for name in call.cut(shown)]
    links = call.links(f"/repositories/{repository.id}/git/{path}", len(shown))
    return Answer.json(made, HTTPStatus.OK, **links)


@route("GET", f"{GIT}/refs", "list-refs")
async def list_refs(call: Call) -> Answer:
    """All refs."""
    return _matching(call, "refs/", "refs")


@route("GET", f"{GIT}/refs/{{ref*}}", "list-refs")
async def list_refs_below(call: Call) -> Answer:
    """The ref of that name, else those that begin with it, as old servers answer."""
    repository = git_repository(call)
    name = f"refs/{call.params['ref']}"
    if name in repository.refs and not call.hidden([repository.ref_ids[name]]):
        return Answer.json(documents_git.ref(call.state, repository, name))
    if not any(known.startswith(name) for known in repository.refs):
        raise not_found()
    return _matching(call, name, f"refs/{call.params['ref']}")


@route("GET", f"{GIT}/matching-refs/{{ref*}}", "list-matching-refs")
async def list_matching_refs(call: Call) -> Answer:
    """Refs that begin with something."""
    ref = call.params["ref"]
    return _matching(call, f"refs/{ref}", f"matching-refs/{ref}")


@route("POST", f"{GIT}/refs", "create-ref")
async def create_ref(call: Call) -> Answer:
    """Make a ref."""
    repository = git_repository(call, "write")
    document = await call.document()
    name, sha = document.get("ref"), document.get("sha")
    if not isinstance(name, str) or not name.startswith("refs/") or name.count("/") < 2:
        raise unprocessable("Reference name must start with 'refs/' and have at least two slashes")
    if not valid_ref(name):
        raise unprocessable(f"{name} is not a valid ref name.")
    if name in repository.refs:
        raise unprocessable("Reference already exists")
    if not isinstance(sha, str) or repository.objects.kind(sha) is None:
        raise unprocessable("Object does not exist")
    call.state.set_ref(repository, name, sha)
    call.state.started(repository, "push", name)
    shown = documents_git.ref(call.state, repository, name)
    return Answer.json(shown, HTTPStatus.CREATED, Location=shown["url"])


def _existing(call: Call, repository: Repository) -> str:
    name = f"refs/{call.params['ref']}"
    if name not in repository.refs:
        raise unprocessable("Reference does not exist")
    held = repository.published(name.removeprefix("refs/tags/"))
    if held is not None and held.immutable and name.startswith("refs/tags/"):
        raise unprocessable("Cannot change the tag of an immutable release")
    return name


@route("PATCH", f"{GIT}/refs/{{ref*}}", "update-ref")
async def update_ref(call: Call) -> Answer:
    """Move a ref; backwards or sideways only with `force`."""
    repository = git_repository(call, "write")
    document = await call.document()
    name, sha = _existing(call, repository), document.get("sha")
    if not isinstance(sha, str) or repository.objects.kind(sha) is None:
        raise unprocessable("Object does not exist")
    if not document.get("force") and not _descends(repository, sha, repository.refs[name]):
        raise unprocessable("Update is not a fast forward")
    call.state.set_ref(repository, name, sha)
    return Answer.json(documents_git.ref(call.state, repository, name))


def _descends(repository: Repository, sha: str, ancestor: str) -> bool:
    objects = repository.objects
    ancestor, seen, todo = objects.peel(ancestor) or "", set[str](), [objects.peel(sha)]
    while todo:
        current = todo.pop()
        if current is None or current in seen or objects.kind(current) != "commit":
            continue
        if current == ancestor:
            return True
        seen.add(current)
        todo += objects.read_commit(current).parents
    return False


@route("DELETE", f"{GIT}/refs/{{ref*}}", "delete-ref")
async def delete_ref(call: Call) -> Answer:
    """Remove a ref; the release of a tag becomes a draft."""
    repository = git_repository(call, "write")
    call.state.delete_ref(repository, _existing(call, repository))
    return Answer.nothing()


@route("GET", f"{REPOSITORY}/commits/{{ref*}}", "get-commit")
async def get_commit(call: Call) -> Answer:
    """The commit of a branch, a tag or a SHA."""
    repository = git_repository(call)
    sha = repository.resolve(call.params["ref"])
    if sha is None:
        raise unprocessable(f"No commit found for SHA: {call.params['ref']}")
    return Answer.json(documents_git.commit(call.state, repository, sha))


@route("GET", f"{REPOSITORY}/tags", "list-tags")
async def list_tags(call: Call) -> Answer:
    """Tags with their commits, annotated ones peeled."""
    repository = call.repository()
    names = [ref for ref in repository.refs if ref.startswith("refs/tags/")]
    hidden = call.hidden([repository.ref_ids[ref] for ref in names])
    shown = [
        (ref.removeprefix("refs/tags/"), sha)
        for ref in sorted(names, reverse=True)
        if repository.ref_ids[ref][0] not in hidden
        and (sha := repository.objects.peel(repository.refs[ref])) is not None
    ]
    made = [documents_git.tag(call.state, repository, name, sha) for name, sha in call.cut(shown)]
    links = call.links(f"/repositories/{repository.id}/tags", len(shown))
    return Answer.json(made, HTTPStatus.OK, **links)
