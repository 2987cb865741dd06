"""What a permission stands in the way of: at most one refused request a mirror, until it heals."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from mirror.emulator import Fault
from mirror.errors import AuthError, HostStopped, MirrorError, NotTried, ServerError
from mirror.sync.permission_gate import PermissionGate
from support.world import TARGET_TOKEN, World, only

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.core.reporting.report import Report

REFUSED = json.dumps({"message": "Resource not accessible by personal access token"})
IN_FLIGHT = 4
WRITES = {"POST", "PATCH", "PUT", "DELETE"}


def weak(world: World, *, fine_grained: bool = True) -> None:
    """The target's token may read and not write."""
    world.target.add_token(
        TARGET_TOKEN, login="mirror-bot", permission="read", fine_grained=fine_grained
    )


def granted(world: World) -> None:
    world.target.add_token(TARGET_TOKEN, login="mirror-bot", admin=True)


def seed(world: World, *numbers: int) -> None:
    if "octo/tool" not in world.source.names:
        world.source.add_repository("octo/tool")
    for number in numbers:
        world.source.add_release(
            "octo/tool",
            f"v{number}",
            date=f"2026-01-{number:02}T00:00:00Z",
            assets={f"{name}-{number}.bin": f"{name} of {number}" for name in "ab"},
        )


def writes(world: World) -> list[Any]:
    return [r for r in world.target.requests if r.method in WRITES]


async def pass_of(world: World, **options: Any) -> tuple[Report, list[Any], int]:
    """A pass; its report, its writes, and how many of them were refused."""
    world.target.reset_requests()
    report = await world.sync(**options)
    sent = writes(world)
    return report, sent, sum(r.status in {403, 404} for r in sent)


def kinds(report: Report) -> list[tuple[str, str]]:
    return [(f.kind, f.state) for f in only(report).failures]


@pytest.mark.parametrize("fine_grained", [True, False], ids=["answers 403", "answers 404"])
@pytest.mark.parametrize("state", ["tags", "drafts", "uploads"])
async def test_a_weak_token_costs_one_refused_request_a_pass(
    state: str, tmp_path: Path, *, fine_grained: bool
) -> None:
    """Nothing is quarantined or changed; once the permission is granted the next pass goes on.

    It does not matter what is to be written first: a tag, the assets of a draft, or those of a
    release that people see. To what a classic token may not write it gets a 404.
    """
    async with World(tmp_path) as world:
        seed(world, 1, 2)
        await world.sync()
        if state == "drafts":
            seed(world, 3, 4)
            world.target.faults.add(
                Fault(kind="status", route="upload-asset", status=502, times=None)
            )
            await world.sync()
            world.target.faults.clear()
            assert len(world.drafts()) == 2
        elif state == "tags":
            seed(world, 3, 4, 5)
        else:
            for number in (1, 2):
                for name in "cdefg":
                    world.source.add_asset("octo/tool", f"v{number}", f"{name}.bin", name.encode())
        weak(world, fine_grained=fine_grained)
        drafts = [(draft.id, len(draft.assets)) for draft in world.drafts()]
        for _ in range(3):
            report, sent, refused = await pass_of(world)
            assert len(sent) == refused == 1
            assert kinds(report) == [("permission", "blocked")]
            assert only(report).quarantined == ()
            assert [(draft.id, len(draft.assets)) for draft in world.drafts()] == drafts
        granted(world)
        report, _, refused = await pass_of(world)
        assert (report.status, refused) == ("ok", 0), only(report).failures
        assert world.same() == []
        assert (await world.sync()).status == "unchanged"


async def test_another_token_heals_as_well(tmp_path: Path) -> None:
    """The mirror is not touched, and neither is the server: the secret is another one."""
    async with World(tmp_path) as world:
        seed(world, 1)
        await world.sync()
        seed(world, 2)
        weak(world)
        assert kinds(await world.sync()) == [("permission", "blocked")]
        world.environ["TARGET_TOKEN"] = world.target.add_token(
            "another-token-of-the-test", login="mirror-bot", admin=True
        )
        assert (await world.sync()).status == "ok"
        assert world.same() == []


@pytest.mark.parametrize("fine_grained", [True, False])
async def test_who_may_not_create_a_repository_is_asked_once(
    tmp_path: Path, *, fine_grained: bool
) -> None:
    """An owner that is missing, or may not be written to, blocks; nothing is quarantined."""
    async with World(tmp_path) as world:
        seed(world, 1, 2)
        weak(world, fine_grained=fine_grained)
        for _ in range(3):
            report, sent, refused = await pass_of(world)
            assert len(sent) == refused == 1
            assert [state for _, state in kinds(report)] == ["blocked"]
        granted(world)
        assert (await world.sync()).status == "ok"
        assert world.same() == []


async def test_an_archived_repository_is_not_written_to(tmp_path: Path) -> None:
    """It is read, and blocks while it is archived."""
    async with World(tmp_path) as world:
        seed(world, 1)
        await world.sync()
        seed(world, 2, 3)
        world.target.repository("mirrors/tool").archived = True
        for _ in range(3):
            report, sent, _ = await pass_of(world)
            assert sent == []
            assert kinds(report) == [("archived", "blocked")]
        world.target.repository("mirrors/tool").archived = False
        assert (await world.sync()).status == "ok"
        assert world.same() == []


async def test_one_forbidden_release_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """From the second pass on it comes last, and is the only one that is refused.

    Such as a tag that changes workflows, which needs a permission of its own. In the first pass, what
    was in flight when the first refusal came is refused with it.
    """
    async with World(tmp_path) as world:
        seed(world, 1)
        await world.sync()
        seed(world, 2, 3, 4)
        for number in (3, 4):
            world.target.faults.add(
                Fault(
                    kind="status",
                    route="upload-asset",
                    match=f"-{number}.bin",
                    status=403,
                    body=REFUSED,
                    times=None,
                )
            )
        for number in range(5):
            report, _, refused = await pass_of(world)
            assert 1 <= refused <= (1 if number else IN_FLIGHT), number
            assert set(kinds(report)) == {("permission", "blocked")}
        assert set(world.published()) == {"v1", "v2"}
        world.target.faults.clear()
        assert (await world.sync()).status == "ok"
        assert world.same() == []
        assert world.latest() == "v4"


async def test_a_release_that_stays_forbidden_holds_up_no_other_that_was(tmp_path: Path) -> None:
    """Of those that were refused, the one that was not tried for longest begins."""
    async with World(tmp_path) as world:
        seed(world, 1)
        await world.sync()
        seed(world, 2, 3, 4)
        for number in (2, 3, 4):
            world.target.faults.add(
                Fault(
                    kind="status",
                    route="upload-asset",
                    match=f"-{number}.bin",
                    status=403,
                    body=REFUSED,
                    times=None,
                )
            )
        for _ in range(2):
            await world.sync()
        world.target.faults.clear()
        world.target.faults.add(
            Fault(
                kind="status",
                route="upload-asset",
                match="-4.bin",
                status=403,
                body=REFUSED,
                times=None,
            )
        )
        for _ in range(3):
            _, _, refused = await pass_of(world)
            assert refused <= 1
        assert set(world.published()) == {"v1", "v2", "v3"}
        world.target.faults.clear()
        assert (await world.sync()).status == "ok"
        assert world.same() == []


async def test_what_vanished_is_no_permission(tmp_path: Path) -> None:
    """Where a draft was deleted meanwhile, a 404 says so: it is made anew by the next pass."""
    async with World(tmp_path) as world:
        seed(world, 1)
        gone: list[str] = []

        def meanwhile(record: Any) -> None:
            if record.route == "upload-asset" and not gone:
                gone.append("v1")
                (draft,) = world.drafts()
                world.target.delete_release("mirrors/tool", draft.id)

        world.target.on_request(meanwhile)
        report = await world.sync()
        assert gone
        assert {state for _, state in kinds(report)} == {"failed"}
        assert (await world.sync()).status == "ok"
        assert world.same() == []


# -- the gate itself ---------------------------------------------------------------------------


async def sent_through(gate: PermissionGate, *errors: MirrorError | None) -> tuple[int, list[Any]]:
    """Writes that begin together and end so; how many were sent, and what became of each."""
    sent = 0
    ends: list[Any] = []

    async def write(error: MirrorError | None) -> None:
        nonlocal sent
        try:
            async with gate.write():
                sent += 1
                await asyncio.sleep(0)
                if error:
                    raise error
        except MirrorError as raised:
            ends.append(type(raised))
        else:
            ends.append(None)

    async with asyncio.TaskGroup() as group:
        for error in errors:
            group.create_task(write(error))
    return sent, ends


DENIED = AuthError("may not write", status=403)


@pytest.mark.parametrize(
    ("first", "sent"),
    [
        (DENIED, 1),
        (None, 4),
        (ServerError("answered 502", status=502), 4),
        (AuthError("bad credentials", status=401), 4),  # that stops the host by itself
        (HostStopped("not sent", kind="credential"), 4),
    ],
)
async def test_the_first_answer_decides_for_the_others(
    first: MirrorError | None, sent: int
) -> None:
    """They wait for it; only a refusal for a permission keeps them from being sent."""
    gate = PermissionGate()
    number, ends = await sent_through(gate, first, None, None, None)
    assert number == sent
    assert ends[1:] == [NotTried if sent == 1 else None] * 3


async def test_a_later_refusal_stops_what_comes_after_it() -> None:
    """What is in flight at that moment is all that may be refused with it."""
    gate = PermissionGate()
    assert await sent_through(gate, None, DENIED) == (2, [None, AuthError])
    assert await sent_through(gate, None, None) == (0, [NotTried, NotTried])
    with pytest.raises(NotTried, match="was refused") as caught:
        gate.check()
    assert str(caught.value.kind) == "permission"


async def test_those_that_were_refused_before_begin_alone_again() -> None:
    """Others succeeded meanwhile, which says nothing of these."""
    gate = PermissionGate()
    await sent_through(gate, None, None)
    gate.begin_again()
    assert (await sent_through(gate, DENIED, DENIED, DENIED))[0] == 1


async def test_a_large_upload_is_admitted_before_it_ends() -> None:
    """Others begin; a write within a write does not wait for it."""
    gate = PermissionGate()
    async with gate.write() as admitted:
        async with gate.write():
            pass
        admitted()
        async with asyncio.TaskGroup() as group:
            other = group.create_task(_sent(gate))
        assert other.result()


async def test_a_first_write_of_several_parts_lets_others_begin_before_its_end() -> None:
    """Otherwise it would wait for what they hold, such as the slots of transfers, for ever."""
    gate, slot = PermissionGate(), asyncio.Lock()

    async def renamed_and_uploaded_again() -> None:
        async with gate.write():
            await asyncio.sleep(0)  # the others have got every slot
            gate.admit()
            async with slot, gate.write():
                pass

    async def uploaded() -> None:
        async with slot, gate.write():
            pass

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(renamed_and_uploaded_again())
        group.create_task(uploaded())


async def _sent(gate: PermissionGate) -> bool:
    async with gate.write():
        return True


# -- what else a mirror is blocked by ----------------------------------------------------------

SSO = {"X-GitHub-SSO": "required; url=https://github.com/orgs/mirrors/sso"}


@pytest.mark.parametrize(
    ("side", "message", "headers", "kind"),
    [
        ("target", "Resource protected by organization SAML enforcement.", SSO, "permission"),
        ("target", "Sorry. Your account was suspended.", {}, "permission"),
        ("source", "Repository access blocked", {}, "permission"),
        ("source", "Sorry. Your account was suspended.", {}, "permission"),
    ],
)
async def test_an_account_or_repository_that_is_closed_blocks(
    side: str, message: str, headers: dict[str, str], kind: str, tmp_path: Path
) -> None:
    """One refused request a pass, in each pass; opened again, the next pass goes on."""
    async with World(tmp_path) as world:
        seed(world, 1)
        await world.sync()
        seed(world, 2)
        host = world.target if side == "target" else world.source
        body = json.dumps({"message": message})
        host.faults.add(
            Fault(kind="status", route="*", status=403, body=body, headers=headers, times=None)
        )
        for _ in range(3):
            host.reset_requests()
            report = await world.sync()
            assert host.count() == 1
            assert kinds(report) == [(kind, "blocked")]
            assert only(report).quarantined == ()
        host.faults.clear()
        assert (await world.sync()).status == "ok"
        assert world.same() == []


async def test_a_web_page_is_no_missing_permission(tmp_path: Path) -> None:
    """A proxy says 403 with a page of its own: no token would help, and nothing is concluded."""
    async with World(tmp_path) as world:
        seed(world, 1)
        world.target.faults.add(
            Fault(kind="status", route="create-release", status=403, body="<html>no</html>")
        )
        assert (await world.sync()).status == "ok"  # it was gone when it was asked again
        seed(world, 2)
        world.target.faults.add(
            Fault(
                kind="status",
                route="create-release",
                status=403,
                body="<html>no</html>",
                times=None,
            )
        )
        assert kinds(await world.sync()) == [("invalid-answer", "failed")]


@pytest.mark.parametrize("route", ["create-release", "upload-asset", "create-ref"])
async def test_a_write_that_led_elsewhere_is_looked_for(route: str, tmp_path: Path) -> None:
    """After a 303 it may have been carried out: nothing is made a second time."""
    async with World(tmp_path) as world:
        seed(world, 1)
        world.target.faults.add(Fault(kind="lost-reply-status", route=route, status=303))
        assert (await world.sync()).status == "ok"
        assert world.same() == []
        assert len(world.target.releases("mirrors/tool")) == 1


async def test_a_rejection_of_unknown_reason_holds_its_release(tmp_path: Path) -> None:
    """Nobody sees a release without its assets, because a server said something unheard of."""
    item = {"resource": "ReleaseAsset", "field": "colour", "code": "invalid"}
    body = json.dumps({"message": "Validation Failed", "errors": [item]})
    async with World(tmp_path) as world:
        seed(world, 1)
        world.target.faults.add(
            Fault(kind="status", route="upload-asset", status=422, body=body, times=None)
        )
        for _ in range(2):
            report = await world.sync()
            assert set(kinds(report)) == {("rejected", "failed")}
            assert only(report).quarantined == ()
            assert world.published() == {}
            assert len(world.drafts()) == 1
        world.target.faults.clear()
        assert (await world.sync(full=True)).status == "ok"
        assert world.same() == []
