"""The demo's two emulated hosts: what the source holds, what the target must hold, and whether it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirror.emulator import Emulator, GitHubState, normalise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mirror.emulator import Asset, Release

MIRRORS = {
    "acme/rocket": "mirrors/acme-rocket",
    "acme/satellite": "mirrors/acme-satellite",
    "acme/fonts": "mirrors/acme-fonts",
    "octo/hello": "mirrors/hello",
}
"""Source and target of each mirror of the demo's configuration."""


@dataclass(frozen=True, slots=True)
class DemoHosts:
    """Both hosts, at work."""

    source: Emulator
    target: Emulator

    def expect(self, name: str, tag: str) -> None:
        """Have the target record a violation if a reader ever sees less of a release than its source has."""
        release = self.source.state.release(name, tag)
        files = {normalise(asset.name): asset.content.sha256 for asset in release.assets}
        self.target.state.expect(MIRRORS[name], tag, files)

    def is_published(self, name: str, tag: str) -> bool:
        """Whether readers see the copy of a release."""
        return self._copies(name).get(tag) is not None

    def releases(self) -> Iterator[tuple[Release, Release | None]]:
        """Every release of the source, with its published copy."""
        for name in MIRRORS:
            copies = self._copies(name)
            for release in self.source.state.releases(name):
                yield release, copies.get(release.tag)

    def assets(self) -> tuple[int, int]:
        """The assets of the source, and how many of them the target publishes with the same bytes."""
        pairs = [(asset, copy) for release, copy in self.releases() for asset in release.assets]
        return len(pairs), sum(_same_bytes(asset, copy) for asset, copy in pairs)

    def same_latest(self) -> int:
        """How many repositories show the same latest release on both hosts."""
        source, target = self.source.state, self.target.state
        return sum(_latest(source, name) == _latest(target, copy) for name, copy in MIRRORS.items())

    def _copies(self, name: str) -> dict[str, Release]:
        state, copy = self.target.state, MIRRORS[name]
        there = state.releases(copy) if copy in state.names else []
        return {release.tag: release for release in there if not release.draft}


def _same_bytes(asset: Asset, release: Release | None) -> bool:
    copy = release.asset(normalise(asset.name)) if release else None
    return copy is not None and copy.content.sha256 == asset.content.sha256


def _latest(state: GitHubState, name: str) -> str:
    latest = state.repository(name).latest() if name in state.names else None
    return latest.tag if latest else ""
