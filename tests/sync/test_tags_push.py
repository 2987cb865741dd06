"""`tags = "push"`: releases stand at their true commits, and nothing runs on anybody's runners."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest
import structlog

from mirror.app import open_app
from mirror.config import load_config, resolve_secrets
from mirror.emulator import Fault, GitHubState, PushRule
from support.clock import MachineClock
from support.process import run
from support.world import SOURCE_TOKEN, TARGET_TOKEN, World, only

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.core.reporting.report import Report
    from mirror.emulator import RequestRecord

MIRROR = '[[mirrors]]\nsource = "octo/tool"\ntarget = "mirrors/tool"\ntags = "push"\n'
WORKFLOW = {".github/workflows/release.yml": "on: [push, release]\n"}
TAGS = ("v1", "v2", "v3")


def seed(world: World, *, private: bool = True) -> None:
    world.source.add_repository("octo/tool", private=private)
    world.source.add_commit("octo/tool", WORKFLOW, "Workflows")
    for number, tag in enumerate(TAGS, 1):
        world.source.add_release(
            "octo/tool",
            tag,
            date=f"2026-01-0{number}T00:00:00Z",
            annotated=number == 2,
            assets={"tool.tar.gz": f"bytes of {tag}".encode()},
        )
    world.source.move_tag("octo/tool", "no-release")
    world.expect()


def tags(state: GitHubState, repository: str) -> dict[str, str]:
    found = state.repository(repository).refs.items()
    return {name: sha for name, sha in found if name.startswith("refs/tags/")}


def wanted(world: World, *names: str) -> dict[str, str]:
    there = tags(world.source, "octo/tool")
    return {f"refs/tags/{name}": there[f"refs/tags/{name}"] for name in names}


def texts(report: Report) -> list[str]:
    return [failure.error for failure in only(report).failures]


async def test_releases_stand_at_the_true_commits(tmp_path: Path) -> None:
    """Tags of releases arrive as they are, annotated ones by the same object; nothing else does.

    The repository is created without a commit of ours, with Actions disabled, so that none of the
    source's workflows ever ran.
    """
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        report = await world.sync()
        assert texts(report) == []
        assert report.status == "ok"
        assert world.same() == []
        target = world.target.repository("mirrors/tool")
        assert target.refs == wanted(world, *TAGS)
        assert target.objects.kind(target.refs["refs/tags/v2"]) == "tag"
        assert world.target.count(route="put-contents") == 0
        assert world.target.count(route="git-receive-pack", status=200) == 1
        assert not target.actions_enabled
        assert target.runs == []
        assert only(report).warnings == ()
        made = [a.release for a in only(report).actions if a.action == "create-tag"]
        assert sorted(filter(None, made)) == sorted(TAGS)


async def test_the_next_pass_runs_no_git(tmp_path: Path) -> None:
    """An idle mirror is as cheap as ever; a full look pushes nothing either."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        await world.sync()
        for full in (False, True):
            world.source.reset_requests()
            world.target.reset_requests()
            report = await world.sync(full=full)
            assert report.status == "unchanged"
            assert world.source.count(origin="web") == 0
            assert world.target.count(origin="web") == 0


async def test_a_new_release_costs_what_is_new(tmp_path: Path) -> None:
    """The copy on disk is kept; the fetch brings the new tag alone."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        await world.sync()
        world.source.add_release("octo/tool", "v4", assets={"a": b"4"})
        assert (await world.sync()).status == "ok"
        assert tags(world.target, "mirrors/tool") == wanted(world, *TAGS, "v4")
        copies = sorted(p.name for p in (world.ledger / "git" / "github").rglob("*.git"))
        assert copies == ["tool.git"]


async def test_a_plan_runs_no_git_and_counts_no_request_for_it(tmp_path: Path) -> None:
    """What it estimates is what a sync then takes, to the request."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        planned = await world.plan()
        assert world.source.count(origin="web") == world.target.count(origin="web") == 0
        assert not (world.ledger / "git").exists()
        estimate = planned.estimated_requests()
        done = await world.sync()
        for host in ("github", "target"):
            assert done.requests[host].total == planned.requests[host].total + estimate[host]


async def test_nothing_is_pushed_where_actions_are_enabled(tmp_path: Path) -> None:
    """One failure names the key; neither a tag nor a release arrives, and no workflow runs."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        world.target.add_repository("mirrors/tool")
        report = await world.sync()
        (text,) = texts(report)
        assert "allow_actions = true" in text
        assert "GitHub Actions is enabled at mirrors/tool" in text
        assert report.failed
        assert tags(world.target, "mirrors/tool") == {}
        assert world.target.releases("mirrors/tool") == []
        assert world.target.repository("mirrors/tool").runs == []
        assert world.source.count(origin="web") == 0
        world.target.repository("mirrors/tool").actions_enabled = False
        assert (await world.sync()).status == "ok"
        assert tags(world.target, "mirrors/tool") == wanted(world, *TAGS)
        assert world.target.repository("mirrors/tool").runs == []


async def test_tags_that_are_there_make_no_release_where_actions_are_enabled(
    tmp_path: Path,
) -> None:
    """To publish a release at a pushed tag starts workflows as well."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        await world.sync()
        world.source.add_release("octo/tool", "v4", assets={"a": b"4"})
        world.target.repository("mirrors/tool").actions_enabled = True
        assert "allow_actions" in texts(await world.sync())[0]
        assert "v4" not in world.published()
        assert world.target.repository("mirrors/tool").runs == []


async def test_where_it_cannot_be_told_whether_actions_are_enabled_nothing_is_pushed(
    tmp_path: Path,
) -> None:
    """A token that may push and may not administer cannot see it."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        world.target.add_repository("mirrors/tool", private=True)
        world.target.repository("mirrors/tool").actions_enabled = False
        world.target.add_token(TARGET_TOKEN, login="pusher", repositories={"mirrors/tool": "write"})
        (text,) = texts(await world.sync())
        assert "can see whether GitHub Actions is enabled" in text
        world.write_config(MIRROR + "allow_actions = true\n")
        assert (await world.sync()).status == "ok"
        assert tags(world.target, "mirrors/tool") == wanted(world, *TAGS)


async def test_allowed_actions_run(tmp_path: Path) -> None:
    """Who read the workflows and wants them has them: the emulator counts each start."""
    async with World(tmp_path, MIRROR + "allow_actions = true\n") as world:
        seed(world)
        world.target.add_repository("mirrors/tool")
        assert (await world.sync()).status == "ok"
        runs = world.target.repository("mirrors/tool").runs
        assert sorted(runs) == sorted(
            f"{event} refs/tags/{tag}" for event in ("push", "release") for tag in TAGS
        )


async def test_a_repository_whose_actions_cannot_be_disabled_gets_nothing(tmp_path: Path) -> None:
    """Its creation failed; the next pass tries again, and goes on once they are off."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        world.target.faults.add(
            Fault(kind="status", route="set-actions-permissions", status=409, times=1)
        )
        report = await world.sync()
        assert any("allow_actions" in text for text in texts(report))
        assert tags(world.target, "mirrors/tool") == {}
        assert (await world.sync()).status == "ok"
        assert tags(world.target, "mirrors/tool") == wanted(world, *TAGS)
        assert world.target.repository("mirrors/tool").runs == []


async def test_a_tag_at_another_commit_waits_alone_and_is_never_moved(tmp_path: Path) -> None:
    """The conflict names both commits; the other releases arrive."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        world.target.add_repository("mirrors/tool")
        world.target.repository("mirrors/tool").actions_enabled = False
        other = world.target.move_tag("mirrors/tool", "v2")
        report = await world.sync()
        (failure,) = only(report).failures
        assert failure.release == "v2"
        assert other in failure.error
        assert str(world.source.repository("octo/tool").tag_commit("v2")) in failure.error
        assert world.target.repository("mirrors/tool").tag_commit("v2") == other
        assert set(world.published()) == {"v1", "v3"}


async def test_a_tag_that_moves_after_its_release_is_told(tmp_path: Path) -> None:
    """A warning at the audit; the target's tag stays."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        await world.sync()
        before = tags(world.target, "mirrors/tool")
        world.source.move_tag("octo/tool", "v3")
        report = await world.sync(full=True)
        assert any("v3 was moved" in text for text in only(report).warnings)
        assert tags(world.target, "mirrors/tool") == before


async def test_a_refused_tag_fails_alone(tmp_path: Path) -> None:
    """Its release waits for the next pass; the others are published."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        world.target.add_repository("mirrors/tool", empty=True)
        target = world.target.repository("mirrors/tool")
        target.actions_enabled = False
        target.push_rules.append(PushRule("refs/tags/v1"))
        report = await world.sync()
        (failure,) = only(report).failures
        assert (failure.release, failure.action) == ("v1", "create-tag")
        assert "repository rule violations" in failure.error
        assert set(world.published()) == {"v2", "v3"}
        target.push_rules.clear()
        assert (await world.sync()).status == "ok"
        assert world.same() == []


@pytest.mark.parametrize("broken", ["git", "network", "token"])
async def test_what_is_wrong_with_git_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Not once a release; the next pass does it all."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        path = os.environ["PATH"]
        if broken == "git":
            empty = tmp_path / "empty"
            empty.mkdir()
            monkeypatch.setenv("PATH", str(empty))
        elif broken == "network":
            world.source.faults.add(Fault(kind="reset", route="git-refs", times=None))
        else:
            world.source.faults.add(Fault(kind="status", route="git-refs", status=403, times=None))
        report = await world.sync()
        (failure,) = only(report).failures
        words = {
            "git": "not on the PATH",
            "network": "connection broke",
            "token": "the token may not",
        }
        assert words[broken] in failure.error
        assert failure.release is None
        assert world.published() == {}
        monkeypatch.setenv("PATH", path)
        world.source.faults.clear()
        again = await world.sync(full=True)  # a missing permission is not asked for each pass
        assert texts(again) == []
        assert again.status == "ok"
        assert world.same() == []


async def test_a_server_that_wants_a_branch_gets_one(tmp_path: Path) -> None:
    """Only where it refuses releases without: then at the commit of a pushed tag."""
    target = GitHubState(kind="ghes", branch_for_releases=True)
    async with World(tmp_path, MIRROR, target=target) as world:
        seed(world)
        report = await world.sync()
        assert texts(report) == []
        assert world.same() == []
        here = world.target.repository("mirrors/tool")
        assert here.head() in {here.tag_commit(tag) for tag in TAGS}
        assert here.runs == []


async def test_a_run_that_was_cut_off_is_continued(tmp_path: Path) -> None:
    """A repository that was made and not finished gets its Actions disabled before any tag."""
    async with World(tmp_path, MIRROR, extra="[sync]\nattempts = 1\n") as world:
        seed(world)
        world.target.faults.add(Fault(kind="reset", route="set-actions-permissions", times=2))
        await world.sync()
        world.target.faults.clear()
        shutil.rmtree(world.ledger)
        assert (await world.sync()).status == "ok"
        target = world.target.repository("mirrors/tool")
        assert not target.actions_enabled
        assert target.runs == []
        assert target.refs == wanted(world, *TAGS)
        assert world.same() == []


async def test_only_selected_releases_bring_their_tags(tmp_path: Path) -> None:
    """A filter of releases is a filter of tags."""
    async with World(tmp_path, MIRROR + "releases.latest = 1\n") as world:
        seed(world)
        await world.sync()
        assert tags(world.target, "mirrors/tool") == wanted(world, "v3")


async def test_a_renamed_source_is_fetched_by_its_present_name(tmp_path: Path) -> None:
    """As git follows no redirect, it is told where the repository is now."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        world.source.rename_repository("octo/tool", "octo/new")
        report = await world.sync()
        assert texts(report) == []
        there = {n: s for n, s in tags(world.source, "octo/new").items() if "no-" not in n}
        assert tags(world.target, "mirrors/tool") == there


async def test_no_token_is_in_a_log_or_in_the_ledger(tmp_path: Path) -> None:
    """Not when all is well, and not when something fails."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        with structlog.testing.capture_logs() as logs:
            world.source.faults.add(Fault(kind="status", route="git-refs", status=401, times=None))
            await world.sync()
            world.source.faults.clear()
            report = await world.sync()
        text = repr(logs) + repr(report.to_json())
        for token in (SOURCE_TOKEN, TARGET_TOKEN):
            assert token not in text
            for path in world.ledger.rglob("*"):
                assert not path.is_file() or token.encode() not in path.read_bytes()
        assert re.search(r"'event': 'tags\.pushed'", text)


async def test_placeholders_are_told_once_a_repository(tmp_path: Path) -> None:
    """`tags = "create"` is as it was: one note with the count."""
    async with World(tmp_path, MIRROR.replace("push", "create")) as world:
        seed(world)
        report = await world.sync()
        assert report.status == "ok"
        (note,) = only(report).notes
        assert note.startswith("3 tags point to placeholder commits")
        assert world.source.count(origin="web") == 0


async def checked(world: World) -> dict[tuple[str, str], tuple[str, str]]:
    config = load_config(world.config_file, world.environ)
    async with open_app(config, resolve_secrets(config, world.environ), clock=world.clock) as app:
        return {(r.host, r.what): (r.status, r.detail) for r in await app.check()}


async def test_a_check_looks_by_git_and_at_actions(tmp_path: Path) -> None:
    """What would stop a pass is found before one: both hosts by git, Actions, git itself."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        results = await checked(world)
        assert results["github", "git"] == ("ok", "git sees 4 tags of octo/tool")
        assert ("target", "git") not in results
        world.target.add_repository("mirrors/tool")
        world.source.faults.add(Fault(kind="status", route="git-refs", status=403, times=None))
        results = await checked(world)
        assert results["github", "git"][0] == "failed"
        assert results["target", "git"][0] == "ok"
        assert "allow_actions" in results["target", "mirrors/tool actions"][1]
        assert not [r for r in world.target.requests if r.method != "GET" and r.origin != "web"]
        assert world.target.count(route="git-receive-pack") == 0
        assert not world.ledger.exists()


async def test_a_mirror_that_pushes_nothing_needs_no_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a check nor a pass looks for the program."""
    async with World(tmp_path, MIRROR.replace("push", "create")) as world:
        seed(world)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert not [what for _, what in await checked(world) if what == "git"]
        assert (await world.sync()).status == "ok"


async def test_killed_while_git_works(tmp_path: Path) -> None:
    """`kill -9` in the middle of a push; the next run does the rest and removes what was left."""
    async with World(tmp_path, MIRROR, clock=MachineClock()) as world:
        seed(world)
        world.target.faults.add(
            Fault(kind="delay", route="git-receive-pack", seconds=None, times=1)
        )
        pushing = asyncio.Event()

        def look(record: RequestRecord) -> None:
            if record.route == "git-receive-pack":
                pushing.set()

        world.target.on_request(look)

        async def kill(process: asyncio.subprocess.Process) -> None:
            await pushing.wait()
            process.kill()

        killed = await run(world, "sync", during=kill)
        assert killed.status == -9
        left = list((world.ledger / "git").glob("private-*"))
        assert left
        again = await run(world, "sync")
        assert again.status == 0, again.out + again.err
        assert world.same() == []
        assert tags(world.target, "mirrors/tool") == wanted(world, *TAGS)
        assert not list((world.ledger / "git").glob("private-*"))
