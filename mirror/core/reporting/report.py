"""The sum of a pass, and what a watcher may be told while it runs."""

from __future__ import annotations

# The types of fields are imported at run time: the daemon sends reports to its clients, and msgspec
# reads them by these types.
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from msgspec import Struct, structs
from msgspec import field as structs_field
from msgspec.structs import force_setattr

from mirror.core.execution.outcome import ActionStatus  # noqa: TC001
from mirror.core.failure import Failure, Quarantined
from mirror.core.ledger.index import PassRecord
from mirror.core.text.sanitise import MOST_NAMED, bound
from mirror.core.text.timestamps import iso
from mirror.errors import truncate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SCHEMA = 1

NOTHING: Mapping[str, Any] = {}
"""Shared by all that have nothing: a pass has thousands of reports."""

Status = Literal["ok", "unchanged", "failed", "interrupted"]
DifferenceKind = Literal["missing", "differing", "extra", "text", "flags"]


@dataclass(frozen=True, slots=True)
class ActionReport:
    """One action, as the report tells it; fields that do not apply are left out of the JSON.

    Attributes:
        run: The claim of the killed run that carried it out, where a later run found that out; else 0.
            No part of the JSON.
    """

    action: str
    status: ActionStatus
    release: str | None = None
    asset: str | None = None
    target_asset: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    run: int = 0

    @property
    def identity(self) -> tuple[str, str | None, str | None]:
        """What is done to what."""
        return self.action, self.release, self.asset

    def __post_init__(self) -> None:
        bound(self, release=MOST_NAMED, asset=MOST_NAMED, target_asset=MOST_NAMED)

    def to_json(self) -> dict[str, Any]:
        """As it stands in the report document."""
        facts = {
            "action": self.action,
            "release": self.release,
            "asset": self.asset,
            "target_asset": self.target_asset,
            "bytes": self.bytes,
            "sha256": self.sha256,
        }
        return {k: v for k, v in facts.items() if v is not None} | {"status": self.status}


@dataclass(frozen=True, slots=True)
class Difference:
    """What is not at the target as it is at the source.

    Attributes:
        release: The tag.
        asset: Its name at the source; ``None`` for the release itself.
        kind: ``missing`` at the target; ``differing`` bytes; ``extra``: a copy of this mirror that
            its settings delete; ``text``: title or body; ``flags``: prerelease or latest.
    """

    release: str
    asset: str | None
    kind: DifferenceKind

    def __post_init__(self) -> None:
        bound(self, release=MOST_NAMED, asset=MOST_NAMED)

    @property
    def place(self) -> str:
        """Release and asset, where it is about one."""
        return f"{self.release} {self.asset}" if self.asset else self.release

    def to_json(self) -> dict[str, str | None]:
        """As it stands in the report document."""
        return {"release": self.release, "asset": self.asset, "kind": self.kind}


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification of one mirror found.

    Attributes:
        differences: Those that are there now; what was repaired is told by actions. If a repair was
            interrupted, those that were there before it.
        compared: Assets that were compared.
        read: Of these, those whose bytes were read.
        bytes_read: From both sides together.
    """

    differences: tuple[Difference, ...] = ()
    compared: int = 0
    read: int = 0
    bytes_read: int = 0


class RepositoryReport(Struct, frozen=True, gc=False):
    """What a pass did for one mirror.

    Attributes:
        source: ``NAME:OWNER/REPO``.
        target: ``OWNER/REPO``, or ``None`` for a wildcard whose listing failed.
        estimated_requests: In a plan: what ``sync`` would add, by host.
        verified: By ``verify`` only.
        notes: What is normal, but good to know.
        requests: Sent for this mirror, by host. No part of the JSON.
        target_checked_at: When the target was last looked at; ``None`` for never.
        stopped: Why its host was given up meanwhile; empty where it was not. No part of the JSON:
            the failure itself is reported once.
        claim: The number of the claim under which it ran; 0 for none. No part of the JSON.
    """

    source: str
    target: str | None
    status: Status
    actions: tuple[ActionReport, ...] = ()
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    estimated_requests: Mapping[str, int] = structs_field(default_factory=lambda: NOTHING)
    verified: Verified | None = None
    stopped: str = ""
    notes: tuple[str, ...] = ()
    target_checked_at: datetime | None = None
    requests: Mapping[str, RequestCount] = structs_field(default_factory=lambda: NOTHING)
    claim: int = 0

    def __post_init__(self) -> None:
        if self.warnings:
            force_setattr(self, "warnings", tuple(map(truncate, self.warnings)))
        if self.notes:
            force_setattr(self, "notes", tuple(map(truncate, self.notes)))

    def but(self, **changes: Any) -> RepositoryReport:
        """The same report, but for some attributes."""
        return structs.replace(self, **changes)

    @property
    def superseded(self) -> bool:
        """Whether it was left to processes with newer settings."""
        return any(failure.hint == "newer-settings" for failure in self.failures)

    @property
    def differences(self) -> tuple[Difference, ...]:
        """What a verification found; nothing without one."""
        return self.verified.differences if self.verified else ()

    def to_json(self) -> dict[str, Any]:
        """As it stands in the report document."""
        document = {
            "source": self.source,
            "target": self.target,
            "status": self.status,
            "actions": [action.to_json() for action in self.actions],
            "failures": [failure.to_json() for failure in self.failures],
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "quarantined": [item.to_json() for item in self.quarantined],
            "target_checked_at": iso(self.target_checked_at) if self.target_checked_at else None,
        }
        if self.verified:
            document["differences"] = [item.to_json() for item in self.differences]
        return document


def with_earlier(report: RepositoryReport, earlier: Sequence[RepositoryReport]) -> RepositoryReport:
    """A report that also tells what earlier runs of the same pass did to the mirror.

    Args:
        report: Of the last run: what failed before it is over, or in it.
        earlier: The reports of earlier runs, the oldest first. Of one claim, the last one counts: it
            tells what the others do, and more. What a later run found that a killed one had done is
            left out where that has told it itself.
    """
    last = {before.claim: before for before in earlier}
    runs = [
        before
        for before in earlier
        if not before.claim or (last[before.claim] is before and before.claim != report.claim)
    ]
    done = [[one for one in run.actions if one.status == "done"] for run in runs]
    if not any(done):
        return report
    known = {
        (run.claim, one.identity)
        for run, told in zip(runs, done, strict=True)
        for one in told
        if not one.run
    }
    actions: list[ActionReport] = []
    for told in (*done, report.actions):
        actions += [one for one in told if (one.run, one.identity) not in known]
        known |= {(one.run, one.identity) for one in told if one.run}
    status: Status = "ok" if report.status == "unchanged" else report.status
    return report.but(status=status, actions=tuple(actions))


class RequestCount(Struct, frozen=True):
    """Requests to one host in a pass; ``retried`` are those sent again after a failure."""

    total: int = 0
    not_modified: int = 0
    retried: int = 0

    def plus(self, other: RequestCount) -> RequestCount:
        """Both together."""
        return RequestCount(
            self.total + other.total,
            self.not_modified + other.not_modified,
            self.retried + other.retried,
        )

    def to_json(self) -> dict[str, int]:
        """As it stands in the report document."""
        return {
            "total": self.total,
            "not_modified": self.not_modified,
            "retried": self.retried,
        }


_TOTALS = {
    # A release is new when it is published; a draft may be one that an interrupted pass made.
    "publish-release": "releases_created",
    "update-release": "releases_updated",
    "delete-release": "releases_deleted",
    "upload-asset": "assets_uploaded",
    "replace-asset": "assets_replaced",
    "delete-asset": "assets_deleted",
}


@dataclass(frozen=True, slots=True)
class Report:
    """The sum of a pass."""

    command: str
    started_at: datetime
    finished_at: datetime
    repositories: tuple[RepositoryReport, ...]
    requests: Mapping[str, RequestCount] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def failed(self) -> bool:
        """Whether something failed, waits, is quarantined or differs."""
        return any(
            repo.status == "failed" or repo.failures or repo.quarantined or repo.differences
            for repo in self.repositories
        )

    @property
    def pending(self) -> bool:
        """Whether a plan holds work."""
        return any(
            action.status == "planned" for repo in self.repositories for action in repo.actions
        )

    @property
    def status(self) -> Status:
        """Of the pass as a whole."""
        if self.interrupted:
            return "interrupted"
        if self.failed:
            return "failed"
        if all(repo.status == "unchanged" for repo in self.repositories):
            return "unchanged"
        return "ok"

    def totals(self) -> dict[str, int]:
        """Sums over all repositories; in a plan they count planned work."""
        totals = {
            "repositories": len(self.repositories),
            "unchanged": sum(repo.status == "unchanged" for repo in self.repositories),
            "failures": sum(len(repo.failures) for repo in self.repositories),
            **dict.fromkeys(_TOTALS.values(), 0),
            "bytes_uploaded": 0,
        }
        for action in self._counted():
            if name := _TOTALS.get(action.action):
                totals[name] += 1
            if action.action in {"upload-asset", "replace-asset"}:
                totals["bytes_uploaded"] += action.bytes or 0
        if self.command == "verify":
            found = [repo.verified for repo in self.repositories if repo.verified]
            totals["differences"] = sum(len(one.differences) for one in found)
            totals["assets_compared"] = sum(one.compared for one in found)
            totals["assets_read"] = sum(one.read for one in found)
            totals["bytes_read"] = sum(one.bytes_read for one in found)
        return totals

    def _counted(self) -> Iterable[ActionReport]:
        for repo in self.repositories:
            for action in repo.actions:
                if action.status in {"done", "planned"}:
                    yield action

    def to_json(self) -> dict[str, Any]:
        """The report document of the contract."""
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "command": self.command,
            "status": self.status,
            "started_at": iso(self.started_at),
            "finished_at": iso(self.finished_at),
            "totals": self.totals(),
            "requests": {host: count.to_json() for host, count in self.requests.items()},
        }
        if self.command == "plan":
            document["estimated_requests"] = self.estimated_requests()
        document["repositories"] = [repo.to_json() for repo in self.repositories]
        if self.command == "verify":
            for repository in document["repositories"]:
                repository.setdefault("differences", [])  # it could not be verified
        return document

    def pass_record(self) -> PassRecord:
        """Summarize the pass for the history on the status page."""
        totals = self.totals()
        return PassRecord(
            started_at=round(self.started_at.timestamp(), 3),
            seconds=round((self.finished_at - self.started_at).total_seconds(), 3),
            mirrors=totals["repositories"],
            unchanged=totals["unchanged"],
            failed=sum(repo.status == "failed" for repo in self.repositories),
            bytes=totals["bytes_uploaded"],
            requests=sum(count.total for count in self.requests.values()),
        )

    def estimated_requests(self) -> dict[str, int]:
        """What ``sync`` would add to the requests that planning used, by host."""
        sums = dict.fromkeys(self.requests, 0)
        for repo in self.repositories:
            for host, count in repo.estimated_requests.items():
                sums[host] = sums.get(host, 0) + count
        return sums


class Observer(Protocol):
    """Someone who watches a pass; every call returns at once and raises nothing.

    A mirror is named by its source (``github:cli/cli``), which may have several targets, a transfer
    by a number of its own.
    """

    def mirrors_found(self, count: int) -> None:
        """This many more mirrors are part of the pass."""

    def mirror_started(self, source: str) -> None:
        """A session began."""

    def mirror_finished(self, report: RepositoryReport) -> None:
        """A session ended."""

    def bytes_planned(self, source: str, count: int) -> None:
        """A session knows its work: this many more bytes are to be transferred."""

    def transfer_started(
        self, number: int, source: str, target: str, release: str, asset: str, size: int
    ) -> None:
        """An asset's bytes begin to move."""

    def transfer_moved(self, number: int, done: int) -> None:
        """So many bytes in all have been handed to the target."""

    def transfer_finished(self, number: int, *, good: bool) -> None:
        """No more bytes move."""

    def paced(self, host: str, limit: str, seconds: float) -> None:
        """A request waits for a limit; called from any thread.

        Args:
            host: Its name on the network.
            limit: In words: ``900 points a minute``.
            seconds: Until the next request is sent.
        """


class Observers:
    """Any number of observers as one; without any, nobody watches.

    Args:
        observers: Each is told everything.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def mirrors_found(self, count: int) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.mirrors_found(count)

    def mirror_started(self, source: str) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.mirror_started(source)

    def mirror_finished(self, report: RepositoryReport) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.mirror_finished(report)

    def bytes_planned(self, source: str, count: int) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.bytes_planned(source, count)

    def transfer_started(
        self, number: int, source: str, target: str, release: str, asset: str, size: int
    ) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.transfer_started(number, source, target, release, asset, size)

    def transfer_moved(self, number: int, done: int) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.transfer_moved(number, done)

    def transfer_finished(self, number: int, *, good: bool) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.transfer_finished(number, good=good)

    def paced(self, host: str, limit: str, seconds: float) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.paced(host, limit, seconds)
