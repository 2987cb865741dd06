"""What a found, half-made or conflicting thing at the target means: tables of cases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mirror.core.domain.asset_names import temporary_name
from mirror.core.execution.action import (
    RenameAsset,
    ReplaceAsset,
    UploadAsset,
)
from mirror.core.execution.settlement import (
    Accept,
    Destination,
    Expected,
    Fail,
    NameBlocked,
    NameTaken,
    Retry,
    Sent,
    UploadFailure,
    actions_not_disabled,
    are_complete,
    asset_changed,
    deletion_refused,
    fault,
    is_conclusive,
    needs_branch,
    release_changed,
    replaces_in_place,
    repository_may_exist,
    settle_rename,
    settle_reply,
    settle_upload,
)
from mirror.errors import (
    AuthError,
    BadAnswer,
    ConnectionLost,
    DigestMismatch,
    MirrorError,
    NotFound,
    RateLimited,
    ServerError,
    ShortRead,
    SourceChanged,
    ValidationFailed,
    Waiting,
)
from support.values import NOW, TARGET, a_release, an_asset, digest_of

if TYPE_CHECKING:
    from mirror.core.domain.release import Asset, Release

A, B = digest_of("a"), digest_of("b")
ASSET = an_asset(1, "a b.zip", sha256=A)
TEMPORARY = temporary_name(ASSET)
SENT = Sent(10, A, NOW)
FULL = an_asset(50, "a.b.zip", created_at=NOW, sha256=A)
SILENT = replace(FULL, sha256=None)
OTHER = replace(FULL, sha256=B)
HALF = replace(SILENT, state="starter", size=0)

TAKEN = UploadFailure(name_taken=True)
LOST = UploadFailure(response_lost=True)
LOST_ALL_SENT = UploadFailure(response_lost=True, sha256=A)
BROKEN = UploadFailure()


def refused(reason: Any, status: int = 422) -> ValidationFailed:
    return ValidationFailed("no", status=status, reason=reason)


def into_draft(name: str = ASSET.name, *claimed: int) -> Destination:
    return Destination(name, public=False, claimed=set(claimed))


def in_public(*claimed: int) -> Destination:
    return Destination(ASSET.name, public=True, claimed=set(claimed))


# -- uploads ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refused("already-exists"), TAKEN),
        (refused("invalid-field"), None),
        (NotFound("gone", host="target"), None),
        (AuthError("no", status=403), None),
        (RateLimited("later", retry_at=NOW), None),
        (SourceChanged("replaced"), None),
        (ShortRead("ended"), BROKEN),
        (ServerError("502", host="target", status=502), BROKEN),
        (ConnectionLost("broke", host="target"), BROKEN),
        (ConnectionLost("broke", host="target", ambiguous=True), LOST),
        (ConnectionLost("broke", host="github", ambiguous=True), BROKEN),
        (BadAnswer("html", host="target", ambiguous=True), BROKEN),
    ],
)
def test_what_is_looked_for_after_a_failed_upload(
    error: MirrorError, expected: UploadFailure | None
) -> None:
    """The target is read if the name is taken, or if another attempt follows."""
    assert UploadFailure.of(error, "github") == expected


def test_a_taken_name_proves_nothing_about_the_bytes_that_were_sent() -> None:
    """Whatever has the name was there before, however similar it looks."""
    error = refused("already-exists")
    error.sent_sha256 = A
    assert UploadFailure.of(error, "github") == TAKEN
    lost = ConnectionLost("broke", host="target", ambiguous=True)
    lost.sent_sha256 = A
    assert UploadFailure.of(lost, "github") == LOST_ALL_SENT


@pytest.mark.parametrize(
    ("name", "others", "found", "expected"),
    [
        ("a.zip", (), "a.zip", True),
        ("a.zip", (), "A.zip", False),
        ("a b.zip", (), "a.b.zip", True),
        ("a b.zip", (), "a_b.zip", True),
        ("a b.zip", ("a_b.zip",), "a_b.zip", False),
        ("a b.zip", ("a+b.zip",), "a+b.zip", False),
        ("a b.zip", (), "c.zip", False),
        (TEMPORARY, (), TEMPORARY, True),
        (TEMPORARY, (), TEMPORARY.replace(" ", "."), True),
        (TEMPORARY, (), temporary_name(replace(ASSET, id=2)), False),
        ("a.zip", (), TEMPORARY, False),
    ],
)
def test_which_asset_may_be_what_was_uploaded(
    name: str, others: tuple[str, ...], found: str, expected: bool
) -> None:
    """One that has the name, what servers make of it, or the temporary name of the same asset."""
    place = Destination(name, public=False, claimed=(), others=others)
    assert place.may_be(an_asset(50, found)) is expected


@pytest.mark.parametrize(
    ("failure", "observed", "claimed", "expected"),
    [
        (BROKEN, [], (), True),
        (LOST, [], (), False),
        (LOST, [HALF], (), False),
        (LOST, [FULL], (), True),
        (LOST, [FULL], (50,), True),
        (LOST, [an_asset(51, "else.zip")], (), False),
        (TAKEN, [], (), False),
        (TAKEN, [HALF], (), True),
        (TAKEN, [FULL], (), True),
        (TAKEN, [FULL], (50,), True),
    ],
)
def test_lists_that_lag_are_read_again(
    failure: UploadFailure, observed: list[Asset], claimed: tuple[int, ...], expected: bool
) -> None:
    """After a lost response or a taken name something is there, or is about to be."""
    assert is_conclusive(in_public(*claimed), failure, observed) is expected


ACCEPTED, REMOVED, NOTHING = Accept(FULL, A), Retry((OTHER,)), Retry()


@pytest.mark.parametrize("destination", [into_draft(), in_public()])
@pytest.mark.parametrize(
    ("failure", "observed", "expected"),
    [
        (BROKEN, [], NOTHING),
        (LOST, [], NOTHING),
        (BROKEN, [an_asset(51, "else.zip")], NOTHING),
        (BROKEN, [HALF], Retry((HALF,))),
        (TAKEN, [HALF], Retry((HALF,))),
        (LOST, [HALF, FULL], ACCEPTED),
        (LOST, [FULL], ACCEPTED),
        (BROKEN, [FULL], ACCEPTED),
        (TAKEN, [FULL], ACCEPTED),
        (LOST_ALL_SENT, [SILENT], Accept(SILENT, A)),
    ],
)
def test_what_a_failed_upload_left_is_accepted_or_removed(
    destination: Destination, failure: UploadFailure, observed: list[Asset], expected: object
) -> None:
    """The very bytes are accepted; an incomplete asset is removed, since it blocks its name."""
    assert settle_upload(destination, SENT, failure, observed) == expected


@pytest.mark.parametrize(
    ("failure", "found"),
    [
        (LOST, OTHER),
        (TAKEN, OTHER),
        (LOST_ALL_SENT, OTHER),
        (LOST, SILENT),  # not all was sent: it may be anything
        (TAKEN, SILENT),
        (LOST_ALL_SENT, replace(SILENT, created_at=NOW - timedelta(seconds=1))),
        (LOST_ALL_SENT, replace(SILENT, created_at=None)),
        (LOST_ALL_SENT, replace(FULL, size=11)),
    ],
)
def test_other_bytes_are_removed_from_a_draft_and_left_alone_in_public(
    failure: UploadFailure, found: Asset
) -> None:
    """Everything in a draft of ours is ours; what a published release has may be anybody's."""
    assert settle_upload(into_draft(), SENT, failure, [found]) == Retry((found,))
    verdict = settle_upload(in_public(), SENT, failure, [found])
    assert isinstance(verdict, Fail)
    assert isinstance(verdict.error, NameTaken)
    assert verdict.remove == ()


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        ([], NameBlocked),
        ([an_asset(51, "else.zip")], NameBlocked),
        ([an_asset(51, "AB.ZIP")], NameTaken),
    ],
)
def test_a_name_is_only_taken_for_good_if_an_asset_that_has_it_is_seen(
    observed: list[Asset], expected: type
) -> None:
    """Else the upload of another process may be under way: this one is tried again, and holds its release."""
    for public in (False, True):
        destination = Destination("ab.zip", public, set())
        verdict = settle_upload(destination, SENT, TAKEN, observed)
        assert isinstance(verdict, Fail)
        assert type(verdict.error) is expected
        assert verdict.error.final is (expected is NameTaken)
        assert verdict.remove == ()


def test_an_asset_of_another_name_is_never_removed() -> None:
    """A collision with another asset of the release fails; a failure of another kind retries."""
    collision = settle_upload(into_draft(ASSET.name, 50), SENT, TAKEN, [FULL])
    assert isinstance(collision, Fail)
    assert isinstance(collision.error, NameTaken)
    assert collision.remove == ()
    for failure in (BROKEN, LOST, LOST_ALL_SENT):
        assert settle_upload(into_draft(ASSET.name, 50), SENT, failure, [FULL]) == Retry()


@pytest.mark.parametrize(
    ("copy", "good"),
    [
        (FULL, True),
        (SILENT, True),
        (HALF, True),  # settled when the release is read again
        (OTHER, False),
        (replace(FULL, size=9), False),
    ],
)
def test_a_reply_that_contradicts_the_bytes_removes_the_copy(copy: Asset, good: bool) -> None:
    """Size and digest in the answer have to be those of the bytes that were sent."""
    verdict = settle_reply(copy, 10, A)
    if good:
        assert verdict == Accept(copy, A)
    else:
        assert isinstance(verdict, Fail)
        assert isinstance(verdict.error, DigestMismatch)
        assert verdict.remove == (copy,)


@pytest.mark.parametrize(
    ("reason", "expected"), [("too-many-assets", True), ("invalid-name", False), (None, False)]
)
def test_only_a_full_release_has_its_asset_replaced_in_place(reason: Any, expected: bool) -> None:
    """The old asset goes first only where there is no room for both."""
    replacing = ReplaceAsset(ASSET, OTHER, FULL.name, TEMPORARY)
    assert replaces_in_place(replacing, refused(reason)) is expected
    assert not replaces_in_place(UploadAsset(ASSET), refused(reason))


# -- verification -----------------------------------------------------------------------------

EXPECTED = Expected(ASSET.name, 50, 10, A, uploaded_as="a.b.zip")


@pytest.mark.parametrize(
    ("observed", "kind"),
    [
        ([FULL], None),
        ([SILENT], None),
        ([], NotFound),
        ([an_asset(51, "a.b.zip", sha256=A)], NotFound),
        ([HALF], ShortRead),
        ([replace(FULL, size=11)], ShortRead),
        ([OTHER], DigestMismatch),
        ([replace(FULL, name="b.zip")], Waiting),
    ],
)
def test_a_copy_is_right_only_as_the_target_lists_it(
    observed: list[Asset], kind: type[MirrorError] | None
) -> None:
    """It is listed as uploaded, with the size, the digest and the name of the upload."""
    problem = fault(EXPECTED, {copy.id: copy for copy in observed})
    assert problem is None if kind is None else type(problem) is kind


def test_a_copy_of_an_earlier_pass_may_have_any_name() -> None:
    """Its name is a matter of the plan; only its bytes are verified again."""
    earlier = replace(EXPECTED, uploaded_as="")
    assert fault(earlier, {50: replace(FULL, name="b.zip")}) is None


def test_a_release_is_read_again_until_all_copies_are_uploaded() -> None:
    """One that is missing or incomplete may be a list that lags."""
    assert are_complete([EXPECTED], {50: OTHER})
    assert not are_complete([EXPECTED], {50: HALF})
    assert not are_complete([EXPECTED], {})
    assert are_complete([], {})


# -- names ------------------------------------------------------------------------------------

STAGED = replace(FULL, name=TEMPORARY)
UPLOAD = UploadAsset(ASSET, temporary_name=TEMPORARY)
REPLACE = ReplaceAsset(ASSET, replace(OTHER, id=49), "a.b.zip", TEMPORARY)
RENAME = RenameAsset(ASSET, replace(FULL, name="old.zip"), "a b.zip")
STEP_ASIDE = RenameAsset(ASSET, FULL, TEMPORARY)


@pytest.mark.parametrize(
    ("action", "answered", "expected"),
    [
        (UPLOAD, "a b.zip", Accept),
        (UPLOAD, "a.b.zip", Accept),
        (UPLOAD, TEMPORARY, Retry),
        (UPLOAD, "c.zip", Retry),
        (REPLACE, "a.b.zip", Accept),
        (REPLACE, "a b.zip", Retry),  # the old asset had exactly the other name
        (RENAME, "a b.zip", Accept),
        (RENAME, "a_b.zip", Accept),
        (RENAME, "old.zip", Fail),
        (STEP_ASIDE, TEMPORARY, Accept),
        (STEP_ASIDE, "a.b.zip", Fail),
    ],
)
def test_a_rename_counts_by_the_name_in_its_answer(
    action: Any, answered: str, expected: type
) -> None:
    """An upload that does not get its name is uploaded again; a rename is left to the next pass."""
    copy = replace(STAGED, name=answered)
    verdict = settle_rename(action, STAGED, copy)
    assert type(verdict) is expected
    if isinstance(verdict, Retry):
        assert verdict.remove == (copy,)
    if isinstance(verdict, Fail):
        assert isinstance(verdict.error, Waiting)
        assert verdict.remove == ()


def test_a_rename_that_another_asset_answers_proves_nothing() -> None:
    """Neither asset is touched; the next pass looks at both."""
    verdict = settle_rename(RENAME, STAGED, replace(STAGED, id=4711, name="a b.zip"))
    assert isinstance(verdict, Fail)
    assert (verdict.error.kind, verdict.remove) == ("invalid-answer", ())


@pytest.mark.parametrize(
    ("action", "copy", "reason", "expected", "removed"),
    [
        (RENAME, FULL, "invalid-name", ValidationFailed, False),
        (RENAME, FULL, None, ValidationFailed, False),
        (UPLOAD, STAGED, "invalid-name", Retry, True),
        (REPLACE, STAGED, "invalid-name", Retry, True),
        (REPLACE, STAGED, "invalid-field", Waiting, False),
        (UPLOAD, STAGED, None, Waiting, False),
    ],
)
def test_a_refused_rename_keeps_whatever_has_a_public_name(
    action: Any, copy: Asset, reason: Any, expected: type, removed: bool
) -> None:
    """Only a copy under a temporary name is removed: its bytes are at the source."""
    verdict = settle_rename(action, copy, refused(reason))
    assert not isinstance(verdict, Accept)
    assert type(verdict.error if isinstance(verdict, Fail) else verdict) is expected
    assert verdict.remove == ((copy,) if removed else ())


@pytest.mark.parametrize(
    ("action", "copy", "removed"),
    [(UPLOAD, STAGED, True), (RENAME, STAGED, True), (RENAME, FULL, False)],
)
def test_a_rename_to_a_taken_name_fails_for_good_if_an_asset_that_has_it_is_seen(
    action: Any, copy: Asset, removed: bool
) -> None:
    """Else everything is left as it is, for the next pass."""
    taken = settle_rename(action, copy, refused("already-exists"), [copy, an_asset(51, "a.b.zip")])
    assert isinstance(taken, Fail)
    assert type(taken.error) is NameTaken
    assert taken.remove == ((copy,) if removed else ())
    blocked = settle_rename(action, copy, refused("already-exists"), [copy])
    assert isinstance(blocked, Fail)
    assert type(blocked.error) is NameBlocked
    assert blocked.remove == ()


# -- before something is deleted or changed ---------------------------------------------------


@pytest.mark.parametrize(
    ("now", "kind"),
    [
        (FULL, None),
        (replace(FULL, label="other", updated_at=NOW), None),
        (None, NotFound),
        (replace(FULL, name="b.zip"), Waiting),
        (replace(FULL, size=11), Waiting),
        (replace(FULL, state="starter"), Waiting),
        (replace(FULL, created_at=NOW + timedelta(seconds=1)), Waiting),
    ],
)
def test_only_the_asset_that_the_plan_saw_is_changed(
    now: Asset | None, kind: type[MirrorError] | None
) -> None:
    """Name, size, state and date of creation have to be the same; a host may reuse an id."""
    problem = asset_changed(FULL, now)
    assert problem is None if kind is None else type(problem) is kind


DRAFT = a_release(9, "v1", FULL, draft=True, body="ours")
PUBLISHED = a_release(9, "v1", FULL)


@pytest.mark.parametrize(
    ("seen", "now", "kept"),
    [
        (DRAFT, DRAFT, False),
        (DRAFT, replace(DRAFT, assets=()), False),
        (DRAFT, replace(DRAFT, draft=False), True),
        (DRAFT, replace(DRAFT, body="edited"), True),
        (DRAFT, replace(DRAFT, assets=(FULL, an_asset(51))), True),
        (PUBLISHED, replace(PUBLISHED, body="edited"), False),
        (PUBLISHED, replace(PUBLISHED, tag="v2"), True),
        (PUBLISHED, replace(PUBLISHED, assets=(FULL, an_asset(51))), True),
    ],
)
def test_only_the_release_that_the_plan_saw_is_deleted(
    seen: Release, now: Release, kept: bool
) -> None:
    """Nor one that somebody attached something to meanwhile."""
    assert (release_changed(seen, now) is not None) is kept


def test_a_404_for_what_is_listed_is_a_missing_permission() -> None:
    """What the target no longer lists is deleted; for a write, 404 can mean both."""
    error = NotFound("404", status=404)
    for seen in (FULL, DRAFT):
        assert deletion_refused(seen, error, []) is None
        problem = deletion_refused(seen, error, [DRAFT])
        assert problem is not None
        assert problem.kind == "permission"


# -- the repository ---------------------------------------------------------------------------


@pytest.mark.parametrize(("enabled", "allowed"), [(False, True), (True, False), (None, False)])
def test_tags_are_pushed_only_where_github_actions_are_known_to_be_off(
    enabled: bool | None, allowed: bool
) -> None:
    """A pushed tag would start its workflows; a server that does not say counts as one that may."""
    problem = actions_not_disabled(TARGET, enabled=enabled)
    assert (problem is None) is allowed
    assert problem is None or problem.hint == "allow-actions"


def test_an_unanswered_creation_may_have_made_the_repository() -> None:
    """Only a clear refusal proves that the next repository of the name is somebody else's."""
    assert repository_may_exist(ConnectionLost("broke", ambiguous=True))
    assert not repository_may_exist(ConnectionLost("broke"))
    assert not repository_may_exist(refused("already-exists"))
    assert not repository_may_exist(Waiting("policy", "no"))


def test_a_repository_without_a_branch_gets_one() -> None:
    """A server may call a repository empty that has tags and no branch."""
    assert needs_branch(refused("repository-empty"))
    assert not needs_branch(refused("invalid-field"))
