"""Which notifications to send: a mirror's first failure and its recovery, and no repeats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mirror.core.ledger.index import IndexEntry, Told
from mirror.core.reporting.report import RepositoryReport
from mirror.core.reporting.status import Configured
from mirror.core.text.sanitise import ELLIPSIS, clean, shorten

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mirror.core.domain.mirror import Rule
    from mirror.core.ledger.index import Index

NAMED = 10
"""Mirrors that one notice names; of more it gives the number."""

LONGEST_NAME = 120
LONGEST_REASON = 200
"""Characters: a notice is read on a telephone."""

_INVISIBLE = "\u200b"
_CALLING = re.compile(r"@(?=\w)|<(?=[!@#])")

Kind = Literal["failure", "success"]


@dataclass(frozen=True, slots=True)
class Notice:
    """What people are told.

    Attributes:
        kind: Whether it is bad news.
        title: One line.
        body: A few lines, without anything that a terminal or a chat would act on.
    """

    kind: Kind
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class News:
    """A notice, and what it is about: people know of it once it was sent."""

    notice: Notice
    about: tuple[Told, ...]


def find_news(
    index: Index,
    reports: Sequence[RepositoryReport],
    *,
    command: str = "sync",
    listed: Collection[str] = (),
    place: str = "",
) -> tuple[News, ...]:
    """What people do not know yet: bad news first, then good news; nothing where nothing changed.

    Only what the pass was about is spoken of; what it did not finish (``interrupted``), and what it
    left to processes with newer settings, is neither well nor in trouble.

    Args:
        index: Remembers what people were told.
        reports: What became of each mirror, and of wildcards that could not be listed.
        command: ``sync``, or ``verify``: what a comparison found is not undone by a pass, which
            may not look at it, so that each is told of by itself.
        listed: The wildcards that this pass listed, or tried to (``github:hashicorp/*``).
        place: Where the mirrors are.
    """
    knowledge = _Knowledge(index)
    bad: list[tuple[Told, RepositoryReport]] = []
    good: list[Told] = []
    failing: set[str] = set()
    for report in reports:
        if report.status == "interrupted" or report.superseded:
            continue
        subject = Told(command, report.source, report.target)
        known = knowledge.has(subject)
        if _troubled(report):
            if report.target is None:
                failing.add(report.source.casefold())
            if not known:
                bad.append((subject, report))
        elif known:
            good.append(subject)
    wildcards = {name.casefold() for name in listed} - failing
    good += [
        told
        for told in index.told
        if told.command == command and told.target is None and told.source.casefold() in wildcards
    ]
    # What a host was given up for is the reason; what was not even tried for it comes after.
    bad.sort(key=lambda pair: bool(pair[1].stopped))
    news = []
    if bad:
        lines = [f"{_name(told)}: {reason_of(report)}" for told, report in bad]
        notice = Notice("failure", _title("failure", command, bad, place), _body(lines, place))
        news.append(News(notice, tuple(told for told, _ in bad)))
    if good:
        lines = [_name(told) for told in good]
        notice = Notice("success", _title("success", command, good, place), _body(lines, place))
        news.append(News(notice, tuple(good)))
    return tuple(news)


def as_known(index: Index, rules: Sequence[Rule]) -> list[RepositoryReport]:
    """What the index knows of each configured mirror that is in trouble, or was: as reports.

    For the service, whose mirrors have their sessions at any time and not in one pass.
    """
    configured = Configured(rules)
    return [
        RepositoryReport(
            entry.source,
            entry.target,
            "failed" if entry.failure or entry.quarantined else "ok",
            failures=(entry.failure,) if entry.failure else (),
            quarantined=entry.quarantined,
        )
        for entry in index.mirrors.values()
        if (entry.told or entry.failure or entry.quarantined) and entry in configured
    ]


def without_entry(index: Index, reports: Sequence[RepositoryReport]) -> list[RepositoryReport]:
    """Those that the index has no entry for: wildcards, and mirrors that cannot be or never began."""
    return [
        report
        for report in reports
        if _entry(index, Told("sync", report.source, report.target)) is None
    ]


def mark(index: Index, news: News) -> None:
    """Remember that people know; whoever calls saves the index."""
    bad = news.notice.kind == "failure"
    about = {_key(subject) for subject in news.about}
    rest = [told for told in index.told if _key(told) not in about]
    for subject in news.about:
        entry = _entry(index, subject)
        if entry is not None:
            entry.told = bad
        elif bad:
            rest.append(subject)
    index.told = tuple(rest)


def forget(index: Index, rules: Sequence[Rule]) -> bool:
    """Forget what people were told of mirrors that are no longer configured.

    Returns:
        Whether the index changed.
    """
    gone, kept = _outlived(index, rules)
    for entry in gone:
        entry.told = False
    changed = bool(gone) or len(kept) != len(index.told)
    index.told = kept
    return changed


def is_outlived(index: Index, rules: Sequence[Rule]) -> bool:
    """Whether there is something to :func:`forget`."""
    gone, kept = _outlived(index, rules)
    return bool(gone) or len(kept) != len(index.told)


def _outlived(index: Index, rules: Sequence[Rule]) -> tuple[Sequence[IndexEntry], tuple[Told, ...]]:
    """Entries that are no longer configured and that people were told of; and what is kept besides."""
    entries = [entry for entry in index.mirrors.values() if entry.told]
    if not entries and not index.told:
        return (), ()
    configured = Configured(rules)
    wildcards = {
        f"{rule.source_name}:{rule.source}".casefold()
        for rule in rules
        if rule.enabled and rule.wildcard
    }
    kept = tuple(
        told
        for told in index.told
        if (
            told.source.casefold() in wildcards
            if told.target is None
            else IndexEntry(told.source, told.target) in configured
        )
    )
    return [entry for entry in entries if entry not in configured], kept


def reason_of(report: RepositoryReport) -> str:
    """What is wrong with a mirror, in one line."""
    found = [item.line for item in report.failures]
    found += [f"{item.failure.line} (quarantined)" for item in report.quarantined]
    found += [f"{item.place}: {item.kind}" for item in report.differences]
    if not found:
        text = f"not tried: {report.stopped}" if report.stopped else "something was left undone"
        found = [*report.warnings[:1]] or [text]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return _cut(found[0]) + more


class _Knowledge:
    """What people were told, to be asked for thousands of mirrors."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._told = {_key(told) for told in index.told}

    def has(self, subject: Told) -> bool:
        entry = _entry(self._index, subject)
        return (entry is not None and entry.told) or _key(subject) in self._told


def _entry(index: Index, subject: Told) -> IndexEntry | None:
    """The entry that remembers it; none for a wildcard, a mirror that never began, and `verify`."""
    if subject.command != "sync" or subject.target is None:
        return None
    entry = index.mirrors.get(subject.target.casefold())
    if entry is None or entry.source.casefold() != subject.source.casefold():
        return None
    return entry


def _key(told: Told) -> tuple[str, str, str | None]:
    target = told.target.casefold() if told.target is not None else None
    return told.command, told.source.casefold(), target


def _troubled(report: RepositoryReport) -> bool:
    """The same as what makes a pass fail."""
    return bool(
        report.status == "failed" or report.failures or report.quarantined or report.differences
    )


def _title(kind: Kind, command: str, about: Sequence[object], place: str) -> str:
    number = len(about)
    mirrors = "1 mirror" if number == 1 else f"{number} mirrors"
    if kind == "success":
        said = f"{mirrors} recovered"
    elif command == "verify":
        said = f"verify --repair failed for {mirrors}"
    else:
        said = f"{mirrors} failed"
    return f"release-mirror: {said}" + (f" ({shorten(place, LONGEST_NAME)})" if place else "")


def _body(lines: Sequence[str], place: str) -> str:
    shown = list(lines[:NAMED])
    if len(lines) > NAMED:
        shown.append(f"and {len(lines) - NAMED} more")
    where = f" Target: {shorten(place, LONGEST_NAME)}." if place else ""
    return "\n".join(shown) + f"\n\nRun `release-mirror status` for details.{where}"


def _name(told: Told) -> str:
    source = _short(told.source)
    return source if told.target is None else f"{source} → {_short(told.target)}"


def _short(name: str) -> str:
    return _uncalled(shorten(" ".join(name.split()), LONGEST_NAME))


def _cut(text: str) -> str:
    plain = clean(" ".join(text.split()))
    short = plain if len(plain) <= LONGEST_REASON else plain[: LONGEST_REASON - 1] + ELLIPSIS
    return _uncalled(short)


def _uncalled(text: str) -> str:
    """Call nobody: chats act on ``@name`` and ``<!channel>``, also within the names of others."""
    return _CALLING.sub(lambda found: found[0] + _INVISIBLE, text)
