"""Whatever a server calls things, a terminal shows it and does nothing else."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from mirror.core.text.sanitise import clean, lines, shorten

anything = st.text(st.characters(exclude_categories=()), max_size=200)


@given(anything)
def test_nothing_that_acts_is_left(text: str) -> None:
    """No control, format, bidi or surrogate character survives; the result can be encoded."""
    shown = clean(text)
    assert not any(unicodedata.category(c)[0] == "C" for c in shown)
    assert not any(unicodedata.category(c) in {"Zl", "Zp"} for c in shown)
    shown.encode()


@given(anything)
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    """What is clean stays as it is."""
    assert clean(clean(text)) == clean(text)


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=50))
def test_plain_names_stay(text: str) -> None:
    """Names of people's languages are shown as they are."""
    assert clean(text) == text


@given(anything, st.integers(1, 80))
def test_shortened_names_fit(text: str, most: int) -> None:
    """A name has at most so many characters, and begins as it did."""
    shown = shorten(text, most)
    assert len(shown) <= most
    assert clean(text).startswith(shown.partition("…")[0])


def test_visible() -> None:
    """What is replaced can be seen, and told from other things."""
    assert clean("a\x1b[31mb\u202ec\nd") == "a\\x1b[31mb\\u202ec\\x0ad"
    assert lines("a\nb\x07") == "a\nb\\x07"
    assert shorten("terraform_1.9.0_linux_amd64.zip", 20) == "terraform_…amd64.zip"
