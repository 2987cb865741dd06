"""A check finds what would stop a pass, names it, and writes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mirror.app import open_app
from mirror.check.download_check import fault_of
from mirror.check.host_check import expiry_verdict, scopes_verdict
from mirror.config import load_config, resolve_secrets
from mirror.emulator import Fault
from support.values import an_asset
from support.world import TARGET_TOKEN, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mirror.check.check_results import CheckResult

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        made.source.add_repository("octo/tool")
        made.source.add_release("octo/tool", "v1", assets={"a.zip": "bytes"})
        yield made


async def check(world: World) -> dict[tuple[str, str], CheckResult]:
    config = load_config(world.config_file, world.environ)
    secrets = resolve_secrets(config, world.environ)
    async with open_app(config, secrets, clock=world.clock) as app:
        results = await app.check()
    return {(result.host, result.what): result for result in results}


async def test_all_is_well(world: World) -> None:
    """Good hosts give no failure and no warning; what cannot be proven is said; reads only."""
    results = await check(world)
    assert {r.status for r in results.values()} <= {"ok", "unknown"}
    assert results["target", "writing"].status == "unknown"
    assert "1 to be created" in results["target", "repositories"].detail
    assert "1 mirror every 15 min sends 4 " in results["github", "rate limit"].detail
    assert results["target", "rate limit"].detail == "not limited"
    methods = {record.method for host in (world.source, world.target) for record in host.requests}
    assert methods == {"GET"}


async def test_storage_behind_a_firewall(world: World) -> None:
    """Where the storage host refuses, that host is named; the rest is looked at all the same."""
    world.source.faults.add(Fault(kind="status", route="storage-download", status=403, times=None))
    results = await check(world)
    failed = results["github", "download"]
    assert failed.status == "failed"
    assert world.source_host.storage_url.partition("//")[2].partition(":")[0] in failed.detail
    assert results["target", "token"].status == "ok"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="html", route="storage-download", times=None),
        Fault(kind="html", route="download-asset", times=None),
        Fault(kind="status", status=200, body='{"login": 1}', route="storage-download", times=None),
        Fault(kind="wrong-length", at_byte=4000, route="storage-download", times=None),
        Fault(kind="truncate", at_byte=0, route="storage-download", times=None),
    ],
    ids=["html", "html-of-the-api", "json", "wrong-length", "nothing"],
)
async def test_something_else_than_the_asset(world: World, fault: Fault) -> None:
    """What is not the asset's first byte is a failure, whatever its status."""
    world.source.ignore_range = fault.kind == "wrong-length"
    world.source.faults.add(fault)
    failed = (await check(world))["github", "download"]
    assert failed.status == "failed", failed
    assert "proxy" in failed.detail or fault.kind in {"wrong-length", "truncate"}


async def test_an_asset_that_can_be_downloaded_is_tried(world: World) -> None:
    """One that is empty or not uploaded yet proves nothing; without another it is not known."""
    world.source.add_release("octo/tool", "v2", assets={"empty": "", "later": "bytes"})
    world.source.asset("octo/tool", "v2", "later").state = "starter"
    world.source.release("octo/tool", "v2").json = None
    found = (await check(world))["github", "download"]
    assert found.status == "ok"
    assert "read one byte of a.zip of octo/tool (5 B)" in found.detail
    assert world.source_host.storage_url.partition("//")[2] in found.detail
    world.source.delete_release("octo/tool", "v1")
    assert (await check(world))["github", "download"].status == "unknown"


async def test_a_host_that_ignores_the_range(world: World) -> None:
    """All bytes with their right length are as good as one."""
    world.source.ignore_range = True
    assert (await check(world))["github", "download"].status == "ok"


@pytest.mark.parametrize(
    ("status", "headers", "fault"),
    [
        (206, {"Content-Range": "bytes 0-0/5"}, ""),
        (206, {"Content-Range": "bytes 0-0/*"}, ""),
        (206, {"Content-Range": "bytes 0-0/6"}, "6 bytes of type unknown (status 206)"),
        (206, {}, "a body of unknown length of type unknown (status 206)"),
        (200, {"Content-Length": "5", "Content-Type": "application/octet-stream"}, ""),
        (200, {"Content-Type": "application/octet-stream"}, ""),
        (
            200,
            {"Content-Length": "5", "Content-Type": "text/html; charset=utf-8"},
            "5 bytes of type text/html (status 200)",
        ),
        (200, {"Content-Length": "6"}, "6 bytes of type unknown (status 200)"),
        (416, {"Content-Length": "5"}, "5 bytes of type unknown (status 416)"),
    ],
)
def test_what_came_instead(status: int, headers: dict[str, str], fault: str) -> None:
    """Length, range and type are held against the asset's."""
    assert fault_of(status, headers, an_asset(1, "a.zip", size=5)) == fault


async def test_a_host_that_is_down_is_one_failure(world: World) -> None:
    """Nothing else is asked of it, and nothing else is said to have failed."""
    world.source.faults.add(Fault(kind="html", times=None))
    results = await check(world)
    failed = [(r.host, r.what) for r in results.values() if r.status == "failed"]
    assert failed == [("github", "reachable")]
    assert results["github", "releases"].status == "unknown"


@pytest.mark.parametrize(
    ("scopes", "permission", "status", "words"),
    [
        ("repo, workflow", "none", "unknown", "only with the scope read:org"),
        ("repo, read:org", "none", "failed", "bot is not a member"),
        ("repo, read:org", "write", "failed", "may not create repositories"),
        ("repo, read:org", "admin", "ok", "may create repositories"),
        (None, "none", "failed", "bot is not a member"),
    ],
)
async def test_whether_a_repository_can_be_created(
    world: World, scopes: str | None, permission: Any, status: str, words: str
) -> None:
    """An organization tells its members; what cannot be seen is not called good."""
    world.target.revoke_token(TARGET_TOKEN)
    world.target.add_token(TARGET_TOKEN, login="bot", scopes=scopes, permission=permission)
    results = await check(world)
    assert results["target", "owner mirrors"].status == status
    assert words in results["target", "owner mirrors"].detail
    assert (results["target", "repositories"].status == "ok") == (status == "ok")


async def test_another_user_is_no_owner_to_create_repositories_for(world: World) -> None:
    """Only a user itself can create repositories in its account."""
    world.write_config('[[mirrors]]\nsource = "octo/tool"\ntarget = "alice/tool"\n')
    world.target.account("alice", "User")
    assert (await check(world))["target", "owner alice"].status == "failed"
    world.target.revoke_token(TARGET_TOKEN)
    world.target.add_token(TARGET_TOKEN, login="alice")
    assert (await check(world))["target", "owner alice"].status == "ok"


@pytest.mark.parametrize(
    ("permission", "fine_grained", "what", "status"),
    [
        ("read", False, "mirrors/tool", "failed"),
        ("write", False, "repositories", "ok"),
        ("write", True, "repositories", "unknown"),
    ],
)
async def test_whether_a_repository_can_be_written(
    world: World, permission: Any, fine_grained: bool, what: str, status: str
) -> None:
    """A classic token may do what its account may do; of a fine-grained one that is not known."""
    world.target.add_repository("mirrors/tool")
    world.target.revoke_token(TARGET_TOKEN)
    world.target.add_token(
        TARGET_TOKEN,
        login="bot",
        repositories={"mirrors/tool": permission},
        fine_grained=fine_grained,
    )
    results = await check(world)
    assert results["target", what].status == status


async def test_a_refused_token(world: World) -> None:
    """A refused token is one failure of its host; what depends on it was not tried."""
    world.target.revoke_token(TARGET_TOKEN)
    results = await check(world)
    failed = [r for r in results.values() if r.status == "failed"]
    assert [(r.host, r.what) for r in failed] == [("target", "token")]
    assert "401" in failed[0].detail
    assert results["target", "repositories"].status == "unknown"
    assert results["github", "download"].status == "ok"


async def test_the_target_cannot_be_written(world: World) -> None:
    """An owner that is missing, an archived repository: each named with what to do."""
    world.write_config(
        '[[mirrors]]\nsource = "octo/tool"\ntarget = "nobody/tool"\n'
        '[[mirrors]]\nsource = "octo/lib"\ntarget = "mirrors/old"\n'
    )
    world.target.add_repository("mirrors/old", archived=True)
    results = await check(world)
    assert results["target", "owner nobody"].status == "failed"
    assert results["target", "owner mirrors"].status == "ok"
    assert results["target", "mirrors/old"].status == "failed"
    assert "unarchive" in results["target", "mirrors/old"].detail
    assert results["github", "octo/lib"].status == "failed"


@pytest.mark.parametrize(
    ("scopes", "writes", "status"),
    [
        ("repo, workflow", True, "ok"),
        ("repo", True, "warning"),
        ("repo", False, "ok"),
        ("public_repo", True, "warning"),
        ("gist", True, "failed"),
        ("", False, "ok"),
        (None, True, "unknown"),
    ],
)
def test_scopes(scopes: str | None, writes: bool, status: str) -> None:
    """A classic token's scopes decide; a fine-grained one's permissions cannot be seen."""
    headers = {} if scopes is None else {"X-OAuth-Scopes": scopes}
    assert scopes_verdict(headers, writes=writes)[0] == status


@pytest.mark.parametrize(
    ("days", "status"), [(-1, "failed"), (1, "warning"), (6, "warning"), (8, "ok"), (400, "ok")]
)
def test_expiry(days: int, status: str) -> None:
    """A token that expires within a week is warned of."""
    moment = NOW + timedelta(days=days)
    headers = {"GitHub-Authentication-Token-Expiration": f"{moment:%Y-%m-%d %H:%M:%S} UTC"}
    assert expiry_verdict(headers, NOW)[0] == status


def test_no_expiry() -> None:
    """A token without an expiry is fine; what is no date cannot be judged."""
    assert expiry_verdict({}, NOW)[0] == "ok"
    assert expiry_verdict({"GitHub-Authentication-Token-Expiration": "soon"}, NOW)[0] == "unknown"
