"""Bad weather: each fault ends in the right state, after exactly the requests that it takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from mirror.emulator import AssetSpec, Fault
from support.world import World, only

if TYPE_CHECKING:
    from pathlib import Path

ASSET = b"0123456789" * 5000

# What mirroring one release with one asset takes when nothing goes wrong.
SOURCE = Counter(
    {
        "list-releases": 1,
        "get-repository": 1,
        "latest-release": 1,
        "get-ref": 1,
        "download-asset": 1,
        "storage-download": 1,
    }
)
TARGET = Counter(
    {
        "get-account": 1,
        "get-repository": 1,
        "create-repository": 1,
        "put-contents": 1,
        "set-actions-permissions": 1,
        "create-commit": 1,
        "create-ref": 1,
        "create-release": 1,
        "upload-asset": 1,
        "list-assets": 1,
        "update-release": 1,
    }
)


@dataclass(frozen=True)
class Case:
    """A fault, and the requests that it costs on each side beyond those of a good day."""

    name: str
    source: tuple[Fault, ...] = ()
    target: tuple[Fault, ...] = ()
    more_source: dict[str, int] = field(default_factory=dict)
    more_target: dict[str, int] = field(default_factory=dict)
    waited: float = 0.0
    may_have_begun: bool = False  # the upload, when the fault is seen


CASES = [
    Case(
        "429 with Retry-After",
        source=(
            Fault(kind="status", route="list-releases", status=429, headers={"Retry-After": "30"}),
        ),
        more_source={"list-releases": 1},
        waited=30,
    ),
    Case(
        "403 secondary limit",
        target=(
            Fault(
                kind="status",
                route="create-release",
                status=403,
                body='{"message": "You have exceeded a secondary rate limit."}',
            ),
        ),
        more_target={"create-release": 1},
        waited=60,
    ),
    Case(
        "upload reset in the middle, with a starter left",
        target=(Fault(kind="reset-midway", route="upload-asset", at_byte=20_000),),
        more_source={"download-asset": 1, "storage-download": 1},
        more_target={"upload-asset": 1, "list-assets": 6, "delete-asset": 1},
    ),
    Case(
        "502 with a starter left",
        target=(Fault(kind="upload-failed", route="upload-asset", status=502),),
        more_source={"download-asset": 1, "storage-download": 1},
        more_target={"upload-asset": 1, "list-assets": 1, "delete-asset": 1},
    ),
    Case(
        "502 after the upload was read",
        target=(Fault(kind="lost-reply-status", route="upload-asset", status=502),),
        more_target={"list-assets": 1},
    ),
    Case(
        "truncated download",
        source=(Fault(kind="truncate", route="storage-download", at_byte=30_000),),
        more_source={"download-asset": 1, "storage-download": 1},
    ),
    Case(
        "truncated download that hides its length",
        source=(
            Fault(kind="truncate", route="storage-download", at_byte=30_000, keep_length=False),
        ),
        more_source={"download-asset": 1, "storage-download": 1},
    ),
    Case(
        "download reset in the middle",
        source=(Fault(kind="reset-midway", route="storage-download", at_byte=30_000),),
        more_source={"download-asset": 1, "storage-download": 1},
    ),
    Case(
        "stalled source",
        source=(Fault(kind="stall", route="storage-download", at_byte=30_000),),
        more_source={"download-asset": 1, "storage-download": 1},
    ),
    Case(
        "wrong digest",
        source=(Fault(kind="corrupt", route="storage-download", at_byte=30_000),),
        more_source={"download-asset": 1, "storage-download": 1},
        more_target={"list-assets": 1},
        may_have_begun=True,
    ),
    Case(
        "lost reply of a create",
        target=(Fault(kind="lost-reply", route="create-release"),),
        more_target={"list-releases": 1},
    ),
    Case(
        "lost reply of an upload",
        target=(Fault(kind="lost-reply", route="upload-asset"),),
        more_target={"list-assets": 1},
    ),
    Case(
        "lost reply of a publication",
        target=(Fault(kind="lost-reply", route="update-release"),),
        more_target={"update-release": 1},
    ),
    Case(
        "a list of assets that lags behind",
        target=(Fault(kind="lag", route="list-assets", times=3),),
        more_target={"list-assets": 3},
        waited=7,
    ),
    Case(
        "HTML instead of a list",
        source=(Fault(kind="html", route="list-releases"),),
        more_source={"list-releases": 1},
    ),
    Case(
        "half a document",
        source=(Fault(kind="broken-json", route="list-releases"),),
        more_source={"list-releases": 1},
    ),
    Case(
        "wrong types",
        source=(Fault(kind="wrong-types", route="list-releases"),),
        more_source={"list-releases": 1},
    ),
    Case(
        "three 500s",
        source=(Fault(kind="status", route="list-releases", status=500, times=3),),
        more_source={"list-releases": 3},
    ),
]


@pytest.fixture(params=["small", "large"])
def size(request: pytest.FixtureRequest) -> str:
    """Assets whose bytes flow where everything does, and those whose do not."""
    if request.param == "large":
        request.getfixturevalue("everything_large")
    return str(request.param)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_it_passes(case: Case, size: str, tmp_path: Path) -> None:
    """Once the fault is over the release is there, whole, once; the cost is exactly known."""
    async with World(tmp_path, hosts='stall_timeout = "400ms"') as world:
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", name="One", assets={"tool.bin": ASSET})
        world.expect()
        world.source.faults.add(*case.source)
        world.target.faults.add(*case.target)
        report = await world.sync()
        assert report.status == "ok", [failure.error for failure in only(report).failures]
        assert world.same() == []
        routes = Counter(record.route for record in world.source.requests)
        assert routes == SOURCE + Counter(case.more_source)
        routes = Counter(record.route for record in world.target.requests)
        expected = TARGET + Counter(case.more_target)
        if case.may_have_begun and routes["delete-asset"]:
            # The bytes came in several pieces: the upload that was cut off left a starter.
            routes -= Counter({"upload-asset": 1, "delete-asset": 1})
        if size == "large" and case.source:
            # Bytes of a connection that broke before one of them was taken are lost: then the
            # upload had not begun, and the target is looked at before it does.
            routes["list-assets"] = min(routes["list-assets"], expected["list-assets"])
        assert routes == expected
        assert world.clock.seconds >= case.waited
        assert (await world.sync()).status == "unchanged"


FOREVER = [
    Fault(kind="status", route="storage-download", match="bad", status=500, times=None),
    Fault(kind="corrupt", route="storage-download", match="bad", at_byte=10, times=None),
    Fault(kind="truncate", route="storage-download", match="bad", at_byte=10, times=None),
    Fault(kind="stall", route="storage-download", match="bad", at_byte=10, times=None),
]


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize("fault", FOREVER, ids=lambda fault: fault.kind)
async def test_one_asset_that_fails_holds_its_release_and_nothing_else(
    fault: Fault, tmp_path: Path
) -> None:
    """Its release stays a draft, all else arrives, and the report names it."""
    async with World(tmp_path, hosts='stall_timeout = "100ms"') as world:
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={"good.bin": b"good"})
        world.source.add_release("octo/tool", "v2", assets={"bad.bin": ASSET, "fine.bin": b"f"})
        asset = world.source.asset("octo/tool", "v2", "bad.bin")
        world.expect()
        world.source.faults.add(_about(fault, str(asset.id)))
        report = await world.sync()
        assert report.status == "failed"
        assert set(world.published()) == {"v1"}
        (failure,) = only(report).failures
        assert (failure.release, failure.asset) == ("v2", "bad.bin")
        assert failure.error
        assert list(world.target.violations) == []
        world.source.faults.clear()
        assert (await world.sync()).status == "ok"
        assert world.same() == []


def _about(fault: Fault, match: str) -> Fault:
    return replace(fault, match=match)


@pytest.mark.usefixtures("size")
async def test_a_refused_token_is_one_failure(tmp_path: Path) -> None:
    """A 401 stops the credential: one request, one failure, however many mirrors there are."""
    mirrors = "".join(f'[[mirrors]]\nsource = "octo/tool-{n}"\n' for n in range(20))
    async with World(tmp_path, mirrors) as world:
        for number in range(20):
            world.source.add_repository(f"octo/tool-{number}")
        world.environ["SOURCE_TOKEN"] = "revoked"
        report = await world.sync()
        assert report.status == "failed"
        assert report.totals()["failures"] == 1
        assert len(report.repositories) == 20
        assert world.source.count() == 1
        assert world.target.count() == 0


async def test_maintenance_stops_the_host(tmp_path: Path) -> None:
    """A 503 for every request is one failure, and few requests, however many mirrors there are."""
    mirrors = "".join(f'[[mirrors]]\nsource = "octo/tool-{n}"\n' for n in range(50))
    async with World(tmp_path, mirrors) as world:
        for number in range(50):
            world.source.add_repository(f"octo/tool-{number}")
        world.source.faults.add(Fault(kind="status", status=503, times=None))
        report = await world.sync()
        assert report.status == "failed"
        assert 1 <= report.totals()["failures"] <= 8
        assert world.source.count() <= 60


@pytest.mark.parametrize("route", ["set-actions-permissions", "put-contents"])
async def test_a_repository_that_was_half_made_is_finished(route: str, tmp_path: Path) -> None:
    """Wherever its making was cut off, the next pass leaves it with a commit and runs nothing."""
    async with World(tmp_path) as world:
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={"tool.bin": ASSET})
        world.target.faults.add(Fault(kind="status", route=route, status=500, times=None))
        assert (await world.sync()).failed
        world.target.faults.clear()
        assert not (await world.sync()).failed
        assert world.same() == []
        assert not world.target.repository("mirrors/tool").actions_enabled


async def test_a_limit_of_days_is_not_waited_for(tmp_path: Path) -> None:
    """An upload that is to come back in eleven days fails for this pass, and says until when."""
    async with World(tmp_path) as world:
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={"tool.bin": ASSET})
        headers = {"Retry-After": "999999"}
        world.target.faults.add(
            Fault(kind="status", route="upload-asset", status=429, headers=headers)
        )
        report = await world.sync()
        assert world.clock.seconds < 3600
        assert any("2026-12-02" in failure.error for failure in only(report).failures)
        assert world.published() == {}
        world.clock.advance(1_000_000)
        assert (await world.sync()).status == "ok"
        assert world.same() == []


async def test_a_copy_that_the_list_does_not_show_is_not_made_again(tmp_path: Path) -> None:
    """The target's list lags behind; what was recorded is asked for before it is given up."""
    async with World(tmp_path) as world:
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={"tool.bin": ASSET})
        await world.sync()
        world.source.edit_release("octo/tool", "v1", body="Another text.")
        world.target.faults.add(
            Fault(kind="status", route="list-releases", status=200, body="[]", times=1)
        )
        world.target.reset_requests()
        assert (await world.sync()).status == "ok"
        assert world.target.count(route="create-release") == 0
        assert world.same() == []
        world.target.delete_release("mirrors/tool", "v1")
        assert (await world.sync(full=True)).totals()["releases_created"] == 1
        assert world.same() == []


async def test_a_label_is_not_taken_for_a_name(tmp_path: Path) -> None:
    """After a failed upload an asset that is only labelled so is neither its copy nor in its way."""
    async with World(tmp_path) as world:
        world.source.add_repository("octo/tool")
        world.source.add_release(
            "octo/tool",
            "v1",
            assets={"x.bin": AssetSpec(ASSET, label="y.bin"), "y.bin": b"small"},
        )
        world.target.faults.add(
            Fault(kind="status", route="upload-asset", match="name=y.bin", status=500, times=2)
        )
        assert (await world.sync()).status == "ok"
        assert world.same() == []
