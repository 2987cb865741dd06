"""Outcomes become what is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mirror.core.execution.action import (
    CreateRelease,
    CreateRepository,
    PublishRelease,
    RenameAsset,
    ReplaceAsset,
    UploadAsset,
)
from mirror.core.execution.ledger_updates import learn, quarantine, record, record_arrival
from mirror.core.execution.outcome import Outcome
from mirror.core.failure import Failure
from mirror.core.text.timestamps import iso
from support.values import NOW, a_ledger, a_record, a_release, an_asset, an_entry

if TYPE_CHECKING:
    from mirror.core.ledger.document import Ledger

ASSET, COPY = an_asset(11, "a b"), an_asset(71, "a.b")
SOURCE = a_release(1, "v1", ASSET)
DRAFT = a_release(70, "v1", draft=True)
CREATED = Outcome(CreateRelease({}, "m"), "done", SOURCE, DRAFT)


def a_ledger_with(*outcomes: Outcome) -> Ledger:
    ledger = a_ledger()
    for outcome in outcomes:
        record(ledger, outcome, NOW)
    return ledger


def test_a_repository_of_ours_is_known() -> None:
    """Its number proves later that it is still the same."""
    action = CreateRepository("private", "", "")
    ledger = a_ledger_with(Outcome(action, "done", repository_id=2000))
    assert (ledger.created_repository, ledger.target_id) == (True, 2000)


def test_a_draft_is_known_before_anything_else() -> None:
    """It is ours, and not published."""
    entry = a_ledger_with(CREATED).releases[1]
    assert (entry.target_id, entry.created, entry.published) == (70, True, None)


def test_an_upload_is_known_with_its_proof() -> None:
    """By the copy's id: its name, and the SHA-256 of the bytes that were sent."""
    done = Outcome(UploadAsset(ASSET), "done", SOURCE, DRAFT, COPY, sha256="ab")
    entry = a_ledger_with(CREATED, done).releases[1].assets[71]
    assert (entry.source_id, entry.target_name, entry.sha256) == (11, "a.b", "ab")
    assert entry.proof == "sent"
    assert entry.created


def test_a_replacement_takes_the_place_of_what_it_replaced() -> None:
    """What was deleted is forgotten."""
    new = an_asset(12, "a b")
    action = ReplaceAsset(new, COPY, "a.b", "t")
    ledger = a_ledger(a_record(SOURCE, DRAFT, an_entry(ASSET, COPY)))
    record(ledger, Outcome(action, "done", SOURCE, DRAFT, an_asset(72, "a.b")), NOW)
    assert {k: e.source_id for k, e in ledger.releases[1].assets.items()} == {72: 12}


def test_an_upload_is_known_as_soon_as_it_is_answered() -> None:
    """Nothing is proven yet, but which bytes went through."""
    ledger = a_ledger_with(CREATED)
    record_arrival(ledger, SOURCE, ASSET, COPY, "ab")
    entry = ledger.releases[1].assets[71]
    assert (entry.source_id, entry.sha256, entry.proof) == (11, "ab", "assumed")


@pytest.mark.parametrize(
    ("sent", "source", "target", "proof"),
    [
        ("ab", None, None, "sent"),
        ("ab", None, "ab", "bytes"),
        (None, "ab", "ab", "bytes"),
        (None, "ab", None, "assumed"),
        (None, None, "ab", "assumed"),
    ],
)
def test_a_proof_is_of_what_was_compared(
    sent: str | None, source: str | None, target: str | None, proof: str
) -> None:
    """The target's word alone proves nothing, and is not noted as the bytes' digest."""
    asset, copy = replace(ASSET, sha256=source), replace(COPY, sha256=target)
    done = Outcome(UploadAsset(asset), "done", SOURCE, DRAFT, copy, sha256=sent)
    entry = a_ledger_with(CREATED, done).releases[1].assets[71]
    assert entry.proof == proof
    assert entry.sha256 == (None if proof == "assumed" else "ab")


def test_a_rename_is_known() -> None:
    """Both names."""
    renamed, copy = an_asset(11, "c"), an_asset(71, "c")
    ledger = a_ledger(a_record(SOURCE, DRAFT, an_entry(ASSET, COPY)))
    outcome = Outcome(RenameAsset(renamed, COPY, "c"), "done", SOURCE, DRAFT, copy)
    record(ledger, outcome, NOW)
    entry = ledger.releases[1].assets[71]
    assert (entry.source_name, entry.target_name) == ("c", "c")


def test_the_first_publication_counts() -> None:
    """A later change of the text does not move it."""
    published = a_release(70, "v1")
    ledger = a_ledger_with(CREATED, Outcome(PublishRelease({}), "done", SOURCE, published))
    later = NOW + timedelta(days=1)
    record(ledger, Outcome(PublishRelease({}), "done", SOURCE, published), later)
    assert ledger.releases[1].published == iso(NOW)


def test_what_failed_changes_nothing() -> None:
    """Neither does what was skipped."""
    ledger = a_ledger_with(
        Outcome(UploadAsset(ASSET), "failed", SOURCE, DRAFT),
        Outcome(CreateRelease({}, "m"), "skipped", SOURCE),
    )
    assert ledger == a_ledger()


def test_a_copy_has_one_entry() -> None:
    """That of a release which was made again under its tag takes the former one's place."""
    again = a_release(9, "v1")
    ledger = a_ledger(a_record(SOURCE, DRAFT))
    learn(ledger, (a_record(again, DRAFT),))
    assert set(ledger.releases) == {9}


def test_quarantine_keeps_its_date_while_it_is_the_same() -> None:
    """What failed so before is not news; what failed otherwise is; what passed is forgotten."""
    ledger = a_ledger()
    one = Failure("empty", "never", release_id=1, asset_id=11, release="v1", final=True, facts="a")
    waits = Failure("rejected", "waits", release_id=2, release="v2")
    assert quarantine(ledger, [one, waits], NOW) == [one]
    later = NOW + timedelta(days=1)
    assert quarantine(ledger, [one], later) == []
    assert ledger.quarantined[1, 11].since == iso(NOW)
    other = Failure(
        "empty", "never", release_id=1, asset_id=11, release="v1", final=True, facts="b"
    )
    assert quarantine(ledger, [other], later) == [other]
    assert ledger.quarantined[1, 11].since == iso(later)
    quarantine(ledger, [], later)
    assert ledger.quarantined == {}
