"""Other people's tools read a bundle."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import jsonschema
import pytest
from oras import schemas
from oras.layout import Layout

from support.air_gap import AirGap
from support.world import sha256

if TYPE_CHECKING:
    from pathlib import Path

needs_skopeo = pytest.mark.skipif(
    shutil.which("skopeo") is None, reason="skopeo (Debian: skopeo) is not installed"
)


async def test_oras_finds_every_blob_of_every_release(tmp_path: Path) -> None:
    """The ORAS project's SDK accepts the layout, its index and manifests, and reaches each blob."""
    async with AirGap(tmp_path) as gap:
        gap.source.add_repository("octo/tool")
        for tag in ("v1.0", "v2.0"):
            gap.source.add_release("octo/tool", tag, assets={"a.bin": tag.encode(), "empty": b""})
        await gap.write()
        layout = Layout(str(gap.bundle))
        jsonschema.validate(gap.index, schemas.index)
        reached = set()
        for entry in gap.index["manifests"]:
            manifest = json.loads(layout.digest_to_blob_path(entry["digest"]).read_bytes())
            jsonschema.validate(manifest, schemas.manifest)
            name = entry["annotations"]["org.opencontainers.image.ref.name"]
            reached.update(layout.get_ordered_blobs(name))
        stored = (gap.bundle / "blobs" / "sha256").iterdir()
        assert reached == {f"sha256:{blob.name}" for blob in stored}


@needs_skopeo
async def test_skopeo_reads_and_copies_it(tmp_path: Path) -> None:
    """`skopeo inspect --raw` shows a release by its name, and `skopeo copy` takes its bytes along."""
    async with AirGap(tmp_path) as gap:
        gap.source.add_repository("octo/tool")
        assets = {"a b.txt": b"text", "empty": b"", "again": b"text"}
        gap.source.add_release("octo/tool", "v1.0", body="Text", assets=assets)
        gap.source.add_release("octo/tool", "rel/v~2", draft=True, assets={})
        gap.mirrors += "releases.drafts = true\n"
        await gap.write()
        assert {entry["annotations"]["org.opencontainers.image.ref.name"] for entry in gap.index["manifests"]} > {
            "mirrors/tool", "mirrors/tool:v1.0"
        }  # fmt: skip
        for entry in gap.index["manifests"]:
            name = entry["annotations"]["org.opencontainers.image.ref.name"]
            place = f"oci:{gap.bundle}:{name}"
            shown = json.loads(await skopeo("inspect", "--raw", place))
            copied = tmp_path / name.replace("/", "-")
            await skopeo("--insecure-policy", "copy", place, f"dir:{copied}")
            for layer in shown["layers"]:
                content = (copied / layer["digest"].removeprefix("sha256:")).read_bytes()
                assert f"sha256:{sha256(content)}" == layer["digest"]
            if name == "mirrors/tool:v1.0":
                titles = {
                    x["annotations"]["org.opencontainers.image.title"] for x in shown["layers"]
                }
                assert titles == set(assets)
                config = json.loads(await skopeo("inspect", "--config", "--raw", place))
                assert (config["tag_name"], config["body"]) == ("v1.0", "Text")


async def skopeo(*arguments: str) -> str:
    def run() -> str:
        done = subprocess.run(["skopeo", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return await asyncio.to_thread(run)
