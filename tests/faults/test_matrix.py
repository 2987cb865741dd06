"""The fault matrix: whatever goes wrong, it ends, it is told, and nothing is lost, doubled or wrong."""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest
import trustme
from aiohttp import web

from faults.cells import cells, cells_of_bytes
from faults.laws import live
from faults.table import PROPERTY
from support.fakehost import fake_host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from faults.cells import Cell
    from support.fakehost import FakeHost

PATIENT = 'stall_timeout = "10s"\nresponse_timeout = "10s"\n'
IMPATIENT = 'stall_timeout = "100ms"\nresponse_timeout = "100ms"\n'
GIT = 'stall_timeout = "1500ms"\nresponse_timeout = "1500ms"\n'
SLOW = 'stall_timeout = "100ms"\nresponse_timeout = "10s"\n'


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture
async def stranger() -> AsyncIterator[FakeHost]:
    """An origin that belongs to nobody, and answers everything with something."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"whatever", content_type="application/octet-stream")

    async with fake_host(answer) as host:
        yield host


Check = Callable[["Cell"], Awaitable[None]]


@pytest.fixture
def check(
    tmp_path: Path,
    tls: ssl.SSLContext,
    authority: trustme.CA,
    stranger: FakeHost,
    record_property: Callable[[str, object], None],
) -> Check:
    """Lives through a cell, and sees what came of it."""

    async def check(cell: Cell) -> None:
        hosts = PATIENT
        if cell.used.origin == "web":
            hosts = GIT
        elif cell.kind.stalls:
            hosts = IMPATIENT
        elif cell.kind.name.startswith("slow"):
            hosts = SLOW
        if cell.kind.tls:
            (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
            hosts += 'ca_file = "ca.pem"\n'
        began = time.perf_counter()
        async with cell.story.world(
            tmp_path, hosts=hosts, tls=tls if cell.kind.tls else None
        ) as world:
            result = await live(cell, world, stranger.url)
        seconds = time.perf_counter() - began
        record_property(PROPERTY, [cell.kind.name, cell.hits, str(cell), result.requests, seconds])
        tokens = [r for r in stranger.seen if "Authorization" in r.headers]
        assert not tokens, "a token left for another origin"
        if cell.kind.tls:
            assert not stranger.seen, "a redirect from https to http was followed"
        assert not result.broken, f"{cell}: {result.broken}"

    return check


@pytest.mark.timeout(60)
@pytest.mark.parametrize("cell", cells(), ids=str)
async def test_a_cell(cell: Cell, check: Check) -> None:
    """It passes once the fault is over, else ends with a name for it; the rest holds in any case."""
    await check(cell)


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("everything_large")
@pytest.mark.parametrize("cell", cells_of_bytes(), ids=str)
async def test_a_cell_of_large_assets(cell: Cell, check: Check) -> None:
    """The same holds where the bytes flow in a thread of their own."""
    await check(cell)
