"""A GitHub App at either end of a mirror."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mirror.app import open_app
from mirror.config import load_config, resolve_secrets
from mirror.emulator import GitHubState
from mirror.errors import ConfigError
from mirror.storage.json_ledger import FileLedgerStore
from support.world import World, only

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mirror.github import RequestSeen

KEY = rsa.generate_private_key(65537, 2048)
NUMBERS = (KEY.public_key().public_numbers().n, KEY.public_key().public_numbers().e)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.TraditionalOpenSSL,
    serialization.NoEncryption(),
).decode()

TWO_OWNERS = """
[[mirrors]]
source = "octo/tool"
target = "mirrors/tool"
[[mirrors]]
source = "acme/*"
target = "others/{owner}-{repo}"
"""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two hosts on virtual time, asked as Apps only, each with an installation for each owner."""
    source, target = GitHubState(kind="github"), GitHubState()
    made = World(tmp_path, TWO_OWNERS, source=source, target=target)
    async with made:
        for name in ("octo/tool", "acme/lib"):
            source.add_repository(name, private=True)
            source.add_release(name, "v1", assets={"a.zip": f"bytes of {name}", "b.txt": "b"})
        source.add_app(7, installations={"octo": "read", "acme": "read"}, public_key=NUMBERS)
        target.add_app(8, installations={"mirrors": "admin", "others": "admin"}, public_key=NUMBERS)
        (tmp_path / "app.pem").write_text(PEM)
        as_apps(made)
        yield made


def as_apps(world: World, *, source: str = "", target: str = "") -> None:
    """Write the configuration with Apps instead of tokens."""
    text = world.config_file.read_text()
    for name, number, more in (("SOURCE", 7, source), ("TARGET", 8, target)):
        app = f'app = {{ id = {number}, private_key = "file:app.pem"{more} }}'
        text = text.replace(f'token = "env:{name}_TOKEN"', app)
    world.config_file.write_text(text)


def kept(directory: Path) -> str:
    return "".join(file.read_text() for file in directory.rglob("*") if file.is_file())


def granted(state: GitHubState) -> int:
    return state.count(route="create-installation-token", status=201)


async def test_an_app_at_both_ends(world: World) -> None:
    """Private repositories of two owners are mirrored into two, created by the App itself."""
    report = await world.sync()
    assert report.status == "ok", report.to_json()
    assert world.same() == []
    assert world.same("acme/lib", "others/acme-lib") == []
    assert granted(world.source) == granted(world.target) == 2
    for state in (world.source, world.target):
        used = {r.authorization.split()[1][:4] for r in state.requests if r.authorization}
        assert used <= {"ghs_", "eyJh"}  # never a token that was not the App's


async def test_an_idle_pass_is_unchanged_with_another_token(world: World) -> None:
    """Another token has other ETags: the same content is unchanged; the target proves its token."""
    await world.sync()
    world.clock.advance(3600)
    world.target.reset_requests()
    report = await world.sync()
    assert report.status == "unchanged", report.to_json()
    renewal = ["get-app-installation", "create-installation-token"]
    assert [request.route for request in world.target.requests] == [*renewal, "get-meta"]


async def test_a_token_that_ends_in_the_middle(world: World) -> None:
    """Hours pass while assets are copied: each is sent with a token that is good at that moment."""
    for number in range(6):
        world.source.add_asset("octo/tool", "v1", f"late-{number}.bin", f"{number}" * 50)
    world.write_config(extra="[sync]\ntransfers = 1\nrepositories = 1\n")
    as_apps(world)
    world.target.on_bytes(
        lambda route, _: world.clock.advance(1800) if route == "upload-asset" else None
    )
    report = await world.sync()
    assert report.status == "ok", report.to_json()
    assert world.same() == []
    assert granted(world.target) > 4
    refused = world.source.count(status=401) + world.target.count(status=401)
    assert refused == 0


async def test_a_missing_installation_is_one_failure(world: World) -> None:
    """An owner without the App fails with what to do; the other owner's mirror arrives."""
    del world.source.apps[7].installations["octo"]
    report = await world.sync()
    by_source = {repo.source: repo for repo in report.repositories}
    assert by_source["github:acme/lib"].status == "ok"
    (failure,) = by_source["github:octo/tool"].failures
    assert "install the App in that account" in failure.error


async def test_a_missing_installation_at_the_target_is_no_missing_repository(world: World) -> None:
    """What cannot be seen is not taken for absent: nothing is created, nothing is planned."""
    del world.target.apps[8].installations["mirrors"]
    report = await world.plan("octo/tool")
    assert only(report).actions == ()
    assert "install the App" in only(report).failures[0].error


async def test_the_check_shows_the_app(world: World) -> None:
    """Name, installations, permissions and the token's end; a permission that lacks is named."""
    world.target.add_app(8, installations={"mirrors": "write"}, public_key=NUMBERS)
    config = load_config(world.config_file, world.environ)
    secrets = resolve_secrets(config, world.environ)
    async with open_app(config, secrets, clock=world.clock) as app:
        found = {(r.host, r.what): r for r in await app.check()}
    assert found["github", "app"].detail == "app-7 (7)"
    assert (
        "in octo; its token expires at 10:00:00 UTC" in found["github", "installation octo"].detail
    )
    assert found["github", "permissions acme"].detail == "contents: read, metadata: read"
    assert found["target", "permissions mirrors"].status == "warning"
    assert "Administration: write" in found["target", "permissions mirrors"].detail
    assert found["target", "installation others"].status == "failed"
    assert found["github", "download"].status == "ok"


@pytest.mark.usefixtures("everything_large")
async def test_requests_of_all_threads_are_seen_here(world: World) -> None:
    """One token for each installation, and every request is reported in the thread of the app."""
    config = load_config(world.config_file, world.environ)
    seen: list[tuple[str, RequestSeen]] = []

    def on_request(request: RequestSeen) -> None:
        seen.append((threading.current_thread().name, request))

    secrets = resolve_secrets(config, world.environ)
    async with open_app(config, secrets, clock=world.clock, on_request=on_request) as app:
        report = await app.sync()
    assert report.status == "ok"
    assert {thread for thread, _ in seen} == {threading.current_thread().name}
    for host, state, downloads in (("github", world.source, 4), ("target", world.target, 0)):
        assert state.count(route="create-installation-token") == 2
        assert sum(request.host == host for _, request in seen) == state.count()
        assert report.requests[host].total == state.count() - downloads  # from a storage host


async def test_a_file_that_is_no_key(world: World, tmp_path: Path) -> None:
    """It is a mistake of the configuration, with file, line and key, before any contact."""
    (tmp_path / "app.pem").write_text("hello\nworld\n")
    with pytest.raises(ConfigError) as caught:
        await world.sync()
    keys = [problem.key for problem in caught.value.problems]
    assert keys == ["target.app.private_key"]
    assert caught.value.problems[0].line
    assert "hello" not in str(caught.value)
    assert not world.source.requests


async def test_nothing_secret_is_told(world: World, tmp_path: Path) -> None:
    """Neither key nor signature nor token is in a log, a report, or the ledger."""
    world.target.apps[8].installations["others"].suspended_at = "2026-01-01T00:00:00Z"
    with structlog.testing.capture_logs() as logs:
        report = await world.sync()
    assert report.failed
    told = json.dumps([logs, report.to_json()], default=str)
    told += kept(tmp_path / "ledger")
    secrets = [line for line in PEM.splitlines() if "-----" not in line]
    for state in (world.source, world.target):
        secrets += [value for value in state.tokens if value.startswith("ghs_")]
        secrets += [r.authorization.split()[1] for r in state.requests if r.authorization]
    assert len(secrets) > 30
    assert not [secret for secret in secrets if secret in told]


async def test_an_app_takes_the_limits_over(world: World) -> None:
    """A reload does not start the minute anew; other limits do, and another credential has its own."""
    config = load_config(world.config_file, world.environ)
    secrets = resolve_secrets(config, world.environ)
    slower = world.config_file.read_text().replace(
        "[sources.github]", "[sources.github]\npoints_per_minute = 100"
    )
    async with open_app(config, secrets, clock=world.clock) as first:
        async with open_app(config, secrets, clock=world.clock, before=first.shared) as second:
            assert second.shared.allowances == first.shared.allowances
            assert len(second.shared.allowances) == 2
        world.config_file.write_text(slower)
        config = load_config(world.config_file, world.environ)
        async with open_app(config, secrets, clock=world.clock, before=first.shared) as third:
            assert len(third.shared.allowances) == 3


async def test_the_expiry_of_an_apps_token_is_nobodys_business(world: World) -> None:
    """It is renewed every hour by itself: nobody is told to renew it."""
    for host in (world.source, world.target):
        host.tamper = lambda _, answer: answer.headers.update(
            {"GitHub-Authentication-Token-Expiration": "2026-11-21 10:00:00 UTC"}
        )
    assert (await world.sync()).status == "ok"
    index = await FileLedgerStore(world.ledger, world.clock).load_index()
    assert {record.token_expires_at for record in index.hosts.values()} == {0.0}
