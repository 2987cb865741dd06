"""Source archives."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import Any

import pytest

REPO = "/repos/octo/tool"


@pytest.mark.parametrize("private", [False, True])
async def test_source_archives(host: Any, private: bool) -> None:
    """A redirect to bytes whose length is not told; the same commit gives the same bytes."""
    if private:
        host.state.repository("octo/tool").visibility = "private"
    moved = await host.get(f"{REPO}/tarball/v1.0.0")
    assert moved.status == 302
    first = await host.get(moved.headers["Location"], token=None)
    assert "Content-Length" not in first.headers
    with tarfile.open(fileobj=io.BytesIO(first.body)) as archive:
        names = archive.getnames()
    assert [name.partition("/")[2] for name in names] == ["", "README.md", "VERSION"]
    assert (await host.get(moved.headers["Location"], token=None)).body == first.body
    moved = await host.get(f"{REPO}/zipball/refs/tags/v1.0.0")
    zipped = await host.get(moved.headers["Location"], token=None)
    with zipfile.ZipFile(io.BytesIO(zipped.body)) as packed:
        assert [name.partition("/")[2] for name in packed.namelist()] == [
            "",
            "README.md",
            "VERSION",
        ]
    assert (await host.get(f"{REPO}/tarball/gone")).status == 404
    bare = moved.headers["Location"].partition("?")[0]
    assert (await host.get(bare, token=None)).status == (404 if private else 200)
