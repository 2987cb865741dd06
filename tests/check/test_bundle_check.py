"""What check tells of bundles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.air_gap import CARRIED, MIRRORS, AirGap
from support.world import sha256

if TYPE_CHECKING:
    from pathlib import Path


async def found(gap: AirGap, side: str, host: str) -> dict[str, tuple[str, str]]:
    results = await gap.run(side, "check")
    return {r.what: (r.status, r.detail) for r in results if r.host == host}  # type: ignore[attr-defined]


async def test_a_bundle_to_write(tmp_path: Path) -> None:
    """Directory and key of the target are looked at, and nothing is made."""
    async with AirGap(tmp_path) as gap:
        gap.source.add_repository("octo/tool")
        told = await found(gap, "connected", "target")
        assert told["index"] == ("ok", f"{gap.bundle} has none yet; the first sync creates it")
        assert told["directory"][0] == "ok"
        assert told["signing key"][0] == "warning"
        assert not gap.bundle.exists()
        (tmp_path / "key").write_text("no key\n")
        (tmp_path / "key").chmod(0o600)
        gap.target_keys = f'sign_with = "file:{tmp_path / "key"}"\n'
        assert (await found(gap, "connected", "target"))["signing key"][0] == "failed"


async def test_a_bundle_to_read(tmp_path: Path) -> None:
    """What the index says, and which bytes are not there."""
    async with AirGap(tmp_path) as gap:
        assert (await found(gap, "isolated", "github"))["index"][0] == "failed"
        gap.source.add_repository("octo/tool")
        gap.source.add_release("octo/tool", "v1", assets={"a": b"a"})
        await gap.write()
        told = await found(gap, "isolated", "github")
        assert told["index"] == (
            "ok",
            "number 1 of 2026-11-21 09:00 UTC: 1 release of 1 repository",
        )
        assert told["signature"] == ("warning", "not checked; set allowed_signers")
        assert "assets" not in told
        (gap.bundle / "blobs/sha256" / sha256(b"a")).unlink()
        assert (await found(gap, "isolated", "github"))["assets"][0] == "warning"


async def test_packed_history(tmp_path: Path) -> None:
    """With `tags = "push"`, git unpacks what a bundle brings, and what a target holds is read."""
    push = 'tags = "push"\n'
    async with AirGap(tmp_path, MIRRORS + push, CARRIED + push) as gap:
        gap.source.add_repository("octo/tool")
        for tag in ("v1", "v2"):
            gap.source.add_release("octo/tool", tag, annotated=True, assets={"a": b"a"})
        told = await found(gap, "connected", "github")
        assert told["git"] == ("ok", "git sees 2 tags of octo/tool")
        assert "git" not in await found(gap, "connected", "target")
        await gap.write()
        verified = "git verifies the history of 2 tags of 1 repository"
        assert (await found(gap, "isolated", "github"))["git"] == ("ok", verified)
        stored = (await found(gap, "connected", "target"))["git"]
        assert stored == ("ok", "the bundle holds the history of 2 tags")
        (pack,) = (
            path
            for path in (gap.bundle / "blobs/sha256").iterdir()
            if path.read_bytes().startswith(b"# v2 git bundle")
        )
        content = pack.read_bytes()
        for damaged in (None, content[:-1] + b"?"):
            pack.unlink(missing_ok=True)
            if damaged:
                pack.write_bytes(damaged)
            status, detail = (await found(gap, "isolated", "github"))["mirrors/tool git"]
            assert (status, "unpack" in detail) == ("failed", True)
            status, detail = (await found(gap, "connected", "target"))["mirrors/tool git"]
            assert (status, "sync --full packs it again" in detail) == ("failed", True)


async def test_history_that_was_not_packed(tmp_path: Path) -> None:
    """A bundle that was written without history cannot serve a mirror that pushes tags."""
    async with AirGap(tmp_path, MIRRORS, CARRIED + 'tags = "push"\n') as gap:
        gap.source.add_repository("octo/tool")
        gap.source.add_release("octo/tool", "v1", assets={"a": b"a"})
        await gap.write()
        status, detail = (await found(gap, "isolated", "github"))["mirrors/tool git"]
        assert (status, "has no git history" in detail) == ("failed", True)
