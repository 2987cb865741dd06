"""A log of the requests to a host, with counts and hooks for tests."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

KEPT = 1_000_000
"""Maximum number of records kept; counts are unlimited."""

HEADERS = (
    "accept", "content-length", "content-type", "if-none-match", "if-range", "range",
    "transfer-encoding", "user-agent", "x-github-api-version",
)  # fmt: skip
"""Headers that a record keeps, besides `authorization`."""


@dataclass(slots=True)
class RequestRecord:
    """One request.

    Attributes:
        n: Its number, from 1.
        time: When it was received, in seconds of the host's clock.
        method: `GET` and so on.
        path: The path as it was sent, percent-encoded.
        query: The query as it was sent.
        route: The name of its route, `unknown` when there is none.
        origin: `api`, `uploads`, `storage`, `web` or `graphql`.
        authorization: The header as it was sent, `None` when it was not.
        headers: The headers in `HEADERS`, names in lower case.
        status: The status of the answer; 0 before it, and if the connection was reset.
        bytes_in: Bytes of its body that were read.
        bytes_out: Bytes of the answer's body that were sent.
        document: The JSON object of its body, if its route reads one.
    """

    n: int
    time: float
    method: str
    path: str
    query: str
    route: str
    origin: str
    authorization: str | None
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    document: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The record for the control API."""
        return {name: getattr(self, name) for name in self.__slots__}


RequestHook = Callable[[RequestRecord], None]
BytesHook = Callable[[str, int], None]


class RequestLog:
    """Requests in order, bounded; counts by route, method, status and origin."""

    def __init__(self) -> None:
        self.records: deque[RequestRecord] = deque(maxlen=KEPT)
        self.total = 0
        self._counts: Counter[tuple[str, str, int, str]] = Counter()
        self.request_hooks: list[RequestHook] = []
        self.bytes_hooks: list[BytesHook] = []

    def begin(self, record: RequestRecord) -> None:
        """Record a request and notify the hooks, before it is executed."""
        self.total += 1
        record.n = self.total
        self.records.append(record)
        for hook in self.request_hooks:
            hook(record)

    def end(self, record: RequestRecord, status: int) -> None:
        """Record the status of the answer."""
        record.status = int(status)
        self._counts[record.route, record.method, record.status, record.origin] += 1

    def moved(self, route: str, total: int) -> None:
        """Notify the hooks of the bytes of a body so far."""
        for hook in self.bytes_hooks:
            hook(route, total)

    def count(
        self,
        *,
        route: str | None = None,
        method: str | None = None,
        status: int | None = None,
        origin: str | None = None,
    ) -> int:
        """Count answered requests; every argument that is given must match."""
        wanted = (route, method, status, origin)
        return sum(
            number
            for key, number in self._counts.items()
            if all(want in (None, is_) for want, is_ in zip(wanted, key, strict=True))
        )

    def reset(self) -> None:
        """Forget records and counts; numbers continue."""
        self.records.clear()
        self._counts.clear()
