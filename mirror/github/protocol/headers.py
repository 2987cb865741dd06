"""Headers of an answer that mean the same everywhere: validators, numbers and dates."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_ETAG = 500

TOKEN_EXPIRY = "GitHub-Authentication-Token-Expiration"  # noqa: S105 - no secret
"""When the token expires, as ``2026-12-01 09:00:00 UTC`` or with an offset.

Source: https://docs.github.com/authentication/keeping-your-account-and-data-secure/token-expiration-and-revocation
"""


def etag_of(headers: Mapping[str, str]) -> str:
    """An answer's validator, as it came; empty for none, and for one that could not be sent back."""
    etag = headers.get("ETag", "")
    return etag if etag.isascii() and etag.isprintable() and len(etag) <= _LONGEST_ETAG else ""


def number_of(text: str | None) -> int | None:
    """The number of a header; ``None`` where it is none."""
    return int(text) if text and len(text) < 16 and text.isascii() and text.isdigit() else None


@lru_cache(maxsize=64)  # many responses come within a second
def moment_of(text: str | None) -> datetime | None:
    """The moment of a ``Date`` header, or of one in its form; ``None`` where it is none."""
    try:
        moment = parsedate_to_datetime(text) if text else None
        return moment.astimezone(UTC) if moment and moment.tzinfo else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def token_expiry(text: str) -> datetime | None:
    """Read the time of :data:`TOKEN_EXPIRY`, in UTC; ``None`` where it is none."""
    plain = text.strip().removesuffix(" UTC")
    for form in ("%Y-%m-%d %H:%M:%S %z", "%Y-%m-%d %H:%M:%S"):
        try:
            moment = datetime.strptime(plain, form)  # noqa: DTZ007 - UTC where it has no offset
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            continue
    return None
