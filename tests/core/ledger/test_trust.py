"""Whether what an earlier pass stored may still be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from mirror.core.domain.mirror import Mirror, Rule
from mirror.core.domain.policy import Policy
from mirror.core.domain.release import Repository
from mirror.core.ledger.index import IndexEntry
from mirror.core.ledger.trust import is_audit_due, mismatch
from mirror.errors import Unmirrorable
from support.values import SOURCE, TARGET, a_ledger

if TYPE_CHECKING:
    from mirror.core.ledger.document import Ledger

RULE = Rule("github", str(SOURCE), str(TARGET), Policy(), settings="of today")
MIRROR = Mirror(RULE, SOURCE, TARGET)
NOW = 1_000_000.0
ENTRY = IndexEntry(
    MIRROR.name,
    str(TARGET),
    settings="of today",
    credential="ours",
    target_url="https://ghe.example.com/api/v3",
    audited_at=NOW - 10,
)


@pytest.mark.parametrize(
    ("facts", "due"),
    [
        ({}, False),
        ({"audited_at": NOW - 3600}, True),
        ({"audited_at": NOW + 1}, True),  # the clock went back
        ({"wake_at": NOW}, True),
        ({"wake_at": NOW + 1}, False),
        ({"source": "github:other/repo"}, True),
        ({"settings": "of yesterday"}, True),
        ({"credential": "another"}, True),
        ({"target_url": "https://other.example.com/api/v3"}, True),
    ],
)
def test_an_index_is_trusted_for_a_while_and_for_what_it_was_made_with(
    facts: dict[str, Any], due: bool
) -> None:
    """Other settings, credentials or hosts make it worthless at once."""
    entry = replace(ENTRY, **facts)
    found = is_audit_due(
        entry,
        MIRROR,
        credential="ours",
        target_url="https://ghe.example.com/api/v3",
        interval=3600.0,
        now=NOW,
    )
    assert found is due


def a_document(source: str = MIRROR.name, source_id: int = 0, target_id: int = 0) -> Ledger:
    ledger = a_ledger()
    ledger.source, ledger.source_id, ledger.target_id = source, source_id, target_id
    return ledger


SOURCE_NOW, TARGET_NOW = Repository(SOURCE, id=1000), Repository(TARGET, id=2000)


@pytest.mark.parametrize(
    ("ledger", "target", "reason"),
    [
        (a_document(), TARGET_NOW, ""),
        (a_document(source_id=1000, target_id=2000), TARGET_NOW, ""),
        (a_document(source_id=1000, target_id=2000), None, ""),
        (a_document(source="github:old/name", source_id=1000), TARGET_NOW, ""),  # renamed
        (a_document(target_id=2001), TARGET_NOW, "mirrors/cli is another repository now"),
        (a_document(source="github:old/name", source_id=1), TARGET_NOW, "it is of another source"),
    ],
)
def test_a_document_of_other_repositories_is_set_aside(
    ledger: Ledger, target: Repository | None, reason: str
) -> None:
    """Repositories are recognised by their ids; a renamed source keeps its document."""
    found = mismatch(ledger, MIRROR, SOURCE_NOW, target)
    assert isinstance(found, str)
    assert found.startswith(reason) if reason else found == ""


def test_a_source_whose_name_was_taken_over_is_not_mirrored() -> None:
    """The releases of two repositories must not be mixed under one name."""
    found = mismatch(a_document(source_id=1), MIRROR, SOURCE_NOW, TARGET_NOW)
    assert isinstance(found, Unmirrorable)
    assert found.kind == "identity"
