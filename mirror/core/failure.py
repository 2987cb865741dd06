"""What could not be done, as data; the sentence is made where it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from mirror.core.hints import advice
from mirror.core.text.sanitise import MOST_NAMED, bound
from mirror.errors import (
    MAX_MESSAGE,
    FailureKind,
    GitHubError,
    Hint,
    MirrorError,
    is_blocked,
    truncate,
)

if TYPE_CHECKING:
    StoredKind = FailureKind
    StoredHint = Hint
else:
    # Any text is read: one word of other code must not cost a document of the ledger.
    StoredKind = StoredHint = str

State = Literal["failed", "waiting", "blocked", "quarantined"]

_WAITING = frozenset({"not-ready", "tag-missing", "name-taken", "policy"})
"""It may succeed once something else has happened."""

_KINDS = frozenset(get_args(FailureKind))
_HINTS = frozenset(get_args(Hint))

_NAMED: frozenset[State] = frozenset({"waiting", "blocked"})
"""States that begin the sentence; the heading above it shows the others."""


def may_be_final(kind: StoredKind, hint: StoredHint | None = None) -> bool:
    """Whether such a failure may be quarantined: neither what is blocked nor an unknown reason."""
    return kind != "rejected" and not is_blocked(kind, hint)


def known_kind(kind: StoredKind) -> FailureKind:
    """The kind itself, or ``internal`` if other code stored one that this one does not know."""
    return kind if kind in _KINDS else "internal"


@dataclass(frozen=True, slots=True)
class Failure:
    """What could not be done, known before anything was tried or learnt on the way.

    Attributes:
        kind: One of those of the report's contract; ``internal`` for any other.
        detail: The facts: what was attempted, what was found, what a host answered.
        action: The action's name, or what was read (``list-releases``).
        release, asset: What it is about; ``None`` for the mirror as a whole.
        status_code: The HTTP status, where a host answered.
        attempts: Attempts that were made; 0 for what was known beforehand.
        hint: Which advice applies, if not that of the kind; an unknown one is dropped.
        final: It stays so until something changes: it is quarantined. Never where
            :func:`may_be_final` says otherwise, as earlier versions stored it.
        next_attempt: When it is tried again (ISO 8601, UTC); ``None`` for the next pass.
        release_id: The source's release, ``0`` for the mirror as a whole.
        asset_id: The source's asset, ``0`` for the release as a whole.
        facts: A fingerprint of what failed for good; while it is the same, it is not tried again.
    """

    kind: StoredKind
    detail: str
    action: str = ""
    release: str | None = None
    asset: str | None = None
    status_code: int | None = None
    attempts: int = 0
    hint: StoredHint | None = None
    final: bool = False
    next_attempt: str | None = None
    release_id: int = 0
    asset_id: int = 0
    facts: str = ""

    def __post_init__(self) -> None:
        bound(self, detail=MAX_MESSAGE, release=MOST_NAMED, asset=MOST_NAMED)
        object.__setattr__(self, "kind", known_kind(self.kind))
        if self.hint not in _HINTS:
            object.__setattr__(self, "hint", None)
        object.__setattr__(self, "final", self.final and may_be_final(self.kind, self.hint))

    @classmethod
    def of(cls, error: BaseException, action: str = "", **subject: Any) -> Failure:
        """The failure that an exception stands for; any that is not ours is ``internal``.

        Args:
            error: What was raised.
            action: What was being done.
            subject: More attributes of the failure.
        """
        if not isinstance(error, MirrorError):
            text = f"internal error: {type(error).__name__}: {error}"
            return cls("internal", text, action, attempts=1, **subject)
        return cls(
            error.kind,
            str(error),
            action,
            status_code=error.status if isinstance(error, GitHubError) else None,
            attempts=error.attempts,
            hint=error.hint,
            **subject,
        )

    @property
    def state(self) -> State:
        """What becomes of it: derived from its kind, and from whether it is final."""
        if self.final:
            return "quarantined"
        if is_blocked(self.kind, self.hint):
            return "blocked"
        return "waiting" if self.kind in _WAITING else "failed"

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        return f"{self.state}: {self.detail}" if self.state in _NAMED else self.detail

    @property
    def advice(self) -> str:
        """What a person can do about it."""
        return advice(self.kind, self.hint)

    @property
    def error(self) -> str:
        """Sentence and particular advice in one text, as the report document holds it."""
        hint = f"; {self.advice}" if self.hint else ""
        return truncate(self.sentence, MAX_MESSAGE - len(hint)) + hint

    @property
    def line(self) -> str:
        """Release and asset, where it has them, and the error: all of it for a glance."""
        place = " ".join(name for name in (self.release, self.asset) if name)
        return f"{place}: {self.error}" if place else self.error

    def to_json(self) -> dict[str, Any]:
        """As it stands in the report document."""
        return {
            "release": self.release,
            "asset": self.asset,
            "action": self.action,
            "kind": self.kind,
            "error": self.error,
            "status_code": self.status_code,
            "attempts": self.attempts,
            "next_attempt": self.next_attempt,
        }


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What failed for good, and since when (ISO 8601, UTC)."""

    error: str
    since: str
    release: str | None = None
    asset: str | None = None
    kind: StoredKind = "rejected"
    hint: StoredHint | None = None

    def __post_init__(self) -> None:
        bound(self, error=MAX_MESSAGE, release=MOST_NAMED, asset=MOST_NAMED)
        object.__setattr__(self, "kind", known_kind(self.kind))

    @property
    def failure(self) -> Failure:
        """The same as a failure."""
        return Failure(
            self.kind,
            self.error,
            release=self.release,
            asset=self.asset,
            hint=self.hint,
            final=True,
        )

    def to_json(self) -> dict[str, Any]:
        """As it stands in the report document; it is tried again at the next audit."""
        return {
            "release": self.release,
            "asset": self.asset,
            "kind": self.kind,
            "error": self.error,
            "since": self.since,
            "next_attempt": None,
        }
