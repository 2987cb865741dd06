"""Where a text holds mentions: as GitHub's own parser sees it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mirror.core.text import mentions
from mirror.core.text.mentions import ZERO_WIDTH, escape_mentions
from support.markdown import Page, a_text

TOP = Path(__file__).resolve().parents[3]
PROSE = sorted([*TOP.glob("*.md"), *TOP.glob("docs/**/*.md")])
AT = f"@{ZERO_WIDTH}"


def with_mentions(text: str, seed: int) -> str:
    """A text in which every fifth word, in prose and in code, is a mention."""
    chance = random.Random(seed)  # noqa: S311 - a dice
    before, result = "", []
    for character in text:
        if before in {" ", "`", "(", '"'} and character.islower() and chance.random() < 0.2:
            result.append("@n")
        result.append(character)
        before = character
    return "".join(result)


@pytest.mark.parametrize("file", PROSE, ids=lambda path: str(path.relative_to(TOP)))
def test_code_that_people_write_stays_and_no_mention_is_left(file: Path) -> None:
    """In ordinary texts the code is the same byte for byte, and nothing but code has a mention."""
    text = with_mentions(file.read_text(encoding="utf-8"), 1)
    escaped = escape_mentions(text)
    assert Page(escaped).mentions == []
    assert Page(escaped).code == Page(text).code


@pytest.mark.parametrize("seed", range(20))
def test_no_text_hides_a_mention(seed: int) -> None:
    """However quotes, lists, code, HTML, links and tables are nested, no mention is left."""
    for number in range(seed * 500, seed * 500 + 500):
        text = a_text(random.Random(number))  # noqa: S311 - a dice
        escaped = escape_mentions(text)
        assert Page(escaped).mentions == [], (number, text)
        assert escape_mentions(escaped) == escaped
        assert escaped.replace(ZERO_WIDTH, "") == text


@pytest.mark.parametrize(
    "text",
    [
        "```\n@x\n```",
        "> ```\n> @x\n> ```",
        "- a\n\n      @x",
        "1. a\n   ```\n   @x\n   ```\n2. b",
        "> - a\n>\n>   ~~~\n>   @x\n>   ~~~",
        "<details>\n<summary>Log</summary>\n\n```\n@x\n```\n\n</details>",
        "# Fixed\n    @x",
        "a\n---\n    @x",
        "- a\n\n\n\n      @x\n\n\n      @x",
        "````\n```\n@x\n````",
        "| a | b |\n|---|---|\n| `@x` | `a \\| @x` |",
        "[`@x/y`][1] and [z](https://a.example/b) and <b>c</b> `@x`\n\n[1]: https://a.example",
        "a `` ` @x `` b",
        "escaped \\\\`@x`",
        "a <!-- @x --> b",
        "<!--\n\n@x\n\n-->",
        "[^1]: note\n\n        @x",
    ],
)
def test_code_and_comments_stay(text: str) -> None:
    """What is code in its container, at any depth."""
    assert escape_mentions(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "- a ` b\n- §x ` c",
        "# a ` b\n§x ` c",
        "a ` b\n> §x ` c",
        "| a ` | §x ` |\n|---|---|",
        "<div>\n`§x`\n</div>",
        "<div>\n```\n§x\n```\n</div>",
        "[a]: `\n§x `",
        '<a title="`">§x`</a>',
        "[a](b` ) §x `",
        "https://a.example/` §x `",
        "a\n    §x",
        "- a\n\n    §x",
        "> ```\n§x",
        "[^1]: note\n\n    §x",
        "text <!-- \n\n§x -->",
        "感谢§x",
        "| a |\n|---|\n===\n` §x\n`",
    ],
)
def test_what_only_looks_like_code_holds_mentions(text: str) -> None:
    """A backtick ends with its paragraph, item or cell, and belongs to a tag or address first."""
    assert escape_mentions(text.replace("§", "@")) == text.replace("§", AT)


def test_a_text_that_no_person_writes_has_no_code() -> None:
    """Beyond the limits of lines and marks, and of depth, everything is a mention."""
    code = "```\n@x\n```\n"
    assert (
        escape_mentions(code + "\n" * mentions._MOST)
        == code.replace("@", AT) + "\n" * mentions._MOST
    )
    deep = ">" * (mentions._DEEPEST + 1)
    assert escape_mentions(f"{deep} a\n\n{code}") == f"{deep} a\n\n{code.replace('@', AT)}"
    assert escape_mentions(f"{deep[1:]} a\n\n{code}") == f"{deep[1:]} a\n\n{code}"
