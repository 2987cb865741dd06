"""What a story takes and leaves when nothing goes wrong: what every broken one is held against."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from faults.stories import STORIES
from mirror.emulator.routes import ROUTE_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from faults.stories import Story
    from mirror.emulator import RequestRecord
    from support.world import World

Role = Literal["source", "target"]
State = dict[str, Any]


@dataclass(frozen=True)
class Used:
    """A route that the mirror used.

    Attributes:
        match: What its addresses have that belongs to one mirror alone; empty where nothing does.
        sent: Its requests had a body.
        answered: Bytes of its longest answer that was a success.
    """

    role: Role
    route: str
    method: str
    template: str
    origin: str
    match: str
    sent: bool
    answered: int

    @property
    def stream(self) -> bool:
        """Whether its answer is the bytes of a file."""
        files = ("storage-download", "archive-download", "download-asset")
        return self.answered > 0 and self.route in files

    @property
    def json(self) -> bool:
        return self.answered > 0 and not self.stream

    @property
    def write(self) -> bool:
        return self.method != "GET"


@dataclass(frozen=True)
class Healthy:
    """A good day.

    Attributes:
        requests: How many the pass took.
        state: What was at the target in the end.
        kept: Ids that the pass left as they were, by place.
        former: Digests of what was at the target before.
        used: The routes that it used.
    """

    requests: int
    former: frozenset[str]
    state: State
    kept: dict[tuple[str, ...], int]
    used: tuple[Used, ...]


def state_of(world: World, repository: str) -> Any:
    """All that people see of a repository at the target."""
    if repository not in world.target.names:
        return None
    found = world.target.repository(repository)
    latest = found.latest()
    return {
        "latest": latest.tag if latest else None,
        "tags": sorted(ref for ref in found.refs if ref.startswith("refs/tags/")),
        "actions": found.actions_enabled,
        "releases": sorted(
            (
                release.tag,
                release.draft,
                release.prerelease,
                release.name or "",
                release.body or "",
                sorted(
                    (a.name, a.size, a.sha256, a.label or "", a.content_type, a.state)
                    for a in release.assets
                ),
            )
            for release in found.releases.values()
        ),
    }


def ids(world: World, repositories: Iterable[str]) -> dict[tuple[str, ...], int]:
    """The ids of what is published, by place."""
    made: dict[tuple[str, ...], int] = {}
    for name in repositories:
        if name not in world.target.names:
            continue
        for release in world.target.releases(name):
            if release.draft:
                continue
            made[name, release.tag] = release.id
            made |= {(name, release.tag, asset.name): asset.id for asset in release.assets}
    return made


def watch_latest(world: World, story: Story, source: State) -> list[str]:
    """From now on the source's latest is the target's whenever it is there; what was seen else."""
    seen: list[str] = []

    def look() -> None:
        for name in story.targets:
            found = world.target.repository(name) if name in world.target.names else None
            wanted = source[name]["latest"]
            latest = found.latest() if found and found.published(wanted) else None
            if latest and latest.tag != wanted:
                seen.append(f"{name}: {latest.tag} is the latest, although {wanted} is there")

    world.target.change_listeners.append(look)
    return seen


def promise(world: World, story: Story, source: State) -> None:
    """From now on no reader may see anything but what was there and what is to come."""
    for repository in story.targets:
        before = {}
        if repository in world.target.names:
            found = world.target.repository(repository)
            before = {r.tag: r for r in found.releases.values() if not r.draft}
        for tag, draft, _, _, _, assets in source[repository]["releases"]:
            if draft:
                continue
            expected = {name: {sha} for name, _, sha, *_ in assets}
            if tag in before:
                old = {asset.name: asset.sha256 for asset in before[tag].assets}
                expected = {
                    name: shas | {old[name]} for name, shas in expected.items() if name in old
                }
            world.target.expect(repository, tag, expected)


@cache
def healthy(story: Story) -> Healthy:
    """Live a story through on a good day, once a process."""
    return asyncio.run(_live(story))


async def _live(story: Story) -> Healthy:
    with tempfile.TemporaryDirectory() as directory:
        async with story.world(Path(directory)) as world:
            await story.prepare(world)
            markers = _markers(world)
            for host in (world.source, world.target):
                host.reset_requests()
            before = ids(world, story.targets)
            former = frozenset(asset.sha256 for _, _, asset in world.target.assets.values())
            report = await world.sync(full=story.full)
            assert report.status == "ok", report.to_json()
            after = ids(world, story.targets)
            used: dict[tuple[Role, str], Used] = {}
            for role, record in _records(world):
                _note(used, role, record, markers[role])
            return Healthy(
                requests=world.source.count() + world.target.count(),
                former=former,
                state={name: state_of(world, name) for name in story.targets},
                kept={place: n for place, n in before.items() if after.get(place) == n},
                used=tuple(used[key] for key in sorted(used)),
            )


def _records(world: World) -> list[tuple[Role, RequestRecord]]:
    return [
        *(("source", record) for record in world.source.requests),
        *(("target", record) for record in world.target.requests),
    ]


def _markers(world: World) -> dict[Role, tuple[str, ...]]:
    """What an address has that is about the mirror whose routes are broken."""
    names = [name for name in world.source.names if "/tool" in name]
    numbers = [world.source.repository(name).id for name in names]
    here = [f"/repositories/{n}" for n in numbers] + [f"/{n}/" for n in numbers]
    return {"source": ("/tool", *here), "target": ("/tool",)}


def _note(
    used: dict[tuple[Role, str], Used], role: Role, record: RequestRecord, markers: tuple[str, ...]
) -> None:
    known = used.get((role, record.route))
    good = record.status // 100 == 2
    length = int(record.headers.get("content-length") or 0)
    match = next((marker for marker in markers if marker in record.path), "")
    used[role, record.route] = Used(
        role,
        record.route,
        record.method,
        known.template if known else _template(record),
        record.origin,
        (known.match if known else "") or match,
        sent=length > 0 or (known is not None and known.sent),
        answered=max(record.bytes_out if good else 0, known.answered if known else 0),
    )


def _template(record: RequestRecord) -> str:
    path = record.path.removeprefix("/api/v3").removeprefix("/api/uploads")
    found = ROUTE_TABLE.find(record.origin, record.method, path)
    return found[0].template if found else record.path


def everything() -> list[tuple[Story, Used]]:
    """Every route in every story that uses it."""
    return [(story, used) for story in STORIES for used in healthy(story).used]
