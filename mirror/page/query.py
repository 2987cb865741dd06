"""Which mirrors a page shows: what stands behind the question mark of its address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

SIZE = 50
"""Mirrors on one page."""

DENSE_SIZE = 60
"""Tiles on one page of the dense view: what a screen of 1920 by 1080 holds."""

VIEWS = ("dense", "full")
"""What there is besides the list: tiles, and the list with all columns on a narrow screen too."""

STATES = ("failed", "running", "never", "ok")
"""What can be filtered by."""

_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Query:
    """What a visitor asks for; whatever cannot be meant is left out.

    Attributes:
        state: One of :data:`STATES`; empty for all.
        search: Words that must all be in a mirror's source or target, ignoring case.
        number: Of the page, from 1.
        size: Mirrors on a page; 0 for all of them.
        view: One of :data:`VIEWS`; empty for the list.
    """

    state: str = ""
    search: str = ""
    number: int = 1
    size: int = SIZE
    view: str = ""

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> Self:
        """Read the address: ``?state=failed&search=cli&view=dense&page=2``."""
        state = asked.get("state", "")
        number = asked.get("page", "")
        view = asked.get("view", "")
        return cls(
            state=state if state in STATES else "",
            search=" ".join(asked.get("search", "")[:_LONGEST].split()),
            size=DENSE_SIZE if view == "dense" else SIZE,
            view=view if view in VIEWS else "",
            number=int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 1,
        )

    def pages(self, matching: int) -> int:
        """Pages for so many mirrors; one, if there are none."""
        return max(1, -(-matching // self.size)) if self.size else 1

    def cut(self, items: list[Any]) -> tuple[int, list[Any]]:
        """The number of the page that is shown, which exists, and what is on it."""
        number = min(max(1, self.number), self.pages(len(items)))
        first = (number - 1) * self.size
        return number, items[first : first + self.size] if self.size else items


EVERYTHING = Query(size=0)
"""All mirrors on one page: for a file, which nobody can ask."""
