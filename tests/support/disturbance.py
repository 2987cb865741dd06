"""Disturbs a pass at its n-th write and checks what a consumer finds at the target afterwards.

This module knows nothing of how a pass works. It counts the writes that arrive at the emulated
target, and compares both sides by name, byte for byte.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

import pytest

from mirror.emulator import Fault, normalise
from support.world import sha256

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping
    from pathlib import Path

    from mirror.core.reporting.report import Report
    from mirror.emulator import GitHubState, RequestRecord
    from support.world import World

Kind = Literal["refused", "down", "died-before", "died-after"]
KINDS: tuple[Kind, ...] = ("refused", "down", "died-before", "died-after")
"""What hits a pass at a write.

- `refused`: this request, and each repetition of it in this pass, is answered with 500.
- `down`: from this request on, the target resets every connection; the process lives.
- `died-before`: the process is gone before the request is executed; what is on disk at that moment
  is all that the next pass knows.
- `died-after`: the same, but the request is executed.
"""

SOURCE, TARGET = "octo/tool", "mirrors/tool"
QUARTER = 900.0
"""Seconds between two passes."""
PASSES = 4
"""Quiet passes after which everything has to be right."""
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MOST = 60
"""More writes than any pass of these tests makes."""


class Strike:
    """Disturbs the n-th write that arrives at a world's target.

    Attributes:
        what: The disturbed request; empty if there were fewer writes.
    """

    def __init__(self, world: World, kind: Kind, nth: int) -> None:
        self._world = world
        self._kind = kind
        self._left = nth
        self._saved = world.directory / "ledger-at-death"
        self._dead = False
        self.what = ""

    async def during(self, command: Callable[[], Awaitable[Report]]) -> Report | None:
        """Run a command with the disturbance; a process that died leaves no report."""
        hosts = (self._world.source, self._world.target)
        hooks = (self._at_source, self._at_target)
        for host, hook in zip(hosts, hooks, strict=True):
            host.on_request(hook)
        try:
            report = await command()
        finally:
            for host, hook in zip(hosts, hooks, strict=True):
                host.log.request_hooks.remove(hook)
                host.faults.clear()
        if not (self.what and self._kind.startswith("died")):
            return report
        shutil.rmtree(self._world.ledger, ignore_errors=True)
        if self._saved.exists():
            self._saved.rename(self._world.ledger)
        return None

    def _at_source(self, _: RequestRecord) -> None:
        if self.what and self._kind == "died-after":
            self._cut_off()

    def _at_target(self, record: RequestRecord) -> None:
        if self.what:
            self._at_source(record)
            return
        self._left -= record.method in WRITES
        if self._left:
            return
        self.what = f"{record.method} {record.route} {record.query}".strip()
        request = f"{record.path}?{record.query}" if record.query else record.path
        target = self._world.target
        if self._kind.startswith("died") and self._world.ledger.exists():
            shutil.copytree(self._world.ledger, self._saved, ignore=shutil.ignore_patterns("*.tmp"))
        if self._kind == "refused":
            target.faults.add(
                Fault(kind="status", route=record.route, match=request, status=500, times=None)
            )
        elif self._kind == "down":
            target.faults.add(Fault(kind="reset", times=None))
        elif self._kind == "died-before":
            self._cut_off()
        else:
            target.faults.add(Fault(kind="lost-reply", route=record.route, match=request))

    def _cut_off(self) -> None:
        """Block all further requests of the process."""
        if not self._dead:
            self._dead = True
            for host in (self._world.source, self._world.target):
                host.faults.add(Fault(kind="reset", times=None))


@dataclass(frozen=True)
class Scene:
    """How a world reaches the disturbed pass.

    Attributes:
        make: Create the world in a directory that does not exist yet.
        prepare: Run up to that pass.
        afterwards: Run between that pass and the undisturbed ones.
        detour: That pass has other settings, so its status says nothing about the source.
        uploads: Maximum uploads of that pass and the undisturbed ones together; ``None``
            for any number.
    """

    make: Callable[[Path], World]
    prepare: Callable[[World], Awaitable[None]]
    afterwards: Callable[[World], None] | None = None
    detour: bool = False
    uploads: int | None = None


async def hit_at_each_write(directory: Path, scene: Scene, kind: Kind) -> list[str]:
    """Run a scene once for each write of its pass, disturbing that write; return what is wrong."""
    wrong: list[str] = []
    for nth in count(1):
        assert nth < MOST, "a pass that writes without end"
        async with scene.make(directory / f"write-{nth}") as world:
            await scene.prepare(world)
            lookout = Lookout(world)
            world.target.reset_requests()
            strike = Strike(world, kind, nth)
            world.clock.advance(QUARTER)
            report = await strike.during(world.sync)
            if not strike.what:
                assert nth > 1, "there was nothing to hit"
                return wrong
            found = untrue(world, report) if report and not scene.detour else []
            if scene.afterwards:
                lookout.close()
                scene.afterwards(world)
            found += await settle(world)
            found += lookout.seen
            uploads = world.target.count(route="upload-asset", status=201)
            if scene.uploads is not None and uploads > scene.uploads:
                found.append(f"{uploads} assets were uploaded, though {scene.uploads} would do")
            wrong += [f"hit at write {nth} ({strike.what}): {text}" for text in found]
    return wrong


async def settle(world: World, passes: int = PASSES, theirs: Collection[int] = ()) -> list[str]:
    """Run undisturbed passes and an audit on a world; return what is wrong.

    Args:
        world: The world to repair.
        passes: Number of passes after which everything must be right.
        theirs: Ids of assets that others attached.
    """
    for number in range(1, passes + 1):
        world.clock.advance(QUARTER)
        report = await world.sync()
        if found := untrue(world, report, theirs):
            return [f"quiet pass {number}: {text}" for text in found]
        if not report.failed:
            break
    else:
        return [f"still {report.status} after {passes} quiet passes: {texts(report)}"]
    world.target.log.records.clear()  # counts go on
    audit = await world.sync(full=True)
    found = untrue(world, audit, theirs)
    if audit.failed:
        found.append(f"is {audit.status}: {texts(audit)}")
    written = [f"{r.method} {r.route}" for r in world.target.requests if r.method in WRITES]
    if written:
        found.append(f"still writes {written}")
    return [f"the audit {text}" for text in found]


def untrue(world: World, report: Report, theirs: Collection[int] = ()) -> list[str]:
    """Differences from the source although the report says that everything is in sync."""
    found = [] if report.failed else amiss(world, theirs)
    return [f"says {report.status}, but {text}" for text in found]


def amiss(world: World, theirs: Collection[int] = ()) -> list[str]:
    """Differences a consumer finds between target and source, by name and SHA-256.

    Args:
        world: Where to look.
        theirs: Ids of assets that others attached.
    """
    wrong = []
    published = world.published(TARGET) if TARGET in world.target.names else {}
    for release in world.source.releases(SOURCE):
        copy = published.get(release.tag)
        if copy is None:
            wrong.append(f"{release.tag} is missing")
            continue
        expected = {normalise(asset.name): held(asset) for asset in release.assets}
        there = {asset.name: held(asset) for asset in copy.assets if asset.id not in theirs}
        labels = {sha: name for name, sha in expected.items()}
        for name in sorted(expected.keys() | there.keys()):
            if name not in there:
                wrong.append(f"{release.tag}/{name} is missing")
            elif name not in expected:
                wrong.append(f"{release.tag}/{name} is left over")
            elif there[name] != expected[name]:
                other = labels.get(there[name], "other things")
                wrong.append(f"{release.tag}/{name} holds the bytes of {other}")
    if TARGET in world.target.names:
        wrong += [f"draft {release.tag} is left" for release in world.drafts(TARGET)]
    return wrong


def nothing(wrong: list[str]) -> None:
    """Fail with everything that is wrong."""
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def held(asset: Any) -> str:
    """The SHA-256 of the downloaded bytes, whatever digest the host reports."""
    return sha256(asset.content.read(0, asset.size)) if asset.state == "uploaded" else asset.state


class Lookout:
    """Checks that no name in a published release ever has bytes that neither side had under it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._allowed: dict[tuple[str, str], set[str]] = {}
        self.seen: list[str] = []
        published = world.published(TARGET).values() if TARGET in world.target.names else ()
        for release in (*published, *world.source.releases(SOURCE)):
            for asset in release.assets:
                name = (release.tag, normalise(asset.name))
                self._allowed.setdefault(name, set()).add(held(asset))
        world.target.change_listeners.append(self._look)

    def close(self) -> None:
        """Stop watching."""
        self._world.target.change_listeners.remove(self._look)

    def _look(self) -> None:
        published = self._world.published(TARGET) if TARGET in self._world.target.names else {}
        for release in published.values():
            for asset in release.assets:
                allowed = self._allowed.get((release.tag, asset.name))
                if allowed is not None and held(asset) not in allowed:
                    text = f"for a moment {release.tag}/{asset.name} held the bytes of another"
                    self.seen += [text] if text not in self.seen else []


def texts(report: Report) -> str:
    """All messages of a report."""
    entries = [
        {
            key: repository.get(key)
            for key in ("failures", "quarantined", "warnings", "notes", "differences")
            if repository.get(key)
        }
        for repository in report.to_json()["repositories"]
    ]
    return json.dumps(entries)


def rename(state: GitHubState, repository: str, tag: str, names: Mapping[str, str]) -> None:
    """Rename assets of a release, all at once; their ids and bytes stay."""
    assets = [(state.asset(repository, tag, old), new) for old, new in names.items()]
    for asset, new in assets:
        asset.name = new
        asset.updated_at = state.now()
    state.edit_release(repository, tag)
