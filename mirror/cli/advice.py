"""What a person can do about a failure, where its own text does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mirror.core.reporting.report import Failure

NOTHING = "nothing to do: the next pass tries again"

_SAYS = ("; exclude ", "; check ", "; set ", "; use ", "; renew ", "; do ", "; give ")
"""How a text goes on that says by itself what to do."""

_BY_STATUS = {
    401: "renew the token of this host",
    403: "give the token the permission that the host names (see release-mirror check)",
    404: "check the spelling, and what the token may do there (see release-mirror check)",
    409: "mend what the host names, or exclude it by a filter",
    413: "exclude it with assets.exclude or assets.max_size, or raise the server's limit",
    422: "exclude it by a filter, or mend what the host names and run with --full",
    429: NOTHING,
}


def advice(failure: Failure) -> str:
    """One sentence, without a full stop; empty where the failure's own text says it."""
    text = failure.error
    if any(words in text for words in _SAYS):
        return ""
    if text.startswith("waits"):
        return NOTHING
    if text.startswith("internal error"):
        return "run again with --log-level debug, and report what it shows"
    if " is also that of " in text:
        return "give each mirror a target of its own"
    code = failure.status_code or 0
    known = _BY_STATUS.get(code, "")
    if known or not code:
        return known or "run it again: what is there already is not sent twice"
    return NOTHING if code >= 500 else ""
