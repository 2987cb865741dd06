"""How a host is reached and how much is sent to it, as plain values of its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Network:
    """The way to a host.

    Attributes:
        ca_file: Certificates (PEM) that are trusted in addition to the system's.
        proxy: Its address; empty for none; ``None`` for what the environment says.
        upload_origin: One more origin that ``upload_url`` may name.
        allow_plaintext: Send the token over ``http`` to others than loopback, too.
    """

    ca_file: Path | None = None
    proxy: str | None = None
    upload_origin: str | None = None
    allow_plaintext: bool = False


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds that are waited for something to happen; none limits a transfer that moves.

    Attributes:
        connect: Until a connection stands.
        stall: Without a byte while an answer or a download is awaited.
        response: From an upload's last byte to its answer.
    """

    connect: float = 10.0
    stall: float = 60.0
    response: float = 900.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is sent to a host.

    Attributes:
        max_connections: Requests and transfers at once.
        points_per_minute: A read costs 1, everything else 5; 0 for no limit.
        writes_per_minute, writes_per_hour: Requests that create content; 0 for no limit.
        rate_limit_reserve: Requests of the primary rate limit to leave for others.
    """

    max_connections: int = 16
    points_per_minute: float = 0
    writes_per_minute: float = 0
    writes_per_hour: float = 0
    rate_limit_reserve: int = 0
