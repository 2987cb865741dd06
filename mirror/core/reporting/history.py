"""What happened to a mirror lately: what a session adds to its entry of the index, and how it is read.

It stands in the mirror's own entry, bounded, so that it costs no file and no request, survives a
restart, and needs no record that several processes would have to share.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, get_args

from mirror.core.ledger.index import Event
from mirror.errors import truncate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mirror.core.reporting.report import ActionReport, RepositoryReport

SESSIONS_KEPT = 30
"""Results of past sessions that an entry keeps."""

EVENTS_KEPT = 4
"""Events that an entry keeps."""

Result = Literal["unchanged", "changed", "failed"]

_LETTERS: Mapping[str, Result] = {"u": "unchanged", "c": "changed", "f": "failed"}

EventKind = Literal["published", "replaced", "deleted", "failed", "recovered"]

EVENT_KINDS = frozenset(get_args(EventKind))

_MOST_TEXT = 200
"""Characters of a failure that an event keeps; the rest stands with the failure itself."""

_TOLD: Mapping[str, EventKind] = {
    "publish-release": "published",
    "replace-asset": "replaced",
    "delete-release": "deleted",
    "delete-asset": "deleted",
}


def with_result(history: str, report: RepositoryReport) -> str:
    """Add the result of a session; one that was interrupted has none.

    Args:
        history: A letter for each of the last sessions, the newest at the end.
        report: What the session did.
    """
    if report.status == "interrupted":
        return history
    changed = report.actions and any(action.status == "done" for action in report.actions)
    letter = "f" if report.status == "failed" else "c" if changed else "u"
    return sys.intern((history + letter)[-SESSIONS_KEPT:])  # most mirrors have the same


def results(history: str) -> list[Result]:
    """The results of the last sessions, the newest at the end; letters of other code are left out."""
    return [_LETTERS[letter] for letter in history[-SESSIONS_KEPT:] if letter in _LETTERS]


def new_events(
    events: Sequence[Event], report: RepositoryReport, *, at: float, before: str, now: str
) -> list[Event]:
    """What people want to know of a session: one event of each kind.

    A failure or a recovery is the last of them.

    Args:
        events: Those of former sessions, the newest at the end.
        report: What the session did.
        at: When it ended (seconds since the epoch).
        before: What was wrong with the mirror before the session; empty for nothing.
        now: The same afterwards.
    """
    done: dict[EventKind, list[ActionReport]] = {}
    for action in report.actions:
        if action.status == "done" and (kind := _TOLD.get(action.action)):
            done.setdefault(kind, []).append(action)
    new = [
        Event(at, kind, len(actions), actions[0].release or "", actions[0].asset or "")
        for kind, actions in done.items()
    ]
    if now and not before and not report.stopped:  # a stopped host is told once, not by its mirrors
        new.append(Event(at, "failed", text=truncate(now, _MOST_TEXT)))
    elif before and not now and _was_told(events):
        new.append(Event(at, "recovered"))
    return new


def with_events(events: Sequence[Event], new: Sequence[Event]) -> tuple[Event, ...]:
    """Add the events of a session to those of former ones, the newest at the end."""
    return (*events, *new)[-EVENTS_KEPT:]


def _was_told(events: Sequence[Event]) -> bool:
    """Whether a failure was the last change of state: after a stopped host nothing has recovered."""
    changes = [event.kind for event in events if event.kind in {"failed", "recovered"}]
    return changes[-1:] == ["failed"]
