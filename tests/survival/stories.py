"""What is going on when a run is killed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirror.emulator import Generated
from support.clock import MachineClock
from support.tamper import tamper
from support.world import World

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable
    from pathlib import Path

SOURCE, TARGET = "octo/tool", "mirrors/tool"
MIRROR = f'[[mirrors]]\nsource = "{SOURCE}"\ntarget = "{TARGET}"\n'
DAEMON = '[daemon]\ninterval = "1s"\njitter = "0s"\nlisten = ""\ndrain_timeout = "5s"\n'
LOG = '[log]\nlevel = "debug"\n'


@dataclass(frozen=True, eq=False)
class Story:
    """A run, and how its world comes to it.

    Attributes:
        command: What is run.
        prepare: What happened before.
        settings: Of the mirror.
        extra: More of the configuration.
        requests: How many the run makes at the two hosts together.
        chunks: In how many pieces its bytes come and go.
    """

    name: str
    command: tuple[str, ...]
    prepare: Callable[[World], Awaitable[None]]
    settings: str = ""
    extra: str = ""
    requests: int = 0
    chunks: int = 0

    def world(self, directory: Path) -> World:
        return World(
            directory, MIRROR + self.settings, extra=self.extra + DAEMON + LOG, clock=MachineClock()
        )


async def first(world: World) -> None:
    """Nothing was mirrored yet."""
    seed(world)
    world.expect()


async def changed(world: World) -> None:
    """All was mirrored; then there is something to replace, to rename, to exchange, to delete."""
    seed(world)
    report = await world.sync()
    assert report.status == "ok", report.to_json()
    source = world.source
    before = contents(world)
    for release in ("v3", "v1"):
        source.replace_asset(SOURCE, release, "part-1.bin", Generated(seed=77, size=200_001))
    source.replace_asset(SOURCE, "v2", "part-2.bin", Generated(seed=22, size=200_001))  # same size
    one, two = (source.asset(SOURCE, "v2", f"part-{number}.bin") for number in (0, 1))
    one.name, two.name = two.name, one.name
    source.asset(SOURCE, "v3", "part-0.bin").name = "first.bin"
    source.edit_release(SOURCE, "v3", body="In other words.")
    source.edit_release(SOURCE, "v2", name="Two")
    source.delete_asset(SOURCE, "v1", "part-2.bin")
    source.delete_release(SOURCE, "v0")
    publish(world, 9)
    after = contents(world)
    for tag in {tag for tag, _ in after}:
        kept = {
            name: {before.get((tag, name), sha256), sha256}
            for (of, name), sha256 in after.items()
            if of == tag and ((tag, name) in before or not any(t == tag for t, _ in before))
        }
        world.target.expect(TARGET, tag, kept)


async def tampered(world: World) -> None:
    """Somebody put other bytes into the target, and took some away."""
    seed(world)
    report = await world.sync()
    assert report.status == "ok", report.to_json()
    for release in ("v3", "v2"):
        tamper(world.target, TARGET, release, "part-1.bin")
    world.target.delete_asset(TARGET, "v1", "part-2.bin")


def seed(world: World) -> None:
    world.source.add_repository(SOURCE)
    for number in range(4):
        publish(world, number)


def publish(world: World, number: int) -> None:
    world.source.add_release(
        SOURCE,
        f"v{number}",
        name=f"Release {number}",
        body="Thanks to everyone.",
        date=f"2026-0{number % 9 + 1}-01T00:00:00Z",
        assets={
            f"part-{part}.bin": Generated(seed=number * 10 + part, size=200_000 * part + 1)
            for part in range(3)
        },
    )


def contents(world: World) -> dict[tuple[str, str], str]:
    return {
        (release.tag, asset.name): asset.sha256
        for release in world.source.releases(SOURCE)
        for asset in release.assets
    }


SPOOL = '[sync]\ntransfer = "spool"\n'
DELETES = 'on_delete = "delete"\nmax_deletes = 50\n'

STORIES = (
    Story("first", ("sync", "--json"), first, requests=68, chunks=32),
    Story("changed", ("sync", "--json"), changed, DELETES, requests=62, chunks=20),
    Story("spool", ("sync", "--json"), first, extra=SPOOL, requests=68, chunks=32),
    Story("push", ("sync", "--json"), first, 'tags = "push"\n', requests=74, chunks=32),
    Story("daemon", ("daemon",), first, requests=70, chunks=32),
    Story(
        "archives",
        ("sync", "--json"),
        first,
        "assets.source_archives = true\n",
        requests=90,
        chunks=40,
    ),
    Story("full", ("sync", "--full", "--json"), tampered, requests=24, chunks=6),
    Story("repair", ("verify", "--repair", "--json"), tampered, requests=50, chunks=6),
    Story("daemon-changed", ("daemon",), changed, DELETES, requests=62, chunks=20),
    Story(
        "push-spool", ("sync", "--json"), first, 'tags = "push"\n', SPOOL, requests=74, chunks=32
    ),
)


@dataclass(frozen=True)
class Blow:
    """What hits a run.

    Attributes:
        kind: ``kill``: SIGKILL. ``kill-all``: to its children, too. ``term``: SIGTERM.
            ``term-twice``: again after a while.
        at: ``request`` or ``bytes``.
        number: Of the request, or of the piece of a body.
        later: Seconds from there.
    """

    kind: str
    at: str
    number: int
    later: float


def blows(story: Story, dice: random.Random) -> list[Blow]:
    """One to three, each in a run of its own; later runs have less to do."""
    made = []
    for share in (1.0, 0.7, 0.5)[: dice.choice((1, 1, 2, 3))]:
        at = dice.choice(("request", "request", "bytes"))
        most = story.requests if at == "request" else story.chunks
        made.append(
            Blow(
                dice.choice(("kill",) * 5 + ("kill-all",) * 2 + ("term", "term-twice")),
                at,
                dice.randint(1, max(1, round(most * share))),
                dice.choice((0.0, 0.0, 0.0, 0.002, 0.01, 0.04)),
            )
        )
    return made
