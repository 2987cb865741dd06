"""What a person can do about a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mirror.core.report import Failure

_READS = ("list-", "read-")
NOTHING = "nothing to do: the next pass tries again"


def advice(failure: Failure) -> str:
    """One sentence, without a full stop."""
    if failure.error.startswith("waits"):
        return NOTHING
    if failure.error.startswith("internal error"):
        return "run again with --log-level debug, and report what it shows"
    if "is also that of" in failure.error:
        return "give each mirror a target of its own"
    by_status = _by_status(failure)
    if by_status:
        return by_status
    return "run it again: what is there already is not sent twice"


def _by_status(failure: Failure) -> str:
    code = failure.status_code
    if code == 401:
        return "renew the token of this host"
    if code == 403:
        return "give the token the permission that the host names (see release-mirror check)"
    if code == 404:
        if failure.action.startswith(_READS) or failure.action == "sync":
            return "check the spelling, and that the token may see it (see release-mirror check)"
        return "check that the token may write there (see release-mirror check)"
    if code == 413:
        return "exclude it with assets.exclude or assets.max_size, or raise the server's limit"
    if code in {409, 422}:
        return "exclude it by a filter, or mend what the host names and run with --full"
    if code == 429 or (code is not None and code >= 500):
        return NOTHING
    return ""
