"""Decides how to treat what is found at the target: (expected, observed) → accept, retry or fail.

Responses get lost, uploads break off, names collide, and people change a target meanwhile. The
executor reads the target's state, calls a function of this module, and follows the verdict. All
functions are pure: they return failures instead of raising them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

from mirror.core.domain.asset_names import (
    folded,
    forms,
    is_temporary,
    may_become,
    temporary_id,
)
from mirror.core.domain.release import UNREADABLE, UPLOADED
from mirror.core.execution.action import RenameAsset, ReplaceAsset, UploadAsset
from mirror.errors import (
    AuthError,
    ConnectionLost,
    DigestMismatch,
    GitHubError,
    MirrorError,
    NotFound,
    RateLimited,
    ShortRead,
    Unmirrorable,
    ValidationFailed,
    Waiting,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from mirror.core.domain.release import Asset, Release, RepoRef
    from mirror.errors import FailureKind


class NameTaken(Unmirrorable):
    """The target has another asset under the name that it would give to this one."""

    def __init__(self, message: str) -> None:
        super().__init__("name-taken", message)


class NameBlocked(MirrorError):
    """The target refuses a name, and shows no asset that has it.

    Somebody's upload under that name may be under way: that of a process which was cut off lasts
    until the server gives it up.
    """

    kind: FailureKind = "rejected"
    retryable = True

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the target refuses the name {name}, but lists no asset that has it: another upload of"
            " it may be under way"
        )


@dataclass(frozen=True, slots=True)
class Accept:
    """The copy is complete.

    Attributes:
        sha256: SHA-256 of its bytes, where it is known.
    """

    asset: Asset
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """Upload again, once these assets are deleted."""

    remove: tuple[Asset, ...] = ()


@dataclass(frozen=True, slots=True)
class Fail:
    """Give up for this pass, once these assets are deleted."""

    error: MirrorError
    remove: tuple[Asset, ...] = ()


Verdict: TypeAlias = Accept | Retry | Fail


# -- uploads ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an upload goes.

    Attributes:
        name: The requested name.
        public: The release is published and the name is not temporary: other people's assets may
            be there under the same name.
        claimed: Ids of the release's assets that are known to be other assets. The set grows while
            other uploads complete.
        others: Names of the source's other assets of this release.
    """

    name: str
    public: bool
    claimed: Collection[int]
    others: Collection[str] = ()

    def may_be(self, copy: Asset) -> bool:
        """Whether an asset of the release may be what was uploaded.

        By name alone: a label may hold anything, including another asset's name. A server may turn
        special characters into anything; such a name counts only if no other asset may have it.
        """
        if (source_id := temporary_id(self.name)) is not None:
            return temporary_id(copy.name) == source_id
        if copy.name in forms(self.name):
            return True
        others = any(may_become(name, copy.name) for name in self.others)
        return may_become(self.name, copy.name) and not others

    def candidates(self, observed: Iterable[Asset]) -> tuple[list[Asset], list[Asset]]:
        """Assets that may be what was uploaded, and those of them that are not another asset."""
        named = [copy for copy in observed if self.may_be(copy)]
        return named, [copy for copy in named if copy.id not in self.claimed]

    def has_name(self, observed: Iterable[Asset]) -> Asset | None:
        """An asset that has the name as servers compare them, whosever it is."""
        return next((copy for copy in observed if _is_same_name(self.name, copy.name)), None)


@dataclass(frozen=True, slots=True)
class Sent:
    """What is known of the bytes of an upload.

    Attributes:
        size: In bytes.
        sha256: As the source promises it, hexadecimal; ``None`` where it does not.
        since: The target's time before the first attempt.
    """

    size: int
    sha256: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class UploadFailure:
    """What the failure of an upload says about the target.

    Attributes:
        name_taken: The target has an asset of this name already.
        response_lost: All bytes may have been stored; the response did not arrive.
        sha256: SHA-256 of the bytes, if all were sent.
    """

    name_taken: bool = False
    response_lost: bool = False
    sha256: str | None = None

    @classmethod
    def of(cls, error: MirrorError, source: str) -> UploadFailure | None:
        """What to look for after a failure; ``None`` if the target need not be read.

        Args:
            error: The failure.
            source: The source host's name: its failures leave nothing at the target.
        """
        if is_name_taken(error):
            # What had the name before is not what was sent, however similar it looks.
            return cls(name_taken=True)
        if isinstance(error, RateLimited) or not error.retryable:
            return None
        if not isinstance(error, GitHubError):
            return cls()
        lost = isinstance(error, ConnectionLost) and error.ambiguous and error.host != source
        return cls(response_lost=lost, sha256=error.sent_sha256)


def is_name_taken(error: MirrorError) -> bool:
    """Whether the target refused a request because another asset has the name."""
    return isinstance(error, ValidationFailed) and error.reason == "already-exists"


def is_conclusive(
    destination: Destination, failure: UploadFailure, observed: Iterable[Asset]
) -> bool:
    """Whether what the target shows is final; lists lag behind for up to 30 seconds.

    After a lost response, or where the target says that the name is taken, something is there or
    is about to be. An incomplete asset may still become complete after a lost response.
    """
    if not (failure.response_lost or failure.name_taken):
        return True
    named, free = destination.candidates(observed)
    if any(copy.uploaded for copy in free):
        return True
    if failure.name_taken and destination.has_name(observed):
        return True
    return bool(named) and not (free and failure.response_lost)


def settle_upload(
    destination: Destination, sent: Sent, failure: UploadFailure, observed: Iterable[Asset]
) -> Verdict:
    """Decide what a failed upload left at the target.

    A failed upload may leave an asset in state ``starter``, which blocks its name.
    Source: https://docs.github.com/rest/releases/assets#upload-a-release-asset
    """
    named, free = destination.candidates(observed)
    copy = next((copy for copy in free if copy.uploaded), None)
    if copy is None:
        if named and not free and failure.name_taken:
            text = f"the target would name it {named[0].name}, like another asset of this release"
            return Fail(NameTaken(text))
        if not named and failure.name_taken:
            return Fail(_refused_name(destination.name, destination.has_name(observed)))
        return Retry(tuple(free))
    if _is_what_was_sent(copy, sent, failure.sha256):
        return Accept(copy, failure.sha256 or sent.sha256)
    if destination.public:
        text = f"the target's release has an asset {copy.name} that this mirror did not create"
        return Fail(NameTaken(text))
    return Retry((copy,))


def _refused_name(name: str, other: Asset | None) -> NameTaken | NameBlocked:
    """Why a name was refused: final only if the asset that has it is there for all to see."""
    if other is None:
        return NameBlocked(name)
    return NameTaken(f"the target would give {name} the name that another asset has: {other.name}")


def _is_same_name(name: str, other: str) -> bool:
    return folded(name) == folded(other) or may_become(name, other)


def _is_what_was_sent(copy: Asset, sent: Sent, sha256: str | None) -> bool:
    if copy.size != sent.size:
        return False
    if copy.sha256:
        return copy.sha256 == (sha256 or sent.sha256)
    return sha256 is not None and copy.created_at is not None and copy.created_at >= sent.since


def replaces_in_place(
    action: UploadAsset | ReplaceAsset, error: ValidationFailed
) -> TypeGuard[ReplaceAsset]:
    """Whether a refused upload is retried after the old asset is deleted: the release is full."""
    return isinstance(action, ReplaceAsset) and error.reason == "too-many-assets"


def settle_reply(copy: Asset, size: int, sha256: str) -> Accept | Fail:
    """Decide whether the answer to an upload describes the bytes that were sent.

    An incomplete asset passes: the release's assets are read again before it is published.
    """
    if not copy.uploaded or (copy.size == size and copy.sha256 in {None, sha256}):
        return Accept(copy, sha256)
    stored = f"{copy.size} of {size} bytes, SHA-256 {copy.sha256} instead of {sha256}"
    return Fail(DigestMismatch(f"the target stored other bytes than were sent: {stored}"), (copy,))


# -- verification of a release's assets -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expected:
    """A copy that has to be at the target before its release is published.

    Attributes:
        name: The source's name for it.
        uploaded_as: The name in the answer to the upload; empty for a copy of an earlier pass.
    """

    name: str
    target_id: int
    size: int
    sha256: str | None
    uploaded_as: str = ""


def are_complete(expected: Iterable[Expected], observed: Mapping[int, Asset]) -> bool:
    """Whether the target shows all copies as uploaded; lists lag behind for up to 30 seconds."""
    found = (observed.get(item.target_id) for item in expected)
    return all(copy is not None and copy.uploaded for copy in found)


def fault(item: Expected, observed: Mapping[int, Asset]) -> MirrorError | None:
    """What is wrong with a copy as the target shows it now; ``None`` for nothing."""
    copy = observed.get(item.target_id)
    if copy is None:
        return NotFound(f"the target accepted {item.name} and does not list it")
    if not copy.uploaded:
        return ShortRead(f"the target accepted {item.name} and lists it as {copy.state}")
    if copy.size != item.size:
        return ShortRead(f"the target lists {item.name} with {copy.size} of {item.size} bytes")
    if item.sha256 and copy.sha256 not in {None, item.sha256}:
        return DigestMismatch(f"the target lists {item.name} with SHA-256 {copy.sha256}")
    if item.uploaded_as not in {"", copy.name}:
        return Waiting("not-ready", f"{item.uploaded_as} was renamed at the target meanwhile")
    return None


# -- names ------------------------------------------------------------------------------------


def settle_rename(
    action: RenameAsset | ReplaceAsset | UploadAsset,
    copy: Asset,
    answer: Asset | ValidationFailed,
    others: Iterable[Asset] = (),
) -> Verdict:
    """Decide what follows from the target's answer to a rename.

    Args:
        action: Gives the copy its name; an upload has its copy under a temporary name until then.
        copy: The copy before the rename.
        answer: The copy after it, or why the target refused.
        others: The release's assets, read after a refusal because of the name.
    """
    if isinstance(answer, ValidationFailed):
        return _settle_refused_rename(action, copy, answer, others)
    if answer.id != copy.id:
        text = f"the target answered the renaming of {copy.name} ({copy.id}) with asset {answer.id}"
        return Fail(Waiting("invalid-answer", text))
    if _has_name(action, answer):
        return Accept(answer)
    if isinstance(action, RenameAsset):
        return Fail(Waiting("invalid-answer", f"the target still names it {answer.name}"))
    return Retry((answer,))


def _settle_refused_rename(
    action: RenameAsset | ReplaceAsset | UploadAsset,
    copy: Asset,
    error: ValidationFailed,
    others: Iterable[Asset],
) -> Retry | Fail:
    name = action.asset.name
    if is_name_taken(error):
        if not has_wanted_name(action, copy, others):
            return Fail(NameBlocked(name))
        text = f"the target has another asset under the name that it would give to {name}"
        # A temporary name is not for people, and the source has the bytes.
        return Fail(NameTaken(text), (copy,) if is_temporary(copy.name) else ())
    if isinstance(action, RenameAsset):
        return Fail(error)
    if error.reason == "invalid-name":
        return Retry((copy,))
    # The old asset may be deleted already: a quarantine would leave it missing for a day.
    return Fail(Waiting("rejected", f"{name} could not be renamed ({error})"))


def has_wanted_name(
    action: RenameAsset | ReplaceAsset | UploadAsset, copy: Asset, others: Iterable[Asset]
) -> bool:
    """Whether another asset has the name that a copy was to get."""
    name = action.asset.name if isinstance(action, UploadAsset) else action.target_name
    return any(_is_same_name(name, other.name) for other in others if other.id != copy.id)


def _has_name(action: RenameAsset | ReplaceAsset | UploadAsset, copy: Asset) -> bool:
    """Whether a copy has its name, or what servers make of such a name."""
    if isinstance(action, RenameAsset):
        if is_temporary(action.target_name):
            return is_temporary(copy.name)
        if copy.name == action.target_name:
            return True
    elif isinstance(action, ReplaceAsset) and action.target_name == action.old.name:
        return copy.name == action.target_name  # the target accepted that very name before
    return not is_temporary(copy.name) and may_become(action.asset.name, copy.name)


# -- before something is deleted or changed ---------------------------------------------------


def asset_changed(seen: Asset, now: Asset | None) -> MirrorError | None:
    """Why an asset must not be deleted or changed: it is not what the plan saw."""
    if now is None:
        return NotFound(f"the target has no asset {seen.name} ({seen.id})")
    if _identity(now) != _identity(seen):
        return Waiting("not-ready", f"{seen.name} changed at the target; it was left alone")
    return None


def _identity(asset: Asset) -> tuple[object, ...]:
    # That bytes cannot be read to their end was found by reading: the host calls them uploaded.
    state = UPLOADED if asset.state == UNREADABLE else asset.state
    return asset.name, asset.size, state, asset.created_at


def release_changed(seen: Release, now: Release) -> MirrorError | None:
    """Why a release must not be deleted: it is not what the plan saw, or somebody added to it."""
    same = (now.draft, now.tag) == (seen.draft, seen.tag)
    if not same or (now.draft and now.body != seen.body):
        return Waiting("not-ready", f"the release {seen.tag} changed at the target; it was kept")
    known = {asset.id for asset in seen.assets}
    added = next((asset.name for asset in now.assets if asset.id not in known), None)
    if added is not None:
        return Waiting("not-ready", f"{added} was added to {seen.tag} meanwhile; it was kept")
    return None


def deletion_refused(
    seen: Asset | Release, error: NotFound, releases: Collection[Release]
) -> MirrorError | None:
    """Why something was not deleted, where the target answered that it does not exist.

    For a write, 404 can also mean that the token may not write.
    """
    ids = {release.id for release in releases}
    ids |= {asset.id for release in releases for asset in release.assets}
    if seen.id not in ids:
        return None
    text = f"it cannot be deleted ({error}), although it is there"
    return Waiting("permission", text, hint="grant-write")


def write_denied(error: NotFound) -> AuthError:
    """What a 404 to a write means where the thing that was written to can be read.

    Source: https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api
    ("404 Not Found for an existing resource")
    """
    return AuthError(
        f"{error}; it can be read, so the token may not write there",
        host=error.host,
        status=error.status,
        request_id=error.request_id,
        hint="grant-write",
    )


# -- the repository ---------------------------------------------------------------------------


def actions_not_disabled(repo: RepoRef, *, enabled: bool | None) -> MirrorError | None:
    """Why no tags are pushed to a new repository in which GitHub Actions could not be disabled.

    Args:
        repo: The repository.
        enabled: Whether GitHub Actions are enabled there; ``None`` if the server does not say.
    """
    if enabled is False:
        return None
    return Waiting(
        "policy",
        f'tags = "push" is refused: GitHub Actions could not be disabled at {repo},'
        " which was just created",
        hint="allow-actions",
    )


def repository_may_exist(error: MirrorError) -> bool:
    """Whether a repository may have been created although its creation failed."""
    return isinstance(error, GitHubError) and error.ambiguous


def needs_branch(error: ValidationFailed) -> bool:
    """Whether a release was refused because a repository has tags and no branch yet."""
    return error.reason == "repository-empty"
