"""Git objects over the API: blobs, trees, commits, tag objects."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from mirror.emulator.documents import git as documents
from mirror.emulator.documents.shared import repository_url
from mirror.emulator.http.answer import Answer, ApiError, invalid, item, not_found, unprocessable
from mirror.emulator.http.permissions import require_user
from mirror.emulator.http.request_body import json_object
from mirror.emulator.http.routing import Routes
from mirror.emulator.model.git_objects import BLOB_MODE, Identity, valid_ref
from mirror.emulator.model.iso_time import iso, seconds
from mirror.emulator.routes.refs import GIT, any_object, git_repository

if TYPE_CHECKING:
    from mirror.emulator.http.call import Call
    from mirror.emulator.model.repository import Repository

routes = Routes()


def _object(repository: Repository, sha: Any, kind: str) -> str:
    """A SHA from a request that must name an object of this kind."""
    if not isinstance(sha, str) or repository.objects.kind(sha) != kind:
        raise unprocessable(f"{kind.capitalize()} SHA does not exist")
    return sha


def missing(key: str) -> ApiError:
    """422 for a request that lacks a key."""
    return unprocessable(f'Invalid request.\n\n"{key}" wasn\'t supplied.')


def identity(call: Call, given: Any, default: Identity | None = None) -> Identity:
    """An author from a request; by default the caller, now."""
    token = require_user(call.token)
    base = default or call.state.identity(token.account)
    if given is None:
        return base
    if not isinstance(given, dict) or not given.get("name") or not given.get("email"):
        raise unprocessable("Invalid request.\n\nauthor and committer need a name and an email.")
    try:
        date = iso(seconds(given["date"])) if given.get("date") else base.date
    except (TypeError, ValueError):
        raise unprocessable(f"Invalid request.\n\n{given['date']!r} is not a date-time.") from None
    return Identity(str(given["name"]), str(given["email"]), date)


@routes.route("POST", f"{GIT}/blobs", "create-blob")
async def create_blob(call: Call) -> Answer:
    """Store a file's bytes."""
    repository = git_repository(call, "write")
    asked = await json_object(call)
    content = asked.get("content")
    if not isinstance(content, str):
        raise missing("content")
    sha = repository.objects.blob(decoded(content, asked.get("encoding", "utf-8")))
    call.state.touched()
    url = f"{repository_url(call.state, repository)}/git/blobs/{sha}"
    return Answer.created({"sha": sha, "url": url})


def decoded(content: str, encoding: str) -> bytes:
    """The bytes of a file from a request."""
    if encoding != "base64":
        return content.encode()
    try:
        return base64.b64decode(content)
    except (binascii.Error, ValueError):
        raise unprocessable("content is not valid Base64") from None


@routes.route("POST", f"{GIT}/trees", "create-tree")
async def create_tree(call: Call) -> Answer:
    """Store a tree, from nothing or on top of `base_tree`."""
    repository = git_repository(call, "write")
    asked = await json_object(call)
    entries, base = asked.get("tree"), asked.get("base_tree")
    if not isinstance(entries, list):
        raise missing("tree")
    tree: str | None = None
    if base is not None:
        # A commit is understood as its tree.
        peeled = repository.objects.peel(str(base))
        base = repository.objects.read_commit(peeled).tree if peeled else base
        tree = _object(repository, base, "tree")
    for entry in entries:
        tree = _with_entry(repository, tree, entry)
    sha = tree or repository.objects.tree([])
    call.state.touched()
    return Answer.created(documents.tree(call.state, repository, sha, recursive=False))


def _with_entry(repository: Repository, tree: str | None, entry: Any) -> str:
    if not isinstance(entry, dict) or not entry.get("path"):
        raise unprocessable("tree.path contains a malformed path component")
    sha = entry.get("sha")
    if isinstance(entry.get("content"), str):
        sha = repository.objects.blob(entry["content"].encode())
    elif sha is not None and repository.objects.kind(str(sha)) is None:
        raise unprocessable(f"tree.sha {sha} is not a valid blob")
    mode = str(entry.get("mode", BLOB_MODE)).lstrip("0")
    return repository.objects.put(tree, str(entry["path"]).strip("/"), mode, sha)


@routes.route("GET", f"{GIT}/trees/{{sha*}}", "get-tree")
async def get_tree(call: Call) -> Answer:
    """A tree by its SHA, or that of a commit, branch or tag."""
    repository = git_repository(call)
    sha = call.params["sha"]
    if repository.objects.kind(sha) != "tree":
        commit = repository.resolve(sha)
        if commit is None:
            raise not_found()
        sha = repository.objects.read_commit(commit).tree
    recursive = "recursive" in call.request.query
    return Answer.json(documents.tree(call.state, repository, sha, recursive=recursive))


@routes.route("POST", f"{GIT}/commits", "create-commit")
async def create_commit(call: Call) -> Answer:
    """Store a commit; no ref moves."""
    repository = git_repository(call, "write")
    asked = await json_object(call)
    if not isinstance(asked.get("message"), str):
        raise missing("message")
    tree = _object(repository, asked.get("tree"), "tree")
    parents = asked.get("parents") or []
    if not isinstance(parents, list):
        raise unprocessable("Invalid request.\n\nparents is not an array.")
    author = identity(call, asked.get("author"))
    sha = repository.objects.commit(
        tree,
        tuple(_object(repository, parent, "commit") for parent in parents),
        author,
        asked["message"],
        identity(call, asked.get("committer"), author),
    )
    call.state.touched()
    return Answer.created(documents.git_commit(call.state, repository, sha))


@routes.route("POST", f"{GIT}/tags", "create-tag-object")
async def create_tag_object(call: Call) -> Answer:
    """Store an annotated tag; its ref is created by another request."""
    repository = git_repository(call, "write")
    asked = await json_object(call)
    target, name = any_object(repository, asked.get("object")), asked.get("tag")
    if not isinstance(name, str) or not valid_ref(name):
        raise invalid(item("Tag", "invalid", "tag"))
    tagger = identity(call, asked.get("tagger"))
    sha = repository.objects.tag(name, target, tagger, str(asked.get("message", "")))
    call.state.touched()
    return Answer.created(documents.annotated_tag(call.state, repository, sha))


_READ = {
    "get-blob": ("blob", documents.blob),
    "get-git-commit": ("commit", documents.git_commit),
    "get-tag-object": ("tag", documents.annotated_tag),
}


@routes.route("GET", f"{GIT}/blobs/{{sha}}", "get-blob")
@routes.route("GET", f"{GIT}/commits/{{sha}}", "get-git-commit")
@routes.route("GET", f"{GIT}/tags/{{sha}}", "get-tag-object")
async def get_object(call: Call) -> Answer:
    """A blob, a commit or a tag object by its SHA."""
    repository, sha = git_repository(call), call.params["sha"]
    kind, render = _READ[call.route]
    if repository.objects.kind(sha) != kind:
        raise not_found()
    return Answer.json(render(call.state, repository, sha))
