"""One case for each kind of failure: what causes it, and everything that may heal it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mirror.emulator import Fault
from mirror.emulator.model.repository import PushRule
from support.world import SOURCE_TOKEN, TARGET_TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from healing.mirrored import Mirrored
    from mirror.core.failure import State
    from mirror.errors import FailureKind

Healer = Literal["nothing", "server", "token", "settings", "item", "explicit", "audit"]
"""What an operator, a host or the source does; ``explicit`` and ``audit`` after the server did."""

TOOL, COPY = "octo/tool", "mirrors/tool"
BAD = "bad.bin"
ANOTHER = "another-token-of-the-test"

MENDED: tuple[Healer, ...] = ("server", "explicit", "audit")
"""Healers that come after the cause is mended at a server, or has passed by itself."""


@dataclass(frozen=True)
class Case:
    """How a kind of failure comes about, and goes.

    Attributes:
        kind: As the report tells it.
        cause: Breaks what was in sync.
        mend: Ends the cause, at a server or by itself.
        token, settings, item: Heal it although the cause stays; ``None`` if that is no way.
        state: What the failure is while it stands.
        passes: Passes until it is healed, by healer, where they do not follow from the state.
        mirror: Settings of the mirror.
        extra: More of the configuration.
        theirs: The target repository was not made by the mirror.
        source, target: Options of the emulated hosts.
    """

    kind: FailureKind
    state: State
    cause: Callable[[Mirrored], object]
    mend: Callable[[Mirrored], object] | None
    token: Callable[[Mirrored], object] | None = None
    settings: str | None = None
    item: Callable[[Mirrored], object] | None = None
    passes: Mapping[Healer, int] = field(default_factory=dict)
    mirror: str = ""
    extra: str = ""
    theirs: bool = False
    source: Mapping[str, object] = field(default_factory=dict)
    target: Mapping[str, object] = field(default_factory=dict)

    def healers(self) -> list[Healer]:
        """Those that this case has; ``nothing`` is one of all."""
        found: list[Healer] = ["nothing"]
        found += MENDED if self.mend else []
        ways: dict[Healer, object] = {
            "token": self.token,
            "settings": self.settings,
            "item": self.item,
        }
        return found + [healer for healer, way in ways.items() if way is not None]


def _answers(
    route: str, status: int, body: object = None, match: str | None = None, **headers: str
) -> Callable[[Mirrored], None]:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    text = json.dumps(body or {"message": "no"})

    def cause(world: Mirrored) -> None:
        add_release(world)
        world.target.faults.add(
            Fault(
                kind="status",
                route=route,
                match=match,
                status=status,
                body=text,
                headers=told,
                times=None,
            )
        )

    return cause


def _invalid(field_name: str, message: str, code: str = "custom") -> dict[str, object]:
    item = {"resource": "ReleaseAsset", "field": field_name, "code": code, "message": message}
    return {"message": "Validation Failed", "errors": [item]}


def add_release(world: Mirrored, tag: str = "v2", **options: object) -> None:
    """A release with a good asset, and one that the cause is about."""
    assets = {"good.bin": b"good", BAD: b"the bytes of it"}
    options = {"assets": assets, "date": f"2026-02-0{tag[1:]}T00:00:00Z", **options}
    world.source.add_release(TOOL, tag, **options)  # type: ignore[arg-type]


def no_faults(world: Mirrored) -> None:
    for host in (world.source, world.target):
        host.faults.clear()


def without_bad(world: Mirrored) -> None:
    world.source.delete_asset(TOOL, "v2", BAD)


def another_token(world: Mirrored) -> None:
    token = world.target.add_token(ANOTHER, login="mirror-bot", admin=True)
    world.environ["TARGET_TOKEN"] = token


def _token(**options: object) -> Callable[[Mirrored], object]:
    return lambda world: world.target.add_token(
        TARGET_TOKEN,
        login="mirror-bot",
        **options,  # type: ignore[arg-type]
    )


def _may_read_only(world: Mirrored) -> None:
    add_release(world)
    _token(permission="read", fine_grained=True)(world)


def _hide_source(world: Mirrored) -> None:
    world.source.repository(TOOL).visibility = "private"
    world.source.add_token(SOURCE_TOKEN, login="reader")


def _another_source_token(world: Mirrored) -> None:
    world.source.add_token(ANOTHER, login="reader", admin=True)
    world.environ["SOURCE_TOKEN"] = ANOTHER


def _corrupt(world: Mirrored) -> None:
    add_release(world)
    world.source.faults.add(
        Fault(kind="corrupt", route="storage-download", at_byte=1, way="out", times=None)
    )


def _html(world: Mirrored) -> None:
    world.source.faults.add(Fault(kind="html", route="list-releases", times=None))


def _empty(world: Mirrored) -> None:
    add_release(world, assets={"good.bin": b"good", BAD: b""})


def _fill(world: Mirrored) -> None:
    without_bad(world)
    world.source.add_asset(TOOL, "v2", BAD, b"bytes at last")


def _taken(world: Mirrored) -> None:
    world.target.add_asset(COPY, "v1", BAD, b"theirs")
    world.source.add_asset(TOOL, "v1", BAD, b"ours")


def _give_name_back(world: Mirrored) -> None:
    world.target.delete_asset(COPY, "v1", BAD)


def _uploading(world: Mirrored) -> None:
    add_release(world)
    world.source.asset(TOOL, "v2", BAD).state = "starter"


def _uploaded(world: Mirrored) -> None:
    world.source.asset(TOOL, "v2", BAD).state = "uploaded"
    world.source.edit_release(TOOL, "v2")


def _another_repository(world: Mirrored) -> None:
    world.source.rename_repository(TOOL, "octo/former")
    world.source.add_repository(TOOL)
    world.source.add_release(TOOL, "v1", assets={"a.bin": b"of another"})


def _former_repository(world: Mirrored) -> None:
    world.source.delete_repository(TOOL)
    world.source.rename_repository("octo/former", TOOL)


def _two_deleted(world: Mirrored) -> None:
    for tag in ("v0", "v1"):
        world.source.delete_release(TOOL, tag)


def _immutable(world: Mirrored) -> None:
    for release in world.target.releases(COPY):
        release.immutable = True
    world.source.add_asset(TOOL, "v1", BAD, b"too late")


def _archive(world: Mirrored) -> None:
    add_release(world)
    world.target.repository(COPY).archived = True


def _unarchive(world: Mirrored) -> None:
    world.target.repository(COPY).archived = False


def _rule(world: Mirrored) -> None:
    add_release(world)
    world.target.repository(COPY).push_rules.append(PushRule("refs/tags/v2"))


def _no_rule(world: Mirrored) -> None:
    world.target.repository(COPY).push_rules.clear()


def _no_spool(world: Mirrored) -> None:
    add_release(world)
    world.spool.rmdir()
    world.spool.write_text("in the way")


def _spool(world: Mirrored) -> None:
    world.spool.unlink()


def _crash(world: Mirrored) -> None:
    add_release(world)
    world.crashes = True


def _no_crash(world: Mirrored) -> None:
    world.crashes = False


def _enable_actions(world: Mirrored) -> None:
    add_release(world)
    world.target.repository(COPY).actions_enabled = True


def _disable_actions(world: Mirrored) -> None:
    world.target.repository(COPY).actions_enabled = False


def _delete(world: Mirrored) -> None:
    world.source.delete_release(TOOL, "v2")


EXCLUDE = f'assets.exclude = ["{BAD}"]\n'
EXCLUDE_RELEASE = 'releases.exclude = ["v2"]\n'

AT_AUDIT = 0
"""Not healed before the next audit."""

PASSES: dict[State, dict[Healer, int]] = {
    "blocked": {"server": 1, "explicit": 1, "audit": 1},
    "waiting": {"server": 1, "explicit": 1, "audit": 1},
    "failed": {"server": 4, "explicit": 1, "audit": 1},
    "quarantined": {"server": AT_AUDIT, "explicit": AT_AUDIT, "audit": 1},
}
"""Passes until a cause that is over is noticed: at once, when its delay is over, or at the audit.

Another token, other settings and another item are tried in the next pass, whatever the state.
"""


def expected(case: Case, healer: Healer) -> int:
    """Passes until a case is healed."""
    known = AT_AUDIT if healer == "nothing" else PASSES[case.state].get(healer, 1)
    return case.passes.get(healer, known)


CASES = (
    Case(
        "credential",
        "blocked",
        lambda world: world.target.revoke_token(TARGET_TOKEN),
        _token(admin=True),
        token=another_token,
    ),
    Case(
        "permission",
        "blocked",
        _may_read_only,
        _token(admin=True),
        token=another_token,
    ),
    Case(
        "archived",
        "blocked",
        _archive,
        _unarchive,
    ),
    Case(
        "not-found",
        "blocked",
        _hide_source,
        lambda world: world.source.add_token(SOURCE_TOKEN, login="reader", admin=True),
        token=_another_source_token,
    ),
    Case(
        "tag-missing",
        "waiting",
        add_release,
        lambda world: world.target.move_tag(COPY, "v2"),
        settings=EXCLUDE_RELEASE,
        item=_delete,
        theirs=True,
    ),
    Case(
        "not-ready",
        "waiting",
        _uploading,
        _uploaded,
        settings=EXCLUDE,
        item=without_bad,
        passes={"nothing": 2},  # after an hour it is no upload in progress: left out, and told
    ),
    Case(
        "policy",
        "waiting",
        _enable_actions,
        _disable_actions,
        settings="allow_actions = true\n",
        item=_delete,
        mirror='tags = "push"\n',
        theirs=True,
    ),
    Case(
        "rate-limit",
        "failed",
        _answers("create-release", 429, Retry_After="90000"),
        no_faults,
        settings=EXCLUDE_RELEASE,
        item=_delete,
        passes={"server": 1},  # it is the host's, which says when it is over
    ),
    Case(
        "unavailable",
        "failed",
        _answers("upload-asset", 502, match=BAD),
        no_faults,
        settings=EXCLUDE,
        item=without_bad,
    ),
    Case("invalid-answer", "failed", _html, no_faults),
    Case("corrupt", "failed", _corrupt, no_faults, settings=EXCLUDE_RELEASE, item=_delete),
    Case(
        "rejected",
        "failed",
        _answers("upload-asset", 422, _invalid("colour", "is wrong", "invalid"), match=BAD),
        no_faults,
        settings=EXCLUDE,
        item=without_bad,
    ),
    Case(
        "git",
        "failed",
        _rule,
        _no_rule,
        settings=EXCLUDE_RELEASE,
        item=_delete,
        mirror='tags = "push"\n',
    ),
    Case(
        "disk",
        "failed",
        _no_spool,
        _spool,
        settings=EXCLUDE_RELEASE,
        item=_delete,
        extra='[sync]\ntransfer = "spool"\n',
    ),
    Case("internal", "failed", _crash, _no_crash),
    Case(
        "identity",
        "failed",
        _another_repository,
        _former_repository,
        passes={"server": 1},  # the source's listing is another one then: a changed item
    ),
    Case(
        "max-deletes",
        "failed",
        _two_deleted,
        None,
        settings="max_deletes = 10\n",
        mirror='on_delete = "delete"\nmax_deletes = 1\n',
    ),
    Case(
        "too-large",
        "quarantined",
        _answers("upload-asset", 413, match=BAD),
        no_faults,
        settings=EXCLUDE,
        item=without_bad,
    ),
    Case(
        "too-many-assets",
        "quarantined",
        _answers("upload-asset", 422, _invalid("file_count", "limited to 1000"), match=BAD),
        no_faults,
        settings=EXCLUDE,
        item=without_bad,
    ),
    Case(
        "text-too-long",
        "quarantined",
        _answers("create-release", 422, _invalid("body", "body is too long")),
        no_faults,
        settings=EXCLUDE_RELEASE,
        item=_delete,
    ),
    Case("empty", "quarantined", _empty, None, settings=EXCLUDE, item=_fill),
    Case(
        "name-taken",
        "quarantined",
        _taken,
        _give_name_back,
        settings=EXCLUDE,
        item=lambda world: world.source.delete_asset(TOOL, "v1", BAD),
    ),
    Case(
        "immutable",
        "quarantined",
        _immutable,
        None,
        settings=EXCLUDE,
        item=lambda world: world.source.delete_asset(TOOL, "v1", BAD),
        source={"version": "3.20", "kind": "ghes"},
        target={"version": "3.20"},
    ),
)
