"""What ``status`` prints: a line for each mirror, its problems, and the totals."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from mirror.cli.render.tables import STYLES, FittingTable, Grouped, explained, pair, place
from mirror.core.reporting.host_notices import host_notices, pace
from mirror.core.reporting.status import proofs_of
from mirror.core.text.sanitise import clean, shorten
from mirror.core.text.wording import age, count, duration, size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rich.console import RenderableType

    from mirror.core.ledger.index import HostRecord
    from mirror.core.reporting.status import MirrorStatus
    from mirror.core.reporting.workers import Worker


_COLUMNS = (
    "Source → target",
    "State",
    "Newest",
    "Last success",
    "Target checked",
    "Lag",
    "Releases",
    "Assets",
    "Bytes",
)

CONDITIONS = ("ok", "failed", "blocked", "waiting", "quarantined", "never")
"""The states of a mirror, in the order in which the last line counts them."""

LONGEST_TAG = 24
"""Maximum characters of a tag in the table."""


def status_tables(
    statuses: Sequence[MirrorStatus],
    now: datetime,
    hosts: Mapping[str, HostRecord] | None = None,
    workers: Sequence[Worker] = (),
) -> list[RenderableType]:
    """The output of ``status``: a line per mirror, then problems, totals, and what hosts need."""
    if not statuses:
        return [Text("The ledger has no record of the configured mirrors.")]
    optional = ("Releases", "Assets", "Bytes", "Target checked", "Lag")
    table = FittingTable(*_COLUMNS, numbers=_COLUMNS[-3:], optional=optional)
    for item in statuses:
        table.add_row(
            pair(item.source, item.target),
            Text(item.condition, style=STYLES.get(item.state, "")),
            Text(shorten(item.newest_tag or "-", LONGEST_TAG)),
            age(item.last_success, now),
            age(item.checked, now),
            _lag(item, now),
            f"{item.releases:,}",
            f"{item.assets:,}",
            size(item.bytes),
        )
    parts: list[RenderableType] = [table, *_troubles(statuses)]
    parts.append(Padding(Text(_totals(statuses)), (1, 0, 0, 0)))
    if assumed := proofs_of(statuses).assumed:
        what = count(assumed, "asset is", "assets are")
        them = "it" if assumed == 1 else "them"
        advice = f"{what} assumed, not proven: release-mirror verify --repair downloads and compares {them}"
        parts.append(Text(advice))
    hosts = hosts or {}
    parts += [Text(line) for name, host in hosts.items() if (line := pace(name, host, now))]
    parts += [Text(line, style=STYLES["warning"]) for line in host_notices(hosts, now)]
    parts += [Text(clean(_worker(worker, now))) for worker in workers]
    return parts


def _lag(item: MirrorStatus, now: datetime) -> Text:
    """How long the newest release took to arrive, or how long it has been pending."""
    lag = item.lag(now)
    if lag is None:
        return Text("-")
    text = " ".join(duration(lag.total_seconds()).split()[:2])
    return Text(text) if item.visible else Text(f"> {text}", style=STYLES["failed"])


def _troubles(statuses: Sequence[MirrorStatus]) -> list[RenderableType]:
    """Failures, quarantined items and warnings, each once, with all that it is about."""
    failed, kept, warned = Grouped(), Grouped(), Grouped()
    for item in statuses:
        mirror = item.source, item.target
        for failure in item.standing:
            failed.add(place(*mirror, failure.release, failure.asset), *explained(failure))
        for quarantined in item.quarantined:
            since = Text(f" (since {clean(quarantined.since)[:10]})", style="not bold dim")
            where = place(*mirror, quarantined.release, quarantined.asset).append_text(since)
            kept.add(where, *explained(quarantined.failure))
        for text in item.warnings:
            warned.add(place(*mirror), clean(text))
    return [
        *failed.parts("Failed", STYLES["failed"]),
        *kept.parts("Quarantined", STYLES["warning"]),
        *warned.parts("Warnings", STYLES["warning"]),
    ]


def _worker(worker: Worker, now: datetime) -> str:
    """One process that shares the work."""
    state = f"{count(worker.mirrors, 'mirror')} in hand, {size(worker.bytes_per_second)}/s"
    heard = f"last heartbeat {age(worker.last_heartbeat, now)}"
    outdated = "; outdated: reload it" if worker.outdated else ""
    return f"Worker {worker.name} ({worker.version}): {state}; {heard}{outdated}"


def _totals(statuses: Sequence[MirrorStatus]) -> str:
    states = Counter(item.condition for item in statuses)
    said = ", ".join(f"{states[state]} {state}" for state in CONDITIONS if states[state])
    held = count(sum(item.assets for item in statuses), "asset")
    total = size(sum(item.bytes for item in statuses))
    return f"{count(len(statuses), 'mirror')}: {said}; {held}, {total}"
