"""What all documents share: compact JSON, node ids, and the addresses of a repository."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mirror.emulator.model.emulated_host import Host
    from mirror.emulator.model.repository import Repository

Document = dict[str, Any]


def dumps(document: Any) -> str:
    """Compact JSON."""
    return json.dumps(document, separators=(",", ":"))


def node_id(kind: str, number: int | str) -> str:
    """An opaque identifier."""
    return base64.b64encode(f"{kind}:{number}".encode()).decode()


def repository_url(host: Host, repository: Repository) -> str:
    """The API's address of a repository."""
    return f"{host.addresses.api}/repos/{repository.full_name}"


def web_url(host: Host, repository: Repository) -> str:
    """The address of a repository for people."""
    return f"{host.addresses.web}/{repository.full_name}"
