"""What the matrix found: one test for each, of the cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mirror.emulator import Fault
from support.world import World, only

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.emulator.faults.fault import Kind

ONE = '[[mirrors]]\nsource = "octo/tool"\ntarget = "mirrors/tool"\n'
DELETE = ONE + 'on_delete = "delete"\n'
LIMIT = '{"message": "You have exceeded a secondary rate limit."}'
MISSING = '{"message": "Not Found"}'


def seed(world: World, *tags: str) -> None:
    if "octo/tool" not in world.source.names:
        world.source.add_repository("octo/tool")
    for tag in tags:
        world.source.add_release(
            "octo/tool",
            tag,
            date=f"2026-01-0{tag[1:]}T00:00:00Z",
            assets={"a.bin": f"a of {tag}" * 100, "b.bin": f"b of {tag}"},
        )


def missing(route: str, times: int | None = None) -> Fault:
    return Fault(kind="status", route=route, status=404, body=MISSING, times=times)


async def test_a_limit_is_no_refusal_to_disable_actions(tmp_path: Path) -> None:
    """A 403 for a limit is waited for; Actions are off in what was created."""
    async with World(tmp_path) as world:
        seed(world, "v1")
        world.target.faults.add(
            Fault(kind="status", route="set-actions-permissions", status=403, body=LIMIT)
        )
        report = await world.sync()
        assert report.status == "ok"
        assert not any("Actions" in text for text in only(report).warnings)
        assert not world.target.repository("mirrors/tool").actions_enabled


@pytest.mark.parametrize("route", ["get-release", "delete-release"])
async def test_a_release_that_is_there_is_not_taken_for_deleted(route: str, tmp_path: Path) -> None:
    """A 404 can mean that the token may not: the list tells, and the next pass tries again."""
    async with World(tmp_path, DELETE) as world:
        seed(world, "v1", "v2")
        await world.sync()
        world.source.delete_release("octo/tool", "v1")
        world.target.faults.add(missing(route))
        report = await world.sync()
        (failure,) = only(report).failures
        assert "although it is there" in failure.error
        world.target.faults.clear()
        assert (await world.sync()).status == "ok"
        assert set(world.published()) == {"v2"}


@pytest.mark.parametrize("route", ["get-asset", "delete-asset"])
async def test_an_asset_that_is_there_is_not_taken_for_deleted(route: str, tmp_path: Path) -> None:
    """As for releases."""
    async with World(tmp_path, DELETE) as world:
        seed(world, "v1")
        await world.sync()
        world.source.delete_asset("octo/tool", "v1", "b.bin")
        world.target.faults.add(missing(route))
        assert "although it is there" in only(await world.sync()).failures[0].error
        world.target.faults.clear()
        assert (await world.sync()).status == "ok"
        assert world.same() == []


async def test_what_somebody_else_deleted_is_deleted(tmp_path: Path) -> None:
    """What is in no list either is gone, and no failure."""
    async with World(tmp_path, DELETE) as world:
        seed(world, "v1", "v2")
        await world.sync()
        world.source.delete_release("octo/tool", "v1")
        gone: list[str] = []

        def meanwhile(record: object) -> None:
            if getattr(record, "route", "") == "get-release" and not gone:
                gone.append("v1")
                world.target.delete_release("mirrors/tool", "v1")

        world.target.on_request(meanwhile)
        assert (await world.sync()).status == "ok"
        assert gone
        assert set(world.published()) == {"v2"}


LIES: list[tuple[Kind, dict[str, object]]] = [
    ("status", {"route": "download-asset", "status": 404, "body": MISSING}),
    ("status", {"route": "storage-download", "status": 200, "body": "short"}),
    ("wrong-length", {"route": "storage-download", "at_byte": 7}),
]


@pytest.mark.parametrize(("kind", "facts"), LIES)
@pytest.mark.parametrize("times", [1, 3])
async def test_an_asset_that_seems_to_be_gone_is_asked_for(
    kind: Kind, facts: dict[str, object], times: int, tmp_path: Path
) -> None:
    """While its source shows it as it was, something else lied, and it is fetched again."""
    async with World(tmp_path) as world:
        seed(world, "v1")
        world.source.faults.add(Fault(kind=kind, times=times, **facts))  # type: ignore[arg-type]
        assert (await world.sync()).status == "ok"
        assert world.same() == []


@pytest.mark.parametrize("times", [1, 3, None])
async def test_a_source_that_denies_its_latest_release(times: int | None, tmp_path: Path) -> None:
    """Where there are full releases one is the latest: no other is shown as it at the target."""
    async with World(tmp_path) as world:
        seed(world, "v1")
        await world.sync()
        world.target.add_release("mirrors/tool", "theirs")  # of today, and hence the latest
        seed(world, "v2", "v3")
        world.source.edit_release("octo/tool", "v2", latest=times is not None)
        world.source.faults.add(missing("latest-release", times))
        assert (await world.sync()).status == "ok"
        assert world.latest() == ("v2" if times else "v3")


async def test_an_exchange_that_was_begun_is_finished_before_anything_arrives(
    tmp_path: Path,
) -> None:
    """A name that people miss comes first, however much else there is to do."""
    async with World(tmp_path) as world:
        seed(world, "v1")
        await world.sync()
        world.source.replace_asset("octo/tool", "v1", "a.bin", b"built anew")
        world.target.faults.add(Fault(kind="status", route="update-asset", status=502, times=None))
        assert (await world.sync()).failed
        world.target.faults.clear()
        world.source.add_asset("octo/tool", "v1", "large.bin", b"large" * 1000)
        world.source.asset("octo/tool", "v1", "b.bin").name = "c.bin"
        world.source.edit_release("octo/tool", "v1")
        world.target.reset_requests()
        assert (await world.sync()).status == "ok"
        writes = [r for r in world.target.requests if r.route in {"update-asset", "upload-asset"}]
        assert writes[0].route == "update-asset"
        assert (writes[0].document or {})["name"] == "a.bin"
        assert world.same() == []


async def test_an_archive_with_wrong_bytes_is_not_published(tmp_path: Path) -> None:
    """A zip file's checksums are compared, as a tarball's are: nobody gives its digest."""
    async with World(tmp_path, ONE + "assets.source_archives = true\n") as world:
        seed(world, "v1")
        fault = Fault(kind="corrupt", route="archive-download", match="zip", at_byte=60, times=None)
        world.source.faults.add(fault)
        report = await world.sync()
        assert "downloaded zipball is incomplete" in only(report).failures[0].error
        assert world.published() == {}
        world.source.faults.clear()
        assert (await world.sync()).status == "ok"
        assert "tool-v1.zip" in {asset.name for asset in world.published()["v1"].assets}


async def test_what_came_too_much_spoils_no_later_request(tmp_path: Path) -> None:
    """Three answers that are longer than they say cost three tries, and two for a spoilt connection."""
    async with World(tmp_path) as world:
        seed(world, "v1")
        world.source.faults.add(
            Fault(kind="wrong-length", route="list-releases", at_byte=200, times=3)
        )
        assert (await world.sync()).status == "ok"
        assert world.source.count(route="list-releases") <= 5


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="redirect", route="git-refs", location="http://127.0.0.1:1/portal"),
        Fault(kind="truncate", route="git-refs", at_byte=70, keep_length=False),
    ],
    ids=lambda fault: fault.kind,
)
async def test_what_git_met_on_its_way_passes(fault: Fault, tmp_path: Path) -> None:
    """A redirect is not followed, half an answer not believed; git asks again."""
    async with World(tmp_path, ONE + 'tags = "push"\n') as world:
        seed(world, "v1")
        world.source.faults.add(fault)
        report = await world.sync()
        assert report.status == "ok", only(report).failures
        assert world.same() == []
