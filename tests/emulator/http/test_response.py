"""The date of every answer."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from mirror.emulator import Fault, Generated

if TYPE_CHECKING:
    from collections.abc import Callable

LONG_AGO = 1_000_000_000.0
R = "/repos/octo/tool/releases"


async def dates(host: Any) -> list[float]:
    """The `Date` of answers of every origin and of every way of answering."""
    large = host.state.add_asset("octo/tool", "v1.0.0", "large", Generated(seed=1, size=2_000_000))
    draft = await host.draft()
    download = await host.get(f"{R}/assets/{large.id}", Accept="application/octet-stream")
    replies = [
        await host.get(R),
        await host.get("/nothing"),
        await host.send("HEAD", R),
        await host.upload(draft["id"], "a"),
        download,
        await host.get(download.headers["Location"], token=None),
        await host.get(f"{host.emulator.url}/octo/tool/releases/download/v1.0.0/large"),
        await host.get(f"{host.emulator.url}/nothing"),
    ]
    for kind in ("status", "html", "redirect", "slow"):
        host.state.faults.add(Fault(kind=kind, route="get-meta", location="/x", rate=10**9))
        replies.append(await host.get("/meta"))
    assert all(len(reply.headers.getall("Date")) == 1 for reply in replies)
    return [parsedate_to_datetime(reply.headers["Date"]).timestamp() for reply in replies]


async def test_every_answer_says_the_time(start: Callable[..., Any]) -> None:
    """Whoever answers, and whether it was scripted: the `Date` is the time of the state's clock."""
    assert set(await dates(await start(clock=lambda: LONG_AGO))) == {LONG_AGO}


async def test_a_scripted_date_is_kept(start: Callable[..., Any]) -> None:
    """A fault may say another time."""
    host = await start(clock=lambda: LONG_AGO)
    said = {"date": "Sat, 01 Jan 2000 00:00:00 GMT"}
    host.state.faults.add(Fault(kind="status", headers=said))
    assert (await host.get("/meta")).headers.getall("Date") == list(said.values())
