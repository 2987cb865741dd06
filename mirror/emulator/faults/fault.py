"""A scripted fault: on which route, at which hit, how often, and what happens."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

Kind = Literal[
    "status", "delay", "reset", "lost-reply", "lost-reply-status", "reset-midway", "upload-failed",
    "truncate", "wrong-length", "stall", "slow", "corrupt", "html", "broken-json", "wrong-types",
    "redirect", "early-answer", "lag",
]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Kind)

INSTEAD = frozenset({"status", "reset", "html", "redirect", "early-answer"})
"""Kinds after which the request is not executed."""

AFTER = frozenset({"lost-reply", "lost-reply-status"})
"""Kinds that execute the request and discard its answer."""

SHAPING = frozenset({"reset-midway", "truncate", "wrong-length", "stall", "slow", "corrupt"})
"""Kinds that change how a body is transferred."""

LAGGING = frozenset({
    "list-releases", "get-release", "list-assets", "get-asset", "get-ref", "list-refs",
    "list-matching-refs", "list-tags",
})  # fmt: skip
"""Routes that can lag behind what was created."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One scripted fault.

    Attributes:
        kind: What happens:

            - `status`: answered with `status`, `headers`, `body`; the request is not executed
            - `delay`: `seconds` pass first; combines with any other kind
            - `reset`: the connection is reset; the request is not executed
            - `lost-reply`: the request is executed, then the connection is reset
            - `lost-reply-status`: executed, then answered with `status`
            - `reset-midway`: reset after `at_byte` bytes of the body (for an upload: bytes that
              were read, which leaves a `starter`)
            - `upload-failed`: the body of an upload is read to its end and discarded, which leaves
              a `starter`; answered with `status`
            - `truncate`: the body ends cleanly at `at_byte`; `keep_length` says whether the
              `Content-Length` announces the whole body
            - `wrong-length`: `Content-Length` announces `at_byte` bytes, but the whole body is sent
            - `stall`: the body stops at `at_byte` for `seconds`, or until the client disconnects or
              `resume` is called; an upload is no longer read, so a disconnect goes unnoticed only
              if the rest of the body fits into the buffers
            - `slow`: the body is transferred at `rate` bytes a second
            - `corrupt`: the byte at `at_byte` is inverted; the length is correct
            - `html`: answered with 200 and a page
            - `broken-json`, `wrong-types`: executed; the answer is cut in half, or every value
              in it gets another type
            - `redirect`: `status` (302 unless it is a 3xx) to `location`, in which `{path}` and
              `{query}` are those of the request and `{n}` is the number of the hit
            - `early-answer`: answered with `status` before the body is read; the connection stays
              open, unread, for `seconds`
            - `lag`: what was created after the fault was armed is not visible yet: the newest such
              item of a list, or the item itself; with `seconds`, everything younger than that

        route: A name of `ROUTES`, or `*`.
        match: A part of path and query; `None` matches all.
        nth: The first matching request that is hit, counted from 1.
        times: How many requests are hit; `None` is no limit.
        way: Which body is affected: `in` (the request's) or `out` (the answer's); empty is `in`
            for an upload and `out` for everything else.
    """

    kind: Kind
    route: str = "*"
    match: str | None = None
    nth: int = 1
    times: int | None = 1
    status: int = 502
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    content_type: str = "application/json; charset=utf-8"
    seconds: float | None = None
    at_byte: int = 0
    rate: int = 0
    keep_length: bool = True
    location: str = ""
    way: Literal["", "in", "out"] = ""

    def __post_init__(self) -> None:
        """Refuse a fault that cannot happen, so that no test passes vacuously."""
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of fault {self.kind!r}; one of {', '.join(KINDS)}")
        if self.nth < 1 or (self.times is not None and self.times < 1):
            raise ValueError("nth and times of a fault begin at 1")
        if self.kind == "slow" and self.rate <= 0:
            raise ValueError("a slow fault needs a rate in bytes a second")
        if self.kind == "redirect" and not self.location:
            raise ValueError("a redirect fault needs a location")
        if self.kind == "lag" and self.route not in {"*", *LAGGING}:
            raise ValueError(f"nothing lags at {self.route}: only at {', '.join(sorted(LAGGING))}")

    def inward(self, route: str) -> bool:
        """Whether it affects the body of the request on this route, not that of the answer."""
        return self.way == "in" or (not self.way and route == "upload-asset")

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Fault:
        """From the control API's JSON.

        Raises:
            ValueError: A key is unknown, or a value is wrong.
        """
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(set(document) - known)
        if unknown:
            raise ValueError(f"unknown keys of a fault: {', '.join(unknown)}")
        if "kind" not in document:
            raise ValueError("a fault needs a kind")
        return cls(**document)


def wrong_types(value: Any) -> Any:
    """A JSON document whose every value has another type than it should."""
    if isinstance(value, dict):
        return {key: _swapped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [wrong_types(inner) for inner in value] or {}
    return _swapped(value)


def _swapped(value: Any) -> Any:
    if isinstance(value, str):
        return 7
    if isinstance(value, dict):
        return []
    if isinstance(value, list):
        return {}
    return "text"
