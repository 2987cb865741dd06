"""Files over the API: read a file or a directory, and commit a file."""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mirror.emulator.documents.git import git_commit, git_object
from mirror.emulator.documents.shared import Document, repository_url, web_url
from mirror.emulator.http.answer import Answer, conflict, not_found
from mirror.emulator.http.request_body import json_object
from mirror.emulator.http.routing import Routes
from mirror.emulator.model.git_objects import BLOB_MODE, TREE_MODE, TreeEntry
from mirror.emulator.routes.git_object_routes import decoded, identity, missing
from mirror.emulator.routes.repository_routes import REPOSITORY

if TYPE_CHECKING:
    from mirror.emulator.http.call import Call
    from mirror.emulator.model.emulated_host import Host
    from mirror.emulator.model.repository import Repository

CONTENTS = f"{REPOSITORY}/contents"
routes = Routes()


def _entry(host: Host, of: Repository, path: str, entry: TreeEntry, ref: str) -> Document:
    """A file or directory of the contents API, without its bytes."""
    url, web = repository_url(host, of), web_url(host, of)
    kind = "dir" if entry.kind == "tree" else "file"
    here = f"{url}/contents/{quote(path)}?ref={quote(ref)}"
    git = git_object(host, of, entry.kind, entry.sha)["url"]
    page = f"{web}/{'tree' if kind == 'dir' else 'blob'}/{quote(ref)}/{quote(path)}"
    raw = f"{web}/raw/{quote(ref)}/{quote(path)}" if kind == "file" else None
    size = len(of.objects.by_sha[entry.sha][1]) if kind == "file" else 0
    return {
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": entry.sha,
        "size": size,
        "url": here,
        "html_url": page,
        "git_url": git,
        "download_url": raw,
        "type": kind,
        "_links": {"self": here, "git": git, "html": page},
    }


def _file(host: Host, of: Repository, path: str, entry: TreeEntry, ref: str) -> Document:
    """A file of the contents API, with its bytes."""
    data = of.objects.by_sha[entry.sha][1]
    return {
        **_entry(host, of, path, entry, ref),
        "content": base64.encodebytes(data).decode(),
        "encoding": "base64",
    }


@routes.route("GET", CONTENTS, "get-contents")
@routes.route("GET", f"{CONTENTS}/{{path*}}", "get-contents")
async def get_contents(call: Call) -> Answer:
    """A file with its bytes, or the entries of a directory."""
    path = call.params.get("path", "").strip("/")
    state, repository = call.state, call.repository()
    if repository.empty:
        raise not_found("This repository is empty.")
    ref = call.request.query.get("ref", repository.default_branch)
    commit = repository.resolve(ref)
    if commit is None:
        raise not_found(f"No commit found for the ref {ref}")
    root = repository.objects.read_commit(commit).tree
    entry = repository.objects.find(root, path) if path else TreeEntry(TREE_MODE, "", root)
    if entry is None:
        raise not_found()
    if entry.kind != "tree":
        return Answer.json(_file(state, repository, path, entry, ref))
    prefix = f"{path}/" if path else ""
    return Answer.json(
        [
            _entry(state, repository, prefix + below.name, below, ref)
            for below in repository.objects.read_tree(entry.sha)
        ]
    )


@routes.route("PUT", f"{CONTENTS}/{{path*}}", "put-contents")
async def put_contents(call: Call) -> Answer:
    """Write a file as a commit; in an empty repository, the first one, and with it the branch."""
    state, repository = call.state, call.repository("write")
    asked = await json_object(call)
    path = call.params["path"].strip("/")
    if not isinstance(asked.get("content"), str) or not asked.get("message"):
        raise missing("content" if asked.get("message") else "message")
    data = decoded(asked["content"], "base64")
    branch = str(asked.get("branch") or repository.default_branch)
    ref = f"refs/heads/{branch}"
    parent, objects = repository.refs.get(ref), repository.objects
    if parent is None and not repository.empty:
        raise not_found(f"Branch {branch} not found")
    root = objects.read_commit(parent).tree if parent else None
    before = objects.find(root, path) if root else None
    _refuse_stale(path, before, asked.get("sha"))
    committer = identity(call, asked.get("committer"))
    author = identity(call, asked.get("author"), committer)
    tree = objects.put(root, path, BLOB_MODE, objects.blob(data))
    parents = (parent,) if parent else ()
    sha = objects.commit(tree, parents, author, str(asked["message"]), committer)
    if repository.empty:
        repository.default_branch = branch
    state.set_ref(repository, ref, sha)
    entry = objects.find(tree, path)
    if entry is None:
        raise not_found()
    made = {
        "content": _entry(state, repository, path, entry, branch),
        "commit": git_commit(state, repository, sha),
    }
    return Answer.json(made, HTTPStatus.OK if before else HTTPStatus.CREATED)


def _refuse_stale(path: str, before: TreeEntry | None, sha: Any) -> None:
    """A file that exists is replaced only by who names its blob."""
    if before is None:
        return
    if not sha:
        raise missing("sha")
    if sha != before.sha:
        raise conflict(f"{path} does not match {sha}")
