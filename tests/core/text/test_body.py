"""A release's text for the target."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.core.domain.capabilities import BODY_LIMIT
from mirror.core.text.body import (
    is_our_readme,
    marked_release,
    marker,
    placeholder_message,
    readme,
    render_body,
    same_text,
    with_marker,
)
from mirror.core.text.mentions import ZERO_WIDTH, escape_mentions
from support.values import SOURCE_URL, a_release

law = settings(deadline=None, max_examples=200)
AT = f"@{ZERO_WIDTH}"


@pytest.mark.parametrize(
    "text",
    [
        "§alice",
        "by §alice in #12",
        "(§alice), §bob-1 and §org/team",
        "**§alice** _§bob_ __§carol__ ~§dave~",
        "[§alice](https://github.com/alice)",
        "![image](https://x.example/y.png)§alice",
        "\\§alice",
        "line\n* §alice\n> §bob\n\n1. §carol",
        "a ` lone tick\n\n§alice and another ` tick",
        "``§alice`",
        "\\`§alice\\`",
        "- item\n\n  §alice",
        "| a | §alice |\n|---|---|",
        "```\n@code\n```\n§alice",
        "<b>§alice</b>",
        "a\r§alice\r\n§bob",
        "\ttab is code: @x\n\nno code: §alice",
    ],
)
def test_mentions_lose_their_effect(text: str) -> None:
    """An ``@name`` that would notify somebody gets an invisible space before the name."""
    assert escape_mentions(text.replace("§", "@")) == text.replace("§", AT)


@pytest.mark.parametrize(
    "text",
    [
        "no mention",
        "`@alice` and ``a `@bob` c``",
        "```\n@alice\n```",
        "~~~sh\nnpm i @scope/pkg\n~~~",
        "```\nunclosed @alice\n",
        "- item\n\n  ```\n  @alice\n  ```",
        "text\n\n    indented @alice\n\nend",
        "https://example.com/@alice/post",
        "<https://example.com/@alice>",
        "mail me@example.com or first.last+tag@mail.example.org",
        "git@github.com:cli/cli.git",
        "npm/@scope",
        "a @ b, @, @@, @-",
        f"{AT}alice",
        "<!-- @alice -->",
        "",
    ],
)
def test_what_is_no_mention_stays(text: str) -> None:
    """Code, addresses, e-mail addresses and what was escaped before are not touched."""
    assert escape_mentions(text) == text


MARKDOWN = st.lists(
    st.sampled_from(
        ["@alice", "@", "`", "```", "~~~", "\n", "\n\n", "    ", "\t", " ", "a", "<!--", "-->",
         "https://x/", ")", "_", "\\", "\r", "\r\n", ZERO_WIDTH, "- ", "> ", "x@y.z", "é"]
    ),
    max_size=25,
).map("".join)  # fmt: skip


@law
@given(MARKDOWN)
def test_escaping_twice_is_escaping_once(text: str) -> None:
    """A text that went through before comes out as it is."""
    once = escape_mentions(text)
    assert escape_mentions(once) == once
    assert render_body(render_body(text)) == render_body(text)


@law
@given(MARKDOWN)
def test_only_mentions_are_touched(text: str) -> None:
    """Without the invisible spaces the text is what it was."""
    plain = text.replace(ZERO_WIDTH, "")
    assert escape_mentions(plain).replace(ZERO_WIDTH, "") == plain


def test_mentions_may_be_kept() -> None:
    """``mentions = "keep"`` leaves them alone."""
    assert render_body("by @alice", mentions="keep") == "by @alice"


@pytest.mark.parametrize("length", [BODY_LIMIT - 1, BODY_LIMIT])
def test_a_text_within_the_limit_is_whole(length: int) -> None:
    """The limit is inclusive."""
    assert render_body("x" * length) == "x" * length


@pytest.mark.parametrize(
    "text",
    ["x" * (BODY_LIMIT + 1), "@a " * 50_000, "`" + "@a " * 50_000 + "`", "```\n" + "@a\n" * 50_000],
)
def test_a_long_text_is_cut_and_says_so(text: str) -> None:
    """A text beyond the limit names where the whole of it is; cut again it is the same."""
    body = render_body(text, origin="https://github.com/cli/cli/releases/tag/v1")
    assert len(body) <= BODY_LIMIT
    assert "https://github.com/cli/cli/releases/tag/v1" in body[-200:]
    assert render_body(body, origin="https://github.com/cli/cli/releases/tag/v1") == body


@pytest.mark.parametrize(
    "text",
    ["a" * 125_000 + "@", "a." * 62_000 + "@", "<!--" * 31_000 + "@x", "a://" * 31_000 + "@b",
     "`a " * 41_000 + "@x"],
)  # fmt: skip
def test_no_text_takes_long(text: str) -> None:
    """A text made to be slow costs no more than another."""
    started = time.perf_counter()
    escape_mentions(text)
    assert time.perf_counter() - started < 3


def test_line_ends_and_spaces_at_the_end_are_no_difference() -> None:
    """Hosts and their editors change line ends; that is no reason to write."""
    assert same_text("a\r\nb\r\n", "a\nb")
    assert not same_text("a\nb", "a\n\nb")


@law
@given(MARKDOWN, st.integers(1, 10**12))
def test_a_marker_round_trips(text: str, number: int) -> None:
    """A draft's text tells the release that it is of; the last marker counts."""
    mark = marker(SOURCE_URL, a_release(number, "v1", day=1))
    other = marker(SOURCE_URL, a_release(7, "v7"))
    assert marked_release(with_marker(text, mark), SOURCE_URL) == number
    assert marked_release(with_marker(other + text, mark), SOURCE_URL) == number
    assert marked_release(with_marker(text, mark), "https://ghe.example.com") is None
    assert marked_release(text, SOURCE_URL) is None


def test_a_marker_is_invisible_and_fits() -> None:
    """A marker is a comment of one line, and a draft's text keeps within the limit."""
    mark = marker(SOURCE_URL, a_release(1))
    assert mark.startswith("<!-- ")
    assert mark.endswith(" -->")
    assert "\n" not in mark
    assert len(with_marker("x" * BODY_LIMIT, mark)) <= BODY_LIMIT
    assert marked_release(with_marker("x" * BODY_LIMIT, mark), SOURCE_URL) == 1
    assert with_marker("", mark) == mark
    assert marker(SOURCE_URL.upper(), a_release(1)) == mark


def test_what_a_mirror_makes_names_its_source() -> None:
    """A first commit and a placeholder say where the truth is."""
    text = readme("https://github.com/cli/cli")
    assert is_our_readme(text)
    assert "https://github.com/cli/cli" in text
    assert not is_our_readme("# cli")
    assert not is_our_readme(None)
    message = placeholder_message("https://github.com/cli/cli", "v1", "abc")
    assert all(part in message for part in ("https://github.com/cli/cli", "v1", "abc"))
    assert "unknown" in placeholder_message("https://github.com/cli/cli", "v1", None)
