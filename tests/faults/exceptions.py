"""Where a broken route does not come to what the matrix expects, and why that is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.cells import Cell


@dataclass(frozen=True)
class Expected:
    """What a pass comes to.

    Attributes:
        passes: It succeeds; ``None`` where either is right.
        same: Where it succeeds, everything is at the target.
        others: What has nothing to do with the broken route is mirrored.
        audit: It is settled until the next audit.
    """

    passes: bool | None
    same: bool = True
    others: bool = True
    audit: bool = False


LAGS = "list that lags"

LOST = {
    "reset in the answer",
    "stall in the answer",
    "truncated",
    "truncated, no length",
    "wrong length",
    "broken JSON",
    "wrong JSON types",
    "lost reply",
    "lost reply, 502",
}
"""The request is carried out, and its answer is not seen."""


@dataclass(frozen=True)
class Exemption:
    """Cells that come to something else, and why."""

    why: str
    which: Callable[[Cell], bool]
    expected: Expected


EXCEPTIONS = (
    Exemption(
        "Of a 403 git tells nothing but the number: it is taken for a missing permission.",
        lambda cell: cell.used.origin == "web" and cell.kind.name.startswith("403"),
        Expected(passes=False, audit=True),
    ),
    Exemption(
        "git asks for a credential again by itself, and what it gets then is good.",
        lambda cell: cell.used.origin == "web" and cell.kind.name == "401",
        Expected(passes=None, others=False),
    ),
    Exemption(
        "git takes a page for a repository without tags: the release waits for its tag.",
        lambda cell: cell.used.origin == "web" and cell.kind.name == "HTML with 200",
        Expected(passes=None),
    ),
    Exemption(
        "What is slow moves, and what moves is waited for.",
        lambda cell: cell.kind.name.startswith("slow"),
        Expected(passes=True),
    ),
    Exemption(
        "A list shows what is new at last; where nothing is new, there is nothing to hide.",
        lambda cell: cell.kind.name == LAGS and cell.hits == "ever",
        Expected(passes=None),
    ),
    Exemption(
        "An App gets another token after a 401, once.",
        lambda cell: cell.kind.name == "401" and cell.story.app and cell.used.origin != "storage",
        Expected(passes=None, others=False),
    ),
    Exemption(
        "A 401 stops the credential: more of them would lock it out.",
        lambda cell: cell.kind.name == "401" and cell.used.origin != "storage",
        Expected(passes=False, others=False),
    ),
    Exemption(
        "A 404 is an answer: what is not there is told, and not asked for again in the same pass.",
        lambda cell: cell.kind.name == "404",
        Expected(passes=None),
    ),
    Exemption(
        "What was carried out is found by looking, whatever became of the answer.",
        lambda cell: cell.used.write and cell.kind.name in LOST and cell.hits == "ever",
        Expected(passes=None),
    ),
    Exemption(
        "Whether an owner exists, and whether a token is good, the status alone tells.",
        lambda cell: (
            cell.used.route in {"get-account", "get-meta"} and cell.kind.name == "wrong JSON types"
        ),
        Expected(passes=None),
    ),
    Exemption(
        "A download goes on where it broke.",
        lambda cell: cell.used.stream and cell.kind.name in LOST and cell.hits == "ever",
        Expected(passes=None),
    ),
    Exemption(
        "Nobody needs the body of a redirect to where a repository is now.",
        lambda cell: (
            cell.story.name == "renamed"
            and cell.used.role == "source"
            and cell.hits == "ever"
            and cell.kind.name in LOST
        ),
        Expected(passes=None),
    ),
    Exemption(
        "Bytes that are not what their digest promises are fetched three times, and not for ever.",
        lambda cell: cell.kind.name == "other bytes" and cell.hits == "thrice",
        Expected(passes=None),
    ),
)


def actions_stay(cell: Cell) -> bool:
    """A server that has no Actions says 404 to whoever turns them off; a warning tells of it."""
    return cell.used.route == "set-actions-permissions" and cell.kind.name == "404"


def expectation(cell: Cell) -> Expected:
    """What a cell's pass comes to."""
    for exemption in EXCEPTIONS:
        if exemption.which(cell):
            return exemption.expected
    return Expected(passes=cell.hits != "ever")
