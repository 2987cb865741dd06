"""Git over the API: blobs, trees, commits, tag objects, and files."""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mirror.emulator import documents, documents_git
from mirror.emulator.access import require_user
from mirror.emulator.errors import ApiError, conflict, invalid, item, not_found, unprocessable
from mirror.emulator.git import BLOB_MODE, TREE_MODE, Identity, TreeEntry, iso, seconds
from mirror.emulator.releases import valid_ref
from mirror.emulator.routing import Answer, Call, route

if TYPE_CHECKING:
    from mirror.emulator.model import Repository

from mirror.emulator.routes_git import GIT, REPOSITORY, git_repository


def _object(repository: Repository, sha: Any, kind: str) -> str:
    """A SHA from a request that must name an object of this kind."""
    if not isinstance(sha, str) or repository.objects.kind(sha) != kind:
        raise unprocessable(f"{kind.capitalize()} SHA does not exist")
    return sha


def _named(call: Call, repository: Repository, kind: str) -> str:
    sha = call.params["sha"]
    if repository.objects.kind(sha) != kind:
        raise not_found()
    return sha


def _identity(call: Call, given: Any, default: Identity | None = None) -> Identity:
    """An author from a request; what it does not say is the caller, now."""
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


@route("POST", f"{GIT}/blobs", "create-blob")
async def create_blob(call: Call) -> Answer:
    """Store a file's bytes."""
    repository = git_repository(call, "write")
    document = await call.document()
    content = document.get("content")
    if not isinstance(content, str):
        raise unprocessable('Invalid request.\n\n"content" wasn\'t supplied.')
    sha = repository.objects.blob(_decoded(content, document.get("encoding", "utf-8")))
    call.state.touched()
    url = f"{documents.repository_url(call.state, repository)}/git/blobs/{sha}"
    return Answer.json({"sha": sha, "url": url}, HTTPStatus.CREATED, Location=url)


def _decoded(content: str, encoding: str) -> bytes:
    if encoding != "base64":
        return content.encode()
    try:
        return base64.b64decode(content)
    except (binascii.Error, ValueError):
        raise unprocessable("content is not valid Base64") from None


@route("GET", f"{GIT}/blobs/{{sha}}", "get-blob")
async def get_blob(call: Call) -> Answer:
    """A file's bytes."""
    repository = git_repository(call)
    sha = _named(call, repository, "blob")
    return Answer.json(documents_git.blob(call.state, repository, sha))


@route("POST", f"{GIT}/trees", "create-tree")
async def create_tree(call: Call) -> Answer:
    """Store a tree, from nothing or on top of `base_tree`."""
    repository = git_repository(call, "write")
    document = await call.document()
    entries, base = document.get("tree"), document.get("base_tree")
    if not isinstance(entries, list):
        raise unprocessable('Invalid request.\n\n"tree" wasn\'t supplied.')
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
    shown = documents_git.tree(call.state, repository, sha, recursive=False)
    return Answer.json(shown, HTTPStatus.CREATED, Location=shown["url"])


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


@route("GET", f"{GIT}/trees/{{sha*}}", "get-tree")
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
    return Answer.json(documents_git.tree(call.state, repository, sha, recursive=recursive))


@route("POST", f"{GIT}/commits", "create-commit")
async def create_commit(call: Call) -> Answer:
    """Store a commit; no ref moves."""
    repository = git_repository(call, "write")
    document = await call.document()
    if not isinstance(document.get("message"), str):
        raise unprocessable('Invalid request.\n\n"message" wasn\'t supplied.')
    tree = _object(repository, document.get("tree"), "tree")
    parents = document.get("parents") or []
    if not isinstance(parents, list):
        raise unprocessable("Invalid request.\n\nparents is not an array.")
    author = _identity(call, document.get("author"))
    sha = repository.objects.commit(
        tree,
        tuple(_object(repository, parent, "commit") for parent in parents),
        author,
        document["message"],
        _identity(call, document.get("committer"), author),
    )
    call.state.touched()
    shown = documents_git.git_commit(call.state, repository, sha)
    return Answer.json(shown, HTTPStatus.CREATED, Location=shown["url"])


@route("GET", f"{GIT}/commits/{{sha}}", "get-git-commit")
async def get_git_commit(call: Call) -> Answer:
    """A commit of the git database."""
    repository = git_repository(call)
    sha = _named(call, repository, "commit")
    return Answer.json(documents_git.git_commit(call.state, repository, sha))


@route("POST", f"{GIT}/tags", "create-tag-object")
async def create_tag_object(call: Call) -> Answer:
    """Store an annotated tag; the ref is made on its own."""
    repository = git_repository(call, "write")
    document = await call.document()
    target, name = document.get("object"), document.get("tag")
    if not isinstance(target, str) or repository.objects.kind(target) is None:
        raise unprocessable("Object does not exist")
    if not isinstance(name, str) or not valid_ref(name):
        raise invalid(item("Tag", "invalid", "tag"))
    tagger = _identity(call, document.get("tagger"))
    sha = repository.objects.tag(name, target, tagger, str(document.get("message", "")))
    call.state.touched()
    shown = documents_git.annotated_tag(call.state, repository, sha)
    return Answer.json(shown, HTTPStatus.CREATED, Location=shown["url"])


@route("GET", f"{GIT}/tags/{{sha}}", "get-tag-object")
async def get_tag_object(call: Call) -> Answer:
    """An annotated tag's object."""
    repository = git_repository(call)
    sha = _named(call, repository, "tag")
    return Answer.json(documents_git.annotated_tag(call.state, repository, sha))


@route("GET", f"{REPOSITORY}/contents", "get-contents")
async def get_root_contents(call: Call) -> Answer:
    """The names in the root directory."""
    return _contents(call, "")


@route("GET", f"{REPOSITORY}/contents/{{path*}}", "get-contents")
async def get_contents(call: Call) -> Answer:
    """A file with its bytes, or the names in a directory."""
    return _contents(call, call.params["path"].strip("/"))


def _contents(call: Call, path: str) -> Answer:
    state, repository = call.state, call.repository()
    if repository.empty:
        raise ApiError(HTTPStatus.NOT_FOUND, "This repository is empty.")
    ref = call.request.query.get("ref", repository.default_branch)
    commit = repository.resolve(ref)
    if commit is None:
        raise ApiError(HTTPStatus.NOT_FOUND, f"No commit found for the ref {ref}")
    root = repository.objects.read_commit(commit).tree
    entry = repository.objects.find(root, path) if path else TreeEntry(TREE_MODE, "", root)
    if entry is None:
        raise not_found()
    if entry.kind != "tree":
        return Answer.json(documents_git.content_file(state, repository, path, entry, ref))
    prefix = f"{path}/" if path else ""
    return Answer.json(
        [
            documents_git.content_entry(state, repository, prefix + below.name, below, ref)
            for below in repository.objects.read_tree(entry.sha)
        ]
    )


@route("PUT", f"{REPOSITORY}/contents/{{path*}}", "put-contents")
async def put_contents(call: Call) -> Answer:
    """Write a file as a commit; in an empty repository, the first one, and with it the branch."""
    state, repository = call.state, call.repository("write")
    document = await call.document()
    path = call.params["path"].strip("/")
    if not isinstance(document.get("content"), str) or not document.get("message"):
        missing = "content" if document.get("message") else "message"
        raise unprocessable(f'Invalid request.\n\n"{missing}" wasn\'t supplied.')
    data = _decoded(document["content"], "base64")
    branch = str(document.get("branch") or repository.default_branch)
    ref = f"refs/heads/{branch}"
    parent, objects = repository.refs.get(ref), repository.objects
    if parent is None and not repository.empty:
        raise ApiError(HTTPStatus.NOT_FOUND, f"Branch {branch} not found")
    root = objects.read_commit(parent).tree if parent else None
    before = objects.find(root, path) if root else None
    _refuse_stale(path, before, document.get("sha"))
    committer = _identity(call, document.get("committer"))
    author = _identity(call, document.get("author"), committer)
    tree = objects.put(root, path, BLOB_MODE, objects.blob(data))
    parents = (parent,) if parent else ()
    sha = objects.commit(tree, parents, author, str(document["message"]), committer)
    if repository.empty:
        repository.default_branch = branch
    state.set_ref(repository, ref, sha)
    entry = objects.find(tree, path)
    if entry is None:
        raise not_found()
    made = {
        "content": documents_git.content_entry(state, repository, path, entry, branch),
        "commit": documents_git.git_commit(state, repository, sha),
    }
    return Answer.json(made, HTTPStatus.OK if before else HTTPStatus.CREATED)


def _refuse_stale(path: str, before: TreeEntry | None, sha: Any) -> None:
    """A file that exists is replaced only by who names its blob."""
    if before is None:
        return
    if not sha:
        raise unprocessable('Invalid request.\n\n"sha" wasn\'t supplied.')
    if sha != before.sha:
        raise conflict(f"{path} does not match {sha}")
