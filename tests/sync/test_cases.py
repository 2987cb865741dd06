"""What the main job meets on its way: names, limits, tags, others' work, old servers, time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mirror.config import load_config, resolve_secrets
from mirror.emulator import AssetSpec, Fault, GitHubState
from mirror.overview import read_overview
from support.world import World, only

if TYPE_CHECKING:
    from pathlib import Path

ONE = """[[mirrors]]
source = "octo/tool"
target = "mirrors/tool"
"""


def release(world: World, tag: str = "v1", *, assets: dict[str, bytes] | None = None) -> None:
    if "octo/tool" not in world.source.names:
        world.source.add_repository("octo/tool")
    world.source.add_release("octo/tool", tag, assets=assets or {"a.bin": b"abc"})


# -- what can never arrive ----------------------------------------------------------------------


async def test_an_empty_asset_does_not_hold_its_release(tmp_path: Path) -> None:
    """It is left out, named in every report with exit status 1, and not tried again."""
    async with World(tmp_path) as world:
        release(world, assets={"a.bin": b"abc"})
        world.source.add_asset("octo/tool", "v1", "empty.txt", b"")
        first = await world.sync()
        assert first.failed
        assert [f.asset for f in only(first).failures] == ["empty.txt"]
        assert {a.name for a in world.published()["v1"].assets} == {"a.bin"}
        world.target.reset_requests()
        second = await world.sync()
        assert second.failed
        assert only(second).failures == ()
        assert [q.asset for q in only(second).quarantined] == ["empty.txt"]
        assert world.target.count() == 1  # its credential is proven
        world.write_config(ONE + 'assets.exclude = ["empty.txt"]\n')
        assert (await world.sync()).status in {"ok", "unchanged"}


async def test_incomplete_hold_holds_the_release_back(tmp_path: Path) -> None:
    """With `incomplete = "hold"` a release is not published without what can never arrive."""
    async with World(tmp_path, ONE + 'incomplete = "hold"\n') as world:
        release(world, assets={"a.bin": b"abc"})
        world.source.add_asset("octo/tool", "v1", "empty.txt", b"")
        assert (await world.sync()).failed
        assert world.published() == {}
        assert len(world.drafts()) == 1
        await world.sync(full=True)
        assert len(world.drafts()) == 1


async def test_what_a_server_learns_us_is_too_large_is_quarantined(tmp_path: Path) -> None:
    """A limit that only the server knows is met once, and then not again until the audit."""
    target = GitHubState(kind="ghes", version="3.17", max_asset_size=1000)
    async with World(tmp_path, target=target) as world:
        release(world, assets={"small.bin": b"s", "large.bin": b"l" * 2000})
        first = await world.sync()
        assert [f.asset for f in only(first).failures] == ["large.bin"]
        assert {a.name for a in world.published()["v1"].assets} == {"small.bin"}
        release(world, "v2", assets={"b.bin": b"b"})
        world.target.reset_requests()
        second = await world.sync()
        assert only(second).failures == ()
        assert world.target.count(route="upload-asset") == 1, "of v2 alone"
        world.clock.advance(25 * 3600)
        world.target.reset_requests()
        await world.sync()
        assert world.target.count(route="upload-asset") == 1, "tried again at the audit"


async def test_a_thousand_assets_are_the_limit_of_github(tmp_path: Path) -> None:
    """What is over the limit is named; the release is published with the rest."""
    target = GitHubState(kind="github", max_assets=5)
    async with World(tmp_path, target=target) as world:
        release(world, assets={f"a{n}.bin": b"x" * (n + 1) for n in range(8)})
        report = await world.sync()
        assert len(only(report).failures) == 3
        assert len(world.published()["v1"].assets) == 5


# -- names --------------------------------------------------------------------------------------


async def test_names_that_the_server_changes_are_followed(tmp_path: Path) -> None:
    """The server's name is the truth; the label keeps the one that people look for."""
    async with World(tmp_path) as world:
        release(world, assets={"tool 1.0~beta.bin": b"one", "größe.txt": b"two"})
        assert (await world.sync()).status == "ok"
        labels = {a.label: a.sha256 for a in world.published()["v1"].assets}
        source = {a.name: a.sha256 for a in world.source.releases("octo/tool")[0].assets}
        assert labels == source
        world.target.reset_requests()
        report = await world.sync(full=True)
        assert report.status == "unchanged", [a.to_json() for a in only(report).actions]
        assert {r.method for r in world.target.requests} == {"GET"}


@pytest.mark.parametrize("incomplete", ["publish", "hold"])
async def test_a_name_is_not_taken_while_its_asset_is_replaced(
    incomplete: str, tmp_path: Path
) -> None:
    """Of two names that become one the first copy keeps it, also through an exchange cut off."""
    async with World(tmp_path, f'{ONE}incomplete = "{incomplete}"\n') as world:
        release(world, assets={"a.b.bin": b"the larger one", "a b.bin": b"small"})
        await world.sync()
        world.source.replace_asset("octo/tool", "v1", "a.b.bin", b"the larger one, anew")
        world.target.faults.add(Fault(kind="status", route="update-asset", status=500, times=None))
        await world.sync(full=True)
        world.target.faults.clear()
        report = await world.sync(full=True)
        (copied,) = world.target.releases("mirrors/tool")
        (copy,) = copied.assets
        assert (copy.name, copy.size) == ("a.b.bin", len(b"the larger one, anew"))
        assert [item.asset for item in only(report).quarantined] == ["a b.bin"]


async def test_two_names_that_become_one_are_told(tmp_path: Path) -> None:
    """The first keeps the name; the other is named as what can never arrive, and stays so."""
    async with World(tmp_path) as world:
        release(world, assets={"a b.zip": b"first", "a~b.zip": b"other"})
        report = await world.sync()
        (failure,) = only(report).failures
        assert failure.asset == "a~b.zip"
        assert len(world.published()["v1"].assets) == 1
        again = await world.sync(full=True)
        assert len(world.published()["v1"].assets) == 1
        assert again.failed


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "\x1b[31mred", "x" * 300, "-rf", "CON", "a\u202eb", "%2e%2e"]
)
async def test_hostile_names_reach_neither_files_nor_requests_raw(
    name: str, tmp_path: Path
) -> None:
    """Whatever an asset is called, it arrives or is named, and the ledger stays in its place."""
    async with World(tmp_path) as world:
        release(world, assets={name: b"bytes", "good.bin": b"good"})
        await world.sync()
        assert "good.bin" in {a.name for a in world.published()["v1"].assets}
        files = {p.name for p in world.ledger.rglob("*") if p.is_file()}
        assert files == {"index.json", "lock", "tool.json"}


@pytest.mark.parametrize("tag", ["release/2026/1", "v1.0#x", "ünïcode", "a%2Fb", "v1 +x"])
async def test_odd_tags_arrive(tag: str, tmp_path: Path) -> None:
    """Tags are percent-encoded in paths and sent as they are in documents."""
    if " " in tag:
        tag = tag.replace(" ", "")
    async with World(tmp_path) as world:
        release(world, tag)
        assert (await world.sync()).status == "ok"
        assert set(world.published()) == {tag}


# -- tags ---------------------------------------------------------------------------------------


async def test_a_tag_of_the_target_is_used(tmp_path: Path) -> None:
    """The tag if the target has it; else at the same commit if the target has that."""
    async with World(tmp_path) as world:
        release(world, "v1")
        release(world, "v2")
        world.target.add_repository("mirrors/tool")
        world.target.move_tag("mirrors/tool", "v1")
        report = await world.sync()
        assert set(world.published()) == {"v1"}
        (failure,) = only(report).failures
        assert failure.release == "v2"
        assert "push the tag" in failure.error
        assert (await world.sync()).failed, "it waits, and is looked at in every pass"
        world.target.move_tag("mirrors/tool", "v2")
        assert (await world.sync()).status == "ok"


async def test_require_waits_for_the_right_commit(tmp_path: Path) -> None:
    """With `tags = "require"` a tag at another commit holds its release back."""
    async with World(tmp_path, ONE + 'tags = "require"\n') as world:
        release(world, "v1")
        world.target.add_repository("mirrors/tool")
        world.target.move_tag("mirrors/tool", "v1", date="2020-01-01T00:00:00Z")
        report = await world.sync()
        assert "at commit" in only(report).failures[0].error
        assert world.published() == {}


async def test_placeholders_carry_the_sources_dates(tmp_path: Path) -> None:
    """Order by date is right at the target, too, where dates alone decide what is latest."""
    target = GitHubState(kind="ghes", version="3.4")
    async with World(tmp_path, target=target) as world:
        world.source.add_repository("octo/tool")
        for tag, date in (("v1", "2024-01-01"), ("v3", "2026-01-01"), ("v2", "2025-01-01")):
            world.source.add_release(
                "octo/tool", tag, date=f"{date}T00:00:00Z", assets={"a": tag.encode()}
            )
        world.expect()
        assert (await world.sync()).status == "ok"
        assert world.same() == []
        assert world.latest() == "v3"
        bodies = [r for r in world.target.requests if "x-github-api-version" in r.headers]
        assert bodies == [], "an old server is sent no header that it does not know"


# -- hosts --------------------------------------------------------------------------------------


async def test_a_target_like_github_com(tmp_path: Path) -> None:
    """Uploads of another origin that is accepted, rate limits, and no version at all."""
    async with World(tmp_path, target=GitHubState(kind="github")) as world:
        release(world, assets={"a.bin": b"abc" * 1000})
        world.expect()
        assert (await world.sync()).status == "ok"
        assert world.same() == []


async def test_a_plan_tells_a_missing_owner(tmp_path: Path) -> None:
    """As `sync` would fail; the owner is asked for once, and one that exists costs nothing more."""
    mirrors = "".join(
        f'[[mirrors]]\nsource = "octo/{name}"\ntarget = "{target}"\n'
        for name, target in (("a", "nobody/a"), ("b", "Nobody/b"), ("c", "mirrors/c"))
    )
    async with World(tmp_path, mirrors) as world:
        for name in "abc":
            world.source.add_repository(f"octo/{name}")
            world.source.add_release(f"octo/{name}", "v1", assets={"x": b"x"})
        report = await world.plan()
        assert report.failed
        assert [repo.status for repo in report.repositories] == ["failed", "failed", "ok"]
        failure = report.repositories[0].failures[0]
        assert "no organization or user nobody" in failure.error
        assert "create the organization" in failure.error
        asked = [r.path for r in world.target.requests if "/users/" in r.path]
        assert len(asked) == 2
        assert not any(r.method != "GET" for r in world.target.requests)


async def test_a_missing_owner_is_told(tmp_path: Path) -> None:
    """What cannot be created is one failure that says what to do."""
    async with World(tmp_path, ONE.replace("mirrors/tool", "nobody/tool")) as world:
        release(world)
        report = await world.sync()
        (failure,) = only(report).failures
        assert failure.action == "create-repository"
        assert "owner nobody does not exist" in failure.error


async def test_create_repository_false_creates_none(tmp_path: Path) -> None:
    """The missing repository is a failure that names the key."""
    async with World(tmp_path, ONE + "create_repository = false\n") as world:
        release(world)
        report = await world.sync()
        assert "create_repository = false" in only(report).failures[0].error
        assert {r.method for r in world.target.requests} == {"GET"}


async def test_a_created_repository_runs_nothing(tmp_path: Path) -> None:
    """GitHub Actions are disabled before the first tag or release could start a workflow."""
    async with World(tmp_path) as world:
        release(world)
        await world.sync()
        routes = [r.route for r in world.target.requests]
        assert routes.index("set-actions-permissions") < routes.index("create-ref")
        assert not world.target.repository("mirrors/tool").actions_enabled


# -- time and memory ----------------------------------------------------------------------------


async def test_the_audit_finds_what_was_lost_at_the_target(tmp_path: Path) -> None:
    """Once in `audit_interval` both sides are looked at although the source did not change."""
    async with World(tmp_path) as world:
        release(world)
        await world.sync()
        world.target.delete_asset("mirrors/tool", "v1", "a.bin")
        assert (await world.sync()).status == "unchanged"
        world.clock.advance(25 * 3600)
        assert (await world.sync()).totals()["assets_uploaded"] == 1
        assert world.same() == []


async def test_full_trusts_nothing(tmp_path: Path) -> None:
    """`--full` looks at both sides at once."""
    async with World(tmp_path) as world:
        release(world)
        await world.sync()
        world.target.delete_release("mirrors/tool", "v1")
        assert (await world.sync()).status == "unchanged"
        assert (await world.sync(full=True)).totals()["releases_created"] == 1
        assert world.same() == []


async def test_a_ledger_of_another_repository_is_set_aside(tmp_path: Path) -> None:
    """A target repository that was made anew is filled anew, and nothing is deleted."""
    async with World(tmp_path) as world:
        release(world)
        await world.sync()
        world.target.delete_repository("mirrors/tool")
        world.target.add_repository("mirrors/tool")
        world.target.move_tag("mirrors/tool", "v1")
        report = await world.sync(full=True)
        assert report.totals()["releases_created"] == 1
        assert world.same() == []


async def test_a_later_edit_and_a_later_asset_are_followed(tmp_path: Path) -> None:
    """Text, title, flags and assets of a release that is ours follow its source."""
    async with World(tmp_path) as world:
        release(world, "v1")
        release(world, "v2")
        await world.sync()
        world.source.edit_release("octo/tool", "v1", name="Better", body="Hello @octocat")
        world.source.add_asset("octo/tool", "v1", "late.bin", b"late")
        report = await world.sync()
        assert (report.totals()["releases_updated"], report.totals()["assets_uploaded"]) == (1, 1)
        copy = world.published()["v1"]
        assert copy.name == "Better"
        assert copy.body == "Hello @&#8203;octocat"
        assert world.latest() == "v2"
        assert (await world.sync(full=True)).status == "unchanged"


async def test_labels_and_types_are_kept(tmp_path: Path) -> None:
    """An asset's label and content type arrive with it."""
    async with World(tmp_path) as world:
        world.source.add_repository("octo/tool")
        spec = AssetSpec(b"abc", "application/x-debian", "Debian & friends #1")
        world.source.add_release("octo/tool", "v1", assets={"a+b.deb": spec})
        assert (await world.sync()).status == "ok"
        assert world.same() == []


async def test_an_asset_that_is_still_uploaded_at_the_source_is_waited_for(tmp_path: Path) -> None:
    """The release is held until it is there; it is no half release."""
    async with World(tmp_path) as world:
        release(world, assets={"a.bin": b"abc"})
        world.source.add_asset("octo/tool", "v1", "late.bin", b"later", state="starter")
        report = await world.sync()
        assert [f.asset for f in only(report).failures] == ["late.bin"]
        assert world.published() == {}
        world.source.delete_asset("octo/tool", "v1", "late.bin")
        world.source.add_asset("octo/tool", "v1", "late.bin", b"later")
        assert (await world.sync()).status == "ok"
        assert world.same() == []


async def test_the_rest_of_an_upload_at_the_source_holds_nothing_for_ever(tmp_path: Path) -> None:
    """An asset that is incomplete at the source for long is left out, with a warning."""
    async with World(tmp_path) as world:
        release(world, assets={"a.bin": b"abc"})
        world.source.add_asset("octo/tool", "v1", "late.bin", b"later", state="starter")
        world.clock.advance(86400)
        report = await world.sync()
        assert report.status == "ok"
        assert any("late.bin" in text for text in only(report).warnings)
        assert set(world.published()) == {"v1"}


async def test_a_failure_that_is_over_is_forgotten(tmp_path: Path) -> None:
    """After a pass that could not read the source, an idle pass makes the status good again."""
    async with World(tmp_path) as world:
        release(world)
        await world.sync()
        world.source.faults.add(Fault(kind="status", route="list-releases", status=403, times=None))
        assert (await world.sync()).failed
        config = load_config(world.config_file, world.environ)
        secrets = resolve_secrets(config, world.environ)

        async def states() -> list[str]:
            return [status.state for status in (await read_overview(config, secrets)).statuses]

        assert await states() == ["failed"]
        world.source.faults.clear()
        assert not (await world.sync()).failed
        assert await states() == ["ok"]


async def test_a_name_that_is_still_taken_is_not_tried_at_each_audit(tmp_path: Path) -> None:
    """The audit sees whose it is: nothing is uploaded to be deleted again, except with ``--full``."""
    async with World(tmp_path) as world:
        world.source.add_repository("octo/tool")
        world.source.add_release("octo/tool", "v1", assets={"a.b.bin": b"1"})
        await world.sync()
        world.source.add_asset("octo/tool", "v1", "a b.bin", b"22")
        first = ["upload-asset", "update-asset", "delete-asset"]
        for full, expected in ((False, first), (False, []), (True, first)):
            world.clock.advance(25 * 3600)
            world.target.reset_requests()
            report = only(await world.sync(full=full))
            assert [item.kind for item in report.quarantined] == ["name-taken"]
            assert [r.route for r in world.target.requests if r.method != "GET"] == expected
        world.source.delete_asset("octo/tool", "v1", "a.b.bin")
        world.target.delete_asset("mirrors/tool", "v1", "a.b.bin")
        assert (await world.sync()).status == "ok"
