"""The life of a source, step by step: after each pass the target equals it, and a second is idle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.emulator import AssetSpec, Generated
from support.world import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIRROR = """[[mirrors]]
source = "octo/tool"
target = "mirrors/tool"
on_delete = "delete"
max_deletes = 50
"""

REPO = "octo/tool"

Step = tuple[str, "Callable[[World], object]"]


def publish(tag: str, date: str, *, prerelease: bool = False, **assets: bytes) -> Step:
    def step(world: World) -> None:
        world.source.add_release(
            REPO,
            tag,
            name=f"Release {tag}",
            body=f"What is new in {tag}.",
            prerelease=prerelease,
            date=f"{date}T00:00:00Z",
            assets={name.replace("_", "."): data for name, data in assets.items()},
        )

    return f"publish {tag}", step


def edit(what: str, tag: str, **fields: object) -> Step:
    return what, lambda world: world.source.edit_release(REPO, tag, **fields)


def replace(tag: str, name: str, data: bytes, what: str = "replace") -> Step:
    return f"{what} {tag}/{name}", lambda w: w.source.replace_asset(REPO, tag, name, data)


def add(tag: str, name: str, data: bytes) -> Step:
    return f"add {tag}/{name}", lambda w: w.source.add_asset(REPO, tag, name, data)


def remove(tag: str, name: str) -> Step:
    return f"delete {tag}/{name}", lambda w: w.source.delete_asset(REPO, tag, name)


def delete(tag: str) -> Step:
    return f"delete {tag}", lambda w: w.source.delete_release(REPO, tag)


def relabel(tag: str, name: str, label: str | None) -> Step:
    def step(world: World) -> None:
        asset = world.source.asset(REPO, tag, name)
        asset.label = label
        world.source.edit_release(REPO, tag)

    return f"label {tag}/{name}", step


def rename_asset(tag: str, name: str, new: str) -> Step:
    def step(world: World) -> None:
        asset = world.source.asset(REPO, tag, name)
        asset.name = new
        world.source.edit_release(REPO, tag)

    return f"rename {tag}/{name}", step


STEPS: list[Step] = [
    publish("v1.0.0", "2025-01-01", tool_tgz=b"one", sums_txt=b"1"),
    publish("v1.1.0", "2025-02-01", tool_tgz=b"one.one"),
    edit("edit a text", "v1.0.0", body="What was new, in other words.\r\n\r\n* a\r\n* b"),
    edit("edit a title", "v1.0.0", name="The first"),
    edit("empty a text", "v1.1.0", body=""),
    edit("empty a title", "v1.1.0", name=""),
    replace("v1.1.0", "tool.tgz", b"ONE.ONE", "replace, same size,"),
    replace("v1.1.0", "tool.tgz", b"one.one, but longer"),
    add("v1.1.0", "late.txt", b"late"),
    remove("v1.0.0", "sums.txt"),
    publish("v2.0.0-rc.1", "2025-03-01", prerelease=True, tool_tgz=b"two?"),
    edit("flip a prerelease to full", "v2.0.0-rc.1", prerelease=False),
    edit("flip it back", "v2.0.0-rc.1", prerelease=True),
    publish("v2.0.0", "2025-04-01", tool_tgz=b"two", sums_txt=b"2"),
    publish("v1.1.1", "2025-04-02", tool_tgz=b"back-port"),
    edit("make v2.0.0 the latest again", "v2.0.0", latest=True),
    relabel("v2.0.0", "tool.tgz", "The tool"),
    relabel("v2.0.0", "tool.tgz", "The tool & friends"),
    relabel("v2.0.0", "tool.tgz", None),
    rename_asset("v2.0.0", "sums.txt", "checksums.txt"),
    delete("v2.0.0-rc.1"),
    publish("v0.9.0", "2024-12-01", tool_tgz=b"older than all"),
    ("a draft at the source", lambda w: w.source.add_release(REPO, "v3", draft=True)),
    ("the draft is published", lambda w: w.source.edit_release(REPO, "v3", draft=False)),
    add("v3", "tool.tgz", b"three"),
    replace("v3", "tool.tgz", b"THREE", "replace, same size,"),
    remove("v3", "tool.tgz"),
    add("v3", "tool.tgz", b"three again"),
    ("move the tag v3", lambda w: w.source.move_tag(REPO, "v3", date="2025-06-01T00:00:00Z")),
    edit("edit after the move", "v3", body="Moved."),
    edit("mention somebody", "v3", body="Thanks, everybody; mail a@example.com"),
    delete("v0.9.0"),
    publish("v0.9.0", "2024-12-02", tool_tgz=b"made again"),
    (
        "an asset of 3 MB",
        lambda w: w.source.add_asset(REPO, "v3", "big.bin", Generated(seed=1, size=3_000_000)),
    ),
    (
        "the same bytes under a new id",
        lambda w: w.source.replace_asset(REPO, "v3", "big.bin", Generated(seed=1, size=3_000_000)),
    ),
    (
        "a release with many assets",
        lambda w: w.source.add_release(
            REPO,
            "v4",
            date="2025-07-01T00:00:00Z",
            assets={f"a{n}.txt": AssetSpec(f"{n}".encode(), "text/plain") for n in range(40)},
        ),
    ),
    remove("v4", "a7.txt"),
    replace("v4", "a8.txt", b"eight"),
    ("rename the repository", lambda w: w.source.rename_repository(REPO, "octo/renamed")),
    (
        "publish under the new name",
        lambda w: w.source.add_release(
            "octo/renamed", "v5", date="2025-08-01T00:00:00Z", assets={"tool.tgz": b"five"}
        ),
    ),
    ("rename it back", lambda w: w.source.rename_repository("octo/renamed", REPO)),
    delete("v1.0.0"),
    edit("the last edit", "v5", name="Five", body="The end."),
]


async def test_the_target_follows_every_step(tmp_path: Path) -> None:
    """After each `sync` the target equals the source; a second `sync` makes no write."""
    rows = []
    async with World(tmp_path, MIRROR) as world:
        world.source.add_repository(REPO)
        source = REPO
        for number, (what, step) in enumerate(STEPS, 1):
            step(world)
            source = "octo/renamed" if "octo/renamed" in world.source.names else REPO
            seen_late = ("latest", "move the tag", "rename")
            if any(word in what for word in seen_late):
                world.clock.advance(25 * 3600)  # a change of nothing but that is seen at the audit
            world.source.reset_requests()
            world.target.reset_requests()
            report = await world.sync()
            writes = [r.route for r in world.target.requests if r.method != "GET"]
            rows.append(
                f"{number:2}  {what:36} {world.source.count():3} {world.target.count():3}"
                f" {len(writes):3}"
            )
            assert report.status in {"ok", "unchanged"}, (what, report.to_json())
            assert world.same(source) == [], what
            assert world.latest() == latest(world, source), what
            world.target.reset_requests()
            await world.sync()
            await world.sync(full=True)
            assert [r.route for r in world.target.requests if r.method != "GET"] == [], what
    print("\n    step                                 source target writes")  # noqa: T201
    print("\n".join(rows))  # noqa: T201
    assert len(rows) >= 40


def latest(world: World, repository: str) -> str | None:
    found = world.source.repository(repository).latest()
    return found.tag if found else None
