"""GitHub's Markdown parser, and texts written to confuse or slow down a parser."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import cmarkgfm  # type: ignore[import-untyped]
from cmarkgfm.cmark import Options  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from random import Random

_OPTIONS = Options.CMARK_OPT_UNSAFE | Options.CMARK_OPT_FOOTNOTES
_BLOCKS = frozenset({"p", "li", "td", "th", "h1", "h2", "pre", "br", "tr", "div"})
_ADDRESS = re.compile(r"(?:(?<=[a-z])|(?<=[a-z][0-9+.-]))://(?:(?!\)@)[^\s<>])*", re.IGNORECASE)
_MENTION = re.compile(r"(?<![a-z0-9/@])@n(?![\w-]*\.\w)", re.IGNORECASE)

FRAGMENTS = (
    "@n", "@n", "@n ", "`", "``", "```", "~~~", "\n", "\n", "\n\n", "    ", "\t", "  ", " ", "a",
    "b c", "<!--", "-->", "<!-- x -->", "- ", "* ", "1. ", "2. ", "10) ", "> ", ">", "# ", "---",
    "===", "<div>", "</div>", "<b>", '<a href="', '">', "'", '"', "\\", "[", "](", "]: ", "]", "(",
    ")", "[f]: /u", "[a](", "[`@n`]: u\n", "[`@n`]", "[^1]: ", "[^x]:", "| a | b |\n|---|---|\n",
    "|", "|-|", "* * *", "_", "<?", "?>", "     ", "```js\n", "https://x/", "<https://x",
    "<https://x>", "www.x", "\r\n", "\r", "      ", "+", "-", "-\n",
)  # fmt: skip
"""What structure is made of, and ``@n``, a mention wherever it is none by its surroundings."""


def a_text(random: Random) -> str:
    """A random short text of a few kinds of fragments."""
    some = [*random.sample(FRAGMENTS, random.randint(3, 14)), "@n", "\n", "`"]
    return "".join(random.choice(some) for _ in range(random.randint(2, 25)))


class Page(HTMLParser):
    """A rendered text.

    Attributes:
        code: Content of each code block and code span.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.code: list[str] = []
        self._prose: list[str] = []
        self._within = {"code": 0, "a": 0}
        self.feed(cmarkgfm.github_flavored_markdown_to_html(text, options=_OPTIONS))
        self.close()

    @property
    def mentions(self) -> list[str]:
        """The mentions that notify somebody: outside code, attributes, comments and URLs."""
        return _MENTION.findall(_ADDRESS.sub(" ", "".join(self._prose)))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag in self._within:
            self._within[tag] += 1
        if tag == "code":
            self.code.append("")
        if tag in _BLOCKS:
            self._prose.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if self._within.get(tag):
            self._within[tag] -= 1
            self._prose.append(" ")

    def handle_data(self, data: str) -> None:
        if self._within["code"]:
            self.code[-1] += data
        else:
            self._prose.append(" " if self._within["a"] else data)
