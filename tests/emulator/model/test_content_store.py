"""Where uploaded bytes are kept."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from mirror.emulator import Generated

if TYPE_CHECKING:
    from collections.abc import Callable
from mirror.emulator.model.content_store import ContentStore

R = "/repos/octo/tool/releases"


async def test_large_uploads_go_to_disk_and_are_hashed(host: Any) -> None:
    """What is larger than memory should hold is read back from a file with the right digest."""
    draft = await host.draft()
    content = Generated(seed=5, size=3_000_001)
    reply = await host.upload(draft["id"], "a", io.BytesIO(content.read(0, content.size)))
    assert reply.json["digest"] == f"sha256:{content.sha256}"
    asset = host.state.asset("octo/tool", "v9", "a")
    assert asset.content.read(1_999_999, 5) == content.read(1_999_999, 5)


async def test_discarded_bytes_are_made_again(start: Callable[..., Any]) -> None:
    """With `discard`, a download works when a generator makes the same bytes, else it breaks."""
    host = await start(discard=True, discard_above=100)
    content = Generated(seed=6, size=200)
    assert content.sha256
    draft = await host.draft()
    for name, data in (("known", content.read(0, 200)), ("lost", b"?" * 200), ("kept", b"k" * 100)):
        assert (await host.upload(draft["id"], name, data)).status == 201
    host.state.direct_download = True
    release = host.state.release("octo/tool", "v9")

    async def download(name: str) -> Any:
        path = f"{R}/assets/{release.asset(name).id}"
        return await host.get(path, Accept="application/octet-stream")

    assert (await download("known")).body == content.read(0, 200)
    assert (await download("kept")).body == b"k" * 100
    with pytest.raises(aiohttp.ClientConnectionError):
        await download("lost")


def test_an_abandoned_intake_leaves_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The directory is as it was."""
    directory = tmp_path_factory.mktemp("store")
    store = ContentStore(directory)
    intake = store.take(10)
    intake.write(b"12345")
    assert list(directory.iterdir()) != []
    intake.abandon()
    assert list(directory.iterdir()) == []
