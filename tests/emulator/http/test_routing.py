"""Paths without a route, and the names of those that have one."""

from __future__ import annotations

from typing import Any

import pytest

from mirror.emulator import (
    ROUTES,
)

REPO = "/repos/octo/tool"
R = f"{REPO}/releases"


@pytest.mark.parametrize("path", [f"{REPO}/", f"{R}/", "/nothing", f"{R}/abc", "/repositories/1/x"])
async def test_other_paths_are_404(host: Any, path: str) -> None:
    """A trailing slash too."""
    reply = await host.get(path)
    assert (reply.status, reply.json["message"]) == (404, "Not Found")


def test_routes_have_stable_names() -> None:
    """Names that scripts rely on."""
    assert {
        "list-releases", "get-release", "latest-release", "release-by-tag", "create-release",
        "update-release", "delete-release", "list-assets", "get-asset", "download-asset",
        "storage-download", "upload-asset", "update-asset", "delete-asset", "get-repository",
        "create-repository", "get-ref", "create-ref", "create-commit", "create-tree",
        "put-contents", "list-tags", "get-commit", "list-org-repositories",
        "list-user-repositories", "get-meta", "set-actions-permissions",
    } <= ROUTES  # fmt: skip
