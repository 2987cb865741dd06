"""Texts of releases that are written to take long: the work grows with their length alone."""

from __future__ import annotations

import random
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from mirror.core.domain.capabilities import BODY_LIMIT
from mirror.core.text.body import render_body

if TYPE_CHECKING:
    from types import FrameType

FRAGMENTS = (
    ">", "> ", "- ", "* ", "+ ", "1. ", "2) ", "[^1]: ", "[", "![", "](", "](a", ")", "(", "]: ",
    "[a]: b", "*", "_", "`", "``", "```", "~~~", "`" * 7, "<!--", "-->", "<!-- ", "<", "<a ",
    '<a b="', "<b c='", "'", '"', "</", "<div>", "<pre>", "</pre>", "<?", "<![CDATA[", "<!A", "|",
    "|-|\n", "| a |\n|---|\n", ":-", "    ", "\t", " ", "     ", "\n", "\n", "\n\n", "\r\n", "\r",
    "@n", " @n", "@n ", "@", "a", "abc ", "://", "https://x/", "www.", "_@a.b", "\\", "\\\\", "#",
    "# ", "---\n", "===\n", "* * *\n", "&", "9",
)  # fmt: skip

CALLS_A_CHARACTER = 16
"""Of functions, for the shortest lines there are."""


class Recipe(NamedTuple):
    """How a text is made: its pieces again and again, each longer every time, or halves of them."""

    pieces: tuple[str, ...]
    way: str = "again"

    def text(self, length: int) -> str:
        pieces = "".join(self.pieces)
        if self.way == "longer":
            times = int((2 * length / len(pieces)) ** 0.5) + 2
            some = ("".join(piece * time for piece in self.pieces) for time in range(1, times))
            return "".join(some)[:length]
        if self.way == "halves":
            middle = max(len(pieces) // 2, 1)
            first, second = pieces[:middle], pieces[middle:] or "@n"
            return (first * length)[: length // 2] + (second * length)[: length - length // 2]
        return (pieces * (length // len(pieces) + 1))[:length]

    def changed(self, chance: random.Random) -> Recipe:
        pieces = list(self.pieces)
        place = chance.randrange(len(pieces))
        match chance.randrange(5):
            case 0:
                pieces[place] = chance.choice(FRAGMENTS)
            case 1 if len(pieces) > 2:
                del pieces[place]
            case 2:
                pieces *= 2
            case 3:
                return self._replace(way=chance.choice(("again", "longer", "halves")))
            case _:
                pieces.insert(place, chance.choice(FRAGMENTS))
        return self._replace(pieces=tuple(pieces[:40]))


FOUND = [
    Recipe((">" * 18, "```\n@\n")),  # a general parser took minutes
    Recipe(("`", "@n "), "longer"),
    Recipe(("===\n@>    + ===\n>- + @>_@a.b+ ===\n>+ ",), "halves"),
    Recipe(("@---\n     <!-- _@a.b",), "halves"),
    Recipe(("- \n    {}'|-|\n*@n",)),
    Recipe(("![---\n91. ", "     ![``", "     >a@n")),
    Recipe(("[|-|\n1. `abc @'@n",)),
    Recipe(("[", "](", "@n")),
    Recipe(("]: ", "@n")),
    Recipe(('<a b="', "@n")),
    Recipe(("<a b='", "@n", '<c d="')),
    Recipe(("://", "@n")),
    Recipe(("9", "\n", "@n")),
    Recipe(("- ",) * 29 + ("@n -\n",)),
    Recipe(("a@", "a.")),
    Recipe(("\\", "`", "@n")),
    Recipe(("<!--", "@n")),
    Recipe(("[^1]: ", "@n\n")),
    Recipe((" ", "@n"), "longer"),
    Recipe(("`@n`", "a"), "longer"),
]
"""The worst of what was found by hours of this search, and what each expression could be slow at."""


def calls(text: str) -> int:
    """How many functions are called to make a release's text."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        del frame, argument
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        render_body(text, origin="https://github.com/o/r", footer="by @n")
    finally:
        sys.setprofile(before)
    return count


def seconds(text: str) -> float:
    """Of the processor, as little as it takes."""
    least = float("inf")
    for _ in range(3):
        started = time.process_time()
        render_body(text, origin="https://github.com/o/r", footer="by @n")
        least = min(least, time.process_time() - started)
    return least


@pytest.mark.parametrize("seed", range(4))
def test_a_search_for_the_slowest_text_finds_none(seed: int) -> None:
    """The best of a search, changed again and again, calls few functions for each character."""
    chance = random.Random(seed)  # noqa: S311 - a dice
    length = 4000
    best = sorted(FOUND, key=lambda recipe: calls(recipe.text(length)))[-8:]
    worst = 0
    for _ in range(60):
        recipe = chance.choice(best).changed(chance)
        cost = calls(recipe.text(length))
        assert cost <= CALLS_A_CHARACTER * length, recipe
        if cost >= worst:
            worst = cost
            best = [*best[1:], recipe]


@pytest.mark.parametrize("recipe", FOUND, ids=lambda recipe: repr("".join(recipe.pieces))[1:25])
def test_ten_times_the_text_is_ten_times_the_work(recipe: Recipe) -> None:
    """Calls, and the time that expressions take, grow in proportion; a cut looks at the end again."""
    short, long = recipe.text(BODY_LIMIT // 10), recipe.text(BODY_LIMIT)
    assert calls(long) <= 20 * calls(short) + 1000
    assert seconds(long) <= 25 * seconds(short) + 0.1
