"""A pass proves the target's credential, also where it asks the target for nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from mirror.app import hold_ledger, open_app
from mirror.config import load_config, resolve_secrets
from mirror.emulator import Fault, GitHubState
from mirror.storage.json_ledger import FileLedgerStore
from mirror.sync.discovery import Catalogue
from support.world import TARGET_TOKEN, World

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.core.ledger.index import IndexEntry

COUNT = 12
MIRRORS = "".join(
    f'[[mirrors]]\nsource = "octo/tool-{n}"\ntarget = "mirrors/tool-{n}"\n' for n in range(COUNT)
)


async def mirrored(world: World) -> None:
    for number in range(COUNT):
        world.source.add_repository(f"octo/tool-{number}")
        world.source.add_release(f"octo/tool-{number}", "v1", assets={"a": b"1"})
    report = await world.sync()
    assert report.status == "ok"


@pytest.mark.parametrize("kind", ["ghes", "github"])
async def test_an_idle_pass_asks_the_target_once(kind: str, tmp_path: Path) -> None:
    """One request in all, whatever number of mirrors there is; on github.com one that is free."""
    target = GitHubState(kind="github") if kind == "github" else None
    async with World(tmp_path, MIRRORS, target=target) as world:
        await mirrored(world)
        for host in (world.source, world.target):
            host.reset_requests()
        report = await world.sync()
        assert report.status == "unchanged"
        assert world.source.count() == COUNT
        (request,) = world.target.requests
        assert request.method == "GET"
        assert request.status in {200, 404}


@pytest.mark.parametrize("command", ["sync", "plan"])
async def test_a_dead_credential_is_one_failure_of_all_mirrors(
    command: str, tmp_path: Path
) -> None:
    """Nobody is told "in sync": one failure, one request, and no mirror counts as a success."""
    async with World(tmp_path, MIRRORS) as world:
        await mirrored(world)
        before = {key: entry.succeeded_at for key, entry in (await entries(world)).items()}
        world.target.revoke_token(TARGET_TOKEN)
        world.target.reset_requests()
        world.clock.advance(900)
        report = await (world.sync() if command == "sync" else world.plan())
        assert report.failed
        assert [f.kind for repo in report.repositories for f in repo.failures] == ["credential"]
        assert {repo.status for repo in report.repositories} == {"failed"}
        assert world.target.count() == 1
        if command == "plan":
            return
        now = await entries(world)
        assert {key: entry.succeeded_at for key, entry in now.items()} == before
        assert {entry.failure.kind for entry in now.values() if entry.failure} == {"credential"}
        assert all(entry.failure for entry in now.values())

        world.target.add_token(TARGET_TOKEN, login="mirror-bot", admin=True)
        world.target.reset_requests()
        report = await world.sync()
        assert report.status == "unchanged"
        assert world.target.count() == 1
        assert all(entry.failure is None for entry in (await entries(world)).values())


async def test_the_log_tells_a_failure_and_its_recovery_once(tmp_path: Path) -> None:
    """A dead credential is logged for its host: no mirror of it fails or recovers by itself."""
    async with World(tmp_path, MIRRORS) as world:
        await mirrored(world)

        async def told() -> list[str]:
            with capture_logs() as events:
                await world.sync()
            names = [event["event"] for event in events]
            return [name for name in names if name in {"mirror.failed", "mirror.recovered"}]

        world.target.revoke_token(TARGET_TOKEN)
        assert len(await told()) <= 1  # of the mirror that met the refusal
        world.target.add_token(TARGET_TOKEN, login="mirror-bot", admin=True)
        assert len(await told()) <= 1
        assert await told() == []


async def test_no_more_is_asked_where_the_target_was_asked_anyway(tmp_path: Path) -> None:
    """What one mirror writes proves the credential of all."""
    one = '[[mirrors]]\nsource = "octo/tool-0"\ntarget = "mirrors/tool-0"\n'
    async with World(tmp_path, MIRRORS) as world:
        await mirrored(world)
        world.write_config(one)
        world.source.add_release("octo/tool-0", "v2", assets={"a": b"2"})
        world.target.reset_requests()
        assert (await world.sync()).status == "ok"
        assert world.target.count(route="get-meta") == 0
        assert world.target.count(route="get-rate-limit") == 0


@pytest.mark.parametrize("status", [403, 404])
async def test_an_answer_that_is_no_401_is_proof_enough(status: int, tmp_path: Path) -> None:
    """A server may hide its version, or have no rate limit: the credential was accepted."""
    async with World(tmp_path, MIRRORS) as world:
        await mirrored(world)
        body = '{"message": "no"}'
        world.target.faults.add(
            Fault(kind="status", route="get-meta", status=status, body=body, times=None)
        )
        assert (await world.sync()).status == "unchanged"


async def entries(world: World) -> dict[str, IndexEntry]:
    index = await FileLedgerStore(world.ledger, world.clock).load_index()
    return index.mirrors


@pytest.mark.parametrize(
    ("message", "headers"),
    [
        ("Sorry. Your account was suspended.", {}),
        (
            "Resource protected by organization SAML enforcement.",
            {"X-GitHub-SSO": "required; url=x"},
        ),
    ],
    ids=["suspended", "single sign-on"],
)
async def test_a_closed_account_is_no_proof(
    message: str, headers: dict[str, str], tmp_path: Path
) -> None:
    """Nothing changed at the source, and nothing could be written: blocked, until it is open again."""
    async with World(tmp_path, MIRRORS) as world:
        await mirrored(world)
        body = json.dumps({"message": message})
        world.target.faults.add(
            Fault(kind="status", route="*", status=403, body=body, headers=headers, times=None)
        )
        for _ in range(3):
            world.target.reset_requests()
            report = await world.sync()
            assert report.status == "failed"
            told = [failure.state for repo in report.repositories for failure in repo.failures]
            assert told == ["blocked"] * COUNT
            assert world.target.count() == COUNT
        world.target.faults.clear()
        assert (await world.sync()).status == "unchanged"


async def test_one_proof_serves_all_mirrors_of_a_pass(tmp_path: Path) -> None:
    """Whenever they run: the daemon begins many passes with the same clients."""
    async with World(tmp_path, MIRRORS) as world:
        await mirrored(world)
        config = load_config(world.config_file, world.environ)
        secrets = resolve_secrets(config, world.environ)
        async with (
            hold_ledger(config, secrets, clock=world.clock) as ledger,
            open_app(config, secrets, clock=world.clock, ledger=ledger) as app,
        ):
            index = await ledger.store.load_index()
            runner = app.runner(index)
            mirrors = Catalogue(app.rules, runner.sources, index).mirrors
            for _ in range(2):
                world.clock.advance(900)
                world.target.reset_requests()
                began = world.clock.monotonic()
                for mirror in mirrors:
                    world.clock.advance(1)
                    assert (await runner.run(mirror, since=began)).status == "unchanged"
                assert world.target.count() == 1
