"""The exception tree. Each class says whether a retry can help, and what kind of failure it is.

::

    MirrorError
    ├── UsageError              the command line asks for something impossible
    ├── ConfigError             the configuration file is invalid: every mistake, with its place
    ├── NoDaemon                no daemon is running where one was called
    ├── GitHubError             a host answered with an error, or not at all
    │   ├── AuthError           401, or a missing permission: an operator must act
    │   ├── NotFound            404, 410, 451
    │   ├── ValidationFailed    400, 409, 413, 422: the host understood the request and refuses it
    │   ├── RateLimited         429, or 403 with a limit; says when the host accepts requests again
    │   ├── ServerError         5xx
    │   ├── BadAnswer           not an answer of the API: HTML, broken JSON, wrong types
    │   ├── Unreachable         no connection: DNS, refused, TLS, proxy
    │   ├── ConnectionLost      the connection broke; the request may have been carried out
    │   └── HostStopped         request not sent: credential or host disabled
    ├── TransferError           an asset's bytes did not arrive correctly
    │   ├── DigestMismatch
    │   ├── ShortRead
    │   ├── SourceChanged       the asset was replaced while it was read
    │   └── Stalled
    ├── NotTried                transfers from or to this host are disabled; nothing was sent
    ├── Waiting                 may succeed later by itself (a missing tag, an upload in progress)
    ├── Unmirrorable            the target can never accept this as it is
    ├── LedgerError
    │   ├── LedgerLocked        another run holds the lock; names its process
    │   ├── LedgerCorrupt
    │   ├── LedgerTooNew        written by a later version of this program
    │   ├── DatabaseError       the ledger's database refuses a statement
    │   └── DatabaseUnavailable the ledger's database cannot be reached
    ├── ClaimLost               another process may work on this mirror now
    ├── SpoolError              the disk cannot hold an asset in flight
    ├── BundleError             a bundle cannot be read or written
    │   └── BundleTooNew        written by a later version of this program
    └── GitError                the git program failed
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

FailureKind = Literal[
    "credential",
    "permission",
    "not-found",
    "rate-limit",
    "unavailable",
    "invalid-answer",
    "corrupt",
    "rejected",
    "too-large",
    "text-too-long",
    "empty",
    "too-many-assets",
    "name-taken",
    "tag-missing",
    "not-ready",
    "identity",
    "max-deletes",
    "immutable",
    "archived",
    "git",
    "disk",
    "policy",
    "internal",
]
"""What kind of failure something is; part of the report's contract."""

Hint = Literal[
    "absent-bytes",
    "allow-actions",
    "allow-create-repository",
    "allowed-signers",
    "api-address",
    "app-installation",
    "app-key",
    "app-settings",
    "app-suspended",
    "authorize-sso",
    "bundle-key",
    "bundle-name",
    "bundle-path",
    "burned-tag",
    "create-owner",
    "damaged-bytes",
    "delete-tag",
    "dns",
    "exclude-release",
    "find-repository",
    "grant-write",
    "install-git",
    "install-ssh-keygen",
    "keep-changes",
    "lost-bytes",
    "move-tag",
    "newer-settings",
    "no-archives",
    "no-history",
    "own-target",
    "proxy-address",
    "proxy-allow",
    "proxy-login",
    "push-refused",
    "push-tag",
    "reachability",
    "sign-bundle",
    "signature-mismatch",
    "storage-host",
    "tls",
    "trust-ca",
    "upload-origin",
]
"""Advice that is more precise than what follows from the kind of a failure."""

Reason = Literal[
    "access-blocked",
    "already-exists",
    "archived",
    "empty",
    "immutable",
    "invalid-field",
    "invalid-name",
    "listing-cut",
    "reference-exists",
    "repository-empty",
    "suspended",
    "text-too-long",
    "token-time",
    "too-large",
    "too-many-assets",
]
"""Why a host refused a request, as far as its answer says; only ``github.protocol`` decides that."""

BLOCKED_KINDS: frozenset[FailureKind] = frozenset({"credential", "permission", "archived"})
"""Kinds of failure that somebody has to mend at a server; never quarantined."""

_BLOCKING_HINTS: frozenset[Hint | None] = frozenset(
    {"authorize-sso", "create-owner", "find-repository"}
)
"""Advice that asks for the same, whatever the kind of the failure."""


def is_blocked(kind: str, hint: str | None) -> bool:
    """Whether a credential, a permission or a read-only repository stands in the way.

    It is tried again in every pass, so that what is mended at the server heals by itself.
    """
    return kind in BLOCKED_KINDS or hint in _BLOCKING_HINTS


MAX_MESSAGE = 500
"""Maximum length of a failure's text, in characters: servers may send megabytes."""


def truncate(text: str, limit: int = MAX_MESSAGE) -> str:
    """The beginning of a text of others; an ellipsis marks the cut."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


class MirrorError(Exception):
    """The root of what this program raises on purpose.

    Its text holds the facts: what was attempted, and what a host answered. Nothing decides by it;
    the attributes are for that. Advice for people follows from ``kind`` and ``hint``.

    Attributes:
        kind: What kind of failure it is.
        hint: Which advice applies, if not that of the kind.
        max_message: Maximum length of its text; ``None`` if no server contributes to it.
        retryable: The same request may succeed if it is sent again in this pass.
        final: It will fail the same way until something changes at the source, at the target
            or in the settings; it is quarantined instead of being tried in every pass.
            An error that is neither is tried again in the next pass.
        attempts: Attempts that were made before it was raised.
    """

    kind: FailureKind = "internal"
    hint: Hint | None = None
    max_message: ClassVar[int | None] = MAX_MESSAGE
    retryable: bool = False
    final: bool = False
    attempts: int = 1

    def __init__(
        self, message: str = "", *, kind: FailureKind | None = None, hint: Hint | None = None
    ) -> None:
        super().__init__(
            message if self.max_message is None else truncate(message, self.max_message)
        )
        if kind:
            self.kind = kind
        if hint:
            self.hint = hint

    @property
    def blocked(self) -> bool:
        """Whether somebody has to mend something at a server; see :func:`is_blocked`."""
        return is_blocked(self.kind, self.hint)


class UsageError(MirrorError):
    """The command line asks for something impossible."""

    kind = "policy"
    max_message = None


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
    """The configuration file is invalid; all of its mistakes at once."""

    max_message = None

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{file}: {problem}" for problem in self.problems))


class NoDaemon(MirrorError):
    """No daemon is running where one was called."""

    kind = "unavailable"


class GitHubError(MirrorError):
    """A host answered with an error, or not at all.

    Attributes:
        host: The configured name of the host (``target``, ``github``).
        status: The HTTP status, or ``None`` where there was no answer.
        reason: Why the host refused, where its answer says so.
        request_id: ``X-GitHub-Request-Id``, which the host's logs know the request by.
        ambiguous: The request may have been carried out although no good answer came; a write
            must be settled by looking before it is sent again.
        sent_sha256: Of an upload: the SHA-256 of its bytes, hexadecimal, if all were sent.
    """

    sent_sha256: str | None = None

    def __init__(
        self,
        message: str,
        *,
        host: str = "",
        status: int | None = None,
        reason: Reason | None = None,
        request_id: str | None = None,
        ambiguous: bool = False,
        kind: FailureKind | None = None,
        hint: Hint | None = None,
    ) -> None:
        super().__init__(message, kind=kind, hint=hint)
        self.host = host
        self.status = status
        self.reason = reason
        self.request_id = request_id
        self.ambiguous = ambiguous


class AuthError(GitHubError):
    """401, or 403 for a missing permission: an operator must act.

    A 401 stops the credential as a whole.
    """

    kind: FailureKind = "permission"

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message, **facts)
        if self.status == 401:
            self.kind = "credential"


class NotFound(GitHubError):
    """404, 410 or 451. On a write it can also mean that the token may not write."""

    kind = "not-found"


_KIND_OF_REFUSAL: dict[Reason | None, FailureKind] = {
    "access-blocked": "permission",
    "already-exists": "name-taken",
    "archived": "archived",
    "empty": "empty",
    "immutable": "immutable",
    "reference-exists": "name-taken",
    "text-too-long": "text-too-long",
    "too-large": "too-large",
    "too-many-assets": "too-many-assets",
}
_FINAL: frozenset[Reason | None] = frozenset(
    {"already-exists", "empty", "immutable", "text-too-long", "too-large", "too-many-assets"}
)


class ValidationFailed(GitHubError):
    """400, 409, 413 or 422: the host understood the request and refuses it.

    It is final only for a known reason that no server changes by itself.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.kind = _KIND_OF_REFUSAL.get(self.reason, "rejected")
        self.final = self.reason in _FINAL


class RateLimited(GitHubError):
    """429, or 403 with a primary or secondary limit.

    Attributes:
        retry_at: When the host accepts requests again (aware, UTC).
    """

    kind = "rate-limit"
    retryable = True

    def __init__(self, message: str, *, retry_at: datetime, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.retry_at = retry_at


class ServerError(GitHubError):
    """5xx: the host failed.

    Attributes:
        retry_at: When the host said to come back (aware, UTC), where it did.
    """

    kind = "unavailable"
    retryable = True

    def __init__(self, message: str, *, retry_at: datetime | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.retry_at = retry_at


class BadAnswer(GitHubError):
    """Not an answer of the API: HTML for JSON, broken JSON, a wrong type, a redirect loop."""

    kind = "invalid-answer"
    retryable = True


class Unreachable(GitHubError):
    """No connection could be established: DNS, refused, black hole, proxy.

    Attributes:
        permanent: Trying again cannot help (a certificate that is not trusted).
    """

    kind = "unavailable"
    retryable = True

    def __init__(self, message: str, *, permanent: bool = False, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.permanent = permanent
        self.retryable = not permanent


class ConnectionLost(GitHubError):
    """A connection broke, or no answer came in time; a write may have been carried out."""

    kind = "unavailable"
    retryable = True


class HostStopped(GitHubError):
    """Request not sent: the credential or the host was disabled earlier in this pass."""

    kind = "unavailable"


class TransferError(MirrorError):
    """An asset's bytes did not arrive correctly."""

    kind: FailureKind = "corrupt"
    retryable = True


class DigestMismatch(TransferError):
    """What was read, or what the target holds, does not match its digest."""


class ShortRead(TransferError):
    """Fewer or more bytes came than the asset has."""


class SourceChanged(TransferError):
    """The asset was replaced at the source while it was read."""

    kind = "not-ready"
    retryable = False


class Stalled(TransferError):
    """No byte moved for the stall time-out while bytes were left to move.

    Attributes:
        at_target: The target accepted no data; otherwise the source sent none.
    """

    kind = "unavailable"

    def __init__(self, message: str, *, at_target: bool = False) -> None:
        super().__init__(message)
        self.at_target = at_target


class NotTried(MirrorError):
    """Nothing was sent: transfers from or to this host are disabled after repeated failures."""

    kind = "unavailable"


class Waiting(MirrorError):
    """It may succeed later by itself: a tag that is missing yet, an upload in progress."""

    def __init__(self, kind: FailureKind, message: str, *, hint: Hint | None = None) -> None:
        super().__init__(message, kind=kind, hint=hint)


class Unmirrorable(MirrorError):
    """The target can never accept this as it is."""

    final = True

    def __init__(self, kind: FailureKind, message: str, *, hint: Hint | None = None) -> None:
        super().__init__(message, kind=kind, hint=hint)


class LedgerError(MirrorError):
    """The ledger cannot be used."""

    kind: FailureKind = "disk"


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
    """A document or the database's schema was written by a later version of this program."""


class DatabaseError(LedgerError):
    """The ledger's database refuses a statement; it will refuse it again.

    Attributes:
        sqlstate: PostgreSQL's code for the reason, five characters, where there is one.
    """

    def __init__(self, message: str, *, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class DatabaseUnavailable(LedgerError):
    """The ledger's database cannot be reached; a statement may have been carried out."""

    kind = "unavailable"
    retryable = True


class ClaimLost(MirrorError):
    """The claim of a mirror ended, or is about to: another process may work on the mirror now."""

    kind = "unavailable"


class SpoolError(MirrorError):
    """The disk cannot hold an asset in flight: it is full, too small, or not writable."""

    kind = "disk"


class BundleError(MirrorError):
    """A bundle cannot be read or written, or something in it is missing or damaged."""

    kind: FailureKind = "corrupt"


class VolumeError(BundleError):
    """A volume is damaged or refused; the message names its file."""


class BundleTooNew(BundleError):
    """A later version of this program wrote the bundle."""

    kind = "policy"


class GitError(MirrorError):
    """The git program failed."""

    kind = "git"
