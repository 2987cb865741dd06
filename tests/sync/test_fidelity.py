"""The mirror follows its source: what is deleted, kept, adopted, skipped, awaited."""

from __future__ import annotations

import asyncio
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import aiohttp
import pytest

from mirror.emulator import Fault, Generated, GitHubState
from support.world import World, only, sha256

if TYPE_CHECKING:
    from pathlib import Path

ONE = """[[mirrors]]
source = "octo/tool"
target = "mirrors/tool"
"""
DELETE = ONE + 'on_delete = "delete"\n'


def seed(world: World, count: int = 4) -> None:
    world.source.add_repository("octo/tool")
    for number in range(count):
        world.source.add_release(
            "octo/tool",
            f"v{number}",
            date=f"2026-01-{number + 1:02}T00:00:00Z",
            assets={"a.bin": f"a{number}".encode(), "b.bin": f"b{number}".encode()},
        )


def deletions(world: World) -> list[str]:
    return [r.route for r in world.target.requests if r.method == "DELETE"]


# -- deletions ----------------------------------------------------------------------------------


async def test_nothing_is_deleted_unless_asked_for(tmp_path: Path) -> None:
    """By default what vanishes at the source stays at the target."""
    async with World(tmp_path, ONE) as world:
        seed(world)
        await world.sync()
        world.source.delete_release("octo/tool", "v1")
        world.source.delete_asset("octo/tool", "v2", "a.bin")
        assert (await world.sync()).status in {"ok", "unchanged"}
        await world.sync(full=True)
        assert deletions(world) == []
        assert set(world.published()) == {"v0", "v1", "v2", "v3"}


async def test_deletions_are_planned_and_shown_before_they_are_done(tmp_path: Path) -> None:
    """`plan` names each release and asset that `sync` then deletes."""
    async with World(tmp_path, DELETE) as world:
        seed(world)
        await world.sync()
        world.source.delete_release("octo/tool", "v1")
        world.source.delete_asset("octo/tool", "v2", "a.bin")
        plan = await world.plan()
        planned = {(a.action, a.release, a.asset) for a in only(plan).actions}
        assert planned == {("delete-release", "v1", None), ("delete-asset", "v2", "a.bin")}
        report = await world.sync()
        assert (report.totals()["releases_deleted"], report.totals()["assets_deleted"]) == (1, 1)
        assert world.same() == []
        assert (await world.sync(full=True)).status == "unchanged"


async def test_more_than_max_deletes_deletes_nothing(tmp_path: Path) -> None:
    """All or nothing: a plan over the limit fails, in every pass, until the limit is raised."""
    async with World(tmp_path, DELETE + "max_deletes = 2\n") as world:
        seed(world)
        await world.sync()
        for tag in ("v0", "v1", "v2"):
            world.source.delete_release("octo/tool", tag)
        for _ in range(2):
            report = await world.sync()
            assert "max_deletes = 2" in only(report).failures[0].error
            assert deletions(world) == []
        world.write_config(DELETE + "max_deletes = 3\n")
        assert (await world.sync()).totals()["releases_deleted"] == 3


async def test_what_others_made_is_never_deleted(tmp_path: Path) -> None:
    """Neither releases nor assets that this mirror did not make, whatever the settings."""
    async with World(tmp_path, DELETE + 'on_deselect = "delete"\n') as world:
        seed(world, 1)
        world.target.add_repository("mirrors/tool")
        world.target.add_release("mirrors/tool", "theirs", assets={"x": b"x"})
        world.target.add_release("mirrors/tool", "v0", assets={"a.bin": b"a0", "mine": b"m"})
        await world.sync()
        world.source.delete_release("octo/tool", "v0")
        await world.sync()
        await world.sync(full=True)
        assert set(world.published()) == {"theirs", "v0"}
        assert {a.name for a in world.published()["v0"].assets} == {"a.bin", "b.bin", "mine"}


async def test_a_repository_that_cannot_be_read_deletes_nothing(tmp_path: Path) -> None:
    """A 404, a token that lost its rights, or an owner behind single sign-on is no deletion."""
    async with World(tmp_path, DELETE) as world:
        seed(world)
        await world.sync()
        world.source.faults.add(Fault(kind="status", route="list-releases", status=404, times=None))
        assert (await world.sync()).failed
        world.source.faults.clear()
        world.source.faults.add(
            Fault(
                kind="status",
                route="list-releases",
                status=200,
                body="[]",
                headers={"X-GitHub-SSO": "partial-results; organizations=1"},
                times=None,
            )
        )
        await world.sync(full=True)
        world.source.faults.clear()
        assert deletions(world) == []
        assert len(world.published()) == 4


async def test_a_list_that_misses_what_is_there_deletes_nothing(tmp_path: Path) -> None:
    """Each thing is asked for by its id before it is deleted: lists shift while they are read."""
    async with World(tmp_path, DELETE) as world:
        seed(world)
        await world.sync()
        world.source.faults.add(
            Fault(kind="status", route="list-releases", status=200, body="[]", times=None)
        )
        await world.sync(full=True)
        assert deletions(world) == []
        assert len(world.published()) == 4


async def test_deselected_releases_go_where_that_is_asked_for(tmp_path: Path) -> None:
    """`on_deselect = "delete"` keeps the newest N only, and the wanted assets of these."""
    text = ONE + 'on_deselect = "delete"\nreleases.latest = 2\n'
    async with World(tmp_path, text) as world:
        seed(world, 2)
        await world.sync()
        world.source.add_release("octo/tool", "v9", assets={"a.bin": b"9", "b.bin": b"99"})
        await world.sync()
        assert set(world.published()) == {"v9", "v1"}
        world.write_config(text + 'assets.exclude = ["b.*"]\n')
        report = await world.sync()
        assert report.totals()["assets_deleted"] == 2
        assert all({a.name for a in r.assets} == {"a.bin"} for r in world.published().values())
        assert (await world.sync(full=True)).status == "unchanged"


async def test_what_was_unpublished_is_told_and_kept(tmp_path: Path) -> None:
    """A release that became a draft again at the source is no deletion."""
    async with World(tmp_path, DELETE) as world:
        seed(world)
        await world.sync()
        world.source.edit_release("octo/tool", "v1", draft=True)
        report = await world.sync()
        assert any("un-published" in text for text in only(report).warnings)
        assert "v1" in world.published()


# -- existing, on_change ------------------------------------------------------------------------


@pytest.mark.parametrize("existing", ["complete", "adopt", "skip"])
async def test_existing_releases_of_others(existing: str, tmp_path: Path) -> None:
    """Completed, adopted or skipped; their assets and drafts are left alone in any case."""
    async with World(tmp_path, ONE + f'existing = "{existing}"\n') as world:
        seed(world, 1)
        world.source.edit_release("octo/tool", "v0", name="Zero", body="Text")
        world.target.add_repository("mirrors/tool")
        world.target.add_release("mirrors/tool", "v0", name="Theirs", assets={"x": b"x"})
        draft = world.target.add_release("mirrors/tool", "v0", name="Draft", draft=True)
        report = await world.sync()
        copy = world.published()["v0"]
        names = {asset.name for asset in copy.assets}
        assert names == ({"x"} if existing == "skip" else {"x", "a.bin", "b.bin"})
        assert copy.name == ("Zero" if existing == "adopt" else "Theirs")
        assert [d.id for d in world.drafts()] == [draft.id]
        assert not report.failed
        assert bool(only(report).warnings) == (existing == "skip")
        assert not (await world.sync()).failed


async def test_an_equal_release_is_followed_from_then_on(tmp_path: Path) -> None:
    """A release of others that already equals its source follows its later edits."""
    async with World(tmp_path, ONE) as world:
        seed(world, 1)
        world.source.edit_release("octo/tool", "v0", name="Zero", body="Text")
        world.target.add_repository("mirrors/tool")
        world.target.add_release(
            "mirrors/tool", "v0", name="Zero", body="Text", assets={"a.bin": b"a0", "b.bin": b"b0"}
        )
        await world.sync()
        world.source.edit_release("octo/tool", "v0", name="Nought")
        await world.sync()
        assert world.published()["v0"].name == "Nought"


async def test_keep_leaves_the_first_copy_and_warns_in_every_report(tmp_path: Path) -> None:
    """`on_change = "keep"`: the bytes that came first stay, and nobody forgets it."""
    async with World(tmp_path, ONE + 'on_change = "keep"\n') as world:
        seed(world, 1)
        await world.sync()
        world.source.replace_asset("octo/tool", "v0", "a.bin", b"other")
        for _ in range(3):
            report = await world.sync()
            assert not report.failed
            assert any("first copy was kept" in text for text in only(report).warnings)
        found = {a.name: a.sha256 for a in world.published()["v0"].assets}
        assert found["a.bin"] == sha256(b"a0")


# -- time ---------------------------------------------------------------------------------------


async def test_min_age_waits_for_publication_and_the_newest_asset(tmp_path: Path) -> None:
    """A release that is too young does not exist yet: no failure, and it comes by itself."""
    async with World(tmp_path, ONE + 'releases.min_age = "2h"\n') as world:
        seed(world, 2)
        world.clock.advance(30 * 60)
        report = await world.sync()
        assert report.status == "unchanged"
        assert "mirrors/tool" not in world.target.names
        world.clock.advance(2 * 3600)
        assert (await world.sync()).totals()["releases_created"] == 2
        assert world.same() == []


async def test_a_moved_tag_is_told_at_the_audit(tmp_path: Path) -> None:
    """The copy's tag stays; the report says from where to where the source's went."""
    async with World(tmp_path, ONE) as world:
        seed(world, 1)
        await world.sync()
        world.source.move_tag("octo/tool", "v0", date="2026-05-01T00:00:00Z")
        assert not any("was moved" in text for text in only(await world.sync()).warnings)
        world.clock.advance(25 * 3600)
        report = await world.sync()
        assert any("tag v0 was moved" in text for text in only(report).warnings)
        assert not report.failed


# -- identity -----------------------------------------------------------------------------------


async def test_a_renamed_source_is_followed_and_told(tmp_path: Path) -> None:
    """301: the same repository under another name; its number says so."""
    async with World(tmp_path, ONE) as world:
        seed(world, 1)
        await world.sync()
        world.source.rename_repository("octo/tool", "octo/renamed")
        world.source.add_release("octo/renamed", "v9", assets={"n.bin": b"new"})
        report = await world.sync()
        assert "v9" in world.published()
        assert any("now called octo/renamed" in text for text in only(report).warnings)
        world.write_config(ONE.replace("octo/tool", "octo/renamed"))
        world.target.reset_requests()
        again = await world.sync()
        assert not again.failed
        assert [r.method for r in world.target.requests if r.method != "GET"] == []


async def test_a_name_of_another_repository_stops_the_mirror(tmp_path: Path) -> None:
    """A name that was given to another repository mixes nothing: a clear error, no write."""
    async with World(tmp_path, DELETE) as world:
        seed(world)
        await world.sync()
        world.source.delete_repository("octo/tool")
        seed(world, 1)
        world.target.reset_requests()
        report = await world.sync()
        assert "is another repository now" in only(report).failures[0].error
        assert {r.method for r in world.target.requests} <= {"GET"}


# -- limits that are told, not tried ------------------------------------------------------------


async def test_an_archived_target_is_one_failure(tmp_path: Path) -> None:
    """Blocked, and told in every pass; the next one after somebody unarchived it goes on."""
    async with World(tmp_path, ONE) as world:
        seed(world, 1)
        await world.sync()
        world.target.repository("mirrors/tool").archived = True
        world.source.add_release("octo/tool", "v9", assets={"n.bin": b"new"})
        first = await world.sync()
        assert "archived" in only(first).failures[0].error
        assert len(only(first).failures) == 1
        assert only(await world.sync()).failures == only(first).failures
        world.target.repository("mirrors/tool").archived = False
        assert (await world.sync()).status == "ok"
        assert world.same() == []


async def test_a_missing_permission_is_told_once_and_tried_in_every_pass(tmp_path: Path) -> None:
    """403 for a permission: one clear failure and one request a pass, until it is granted."""
    async with World(tmp_path, ONE) as world:
        seed(world, 1)
        refusal = Fault(
            kind="status",
            route="create-release",
            status=403,
            headers={"X-Accepted-GitHub-Permissions": "contents=write,workflows=write"},
            body='{"message": "Resource not accessible by personal access token"}',
            times=None,
        )
        world.target.faults.add(refusal)
        first = await world.sync()
        assert len(only(first).failures) == 1
        assert "workflows=write" in only(first).failures[0].error
        assert world.target.count(route="create-release") == 1
        assert len(only(await world.sync()).failures) == 1
        assert world.target.count(route="create-release") == 2
        world.target.faults.clear()
        assert (await world.sync()).status == "ok"
        assert world.same() == []


async def test_immutable_releases_are_published_whole_and_then_left(tmp_path: Path) -> None:
    """Draft first suits them; what is added later can never arrive, and is told."""
    target = GitHubState(kind="github")
    async with World(tmp_path, ONE, target=target) as world:
        seed(world, 1)
        world.target.add_repository("mirrors/tool", immutable_releases=True)
        world.target.move_tag("mirrors/tool", "v0")
        assert (await world.sync()).status == "ok"
        world.source.add_asset("octo/tool", "v0", "late.bin", b"late")
        report = await world.sync()
        assert [f.asset for f in only(report).failures] == ["late.bin"]
        assert "immutable" in only(report).failures[0].error
        again = await world.sync()
        assert (again.failed, only(again).failures) == (True, ())


# -- the exchange -------------------------------------------------------------------------------


async def test_a_consumer_never_misses_the_name_and_never_gets_mixed_bytes(tmp_path: Path) -> None:
    """While an asset is replaced, whoever downloads it gets the old or the new bytes, whole."""
    text = ONE + 'visibility = "public"\n'
    async with World(tmp_path, text) as world:
        world.source.add_repository("octo/tool")
        old = Generated(seed=1, size=400_000)
        new = Generated(seed=2, size=500_000)
        world.source.add_release("octo/tool", "v1", assets={"tool.bin": old})
        await world.sync()
        first = world.source.asset("octo/tool", "v1", "tool.bin").sha256
        second = world.source.replace_asset("octo/tool", "v1", "tool.bin", new).sha256
        world.target.expect("mirrors/tool", "v1", {"tool.bin": {first, second}})
        url = f"{world.target_host.url}/mirrors/tool/releases/download/v1/tool.bin"
        done = asyncio.Event()
        seen: list[str] = []
        missed = 0

        async def poll() -> None:
            nonlocal missed
            async with aiohttp.ClientSession(requote_redirect_url=False) as session:
                while not done.is_set():
                    async with session.get(url) as response:
                        if response.status == 404:
                            missed += 1
                        else:
                            assert response.status == 200, await response.text()
                            seen.append(sha256(await response.read()))

        async with asyncio.TaskGroup() as group:
            group.create_task(poll())
            report = await world.sync()
            done.set()
        assert report.totals()["assets_replaced"] == 1
        assert set(seen) <= {first, second}
        assert first in seen
        assert missed <= 2, "only between the one deletion and the one renaming"
        assert list(world.target.violations) == []
        assert world.target.invariants.windows == 1


async def test_a_server_that_takes_no_new_name_gets_the_asset_under_the_old_one(
    tmp_path: Path,
) -> None:
    """Where a renamed asset ends under another name, it is uploaded under its own, and told."""
    target = GitHubState(kind="ghes", version="3.17", renames_on_patch=True)
    async with World(tmp_path, ONE, target=target) as world:
        seed(world, 1)
        await world.sync()
        world.source.replace_asset("octo/tool", "v0", "a.bin", b"other bytes")
        report = await world.sync()
        assert world.same() == []
        assert any("uploaded again" in text for text in only(report).warnings)
        assert (await world.sync(full=True)).status == "unchanged"


@pytest.mark.parametrize("route", ["upload-asset", "list-assets", "delete-asset", "update-asset"])
@pytest.mark.parametrize("kind", ["reset", "lost-reply"])
async def test_an_exchange_that_is_cut_off_is_finished(
    kind: str, route: str, tmp_path: Path
) -> None:
    """Cut off at any step, for a whole pass: the next pass finishes, with every byte right."""
    async with World(tmp_path, ONE) as world:
        seed(world, 1)
        await world.sync()
        world.source.replace_asset("octo/tool", "v0", "a.bin", b"other bytes")
        allowed = {sha256(b"a0"), sha256(b"other bytes")}
        world.target.expect("mirrors/tool", "v0", {"a.bin": allowed, "b.bin": None})
        world.target.faults.add(Fault(kind=kind, route=route, times=None))  # type: ignore[arg-type]
        await world.sync()
        world.target.faults.clear()
        await world.sync()
        assert world.same() == []
        assert len(world.published()["v0"].assets) == 2


async def test_after_a_lost_ledger_what_is_equal_is_followed_in_full(tmp_path: Path) -> None:
    """A release that equals its source follows it: its text, and its assets when they change."""
    async with World(tmp_path, ONE) as world:
        seed(world, 2)
        await world.sync()
        for path in sorted(world.ledger.rglob("*.json")):
            path.unlink()
        await world.sync()
        world.source.replace_asset("octo/tool", "v0", "a.bin", b"new bytes")
        world.source.edit_release("octo/tool", "v1", name="Edited")
        report = await world.sync()
        assert report.totals()["assets_replaced"] == 1
        assert world.same() == []


async def test_a_refused_rename_is_tried_in_the_next_pass(tmp_path: Path) -> None:
    """Once the old asset is gone, an exchange is not left for a day, whatever was answered."""
    async with World(tmp_path, ONE) as world:
        seed(world, 1)
        await world.sync()
        world.source.replace_asset("octo/tool", "v0", "a.bin", b"new bytes")
        world.target.faults.add(Fault(kind="status", route="update-asset", status=422, body="{}"))
        report = await world.sync()
        assert "could not be renamed" in only(report).failures[0].error
        assert (await world.sync()).status == "ok"
        assert world.same() == []


async def test_a_partial_list_of_repositories_is_a_failure(tmp_path: Path) -> None:
    """A wildcard whose list is cut by single sign-on is an entry without a target, and exit 1."""
    pattern = '[[mirrors]]\nsource = "octo/*"\ntarget = "mirrors/{repo}"\n'
    async with World(tmp_path, pattern) as world:
        seed(world, 1)
        world.source.faults.add(
            Fault(
                kind="status",
                route="list-org-repositories",
                status=200,
                body="[]",
                headers={"X-GitHub-SSO": "partial-results; organizations=1"},
            )
        )
        report = await world.sync()
        (entry,) = report.repositories
        assert (entry.target, entry.status) == (None, "failed")
        assert "single sign-on" in entry.failures[0].error
        assert (await world.sync()).status == "ok"


@pytest.mark.parametrize("status", [502, 401])
async def test_a_failed_list_of_repositories_holds_nothing_back(
    tmp_path: Path, status: int
) -> None:
    """What it showed last is mirrored; unless the host is disabled, whose one failure tells of all."""
    pattern = '[[mirrors]]\nsource = "octo/*"\ntarget = "mirrors/{repo}"\n'
    async with World(tmp_path, pattern) as world:
        seed(world, 1)
        await world.sync()
        world.source.add_release("octo/tool", "later", assets={"a": b"abc"})
        down = Fault(kind="status", route="list-org-repositories", status=status, times=None)
        world.source.faults.add(down)
        report = await world.sync()
        told = {str(entry.target): entry.status for entry in report.repositories}
        assert told.pop("None") == "failed"
        assert told == ({"mirrors/tool": "ok"} if status == 502 else {})
        assert ("later" in world.published()) == (status == 502)


# -- what only looks like a copy ----------------------------------------------------------------


async def test_a_young_release_does_not_push_an_old_one_out(tmp_path: Path) -> None:
    """One that `min_age` still holds back takes no place among the newest N that are kept."""
    settings = ONE + 'on_deselect = "delete"\nreleases = { latest = 1, min_age = "3d" }\n'
    async with World(tmp_path, settings) as world:
        seed(world, 1)
        world.clock.advance(5 * 86400)
        await world.sync()
        young = world.clock.now() - timedelta(hours=1)
        world.source.add_release("octo/tool", "young", date=f"{young:%Y-%m-%dT%H:%M:%SZ}")
        await world.sync()
        assert set(world.published()) == {"v0"}
        world.clock.advance(4 * 86400)
        await world.sync()
        await world.sync(full=True)
        assert set(world.published()) == {"young"}


async def test_a_copy_that_holds_what_others_added_is_kept(tmp_path: Path) -> None:
    """Deleting a release deletes its assets: one with an asset of others stays, and is told."""
    async with World(tmp_path, DELETE) as world:
        seed(world)
        await world.sync()
        world.target.add_asset("mirrors/tool", "v1", "people.txt", b"theirs")
        world.source.delete_release("octo/tool", "v1")
        report = await world.sync()
        assert any("people.txt" in text for text in only(report).warnings)
        assert "v1" in world.published()


@pytest.mark.parametrize("settings", [ONE, DELETE])
async def test_a_number_that_was_given_again_is_nobodys_copy(settings: str, tmp_path: Path) -> None:
    """A restored target gives ids anew: a release of others under a recorded id is left alone."""
    async with World(tmp_path, settings) as world:
        seed(world)
        await world.sync()
        number = world.published()["v2"].id
        world.target.delete_release("mirrors/tool", "v2", delete_tag=True)
        theirs = world.target.add_release("mirrors/tool", "theirs", body="Mine.")
        releases = world.target.repository("mirrors/tool").releases
        releases[number] = releases.pop(theirs.id)
        theirs.id = number
        if settings == DELETE:
            world.source.delete_release("octo/tool", "v2")
        await world.sync(full=True)
        assert world.published()["theirs"].body == "Mine."
        assert ("v2" in world.published()) == (settings == ONE)


@pytest.mark.parametrize("settings", [ONE, DELETE])
async def test_a_number_of_an_asset_that_was_given_again(settings: str, tmp_path: Path) -> None:
    """An asset of others under a recorded id is neither replaced nor deleted."""
    async with World(tmp_path, settings) as world:
        seed(world, 1)
        await world.sync()
        number = world.target.asset("mirrors/tool", "v0", "a.bin").id
        world.target.delete_asset("mirrors/tool", "v0", "a.bin")
        theirs = world.target.add_asset("mirrors/tool", "v0", "people.txt", b"theirs")
        world.target.assets[number] = world.target.assets.pop(theirs.id)
        theirs.id = number
        if settings == DELETE:
            world.source.delete_asset("octo/tool", "v0", "a.bin")
        await world.sync(full=True)
        names = {asset.name for asset in world.published()["v0"].assets}
        assert names == {"b.bin", "people.txt"} | ({"a.bin"} if settings == ONE else set())


@pytest.mark.parametrize("settings", [ONE, DELETE])
async def test_an_asset_that_takes_the_name_of_a_former_one(settings: str, tmp_path: Path) -> None:
    """Upload under another name, delete, rename: the target follows, and sends no byte twice."""
    async with World(tmp_path, settings) as world:
        seed(world, 1)
        await world.sync()
        world.source.add_asset("octo/tool", "v0", "a.bin.new", b"newer")
        await world.sync()
        world.source.delete_asset("octo/tool", "v0", "a.bin")
        world.source.asset("octo/tool", "v0", "a.bin.new").name = "a.bin"
        world.source.edit_release("octo/tool", "v0")
        world.target.reset_requests()
        assert (await world.sync()).totals()["assets_replaced"] == 1
        assert world.same() == []
        assert not [r for r in world.target.requests if r.route == "upload-asset"]
        assert (await world.sync(full=True)).status == "unchanged"


async def test_a_repository_that_was_made_again_is_not_taken_for_ours(tmp_path: Path) -> None:
    """Where ours is gone, another of its name gets no placeholder commits."""
    async with World(tmp_path, ONE) as world:
        seed(world, 1)
        await world.sync()
        world.target.delete_repository("mirrors/tool")
        world.write_config(ONE + "create_repository = false\n")
        assert (await world.sync(full=True)).failed
        world.target.add_repository("mirrors/tool")
        report = await world.sync(full=True)
        assert only(report).failures[0].state == "waiting"
        assert not world.published()


async def test_a_rename_is_followed_after_a_lost_ledger(tmp_path: Path) -> None:
    """What is followed gets its new name, though nothing proves any more who uploaded it."""
    async with World(tmp_path, ONE) as world:
        seed(world, 1)
        await world.sync()
        shutil.rmtree(world.ledger)
        await world.sync()
        world.source.asset("octo/tool", "v0", "a.bin").name = "c.bin"
        world.source.edit_release("octo/tool", "v0")
        assert (await world.sync()).status == "ok"
        assert world.same() == []


async def test_names_that_move_on_by_one_arrive_in_the_end(tmp_path: Path) -> None:
    """A name that another copy is about to give up is waited for, not given up for a day."""
    async with World(tmp_path, ONE) as world:
        seed(world, 1)
        await world.sync()
        world.source.asset("octo/tool", "v0", "b.bin").name = "c.bin"
        world.source.asset("octo/tool", "v0", "a.bin").name = "b.bin"
        world.source.edit_release("octo/tool", "v0")
        reports = [await world.sync() for _ in range(2)]
        assert not any(only(report).quarantined for report in reports)
        assert world.same() == []
