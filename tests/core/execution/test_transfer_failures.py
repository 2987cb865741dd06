"""What the failure of an asset's transfer means: who is at fault, and whether to retry."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mirror.core.circuit_breaker import CircuitBreaker
from mirror.core.domain.source_archives import SourceArchive
from mirror.core.execution.transfer_failures import (
    WRONG_BYTES,
    gives_slot_back,
    is_gone,
    lane_at_fault,
    may_retry,
    not_tried,
    settle_gone,
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
    Stalled,
    Unreachable,
    ValidationFailed,
    Waiting,
)
from support.values import NOW, an_asset

ASSET = an_asset(1, "a.zip")
ARCHIVE = SourceArchive(id=-1, name="a.tar.gz", size=0, tag="v1", form="tarball")


@pytest.mark.parametrize(
    ("error", "lane"),
    [
        (ServerError("502", host="github", status=502), "download"),
        (ServerError("502", host="target", status=502), "upload"),
        (ConnectionLost("broke", host="github"), "download"),
        (Unreachable("refused", host="target"), "upload"),
        (BadAnswer("html", host="github"), "download"),
        (BadAnswer("gone", host="github", status=410), None),
        (Stalled("no byte"), "download"),
        (Stalled("no byte", at_target=True), "upload"),
        (NotFound("gone", host="github", status=404), None),
        (ValidationFailed("no", host="target", status=422), None),
        (AuthError("no", host="target", status=403), None),
        (DigestMismatch("other bytes"), None),
        (ShortRead("ended"), None),
        (RateLimited("later", host="target", retry_at=NOW), None),
    ],
)
def test_only_what_a_host_does_to_any_asset_counts_against_its_lane(
    error: MirrorError, lane: str | None
) -> None:
    """What may be the fault of the one asset opens no circuit; archives have their own lane."""
    assert lane_at_fault(error, ASSET, "github") == lane
    of_archive = "archive" if lane == "download" else lane
    assert lane_at_fault(error, ARCHIVE, "github") == of_archive


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ServerError("502", status=502), True),
        (ShortRead("ended"), True),
        (DigestMismatch("other bytes"), True),
        (ValidationFailed("no", status=422, reason="already-exists"), True),
        (ValidationFailed("no", status=422, reason="invalid-field"), False),
        (RateLimited("later", retry_at=NOW), False),  # waited for without a transfer slot
        (SourceChanged("replaced"), False),
        (AuthError("no", status=403), False),
    ],
)
def test_a_copy_is_retried_while_that_may_help(error: MirrorError, expected: bool) -> None:
    """And not at all in a lane in which asset after asset fails."""
    assert may_retry(error, lane_suspect=False) is expected
    assert not may_retry(error, lane_suspect=True)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RateLimited("later", retry_at=NOW + timedelta(minutes=5)), True),
        (RateLimited("tomorrow", retry_at=NOW + timedelta(days=1)), False),
        (ServerError("503", status=503, retry_at=NOW + timedelta(minutes=5)), True),
        (ServerError("503", status=503, retry_at=NOW + timedelta(seconds=5)), False),
        (ServerError("503", status=503), False),
        (ShortRead("ended"), False),
    ],
)
def test_who_waits_long_gives_the_slot_back(error: MirrorError, expected: bool) -> None:
    """A limit, or a host that says when to come back; a short wait is not worth it."""
    assert gives_slot_back(error, NOW) is expected


def test_wrong_bytes_are_copied_again_only_a_few_times() -> None:
    """Bytes that do not match their digest rarely change."""
    error = DigestMismatch("other bytes")
    error.attempts = WRONG_BYTES
    assert not may_retry(error, lane_suspect=False)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NotFound("gone", host="github"), True),
        (NotFound("gone", host="target"), False),
        (SourceChanged("replaced"), True),
        (ServerError("502", host="github", status=502), False),
    ],
)
def test_an_asset_is_gone_only_if_its_source_says_so(error: MirrorError, expected: bool) -> None:
    """A 404 of the target says nothing about the source."""
    assert is_gone(error, "github") is expected


@pytest.mark.parametrize(
    ("asset", "observed", "kind", "retryable"),
    [
        (ASSET, ASSET, BadAnswer, True),
        (ASSET, replace(ASSET, label="new"), BadAnswer, True),
        (ASSET, replace(ASSET, size=11), Waiting, False),
        (ASSET, None, Waiting, False),
        (ARCHIVE, None, NotFound, False),
    ],
)
def test_an_asset_that_its_source_still_lists_is_downloaded_again(
    asset: Any, observed: Any, kind: type[MirrorError], retryable: bool
) -> None:
    """A storage host or a proxy lied; otherwise the next pass looks, and an archive has no tag."""
    error = settle_gone(asset, observed, NotFound("404", status=404, host="github"), "github")
    assert type(error) is kind
    assert error.retryable is retryable


def test_an_open_circuit_names_its_host_and_its_reason() -> None:
    """An operator reads which transfers are suspended, and why."""
    breaker = CircuitBreaker("github", "archive")
    breaker.trip(0.0, ServerError("502 from storage", status=502))
    assert str(not_tried(breaker)) == (
        "downloads of source archives from github are suspended for now, since one asset after the"
        " other failed (502 from storage)"
    )
