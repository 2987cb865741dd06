"""Bytes that change under an id: what no host does, and a rotten disk or an intruder may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.emulator.model.content import MemoryContent

if TYPE_CHECKING:
    from mirror.emulator import GitHubState


def tamper(
    state: GitHubState, repository: str, tag: str, name: str, data: bytes | None = None
) -> None:
    """Put other bytes of the same size under the same id; a host that tells digests tells theirs.

    Args:
        state: The host.
        repository: ``owner/name``.
        tag: Of the release.
        name: Of the asset.
        data: The bytes; by default none that anybody uploaded.
    """
    asset = state.asset(repository, tag, name)
    content = data if data is not None else b"x" * asset.size
    assert len(content) == asset.size
    asset.content = MemoryContent(content)
    asset.json = None
    state.changed(state.repository(repository), state.release(repository, tag))
