"""What the page shows at one moment: a tag that tells whether it changed, HTML, and JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from mirror.page.render import policy, render

if TYPE_CHECKING:
    from collections.abc import Mapping

_TO_THE_MINUTE = len("2026-11-21T09:00")


class Html(NamedTuple):
    """The page, and its ``Content-Security-Policy``."""

    body: bytes
    policy: str


@dataclass(slots=True)
class Document:
    """The page at one moment; its HTML is made when it is first asked for.

    Attributes:
        data: Of :func:`~mirror.page.view.page_data`.
        tag: Differs where anything on the page does; what changes with the time alone counts by
            the minute.
    """

    data: Mapping[str, Any]
    tag: str
    _html: Html | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """The page of this data."""
        return cls(data, _tag(data))

    def later(self, data: Mapping[str, Any]) -> Document:
        """The page a moment later: where nothing changed, its HTML is not made again."""
        tag = _tag(data)
        return Document(data, tag, self._html if tag == self.tag else None)

    def html(self) -> Html:
        """The page."""
        if self._html is None:
            page = render(self.data, tag=self.tag)
            # A name may hold half a character.
            self._html = Html(page.encode("utf-8", "replace"), policy(page))
        return self._html

    def json(self) -> str:
        """The page's data."""
        return json.dumps(self.data, allow_nan=False)


def _tag(data: Mapping[str, Any]) -> str:
    """Lags and heartbeats count in whole minutes, and a worker's speed only while it works.

    They change all the time.
    """
    content = {
        **data,
        "generated_at": data["generated_at"][:_TO_THE_MINUTE],
        "summary": {**data["summary"], "lag_seconds": data["summary"]["lag_seconds"] // 60},
        "mirrors": [
            {**mirror, "lag_seconds": (mirror["lag_seconds"] or 0) // 60}
            for mirror in data["mirrors"]
        ],
        "workers": [
            {
                **worker,
                "last_heartbeat": worker["last_heartbeat"][:_TO_THE_MINUTE],
                "bytes_per_second": worker["bytes_per_second"] if worker["mirrors"] else 0,
            }
            for worker in data["workers"]
        ],
    }
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
