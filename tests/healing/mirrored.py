"""A mirror in sync between two emulated hosts, run every fifteen minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from healing.cases import COPY, TOOL
from mirror.app import hold_ledger, open_app
from mirror.config import load_config, resolve_secrets
from mirror.emulator import GitHubState
from mirror.sync.discovery import Catalogue
from mirror.sync.session import sync_mirror
from support.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from healing.cases import Case, Healer
    from mirror.core.failure import Failure
    from mirror.core.reporting.report import RepositoryReport
    from mirror.emulator import RequestRecord

INTERVAL = 15 * 60.0
DAY = 24 * 3600.0

STANDS = 4
"""Passes for which a cause stands: enough for a delay."""

WATCHED = 8
"""Passes that are looked at once it is mended."""

BASE = f'[[mirrors]]\nsource = "{TOOL}"\ntarget = "{COPY}"\n'


@dataclass(frozen=True)
class Pass:
    """One pass, as an operator and the hosts see it.

    Attributes:
        requests: To both hosts.
        refused: Of these, those that the target refused: 401, 403, or 4xx to a write.
        failures: Of the mirror, quarantined items included.
    """

    requests: int
    refused: int
    failures: tuple[Failure, ...]

    @property
    def healed(self) -> bool:
        return not self.failures


class Mirrored(World):
    """The world of one case.

    Attributes:
        spool: Where assets in flight are stored.
        crashes: The program fails.
    """

    def __init__(self, directory: Path, case: Case) -> None:
        source = GitHubState(**{"kind": "github", **case.source})  # type: ignore[arg-type]
        target = GitHubState(**{"kind": "ghes", "version": "3.17", **case.target})  # type: ignore[arg-type]
        super().__init__(
            directory, BASE + case.mirror, source=source, target=target, extra=case.extra
        )
        self.case = case
        self.crashes = False

    @property
    def spool(self) -> Path:
        return self.ledger / "spool"

    async def begin(self) -> None:
        """Bring two releases over."""
        self.source.add_repository(TOOL)
        pushed = "push" in self.case.mirror
        if self.case.theirs:
            self.target.add_repository(COPY).actions_enabled = False
        for tag in ("v0", "v1"):
            date = f"2026-01-0{int(tag[1:]) + 1}T00:00:00Z"
            self.source.add_release(TOOL, tag, date=date, assets={"a.bin": tag.encode()})
            if self.case.theirs and not pushed:
                self.target.move_tag(COPY, tag)
        assert (await self.one_pass()).healed
        self.clock.advance(INTERVAL)

    async def one_pass(self, *, explicit: bool = False) -> Pass:
        """Run the mirror once, as the daemon does; then the next pass is due."""
        for host in (self.source, self.target):
            host.reset_requests()
        report = await self._report(explicit=explicit)
        seen = [*self.source.requests, *self.target.requests]
        self.clock.advance(INTERVAL - self.clock.seconds % INTERVAL)
        return Pass(
            len(seen),
            sum(map(_is_refused, self.target.requests)),
            (*report.failures, *(item.failure for item in report.quarantined)),
        )

    async def _report(self, *, explicit: bool) -> RepositoryReport:
        config = load_config(self.config_file, self.environ)
        secrets = resolve_secrets(config, self.environ)
        async with (
            hold_ledger(config, secrets, clock=self.clock) as ledger,
            open_app(config, secrets, clock=self.clock, ledger=ledger) as app,
        ):
            index = await ledger.store.load_index()
            runner = app.runner(index, self._work)
            (mirror,) = Catalogue(app.rules, runner.sources, index).mirrors
            began = self.clock.monotonic()
            report = await runner.run(mirror, since=began, explicit=explicit)
            await ledger.store.save_index(index)
        return report

    async def _work(self, *about: Any) -> RepositoryReport:
        if self.crashes:
            raise ZeroDivisionError("a fault of the program")
        return await sync_mirror(*about)


def _is_refused(record: RequestRecord) -> bool:
    write = record.method != "GET" and 400 <= record.status < 500
    return write or record.status in {401, 403}


@dataclass(frozen=True)
class Outcome:
    """What a case and a healer came to.

    Attributes:
        stood: The passes while the cause stood.
        passes: Passes until it was healed; 0 if it was not.
    """

    stood: tuple[Pass, ...]
    passes: int


async def outcome(directory: Path, case: Case, healer: Healer) -> Outcome:
    """Let the cause stand for some passes, apply the healer, and count."""
    async with Mirrored(directory, case) as world:
        await world.begin()
        case.cause(world)
        stood = tuple([await world.one_pass() for _ in range(STANDS)])
        _heal(world, case, healer)
        watched = {"nothing": 2, "explicit": 1, "audit": 1}.get(healer, WATCHED)
        for number in range(1, watched + 1):
            if (await world.one_pass(explicit=healer == "explicit")).healed:
                return Outcome(stood, number)
        return Outcome(stood, 0)


def _heal(world: Mirrored, case: Case, healer: Healer) -> None:
    match healer:
        case "server" | "explicit" | "audit":
            assert case.mend
            case.mend(world)
        case "token":
            assert case.token
            case.token(world)
        case "item":
            assert case.item
            case.item(world)
        case "settings":
            assert case.settings
            kept = [
                line
                for line in world.mirrors.splitlines()
                if line.partition(" = ")[0] not in case.settings
            ]
            world.write_config("\n".join(kept) + "\n" + case.settings)
    if healer == "audit":
        world.clock.advance(DAY)
