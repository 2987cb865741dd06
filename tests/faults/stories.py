"""What mirroring is like on good days: stories that together use every route there is.

Each story has a world, what happens in it before, and one last pass: the one that is broken.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mirror.emulator import Fault, GitHubState
from support.world import World

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from pathlib import Path

TOOL = ("octo/tool", "mirrors/tool")
OTHER = ("octo/other", "mirrors/other")
"""The mirror whose routes are broken, and one that has nothing to do with it."""

BYTES = b"0123456789" * 600


@dataclass(frozen=True, eq=False)
class Story:
    """How a world comes to the pass that is broken.

    Attributes:
        settings: Of the mirror.
        before: What is there, and what happened; nothing is broken yet.
        targets: The repositories at the target: the mirror's, and the other's.
        extra: More of the configuration.
        source: Options of the source's emulator.
        full: The pass trusts nothing that is stored.
        app: Both hosts are asked as GitHub Apps.
        git: Tags are pushed, which takes a second: it is broken where nothing else will do.
        pattern: The mirrors come from a wildcard.
    """

    name: str
    before: Callable[[World], Awaitable[None]]
    settings: str = ""
    targets: tuple[str, str] = (TOOL[1], OTHER[1])
    extra: str = ""
    source: dict[str, Any] = field(default_factory=dict)
    full: bool = False
    app: bool = False
    git: bool = False
    pattern: str = ""

    def world(
        self, directory: Path, *, hosts: str = "", tls: ssl.SSLContext | None = None
    ) -> World:
        """Both hosts and the configuration, not opened yet."""
        mirrors = self.pattern or (
            f'[[mirrors]]\nsource = "{TOOL[0]}"\ntarget = "{TOOL[1]}"\n{self.settings}'
            f'[[mirrors]]\nsource = "{OTHER[0]}"\ntarget = "{OTHER[1]}"\n'
        )
        return World(
            directory,
            mirrors,
            source=GitHubState(kind="github", **self.source),
            extra=self.extra,
            hosts=hosts,
            tls=tls,
        )

    async def prepare(self, world: World) -> None:
        """Bring an open world to where the broken pass begins."""
        if self.app:
            _as_apps(world)
        await self.before(world)


def _seed(world: World, repository: str, *tags: str, annotated: bool = False) -> None:
    if repository not in world.source.names:
        world.source.add_repository(repository)
    for tag in tags:
        number = int(tag[1:])
        world.source.add_release(
            repository,
            tag,
            name=f"Release {tag}",
            body=f"What is new in {tag}",
            date=f"2026-01-{number:02}T00:00:00Z",
            annotated=annotated and number == 1,
            assets={"tool.bin": BYTES + tag.encode()}
            | ({"notes.txt": f"notes of {tag}".encode()} if number in (2, 3) else {}),
        )


async def _done(world: World) -> None:
    report = await world.sync()
    assert report.status == "ok", report.to_json()


async def first(world: World) -> None:
    """Nothing was mirrored yet."""
    _seed(world, "octo/tool", "v1", "v2", annotated=True)
    _seed(world, "octo/other", "v1")


async def changed(world: World) -> None:
    """All was mirrored; then everything changed that can."""
    source = world.source
    _seed(world, "octo/tool", "v1", "v2", "v3", "v4")
    _seed(world, "octo/other", "v1")
    await _done(world)
    world.target.add_release("mirrors/tool", "theirs", assets={"a.bin": b"not of the mirror"})
    world.target.add_asset("mirrors/tool", "v1", "signature.asc", b"not of the mirror")
    source.asset("octo/tool", "v1", "tool.bin").label = "The tool"
    source.edit_release("octo/tool", "v1", body="In other words")
    source.replace_asset("octo/tool", "v2", "tool.bin", BYTES + b"v2, built anew")
    source.asset("octo/tool", "v2", "notes.txt").name = "readme.txt"
    source.edit_release("octo/tool", "v2")
    source.delete_asset("octo/tool", "v3", "notes.txt")
    source.add_asset("octo/tool", "v3", "late.bin", BYTES)
    source.delete_release("octo/tool", "v4")
    _seed(world, "octo/tool", "v5")
    _seed(world, "octo/other", "v2")


async def audited(world: World) -> None:
    """All was mirrored, and nothing changed; one release is new at the other."""
    _seed(world, "octo/tool", "v1", "v2")
    _seed(world, "octo/other", "v1")
    await _done(world)
    _seed(world, "octo/other", "v2")


async def renamed(world: World) -> None:
    """The source's repository got another name."""
    await audited(world)
    world.source.rename_repository("octo/tool", "octo/tool2")
    _seed(world, "octo/tool2", "v3")


def _give_history(world: World) -> None:
    """The target's repository was there before, with the source's commits."""
    theirs = world.source.repository("octo/tool")
    world.target.add_repository("mirrors/tool", private=True)
    ours = world.target.repository("mirrors/tool")
    ours.objects.by_sha.update(theirs.objects.by_sha)


async def required(world: World) -> None:
    """The tags are there already, as git brought them."""
    await first(world)
    _give_history(world)
    theirs = world.source.repository("octo/tool")
    for ref, sha in theirs.refs.items():
        if ref.startswith("refs/tags/"):
            world.target.set_ref(world.target.repository("mirrors/tool"), ref, sha)


async def many(world: World) -> None:
    """So many tags that they are read as a list."""
    _seed(world, "octo/tool", "v1", "v2", "v3", "v4", "v5")
    _seed(world, "octo/other", "v1")
    _give_history(world)
    theirs = world.source.repository("octo/tool")
    for ref, sha in theirs.refs.items():
        if ref.startswith("refs/tags/"):
            world.target.set_ref(world.target.repository("mirrors/tool"), ref, sha)


async def existing(world: World) -> None:
    """A repository of others has the commits, and no tags."""
    await first(world)
    _give_history(world)


async def half_made(world: World) -> None:
    """The repository was made, and then the run was cut off."""
    await first(world)
    world.target.faults.add(
        Fault(kind="status", route="put-contents", match="/tool", status=500, times=None)
    )
    assert (await world.sync()).failed
    world.target.faults.clear()


async def of_users(world: World) -> None:
    """Both owners are people, not organizations."""
    for state, owner in ((world.source, "reader"), (world.target, "mirror-bot")):
        assert state.account(owner).type == "User"
    _seed(world, "reader/tool", "v1")
    _seed(world, "reader/other", "v1")


async def incomplete(world: World) -> None:
    """A draft of ours waits for an asset that did not come."""
    await first(world)
    world.target.faults.add(
        Fault(kind="upload-failed", route="upload-asset", match="tool.bin", times=None)
    )
    assert (await world.sync()).failed
    world.target.faults.clear()


STORIES = (
    Story("first", first),
    Story("changed", changed, 'on_delete = "delete"\n'),
    Story("audit", audited, full=True),
    Story("renamed", renamed),
    Story("required", required, 'tags = "require"\n'),
    Story("many", many),
    Story("existing", existing),
    Story("half-made", half_made),
    Story("incomplete", incomplete),
    Story(
        "wildcard",
        first,
        pattern='[[mirrors]]\nsource = "octo/*"\ntarget = "mirrors/{repo}"\n',
    ),
    Story(
        "of-users",
        of_users,
        targets=("mirror-bot/tool", "mirror-bot/other"),
        pattern='[[mirrors]]\nsource = "reader/*"\ntarget = "mirror-bot/{repo}"\n',
    ),
    Story("archives", first, "assets.source_archives = true\n"),
    Story("direct", first, source={"direct_download": True}),
    Story("spooled", first, extra='[sync]\ntransfer = "spool"\n'),
    Story("apps", first, app=True),
    Story("pushed", first, 'tags = "push"\n', git=True),
)


# -- as GitHub Apps --------------------------------------------------------------------------------


@cache
def _key() -> tuple[str, tuple[int, int]]:
    key = rsa.generate_private_key(65537, 2048)
    numbers = key.public_key().public_numbers()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()
    return pem, (numbers.n, numbers.e)


def _as_apps(world: World) -> None:
    """Write the configuration with Apps instead of tokens."""
    pem, numbers = _key()
    world.source.add_app(7, installations={"octo": "read"}, public_key=numbers)
    world.target.add_app(8, installations={"mirrors": "admin"}, public_key=numbers)
    (world.directory / "app.pem").write_text(pem)
    text = world.config_file.read_text()
    for name, number in (("SOURCE", 7), ("TARGET", 8)):
        app = f'app = {{ id = {number}, private_key = "file:app.pem" }}'
        text = text.replace(f'token = "env:{name}_TOKEN"', app)
    world.config_file.write_text(text)
