"""The exception tree. Each class knows what may be done about it.

::

    MirrorError
    ├── UsageError              the command line asks for something that cannot be
    ├── ConfigError             the configuration file is wrong: every mistake, with its place
    ├── GitHubError             a host answered with an error, or not at all
    │   ├── AuthError           401, or 403 for a permission: an operator must act
    │   ├── NotFound            404, 410, 451
    │   ├── ValidationFailed    400, 409, 413, 422: the host will not take this
    │   ├── RateLimited         429, or 403 with a limit; knows when to come back
    │   ├── ServerError         5xx
    │   ├── BadAnswer           an answer that is no answer: HTML, broken JSON, wrong types
    │   ├── Unreachable         no connection: DNS, refused, TLS, proxy
    │   ├── ConnectionLost      a connection that broke; what was sent may have been done
    │   └── HostStopped         the credential or the host was given up for this pass
    ├── TransferError           bytes of an asset did not arrive as they should
    │   ├── DigestMismatch
    │   ├── ShortRead
    │   ├── SourceChanged       the asset was replaced while it was read
    │   └── Stalled
    ├── NotTried                the way that its bytes take was given up; nothing was sent
    ├── Waiting                 not now, but perhaps later by itself (a tag, an upload in progress)
    ├── Unmirrorable            the target can never take this as it is
    ├── LedgerError
    │   ├── LedgerLocked        another run holds the lock; names its process
    │   ├── LedgerCorrupt
    │   └── LedgerTooNew        written by a later version of this program
    ├── SpoolError              the disk cannot take an asset in flight
    └── GitError                the git program failed
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


MOST_TOLD = 500
"""Characters of one failure: servers may send megabytes, and nobody reads more."""


def told(text: str, most: int = MOST_TOLD) -> str:
    """The beginning of a text that a server had a part in; an ellipsis says that there was more."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


class MirrorError(Exception):
    """The root of what this program raises on purpose.

    Attributes:
        most_told: Characters of its text; ``None`` where no server has a part in it.
        retryable: The same request may succeed if it is sent again in this pass.
        final: It will fail the same way until something changes at the source, at the target
            or in the settings; it is quarantined instead of being tried in every pass.
            An error that is neither is tried again in the next pass.
        attempts: Tries that were made before it was raised.
    """

    most_told: ClassVar[int | None] = MOST_TOLD
    retryable: bool = False
    final: bool = False
    attempts: int = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(message if self.most_told is None else told(message, self.most_told))


class UsageError(MirrorError):
    """The command line asks for something that cannot be."""

    most_told = None


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration file.

    Attributes:
        key: Where it is: ``mirrors[2].releases.latest``; empty for the file as a whole.
        message: What is wrong and what is allowed.
        line: The line in the file, counted from 1, where it is known.
    """

    key: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


class ConfigError(MirrorError):
    """The configuration file is wrong; all of its mistakes at once."""

    most_told = None

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{file}: {problem}" for problem in self.problems))


class GitHubError(MirrorError):
    """A host answered with an error, or not at all.

    Attributes:
        host: The configured name of the host (``target``, ``github``).
        status: The HTTP status, or ``None`` where there was no answer.
        errors: The first items of the answer's ``errors`` list, as the host sent them.
        request_id: ``X-GitHub-Request-Id``, which the host's logs know the request by.
        ambiguous: The request may have been carried out although no good answer came; a write
            must be settled by looking before it is sent again.
        attempts: Tries that were made before it was raised.
        sent_sha256: Of an upload: the SHA-256 of its bytes, hexadecimal, if all were sent.
    """

    sent_sha256: str | None = None

    def __init__(
        self,
        message: str,
        *,
        host: str = "",
        status: int | None = None,
        errors: Sequence[Any] = (),
        request_id: str | None = None,
        ambiguous: bool = False,
    ) -> None:
        super().__init__(message)
        self.host = host
        self.status = status
        self.errors = tuple(errors)
        self.request_id = request_id
        self.ambiguous = ambiguous
        self.attempts = 1


class AuthError(GitHubError):
    """401, or 403 for a missing permission: nothing helps but an operator.

    A missing permission concerns what was asked for, and stays until somebody grants it; a 401
    stops the credential as a whole.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.final = self.status == 403


class NotFound(GitHubError):
    """404, 410 or 451. On a write it can also mean that the token may not write."""


class ValidationFailed(GitHubError):
    """400, 409, 413 or 422: the host understood and will not take this.

    Only what tells a reason is final: an item of ``errors`` that names a field or says that
    something exists, an immutable release, another status than 422.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message, **facts)
        told = any(isinstance(item, dict) and item.get("field") for item in self.errors)
        known = told or self.has(code="already_exists") or "immutable" in message
        self.final = self.status != 422 or known

    def has(self, *, code: str | None = None, field: str | None = None) -> bool:
        """Tell whether an item of ``errors`` has this code and this field."""
        return any(
            isinstance(item, dict)
            and (code is None or item.get("code") == code)
            and (field is None or item.get("field") == field)
            for item in self.errors
        )


class RateLimited(GitHubError):
    """429, or 403 with a primary or secondary limit.

    Attributes:
        retry_at: When the host takes requests again (aware, UTC).
    """

    retryable = True

    def __init__(self, message: str, *, retry_at: datetime, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.retry_at = retry_at


class ServerError(GitHubError):
    """5xx: the host failed.

    Attributes:
        retry_at: When the host said to come back (aware, UTC), where it did.
    """

    retryable = True

    def __init__(self, message: str, *, retry_at: datetime | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.retry_at = retry_at


class BadAnswer(GitHubError):
    """An answer that is no answer: HTML for JSON, broken JSON, a wrong type, a redirect loop."""

    retryable = True


class Unreachable(GitHubError):
    """No connection came about: DNS, refused, black hole, proxy.

    Attributes:
        permanent: Trying again cannot help (a certificate that is not trusted).
    """

    retryable = True

    def __init__(self, message: str, *, permanent: bool = False, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.permanent = permanent
        self.retryable = not permanent


class ConnectionLost(GitHubError):
    """A connection broke, or no answer came in time; a write may have been carried out."""

    retryable = True


class HostStopped(GitHubError):
    """The credential or the host was given up earlier in this pass; nothing was sent."""


class TransferError(MirrorError):
    """Bytes of an asset did not arrive as they should."""

    retryable = True


class DigestMismatch(TransferError):
    """What was read, or what the target holds, is not what the digest promises."""


class ShortRead(TransferError):
    """Fewer or more bytes came than the asset has."""


class SourceChanged(TransferError):
    """The asset was replaced at the source while it was read."""

    retryable = False


class Stalled(TransferError):
    """No byte moved for the stall time-out while bytes were left to move.

    Attributes:
        at_target: It was the target that took none.
    """

    def __init__(self, message: str, *, at_target: bool = False) -> None:
        super().__init__(message)
        self.at_target = at_target


class NotTried(MirrorError):
    """The way that its bytes take was given up; nothing was sent."""


class Waiting(MirrorError):
    """Not now, but perhaps later by itself: a tag that is not there yet, an upload in progress."""


class Unmirrorable(MirrorError):
    """The target can never take this as it is."""

    final = True


class LedgerError(MirrorError):
    """The ledger cannot be used."""


class LedgerLocked(LedgerError):
    """Another run holds the ledger's lock.

    Attributes:
        pid: The process id of the holder, where it could be read.
    """

    def __init__(self, message: str, *, pid: int | None = None) -> None:
        super().__init__(message)
        self.pid = pid


class LedgerCorrupt(LedgerError):
    """A document of the ledger cannot be read; it is set aside and rebuilt."""


class LedgerTooNew(LedgerError):
    """A document of the ledger was written by a later version of this program."""


class SpoolError(MirrorError):
    """The disk cannot take an asset in flight: it is full, too small, or not ours to write."""


class GitError(MirrorError):
    """The git program failed."""
