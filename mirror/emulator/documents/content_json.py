"""Files and directories, as the contents API shows them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import quote

from mirror.emulator.documents.git import git_object
from mirror.emulator.documents.shared import Document, repository_url, web_url

if TYPE_CHECKING:
    from mirror.emulator.model.git_objects import TreeEntry
    from mirror.emulator.model.host import Host
    from mirror.emulator.model.repository import Repository


def content_entry(host: Host, of: Repository, path: str, entry: TreeEntry, ref: str) -> Document:
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


def content_file(host: Host, of: Repository, path: str, entry: TreeEntry, ref: str) -> Document:
    """A file of the contents API, with its bytes."""
    data = of.objects.by_sha[entry.sha][1]
    return {
        **content_entry(host, of, path, entry, ref),
        "content": base64.encodebytes(data).decode(),
        "encoding": "base64",
    }
