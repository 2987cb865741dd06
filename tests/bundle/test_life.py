"""Some weeks in the life of a source, carried over an air gap step by step."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from mirror.bundle.references import References
from support.air_gap import MIRRORS, AirGap, opened
from support.world import only

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.emulator import Asset, Release

CHANGES = 20
FIXED = 16 * 1024
"""Bytes of an increment that hold no asset: the index, documents and headers; 20 releases need less."""

KEYS = 'on_delete = "delete"\nmax_deletes = 1000\nreleases.drafts = true\nreleases.prereleases = true\n'


class Life:
    """Changes the source at random, from a seed."""

    def __init__(self, gap: AirGap, seed: int, repeated: int = 1) -> None:
        self.gap = gap
        self.dice = random.Random(seed)  # noqa: S311 - the same life every time
        self.number = 0
        self.repeated = repeated

    def change(self) -> str:
        """Change something; what."""
        kinds = [
            self.publish, self.publish, self.draft, self.finish_draft, self.edit, self.flag, self.latest,
            self.replace, self.replace, self.attach, self.detach, self.swap, self.rename, self.label,
            self.delete, self.again,
        ]  # fmt: skip
        self.number += 1
        kind = self.dice.choice(kinds)
        kind()
        return kind.__name__

    @property
    def releases(self) -> list[Release]:
        return self.gap.source.releases("octo/tool")

    def content(self) -> bytes:
        return f"{self.dice.choice('abc')}-{self.dice.randint(1, 4)}".encode() * self.repeated

    def publish(self, *, draft: bool = False) -> None:
        names = self.dice.sample(
            ["a.zip", "b c.zip", "d.txt", "e", "ü.bin"], self.dice.randint(0, 4)
        )
        self.gap.source.add_release(
            "octo/tool", f"v{self.number}", body=f"Text {self.number} @you", draft=draft,
            date=f"2026-02-{self.number:02}T00:00:00Z",
            assets={name: self.content() for name in names},
        )  # fmt: skip

    def draft(self) -> None:
        self.publish(draft=True)

    def one(self, *, draft: bool = False) -> Release | None:
        found = [release for release in self.releases if release.draft == draft]
        return self.dice.choice(found) if found else None

    def two(self) -> tuple[Release, list[Asset]] | None:
        found = [release for release in self.releases if len(release.assets) > 1]
        if not found:
            return None
        release = self.dice.choice(found)
        return release, self.dice.sample(release.assets, 2)

    def finish_draft(self) -> None:
        if release := self.one(draft=True):
            self.gap.source.edit_release("octo/tool", release.id, draft=False)

    def edit(self) -> None:
        if release := self.one():
            text = f"New text {self.number}"
            self.gap.source.edit_release("octo/tool", release.id, name=text, body=f"{text}\r\n#1")

    def flag(self) -> None:
        if release := self.one():
            flag = not release.prerelease
            self.gap.source.edit_release("octo/tool", release.id, prerelease=flag)

    def latest(self) -> None:
        if (release := self.one()) and not release.prerelease:
            self.gap.source.edit_release("octo/tool", release.id, latest=True)

    def replace(self) -> None:
        if (release := self.one()) and release.assets:
            name = self.dice.choice(release.assets).name
            self.gap.source.replace_asset("octo/tool", release.id, name, self.content())

    def attach(self) -> None:
        if release := self.one():
            self.gap.source.add_asset("octo/tool", release.id, f"new-{self.number}", self.content())

    def detach(self) -> None:
        if (release := self.one()) and release.assets:
            name = self.dice.choice(release.assets).name
            self.gap.source.delete_asset("octo/tool", release.id, name)

    def swap(self) -> None:
        if found := self.two():
            _, (one, other) = found
            one.name, other.name = other.name, one.name

    def rename(self) -> None:
        if found := self.two():
            found[1][0].name = f"renamed-{self.number}"

    def label(self) -> None:
        if found := self.two():
            found[1][0].label = f"label {self.number}"

    def delete(self) -> None:
        if release := self.one():
            self.gap.source.delete_release("octo/tool", release.id)

    def again(self) -> None:
        """Delete a release and make it again under its tag."""
        if release := self.one():
            self.gap.source.delete_release("octo/tool", release.id)
            assets = {asset.name: self.content() for asset in release.assets}
            self.gap.source.add_release("octo/tool", release.tag, body="Again", assets=assets)


@pytest.mark.parametrize("seed", range(3))
async def test_each_change_is_carried(seed: int, tmp_path: Path) -> None:
    """After every change the isolated server shows what one shows that was synced directly.

    The ids in the bundle are the source's, and nothing is left to do in the next pass.
    """
    async with AirGap(tmp_path, MIRRORS + KEYS, MIRRORS.replace("octo/", "mirrors/") + KEYS) as gap:
        gap.source.add_repository("octo/tool")
        life = Life(gap, seed)
        done: list[str] = []
        for _ in range(CHANGES):
            done.append(life.change())
            gap.clock.advance(60)
            for side in ("connected", "isolated", "direct"):
                for _ in range(2):  # what a release that was made again lacks is seen in the second
                    report = await gap.run(side, full=True)
                assert only(report).failures == (), (side, done)
                assert only(report).quarantined == (), (side, done)
            assert await gap.seen("isolated") == await gap.seen("compared"), done
            assert gap.leftovers() == [], done
        ids = {
            entry["annotations"]["vnd.release-mirror.release.id"]
            for entry in gap.index["manifests"]
            if "vnd.release-mirror.release.id" in entry["annotations"]
        }
        assert ids == {str(release.id) for release in life.releases}


async def test_increments_carry_a_life(tmp_path: Path) -> None:
    """Increments since the other side's receipt end where a direct sync does, and carry what changed.

    None is larger than 1.02 times the bytes of the assets that the other side lacks, and a fixed part.
    """
    async with AirGap(tmp_path, MIRRORS + KEYS, MIRRORS.replace("octo/", "mirrors/") + KEYS) as gap:
        gap.brought = tmp_path / "brought"
        gap.source.add_repository("octo/tool")
        life = Life(gap, 7, repeated=100_000)
        for step in range(CHANGES):
            life.change()
            gap.clock.advance(60)
            for _ in range(2):  # what a release that was made again lacks is seen in the second
                assert only(await gap.write(full=True)).failures == ()
            bundle, contents = await opened(gap.bundle)
            assets = References.of(contents.index, bundle.manifest).blobs
            blobs = gap.brought / "blobs/sha256"
            changed = sum(size for name, size in assets.items() if not (blobs / name).exists())
            size, unpacked = await gap.deliver(since_receipt=step > 0)
            assert unpacked.complete
            assert size <= 1.02 * changed + FIXED
            for _ in range(2):
                assert only(await gap.read(full=True)).failures == ()
                await gap.run("direct", full=True)
        await gap.same()
        index = (gap.brought / "index.json").read_bytes()
        assert index == (gap.bundle / "index.json").read_bytes()
