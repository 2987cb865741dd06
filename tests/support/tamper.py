"""Replaces an asset's bytes under its id, as disk corruption or an intruder may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.emulator.model.content import MemoryContent

if TYPE_CHECKING:
    from mirror.emulator import GitHubState


def tamper(
    state: GitHubState, repository: str, tag: str, name: str, data: bytes | None = None
) -> None:
    """Replace the bytes under the same id, with the same size. A host with digests reports the new digest.

    Args:
        state: The host.
        repository: ``owner/name``.
        tag: The release's tag.
        name: The asset's name.
        data: The new bytes; by default, bytes that nobody uploaded.
    """
    asset = state.asset(repository, tag, name)
    content = data if data is not None else b"x" * asset.size
    assert len(content) == asset.size
    asset.content = MemoryContent(content)
    state.changed(state.repository(repository), state.release(repository, tag))
