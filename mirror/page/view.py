"""What is known → the page's data, which ``/api/status`` gives out as JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from mirror.core.domain.release import RepoRef
from mirror.core.failure import known_kind
from mirror.core.hints import cause, command
from mirror.core.text.timestamps import iso
from mirror.page.activity import activity_of
from mirror.page.query import Query
from mirror.page.summary import summary_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mirror.core.ledger.index import PassRecord
    from mirror.core.reporting.status import MirrorStatus
    from mirror.core.reporting.workers import Worker
    from mirror.page.service_state import HostView, RunningView, ServiceView

    Pair = tuple[str, str]

SCHEMA = 1

_LONG = 5.0
"""Seconds that a session lasts until it stands with those that run: most are over before."""


def page_data(
    *,
    now: datetime,
    statuses: Sequence[MirrorStatus],
    links: Mapping[str, str],
    passes: Sequence[PassRecord] = (),
    version: str,
    build: str = "",
    service: ServiceView | None = None,
    hosts: Sequence[HostView] = (),
    workers: Sequence[Worker] = (),
    running: Mapping[Pair, RunningView] | None = None,
    next_run: Callable[[str, str], datetime | None] | None = None,
    queued: Callable[[str, str], bool] | None = None,
    notices: Sequence[str] = (),
    query: Query | None = None,
) -> dict[str, Any]:
    """Put together what the page shows.

    Args:
        now: The present, which everything relative is told from.
        statuses: Of all mirrors; their order stays within one state.
        links: The web address of every source by its name, and of ``target``.
        passes: The last ones, the newest at the end.
        version: Of this program.
        build: The commit that it was built from; empty if unknown.
        service: ``None`` where there is none: the page is a file then, and asks for nothing.
        hosts: In the order to show.
        workers: The processes that share the work; none where there is but one.
        running: Sessions under way, by source (``NAME:OWNER/REPO``) and target.
        next_run: Tells when a mirror is due, by the same; asked only of those that are shown.
        queued: Tells whether a run of a mirror waits for its turn, likewise.
        notices: What else people should know: sentences.
        query: Which mirrors to show; the first page unless given.

    Returns:
        What can be written as JSON.
    """
    query = query or Query()
    under_way = {_key(pair): view for pair, view in (running or {}).items()}
    ranked: list[tuple[int, MirrorStatus, RunningView | None]] = []
    for status in statuses:
        view = under_way.get(_key((status.source, status.target)))
        ranked.append((_rank(status, view, now), status, view))
    matching = [item for item in ranked if _asked_for(query, item[1], item[2])]
    number, shown = query.cut(sorted(matching, key=lambda item: item[0]))
    return {
        "schema": SCHEMA,
        "generated_at": iso(now),
        "version": version,
        "build": build or None,
        "service": _service(service) if service else None,
        "summary": summary_of(
            statuses, now, passes, [view for _, _, view in ranked if view is not None]
        ),
        "notices": list(notices),
        "mirrors": [
            _explained(status, now, daemon=service is not None)
            | {
                "history": status.history,
                "source_url": _source_link(links, status.source),
                "target_url": _repository_link(links.get("target", ""), status.target),
                "running_since": _moment(view.since if view else None),
                "worker": (view.worker or None) if view else None,
                "next_run_at": _moment(next_run(status.source, status.target))
                if next_run
                else None,
                "queued": bool(queued and queued(status.source, status.target)),
                "transfers": [one.to_json() for one in view.transfers] if view else [],
            }
            for _, status, view in shown
        ],
        "activity": activity_of(status for _, status, _ in matching),
        "hosts": [_host(host) for host in hosts],
        "workers": [worker.to_json() for worker in workers],
        "passes": [_pass(record) for record in passes],
        "page": {
            "number": number,
            "pages": query.pages(len(matching)),
            "size": query.size,
            "shown": len(shown),
            "matching": len(matching),
            "state": query.state,
            "search": query.search,
            "view": query.view,
        },
    }


def _explained(status: MirrorStatus, now: datetime, *, daemon: bool) -> dict[str, Any]:
    """A mirror as ``status --json`` tells it, each failure with its cause and a command."""
    told = status.to_json(now)
    failures = [*status.standing, *(item.failure for item in status.quarantined)]
    for item, failure in zip(told["failures"] + told["quarantined"], failures, strict=True):
        item["cause"] = cause(known_kind(failure.kind))
        item["command"] = command(known_kind(failure.kind), status.source, daemon=daemon)
    return told


def _key(pair: Pair) -> Pair:
    """Names of repositories are compared ignoring case."""
    return pair[0].casefold(), pair[1].casefold()


def _rank(status: MirrorStatus, view: RunningView | None, now: datetime) -> int:
    """What failed comes first, then what runs; what is over in a moment does not jump about."""
    if status.state == "failed":
        return 0
    if view and (view.transfers or (now - view.since).total_seconds() >= _LONG):
        return 1
    return 2 if status.state == "never" else 3


def _asked_for(query: Query, status: MirrorStatus, view: RunningView | None) -> bool:
    if query.state == "running":
        if view is None:
            return False
    elif query.state and status.state != query.state:
        return False
    if not query.search:
        return True
    names = f"{status.source}\n{status.target}".casefold()
    return all(word in names for word in query.search.casefold().split())


def web_address(url: str) -> str | None:
    """An address that may stand in a link: http or https, a host, and no password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    good = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc
    return url if good else None


def _source_link(links: Mapping[str, str], source: str) -> str | None:
    name, _, repository = source.partition(":")
    return _repository_link(links.get(name, ""), repository)


def _repository_link(base: str, repository: str) -> str | None:
    """A repository's web address; ``None`` where there is none to be trusted."""
    address = web_address(base)
    try:
        named = RepoRef.parse(repository)
    except ValueError:
        return None
    if address is None:
        return None
    return f"{address.rstrip('/')}/{quote(named.owner, safe='')}/{quote(named.name, safe='')}"


def _moment(moment: datetime | None) -> str | None:
    """To the nearest second: what is computed from now must not change with every look."""
    return iso(moment + timedelta(seconds=0.5)) if moment else None


def _service(service: ServiceView) -> dict[str, Any]:
    return {
        "state": service.state,
        "ready": service.ready,
        "started_at": iso(service.started_at),
        "next_run_at": _moment(service.next_run_at),
    }


def _host(host: HostView) -> dict[str, Any]:
    return {
        "name": host.name,
        "url": web_address(host.url),
        "limit": host.limit,
        "remaining": host.remaining,
        "resets_at": _moment(host.resets_at),
        "paused_until": _moment(host.paused_until),
        "stopped": host.stopped or None,
        "token_expires_at": _moment(host.token_expires_at),
        "paced_by": host.paced_by or None,
        "paced_until": _moment(host.paced_until),
    }


def _pass(record: PassRecord) -> dict[str, Any]:
    return {
        "started_at": iso(datetime.fromtimestamp(record.started_at, UTC)),
        "seconds": record.seconds,
        "mirrors": record.mirrors,
        "unchanged": record.unchanged,
        "failed": record.failed,
        "bytes": record.bytes,
        "requests": record.requests,
    }
