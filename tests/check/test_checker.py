"""A check finds what would stop a pass, names it, and writes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from mirror.app import open_app
from mirror.check.host_check import expiry_verdict, parse_expiry, scopes_verdict
from mirror.config import load_config, resolve_secrets
from mirror.emulator import Fault
from support.world import TARGET_TOKEN, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mirror.check.checker import CheckResult

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
    assert "need about 4" in results["github", "rate limit"].detail
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
    ("days", "status"), [(1, "warning"), (13, "warning"), (15, "ok"), (400, "ok")]
)
def test_expiry(days: int, status: str) -> None:
    """A token that expires within two weeks is warned of."""
    moment = NOW + timedelta(days=days)
    headers = {"github-authentication-token-expiration": f"{moment:%Y-%m-%d %H:%M:%S} UTC"}
    assert expiry_verdict(headers, NOW)[0] == status


def test_dates() -> None:
    """Both forms of the date are read; what is none is no error."""
    assert parse_expiry("2026-12-01 09:00:00 UTC") == datetime(2026, 12, 1, 9, tzinfo=UTC)
    assert parse_expiry("2026-12-01 01:00:00 -0800") == datetime(2026, 12, 1, 9, tzinfo=UTC)
    assert parse_expiry("soon") is None
    assert expiry_verdict({}, NOW)[0] == "ok"
