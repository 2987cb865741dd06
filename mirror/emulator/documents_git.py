"""Git objects, refs and files, as the JSON that GitHub's API would show."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import quote

from mirror.emulator.documents import Document, account, node_id, repository_url, web_url

if TYPE_CHECKING:
    from mirror.emulator.git import Identity, TreeEntry
    from mirror.emulator.model import Repository
    from mirror.emulator.state import GitHubState


def _identity(of: Identity) -> Document:
    return {"name": of.name, "email": of.email, "date": of.date}


_UNSIGNED = {
    "verified": False,
    "reason": "unsigned",
    "signature": None,
    "payload": None,
    "verified_at": None,
}


def git_object(state: GitHubState, of: Repository, kind: str, sha: str) -> Document:
    """A pointer to an object."""
    url = f"{repository_url(state, of)}/git/{kind}s/{sha}"
    return {"sha": sha, "type": kind, "url": url}


def ref(state: GitHubState, of: Repository, name: str) -> Document:
    """A git ref, such as `refs/tags/v1`."""
    sha = of.refs[name]
    return {
        "ref": name,
        "node_id": node_id("Ref", f"{of.id}:{name}"),
        "url": f"{repository_url(state, of)}/git/{quote(name)}",
        "object": git_object(state, of, of.objects.kind(sha) or "commit", sha),
    }


def git_commit(state: GitHubState, of: Repository, sha: str) -> Document:
    """A commit as the git database API shows it."""
    url, web = repository_url(state, of), web_url(state, of)
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


def commit(state: GitHubState, of: Repository, sha: str) -> Document:
    """A commit as `/commits/{ref}` shows it."""
    url = repository_url(state, of)
    git = git_commit(state, of, sha)
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
        "author": account(state, of.owner),
        "committer": account(state, of.owner),
        "parents": [{**p, "url": f"{url}/commits/{p['sha']}"} for p in git["parents"]],
        "stats": {"total": 0, "additions": 0, "deletions": 0},
        "files": [],
    }


def annotated_tag(state: GitHubState, of: Repository, sha: str) -> Document:
    """An annotated tag's object."""
    tag = of.objects.read_tag(sha)
    return {
        "node_id": node_id("Tag", sha),
        "tag": tag.name,
        "sha": sha,
        "url": f"{repository_url(state, of)}/git/tags/{sha}",
        "message": tag.message,
        "tagger": _identity(tag.tagger),
        "object": git_object(state, of, tag.target_kind, tag.target),
        "verification": _UNSIGNED,
    }


def tag(state: GitHubState, of: Repository, name: str, sha: str) -> Document:
    """An entry of the list of tags: the commit is peeled."""
    url = repository_url(state, of)
    return {
        "name": name,
        "zipball_url": f"{url}/zipball/refs/tags/{quote(name)}",
        "tarball_url": f"{url}/tarball/refs/tags/{quote(name)}",
        "commit": {"sha": sha, "url": f"{url}/commits/{sha}"},
        "node_id": node_id("Ref", f"{of.id}:refs/tags/{name}"),
    }


def tree(state: GitHubState, of: Repository, sha: str, *, recursive: bool) -> Document:
    """A tree, with everything below it when `recursive`."""
    objects = of.objects
    entries = objects.walk(sha) if recursive else [(e.name, e) for e in objects.read_tree(sha)]
    return {
        "sha": sha,
        "url": f"{repository_url(state, of)}/git/trees/{sha}",
        "tree": [_tree_entry(state, of, path, entry) for path, entry in entries],
        "truncated": False,
    }


def _tree_entry(state: GitHubState, of: Repository, path: str, entry: TreeEntry) -> Document:
    mode = entry.mode.zfill(6)
    pointer = git_object(state, of, entry.kind, entry.sha)
    made: Document = {"path": path, "mode": mode, **pointer}
    if entry.kind == "blob" and entry.sha in of.objects.by_sha:
        made["size"] = len(of.objects.by_sha[entry.sha][1])
    return made


def blob(state: GitHubState, of: Repository, sha: str) -> Document:
    """A file's bytes, in base64 as GitHub breaks it into lines."""
    data = of.objects.by_sha[sha][1]
    return {
        "sha": sha,
        "node_id": node_id("Blob", sha),
        "size": len(data),
        "url": f"{repository_url(state, of)}/git/blobs/{sha}",
        "content": base64.encodebytes(data).decode(),
        "encoding": "base64",
    }


def content_entry(
    state: GitHubState, of: Repository, path: str, entry: TreeEntry, ref: str
) -> Document:
    """A file or directory of the contents API, without its bytes."""
    url, web = repository_url(state, of), web_url(state, of)
    kind = "dir" if entry.kind == "tree" else "file"
    here = f"{url}/contents/{quote(path)}?ref={quote(ref)}"
    git = git_object(state, of, entry.kind, entry.sha)["url"]
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


def content_file(
    state: GitHubState, of: Repository, path: str, entry: TreeEntry, ref: str
) -> Document:
    """A file of the contents API, with its bytes."""
    data = of.objects.by_sha[entry.sha][1]
    return {
        **content_entry(state, of, path, entry, ref),
        "content": base64.encodebytes(data).decode(),
        "encoding": "base64",
    }
