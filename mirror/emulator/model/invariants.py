"""The promise of a mirror, checked at every change: nobody ever sees half a release.

A reader is anyone without push access, who does not see drafts. Everything that a reader could
see and should not is recorded as a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mirror.emulator.model.release_records import UPLOADED

if TYPE_CHECKING:
    from mirror.emulator.model.release_records import Asset, Release
    from mirror.emulator.model.repository import Repository

Expected = Mapping[str, str | Collection[str] | None]
"""Asset name → the SHA-256 it must have, or several that are allowed, or `None` for any bytes."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a release: an asset was deleted or renamed, or anything else.

    Attributes:
        before: The name that a renamed asset gave up.
    """

    what: str = "other"
    name: str = ""
    before: str = ""


@dataclass(slots=True)
class Invariants:
    """What is expected of releases, and the violations so far.

    Attributes:
        violations: What a reader could have seen and should not, in sentences.
        windows: How often a name was absent between the deletion of an asset and the renaming of
            its replacement, which is allowed.
    """

    violations: list[str] = field(default_factory=list)
    windows: int = 0
    listeners: list[Callable[[str], None]] = field(default_factory=list)
    _expected: dict[tuple[int, str], dict[str, frozenset[str] | None]] = field(default_factory=dict)
    _latest: dict[int, frozenset[str]] = field(default_factory=dict)
    _seen: dict[int, set[str]] = field(default_factory=dict)
    _open: dict[int, set[str]] = field(default_factory=dict)

    def expect(self, repository: Repository, tag: str, assets: Expected) -> None:
        """Declare what a published release of this tag must hold."""
        made: dict[str, frozenset[str] | None] = {}
        for name, allowed in assets.items():
            one = [allowed] if isinstance(allowed, str) else allowed
            made[name] = None if one is None else frozenset(one)
        self._expected[repository.id, tag] = made
        for release in repository.releases.values():
            if release.tag == tag:
                self.check(repository, release, Change())

    def expect_latest(self, repository: Repository, tags: Collection[str]) -> None:
        """Declare which tags `/releases/latest` may show."""
        self._latest[repository.id] = frozenset(tags)
        self.check(repository, None, Change())

    @property
    def open_windows(self) -> list[str]:
        """Names that are absent at the moment while their replacement waits to be renamed."""
        return sorted(name for names in self._open.values() for name in names)

    def check(self, repository: Repository, release: Release | None, change: Change) -> None:
        """Check what a reader sees after a change."""
        if release is not None:
            visible = not release.draft and release.id in repository.releases
            found = self._release(repository, release, change) if visible else set()
            if not visible:
                self._open.pop(release.id, None)
            self._record(release.id, found)
        self._record(-repository.id, self._of_latest(repository))

    def _record(self, key: int, found: set[str]) -> None:
        """Record the violations that the previous check did not find."""
        new = sorted(found - self._seen.get(key, set()))
        self._seen[key] = found
        self.violations += new
        for sentence in new:
            for listener in self.listeners:
                listener(sentence)

    def _of_latest(self, repository: Repository) -> set[str]:
        allowed = self._latest.get(repository.id)
        latest = repository.latest() if allowed is not None else None
        if latest is None or allowed is None or latest.tag in allowed:
            return set()
        return {f"{repository.full_name}: {latest.tag} is shown as the latest release"}

    def _release(self, repository: Repository, release: Release, change: Change) -> set[str]:
        expected = self._expected.get((repository.id, release.tag), {})
        self._windows(release, expected, change)
        where = f"{repository.full_name} {release.tag}"
        found = {
            f"{where}: published with the asset {asset.name} in state {asset.state}"
            for asset in release.assets
            if asset.state != UPLOADED and not (asset.late and asset.name not in expected)
        }
        held = {asset.name: asset for asset in release.assets} if expected else {}
        for name, allowed in expected.items():
            asset = held.get(name)
            if asset is None:
                if name not in self._open.get(release.id, ()):
                    found.add(f"{where}: published without the asset {name}")
            elif asset.state == UPLOADED and allowed is not None and asset.sha256 not in allowed:
                found.add(f"{where}: the asset {name} holds other bytes ({asset.sha256})")
        return found

    def _windows(
        self, release: Release, expected: Mapping[str, frozenset[str] | None], change: Change
    ) -> None:
        """Open and close the windows in which a replaced name may be absent."""
        opened = self._open.setdefault(release.id, set())
        if change.what == "asset-deleted" and change.name in expected:
            if _waits(release, expected, change.name):
                opened.add(change.name)
                self.windows += 1
        elif change.what == "asset-renamed":
            opened.discard(change.name)
            renamed = release.asset(change.name) if change.name not in expected else None
            # If the replacement itself was renamed to something else, nothing replaces the name now.
            opened -= {name for name in opened if renamed and _replaces(renamed, expected[name])}
            # Assets that exchange their names give them up one by one; none is lost.
            if change.before in expected and any(
                _replaces(asset, expected[change.before]) for asset in release.assets
            ):
                opened.add(change.before)
                self.windows += 1


def _replaces(asset: Asset, allowed: frozenset[str] | None) -> bool:
    return asset.state == UPLOADED and (allowed is None or asset.sha256 in allowed)


def _waits(release: Release, expected: Mapping[str, frozenset[str] | None], name: str) -> bool:
    """Whether the replacement of an asset is there under another name."""
    return any(
        asset.name not in expected and _replaces(asset, expected[name]) for asset in release.assets
    )
