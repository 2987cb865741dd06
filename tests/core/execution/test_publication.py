"""Whether a release is published with what has arrived of it."""

from __future__ import annotations

from typing import Any

import pytest

from mirror.core.execution.action import PublishRelease, ReleaseWork, UpdateRelease
from mirror.core.execution.publication import (
    Completeness,
    Finish,
    Hold,
    publication_refused,
    settle_release,
)
from mirror.core.execution.settlement import Fail
from mirror.errors import DigestMismatch, ServerError, Unmirrorable, ValidationFailed, Waiting
from support.values import a_release


def refused(reason: Any) -> ValidationFailed:
    return ValidationFailed("no", status=422, reason=reason)


PUBLISH, UPDATE = PublishRelease({"tag_name": "v1"}), UpdateRelease({"tag_name": "v1"})
DAMAGED = DigestMismatch("other bytes")


@pytest.mark.parametrize(
    ("finish", "found", "incomplete_too", "expected"),
    [
        (PUBLISH, Completeness(), True, Finish()),
        (PUBLISH, Completeness(pending=True), True, Hold()),
        (PUBLISH, Completeness(pending=True, impossible=True), True, Hold()),
        (PUBLISH, Completeness(impossible=True), True, Finish(remove_incomplete=True)),
        (PUBLISH, Completeness(impossible=True), False, Hold()),
        (PUBLISH, Completeness(damaged=DAMAGED), True, Fail(DAMAGED)),
        (UPDATE, Completeness(), True, Finish()),
        (UPDATE, Completeness(pending=True), False, Finish()),
        (UPDATE, Completeness(impossible=True), False, Finish()),
        (UPDATE, Completeness(damaged=DAMAGED), True, Fail(DAMAGED)),
    ],
)
def test_a_release_is_published_once_nothing_more_can_arrive(
    finish: PublishRelease | UpdateRelease,
    found: Completeness,
    incomplete_too: bool,
    expected: object,
) -> None:
    """What may still arrive holds a draft back; what can never arrive does so if configured."""
    release = a_release()
    work = ReleaseWork(0, release, None, finish=finish, publish_incomplete=incomplete_too)
    assert settle_release(work, found) == expected


def test_a_final_failure_is_impossible_and_any_other_is_pending() -> None:
    """A host that understood and refused will refuse again; anything else may pass."""
    found = Completeness()
    found.failed(Unmirrorable("too-large", "no"))
    assert found == Completeness(impossible=True)
    found.failed(ServerError("502", status=502))
    assert found == Completeness(pending=True, impossible=True)


def test_a_tag_that_was_published_meanwhile_is_left_to_the_next_pass() -> None:
    """It is not quarantined: the next pass sees the other release and follows the policy."""
    assert isinstance(publication_refused(refused("already-exists")), Waiting)
    for error in (refused("text-too-long"), ServerError("502", status=502)):
        assert publication_refused(error) is error
