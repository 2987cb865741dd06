"""Values in error messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mirror.config import messages


@given(st.text())
def test_quotes_are_one_printable_line(text: str) -> None:
    """What a message repeats cannot break the terminal or the line."""
    assert messages.quote(text).isprintable()
