"""What ``status`` prints: a line for each mirror, its problems, and the totals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from mirror.cli.render.tables import LONGEST_NAME, STYLES, pair, place, plain_table
from mirror.core.reporting.status import proofs_of
from mirror.core.text.sanitise import clean, shorten
from mirror.core.text.wording import age, count, duration, size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rich.console import RenderableType

    from mirror.core.failure import Failure
    from mirror.core.reporting.status import MirrorStatus


def status_tables(statuses: Sequence[MirrorStatus], now: datetime) -> list[RenderableType]:
    """The output of ``status``: a line per mirror, then problems and totals."""
    if not statuses:
        return [Text("The ledger has no record of the configured mirrors.")]
    numbers = ("Releases", "Assets", "Bytes")
    table = plain_table("Source → target", "State", "Last good", "Lag", *numbers, numbers=numbers)
    for item in statuses:
        table.add_row(
            pair(item.source, item.target),
            Text(item.state, style=STYLES.get(item.state, "")),
            age(item.last_success, now),
            _lag(item, now),
            f"{item.releases:,}",
            f"{item.assets:,}",
            size(item.bytes),
        )
    parts: list[RenderableType] = [table]
    for item in statuses:
        parts += _trouble(item)
    parts.append(Padding(Text(_totals(statuses)), (1, 0, 0, 0)))
    if assumed := proofs_of(statuses).assumed:
        what = count(assumed, "asset is", "assets are")
        them = "it" if assumed == 1 else "them"
        advice = f"{what} assumed, not proven: release-mirror verify --repair downloads and compares {them}"
        parts.append(Text(advice))
    return parts


def _lag(item: MirrorStatus, now: datetime) -> Text:
    """How long the newest release took to arrive, or how long it has been pending."""
    lag = item.lag(now)
    if lag is None:
        return Text("-")
    text = " ".join(duration(lag.total_seconds()).split()[:2])
    return Text(text) if item.visible else Text(f"> {text}", style=STYLES["failed"])


def _trouble(item: MirrorStatus) -> list[RenderableType]:
    found: list[tuple[str, Failure]] = []
    failures = dict.fromkeys((*filter(None, [item.failure]), *item.failures))
    found += [(failure.state, failure) for failure in failures if not failure.final]
    found += [(f"quarantined since {clean(q.since)[:10]}", q.failure) for q in item.quarantined]
    lines = []
    for state, failure in found:
        where = place("", failure.release, failure.asset)
        parts = (state, where, clean(failure.detail))
        lines += [": ".join(part for part in parts if part), f"→ {failure.advice}"]
    lines += [f"warning: {clean(text)}" for text in item.warnings]
    if not lines:
        return []
    head = Text(shorten(item.source, LONGEST_NAME), style="bold")
    return [
        Padding(head, (1, 0, 0, 0)),
        *(Padding(Text(line), (0, 0, 0, 2)) for line in lines),
    ]


def _totals(statuses: Sequence[MirrorStatus]) -> str:
    states = [item.state for item in statuses]
    words = [f"{states.count(state)} {state}" for state in ("ok", "failed", "never")]
    said = ", ".join(word for word in words if not word.startswith("0 "))
    held = count(sum(item.assets for item in statuses), "asset")
    total = size(sum(item.bytes for item in statuses))
    return f"{count(len(statuses), 'mirror')}: {said}; {held}, {total}"
