# ruff: noqa: S311 - dice, not secrets
"""Who watches the watchers: the simulator keeps the API's rules, the oracle sees what it has to."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace

import pytest

from lives.adapter import PassResult, Process, SkippingLoop, Told, Weather, run_pass
from lives.disturbances import Disturbance
from lives.events import EVENTS, Event
from lives.life import Script, Setup, Step, World, draw, live, shrink
from lives.settings import Settings
from lives.simulator import MIRROR, PEOPLE, Host, Refused, Rules

DATA = b"00000001"


def a_host(**rules: object) -> Host:
    host = Host("https://host.example", "o/r", replace(Rules(), **rules), lambda: 100.0, 1)  # type: ignore[arg-type]
    host.found()
    host.push_tag("v1", host.commit("v1", 0.0), 0.0)
    return host


def a_world() -> World:
    """A source with one release of two assets, and a right copy of it at the target."""
    script = Script(0, Setup(Rules(naming="kept"), Rules(), Settings()), ())
    world = World(script, lambda: 100.0)
    for host, by in ((world.source, PEOPLE), (world.target, MIRROR)):
        host.found()
        host.push_tag("v1", host.commit("v1", 0.0), 0.0)
        release = host.create(by, "v1", draft=True)
        for number, name in enumerate(("a.bin", "b.bin"), 1):
            host.upload(by, release.id, name, f"{number:08d}".encode())
        host.edit(by, release.id, tag_name="v1", draft=False)
    return world


def add_to_source(world: World) -> None:
    release = world.source.published("v1")
    assert release is not None
    world.source.upload(PEOPLE, release.id, "c.bin", DATA)


def copies(world: World) -> dict[str, int]:
    """The ids of the copies by name."""
    release = world.target.published("v1")
    assert release is not None
    return {asset.name: asset.id for asset in release.assets.values()}


def claim(world: World, status: str = "ok") -> list[str]:
    """What the oracle says to a pass that claims success."""
    world.oracle.before_pass()
    world.oracle.after_pass(PassResult("sync", status, looked=status != "unchanged"))
    return [violation.kind for violation in world.oracle.violations]


def kinds(world: World) -> list[str]:
    return [violation.kind for violation in world.oracle.violations]


class TestSimulator:
    def test_a_name_is_given_once(self) -> None:
        """Two assets of a release never have one name, and a broken upload blocks it, too."""
        host = a_host()
        release = host.create(PEOPLE, "v1", draft=True)
        host.break_upload(PEOPLE, release.id, "a b")
        with pytest.raises(Refused) as refused:
            host.upload(PEOPLE, release.id, "a.b", DATA)
        assert refused.value.errors == [
            {"resource": "ReleaseAsset", "code": "already_exists", "field": "name"}
        ]

    def test_a_draft_is_for_writers(self) -> None:
        """Who may not write sees no draft: neither in the list nor by its id."""
        host = a_host(writers=frozenset({PEOPLE}))
        release = host.create(PEOPLE, "v1", draft=True)
        listed = host.handle(MIRROR, "GET", "/api/v3/repos/o/r/releases", {}, {}, b"")
        one = host.handle(MIRROR, "GET", f"/api/v3/repos/o/r/releases/{release.id}", {}, {}, b"")
        assert (json.loads(listed.body), one.status) == ([], 404)

    def test_a_draft_loses_its_tag(self) -> None:
        """A change that does not name the tag takes it away; a publication does not."""
        host = a_host()
        release = host.create(PEOPLE, "v1", draft=True)
        assert host.edit(PEOPLE, release.id, body="x").tag.startswith("untagged-")
        other = host.create(PEOPLE, "v1", draft=True)
        assert host.edit(PEOPLE, other.id, draft=False).tag == "v1"

    def test_pages_and_conditions(self) -> None:
        """A list is told in pages that name the next one; an ETag proves that it is unchanged."""
        host = a_host(page=1)
        for number in range(2):
            host.create(PEOPLE, f"v{number}", draft=True)
        path = "/api/v3/repos/o/r/releases"
        first = host.handle(MIRROR, "GET", path, {"per_page": "100"}, {}, b"")
        assert first.headers["Link"].endswith('&page=2>; rel="next"')
        condition = {"If-None-Match": first.headers["ETag"]}
        again = host.handle(MIRROR, "GET", path, {"per_page": "100"}, condition, b"")
        assert again.status == 304

    @pytest.mark.parametrize("whole", [False, True])
    def test_lists_lag(self, *, whole: bool) -> None:
        """What is new is in lists later than it is there; by its id it is at once."""
        now = [0.0]
        host = Host("https://h.example", "o/r", Rules(lag=5.0, lags_whole=whole), lambda: now[0], 1)
        host.found()
        host.push_tag("v1", host.commit("v1", 0.0), 0.0)
        release = host.create(PEOPLE, "v1", draft=True)
        assert (host.listed(), host.release(release.id)) == ([], release)
        now[0] = 5.0
        assert [shown.id for shown in host.listed()] == [release.id]

    def test_latest(self) -> None:
        """What was published last is the latest, unless it says that it is not."""
        host = a_host()
        first = host.create(PEOPLE, "v1")
        host.create(PEOPLE, "v2", make_latest="false")
        assert host.latest() is first
        assert host.create(PEOPLE, "v3") is host.latest()


class TestOracle:
    def test_nothing_is_wrong(self) -> None:
        """A right copy passes."""
        world = a_world()
        assert claim(world) == []
        world.oracle.at_end(PassResult("sync", "unchanged"))
        assert kinds(world) == []

    @pytest.mark.parametrize(
        ("status", "kind"), [("ok", "wrong bytes"), ("unchanged", "false unchanged")]
    )
    def test_wrong_bytes(self, status: str, kind: str) -> None:
        """Bytes that were replaced at the source by others of equal size are missed under success."""
        world = a_world()
        EVENTS["replace"][1](world, random.Random(1))
        assert claim(world, status) == [kind]

    def test_a_missing_asset(self) -> None:
        """What the source has and the target lacks is missed under success."""
        world = a_world()
        add_to_source(world)
        assert claim(world) == ["missing"]

    def test_kept_by_the_settings(self) -> None:
        """With ``on_change = "keep"`` the first copy is right."""
        world = a_world()
        world.settings = Settings(on_change="keep")
        EVENTS["replace"][1](world, random.Random(1))
        assert claim(world) == []

    def test_what_nobody_can_know(self) -> None:
        """After a lost ledger and without digests equal sizes cannot be told apart; others can."""
        world = a_world()
        world.source.rules.digests = False
        world.oracle.forget(float("-inf"))
        world.oracle.forgotten_releases.clear()
        EVENTS["replace"][1](world, random.Random(1))
        assert claim(world) == []
        world.source.rules.digests = True
        assert claim(world) == ["wrong bytes"]

    def test_others_files(self) -> None:
        """Nothing of others may change but by others."""
        world = a_world()
        release = world.target.published("v1")
        assert release is not None
        theirs = world.target.upload(PEOPLE, release.id, "c.bin", DATA)
        world.target.edit_asset(PEOPLE, theirs.id, label="theirs")
        assert kinds(world) == []
        world.target.edit_asset(MIRROR, theirs.id, label="ours")
        world.target.delete_asset(MIRROR, theirs.id)
        assert kinds(world) == ["others touched", "others touched"]

    def test_what_lies_in_a_draft_of_ours(self) -> None:
        """Nobody can tell a file of others in a draft of ours from what a killed pass sent."""
        world = a_world()
        draft = world.target.create(MIRROR, "v1", draft=True)
        theirs = world.target.upload(PEOPLE, draft.id, "c.bin", DATA)
        world.target.delete_asset(MIRROR, theirs.id)
        assert kinds(world) == []

    def test_others_drafts(self) -> None:
        """A draft of others is touched in no way."""
        world = a_world()
        theirs = world.target.create(PEOPLE, "v1", draft=True)
        world.target.upload(MIRROR, theirs.id, "c.bin", DATA)
        world.target.edit(MIRROR, theirs.id, tag_name="v1", draft=True, body="ours")
        assert kinds(world) == ["others touched", "others touched"]

    def test_others_files_go_with_their_release(self) -> None:
        """A release of ours is not deleted with a file of others in it."""
        world = a_world()
        release = world.target.published("v1")
        assert release is not None
        world.target.upload(PEOPLE, release.id, "c.bin", DATA)
        world.target.now = lambda: 110.0
        world.target.delete(MIRROR, release.id)
        assert kinds(world) == ["others touched"]

    def test_nobody_can_help_it(self) -> None:
        """A file that comes between the last look at a release and its deletion is lost."""
        world = a_world()
        release = world.target.published("v1")
        assert release is not None
        world.target.upload(PEOPLE, release.id, "c.bin", DATA)
        world.target.delete(MIRROR, release.id)
        assert kinds(world) == []

    def test_half_a_release(self) -> None:
        """No release is published that lacks an asset."""
        world = a_world()
        copy = world.target.create(MIRROR, "v1", draft=True)
        world.target.delete(MIRROR, next(iter(world.target.releases)))
        world.oracle.before_pass()
        world.target.edit(MIRROR, copy.id, tag_name="v1", draft=False)
        assert set(kinds(world)) == {"half visible"}

    def test_another_assets_bytes(self) -> None:
        """A published name never shows bytes that never had it at the source."""
        world = a_world()
        number = copies(world)["a.bin"]
        world.target.delete_asset(MIRROR, copies(world)["b.bin"])
        world.target.edit_asset(MIRROR, number, name="b.bin")
        assert kinds(world) == ["half visible"]

    def test_what_is_left(self) -> None:
        """At the end there is no temporary name, no broken asset, no draft and no orphan."""
        world = a_world()
        release = world.target.published("v1")
        assert release is not None
        world.target.upload(MIRROR, release.id, "release-mirror-tmp-1-a.bin", DATA)
        world.target.create(MIRROR, "v1", draft=True)
        world.oracle.violations.clear()
        world.oracle.at_end(PassResult("sync", "ok"))
        assert len(kinds(world)) == 2

    def test_it_ends(self) -> None:
        """A mirror that still acts after four quiet passes, or fails for no reason, has no end."""
        world = a_world()
        acting = PassResult("sync", "ok", done=[Told("upload-asset", "v1", "a.bin")])
        world.oracle.at_end(acting)
        world.oracle.at_end(PassResult("sync", "failed"))
        assert kinds(world) == ["not converged"] * 2


class TestLives:
    def test_the_same_seed_is_the_same_life(self) -> None:
        """A life can be lived again, request by request."""
        script = draw(11)
        one, other = (live(script, requests_told=True).story for _ in range(2))
        assert one == other

    def test_a_kill_loses_what_was_not_saved(self) -> None:
        """A killed process neither sends nor saves anything any more."""
        step = Step((Event("publish", 5),), (Disturbance("kill-before", 6),), 1)
        script = Script(1, Setup(Rules(naming="kept"), Rules(), Settings()), (step,))
        story = "\n".join(live(script, requests_told=True).story)
        killed, _, later = story.partition("*** kill-before")
        assert "-> killed" in later.split("quiet pass")[0]
        assert killed.count("target: POST") > 0

    def test_time_passes_at_once(self) -> None:
        """A day of waiting takes no time."""
        loop = SkippingLoop()
        try:
            loop.run_until_complete(asyncio.sleep(86_400.0))
            assert loop.time() >= 86_400.0
        finally:
            loop.close()

    def test_the_real_program_runs(self) -> None:
        """What arrives at the simulated target was sent by the program under test."""
        loop = SkippingLoop()

        async def run() -> tuple[World, PassResult]:
            script = Script(0, Setup(Rules(naming="kept"), Rules(), Settings()), ())
            world = World(script, loop.time)
            EVENTS["publish"][1](world, random.Random(3))
            weather = Weather(Process(), random.Random(0))
            result = await run_pass(
                "sync", world.source, world.target, world.settings, world.disk, weather
            )
            return world, result

        try:
            world, result = loop.run_until_complete(run())
        finally:
            loop.close()
        assert (result.status, list(world.oracle.problems())) == ("ok", [])

    def test_shrinking(self) -> None:
        """What does not matter for a failure is left out; a life that is well stays as it is."""
        script = draw(11)
        assert shrink(script, "no such kind") == script
