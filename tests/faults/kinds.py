"""The ways in which a request goes wrong, each as the faults that an emulator is told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mirror.emulator import Fault
from mirror.emulator.faults.fault import LAGGING

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.healthy import Used

LIMITED = json.dumps({"message": "API rate limit exceeded for user ID 1."})
SECONDARY = json.dumps({"message": "You have exceeded a secondary rate limit. Please wait."})
UNAUTHORIZED = json.dumps({"message": "Bad credentials"})
MISSING = json.dumps({"message": "Not Found"})

LIMIT_LASTS = 600
"""Seconds until the primary limit is over, whenever it was hit."""

ENDLESS = "{path}?{query}&hop={n}"
LAG = 10.0
DAY = 86_400.0


@dataclass(frozen=True)
class Kind:
    """A way to go wrong.

    Attributes:
        name: As it is called in the table.
        make: What the emulator is told for a route, without how often.
        where: Which routes it can happen to.
        stalls: Somebody waits in real time: the hosts' time-outs are short.
        scheme: The hosts are asked over TLS.
        hits: How often it happens, where that is not once, three times and for ever.
    """

    name: str
    make: Callable[[Used], dict[str, Any]]
    where: Callable[[Used], bool] = lambda _: True
    stalls: bool = False
    tls: bool = False
    hits: tuple[str, ...] = ("once", "thrice", "ever")

    def faults(self, used: Used, hits: str, *, match: str, stranger: str, now: float) -> Fault:
        """The fault for a route; ``stranger`` is an origin that belongs to nobody."""
        told = {"kind": "status", **self.make(used)}
        times = {"once": 1, "thrice": 3}.get(hits)
        if told["kind"] == "lag" and times is None:
            told["seconds"] = LAG if hits == "a while" else DAY
        if "location" in told:
            told["location"] = told["location"].replace("{stranger}", stranger)
        headers = told.get("headers", {})
        if "X-RateLimit-Reset" in headers:
            told["headers"] = {**headers, "X-RateLimit-Reset": str(int(now) + LIMIT_LASTS)}
        return Fault(route=used.route, match=match or None, times=times, **told)


def _status(status: int, body: str | None = None, **headers: str) -> Callable[[Used], Any]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: {"status": status, "body": body, "headers": sent}


def _plain(kind: str, **facts: Any) -> Callable[[Used], Any]:
    return lambda _: {"kind": kind, **facts}


def _middle(used: Used) -> int:
    return max(1, used.answered // 2)


def _answer(kind: str, **facts: Any) -> Callable[[Used], Any]:
    return lambda used: {"kind": kind, "at_byte": _middle(used), "way": "out", **facts}


def _early(kind: str) -> Callable[[Used], Any]:
    return lambda _: {"kind": kind, "at_byte": 60, "way": "out"}


def _redirect(location: str) -> Callable[[Used], Any]:
    return lambda used: {
        "kind": "redirect",
        "location": location,
        "status": 307 if used.write else 302,
    }


def _answered(used: Used) -> bool:
    return used.answered > 1


def _sent(used: Used) -> bool:
    return used.sent


def _write(used: Used) -> bool:
    return used.write


def _json(used: Used) -> bool:
    return used.json


KINDS = (
    *(Kind(str(status), _status(status)) for status in (500, 502, 503, 504)),
    Kind("429", _status(429, SECONDARY, Retry_After="30")),
    Kind(
        "403 primary limit",
        _status(403, LIMITED, X_RateLimit_Remaining="0", X_RateLimit_Reset="later"),
    ),
    Kind("403 secondary limit", _status(403, SECONDARY)),
    Kind("401", _status(401, UNAUTHORIZED)),
    Kind("404", _status(404, MISSING)),
    Kind("reset before the answer", _plain("reset")),
    Kind("reset in the request", _plain("reset-midway", at_byte=1, way="in"), _sent),
    Kind("reset in the answer", _answer("reset-midway"), _answered),
    Kind("stall before the answer", _plain("delay"), stalls=True),
    Kind("stall in the request", _plain("stall", at_byte=1, way="in"), _sent, stalls=True),
    Kind("stall in the answer", _answer("stall"), _answered, stalls=True),
    Kind("slow request", _plain("slow", rate=60_000, way="in"), _sent),
    Kind(
        "slow answer", lambda u: {"kind": "slow", "rate": u.answered * 8, "way": "out"}, _answered
    ),
    Kind("truncated", _answer("truncate"), _answered),
    Kind("truncated, no length", _answer("truncate", keep_length=False), _answered),
    Kind("wrong length", _answer("wrong-length"), _answered),
    Kind("other bytes", _early("corrupt"), lambda used: used.stream),
    Kind("HTML with 200", _plain("html")),
    Kind("broken JSON", _plain("broken-json"), _json),
    Kind("wrong JSON types", _plain("wrong-types"), _json),
    Kind("redirect loop", _redirect(ENDLESS)),
    Kind("redirect to another origin", _redirect("{stranger}/elsewhere")),
    Kind("https to http", _redirect("{stranger}/plain"), tls=True),
    Kind("answer before the body", _plain("early-answer", status=502, seconds=0.2), _sent),
    Kind("lost reply", _plain("lost-reply"), _write),
    Kind("lost reply, 502", _plain("lost-reply-status", status=502), _write),
    Kind(
        "list that lags",
        _plain("lag"),
        lambda used: used.role == "target" and used.route in LAGGING,
        hits=("once", "thrice", "a while", "ever"),
    ),
)
