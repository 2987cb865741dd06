"""One lie in a whole pass: whatever an answer lacks, nothing is written because of it.

Over real sockets, with the code that every command runs. The lie is in one answer of one route, or
in all of them: a field is missing, null, of a wrong type, or what cannot be.
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from hostile.lies import MISSING, paths, put
from support.seed import SEED, sample
from support.world import World, only

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.emulator import Answer, RequestRecord

MIRROR = """[[mirrors]]
source = "octo/*"
target = "mirrors/{repo}"
on_delete = "delete"
max_deletes = 50
"""
LIES = 600
LONGEST = 60.0
"""Seconds of a pass, whose waits take no time."""


def seed(world: World) -> None:
    """What is there before the first pass."""
    world.source.add_repository("octo/tool")
    for number, tag in enumerate(("v0", "v1", "v2"), 1):
        world.source.add_release(
            "octo/tool",
            tag,
            name=f"Release {tag}",
            body=f"What is new in {tag}",
            date=f"2026-01-0{number}T00:00:00Z",
            assets={"tool.bin": f"bytes of {tag}".encode() * 50, "notes.txt": b"notes " * number},
        )


def change(world: World) -> None:
    """What the pass with a lie in it has to do: one of everything."""
    source = world.source
    source.add_release(
        "octo/tool", "v3", name="Three", date="2026-02-01T00:00:00Z", assets={"tool.bin": b"333"}
    )
    source.replace_asset("octo/tool", "v2", "tool.bin", b"made again")
    source.delete_asset("octo/tool", "v1", "tool.bin")
    source.delete_release("octo/tool", "v0")
    source.edit_release("octo/tool", "v1", body="In other words")


KEPT = (("v1", None), ("v1", "notes.txt"), ("v2", None), ("v2", "notes.txt"))
"""What no pass here has a reason to touch: it keeps its ids."""


def ids(world: World) -> list[int | None]:
    found: dict[tuple[str, str | None], int] = {}
    for release in world.target.releases("mirrors/tool"):
        found[release.tag, None] = release.id
        found |= {(release.tag, asset.name): asset.id for asset in release.assets}
    return [found.get(place) for place in KEPT]


def wrong(value: Any) -> tuple[Any, ...]:
    """What an API would never say in the place of a value."""
    if isinstance(value, bool):
        return (MISSING, None, "yes", 1, [])
    if isinstance(value, int):
        return (MISSING, None, "1", -1, 1.5, 10**400, {})
    if isinstance(value, str):
        return (MISSING, None, 7, "\ud800", [], {})
    if isinstance(value, list):
        return (MISSING, None, {}, "text", 7)
    return (MISSING, None, [], "text", 7)


class Liar:
    """Puts one lie into the n-th answer in JSON of a host, and perhaps into all that follow."""

    def __init__(self, lots: random.Random) -> None:
        self._lots = lots
        self._left = lots.randint(1, 20)
        self._always = lots.random() < 0.5
        self._route = ""
        self.told: list[str] = []

    def __call__(self, record: RequestRecord, answer: Answer) -> None:
        route = record.route
        if not answer.body or "json" not in (answer.content_type or ""):
            return
        self._left -= 1
        again = self._always and route == self._route
        if self._left != 0 and not again:
            return
        self._route = route
        document = json.loads(answer.body)
        path = self._lots.choice(list(paths(document)))
        value: Any = document
        for part in path:
            value = value[part]
        lie = self._lots.choice(wrong(value))
        self.told.append(f"{route} {path}: {'missing' if lie is MISSING else repr(lie)[:40]}")
        answer.body = json.dumps(put(document, path, lie)).encode()
        answer.headers.pop("ETag", None)


def looks(world: World) -> dict[str, tuple[Any, ...]]:
    """What people see of each release at the target."""
    return {
        release.tag: (
            release.name or "",
            release.body or "",
            release.prerelease,
            {asset.name: asset.sha256 for asset in release.assets},
        )
        for release in world.published().values()
    }


def _check_looks(now: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> None:
    """Each release is as it was, or as it is to be, or part of the way between the two."""
    for tag, (name, body, prerelease, assets) in now.items():
        known = [state[tag] for state in (before, after) if tag in state]
        assert known, f"{tag} was made of nothing"
        # Both may be null where a release has none.
        assert name in {"", *(state[0] for state in known)}
        assert body in {"", *(state[1] for state in known)}
        assert prerelease in {state[2] for state in known}
        for asset, digest in assets.items():
            if not asset.startswith("release-mirror-"):
                assert digest in {state[3].get(asset) for state in known}


@pytest.mark.parametrize("lot", sample(range(LIES), 24))
async def test_nothing_is_written_because_of_a_lie(tmp_path: Path, lot: int) -> None:
    """The pass ends, fails by name if at all, harms nothing; the next one puts all right."""
    lots = random.Random(f"{SEED} {lot}")  # noqa: S311 - lots that can be drawn again
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        assert (await world.sync()).status == "ok"
        before, kept = looks(world), ids(world)
        change(world)
        liar = Liar(lots)
        host = lots.choice((world.source, world.source, world.target))
        host.tamper = liar
        async with asyncio.timeout(LONGEST):
            report = await world.sync()
        host.tamper = None
        for lie in liar.told:
            print(lie)  # noqa: T201 - shown where the test fails
        failures = [failure.error for repo in report.repositories for failure in repo.failures]
        assert not [text for text in failures if "internal error" in text]
        assert all(failures)
        assert all(text.isprintable() for text in failures)
        now = looks(world)
        after = {
            r.tag: (r.name or "", r.body or "", r.prerelease, {a.name: a.sha256 for a in r.assets})
            for r in world.source.releases("octo/tool")
        }
        _check_looks(now, before, after)
        assert ids(world) == kept
        assert world.target.violations == []
        clean = await world.sync()
        assert clean.status in {"ok", "unchanged"}, clean.to_json()
        assert world.same() == []
        assert ids(world) == kept


async def test_without_a_lie_the_pass_does_one_of_everything(tmp_path: Path) -> None:
    """Else the lies would be about nothing."""
    async with World(tmp_path, MIRROR) as world:
        seed(world)
        await world.sync()
        kept = ids(world)
        change(world)
        routes: list[str] = []
        for host in (world.source, world.target):
            host.tamper = lambda record, answer: (
                routes.append(record.route) if answer.body else None
            )
        done = {action.action for action in only(await world.sync()).actions}
        assert done >= {"create-release", "publish-release", "replace-asset", "delete-asset"}
        assert done >= {"delete-release", "update-release", "upload-asset"}
        assert world.same() == []
        assert ids(world) == kept
        assert len(routes) > 20
