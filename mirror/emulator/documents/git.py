"""Git objects and refs."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import quote

from mirror.emulator.documents.account_json import account
from mirror.emulator.documents.shared import Document, node_id, repository_url, web_url

if TYPE_CHECKING:
    from mirror.emulator.model.emulated_host import Host
    from mirror.emulator.model.git_objects import Identity, TreeEntry
    from mirror.emulator.model.repository import Repository


def _identity(of: Identity) -> Document:
    return {"name": of.name, "email": of.email, "date": of.date}


_UNSIGNED = {
    "verified": False,
    "reason": "unsigned",
    "signature": None,
    "payload": None,
    "verified_at": None,
}


def git_object(host: Host, of: Repository, kind: str, sha: str) -> Document:
    """A pointer to an object."""
    url = f"{repository_url(host, of)}/git/{kind}s/{sha}"
    return {"sha": sha, "type": kind, "url": url}


def ref(host: Host, of: Repository, name: str) -> Document:
    """A git ref, such as `refs/tags/v1`."""
    sha = of.refs[name]
    return {
        "ref": name,
        "node_id": node_id("Ref", f"{of.id}:{name}"),
        "url": f"{repository_url(host, of)}/git/{quote(name)}",
        "object": git_object(host, of, of.objects.kind(sha) or "commit", sha),
    }


def git_commit(host: Host, of: Repository, sha: str) -> Document:
    """A commit as the git database API shows it."""
    url, web = repository_url(host, of), web_url(host, of)
    commit = of.objects.read_commit(sha)
    return {
        "sha": sha,
        "node_id": node_id("Commit", sha),
        "url": f"{url}/git/commits/{sha}",
        "html_url": f"{web}/commit/{sha}",
        "author": _identity(commit.author),
        "committer": _identity(commit.committer),
        "tree": {"sha": commit.tree, "url": f"{url}/git/trees/{commit.tree}"},
        "message": commit.message,
        "parents": [
            {"sha": p, "url": f"{url}/git/commits/{p}", "html_url": f"{web}/commit/{p}"}
            for p in commit.parents
        ],
        "verification": _UNSIGNED,
    }


def commit(host: Host, of: Repository, sha: str) -> Document:
    """A commit as `/commits/{ref}` shows it."""
    url = repository_url(host, of)
    git = git_commit(host, of, sha)
    return {
        "sha": sha,
        "node_id": git["node_id"],
        "commit": {
            **{key: git[key] for key in ("author", "committer", "message", "tree")},
            "url": git["url"],
            "comment_count": 0,
            "verification": _UNSIGNED,
        },
        "url": f"{url}/commits/{sha}",
        "html_url": git["html_url"],
        "comments_url": f"{url}/commits/{sha}/comments",
        "author": account(host, of.owner),
        "committer": account(host, of.owner),
        "parents": [{**p, "url": f"{url}/commits/{p['sha']}"} for p in git["parents"]],
        "stats": {"total": 0, "additions": 0, "deletions": 0},
        "files": [],
    }


def annotated_tag(host: Host, of: Repository, sha: str) -> Document:
    """An annotated tag's object."""
    tag = of.objects.read_tag(sha)
    return {
        "node_id": node_id("Tag", sha),
        "tag": tag.name,
        "sha": sha,
        "url": f"{repository_url(host, of)}/git/tags/{sha}",
        "message": tag.message,
        "tagger": _identity(tag.tagger),
        "object": git_object(host, of, tag.target_kind, tag.target),
        "verification": _UNSIGNED,
    }


def tag(host: Host, of: Repository, name: str, sha: str) -> Document:
    """An entry of the list of tags: the commit is peeled."""
    url = repository_url(host, of)
    return {
        "name": name,
        "zipball_url": f"{url}/zipball/refs/tags/{quote(name)}",
        "tarball_url": f"{url}/tarball/refs/tags/{quote(name)}",
        "commit": {"sha": sha, "url": f"{url}/commits/{sha}"},
        "node_id": node_id("Ref", f"{of.id}:refs/tags/{name}"),
    }


def tree(host: Host, of: Repository, sha: str, *, recursive: bool) -> Document:
    """A tree, with everything below it when `recursive`."""
    objects = of.objects
    entries = objects.walk(sha) if recursive else [(e.name, e) for e in objects.read_tree(sha)]
    return {
        "sha": sha,
        "url": f"{repository_url(host, of)}/git/trees/{sha}",
        "tree": [_tree_entry(host, of, path, entry) for path, entry in entries],
        "truncated": False,
    }


def _tree_entry(host: Host, of: Repository, path: str, entry: TreeEntry) -> Document:
    mode = entry.mode.zfill(6)
    pointer = git_object(host, of, entry.kind, entry.sha)
    made: Document = {"path": path, "mode": mode, **pointer}
    if entry.kind == "blob" and entry.sha in of.objects.by_sha:
        made["size"] = len(of.objects.by_sha[entry.sha][1])
    return made


def blob(host: Host, of: Repository, sha: str) -> Document:
    """A blob, in base64 that is broken into lines as GitHub does."""
    data = of.objects.by_sha[sha][1]
    return {
        "sha": sha,
        "node_id": node_id("Blob", sha),
        "size": len(data),
        "url": f"{repository_url(host, of)}/git/blobs/{sha}",
        "content": base64.encodebytes(data).decode(),
        "encoding": "base64",
    }
