"""The names under which assets are stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.emulator import normalise


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("tool-1.0_linux+amd64.tar.gz", "tool-1.0_linux+amd64.tar.gz"),
        ("a b.zip", "a.b.zip"),
        ("a~b.zip", "a.b.zip"),
        ("a  ~ b.zip", "a.b.zip"),
        ("a@b.zip", "a.b.zip"),
        ("a/b.zip", "a.b.zip"),
        ("tobwen-1.1.0-1~buster.deb", "tobwen-1.1.0-1.buster.deb"),
        ("żółć.txt", "zolc.txt"),
        ("ðæŋ.txt", "daeng.txt"),
        ("茶话室-0.1.2.dmg", "-0.1.2.dmg"),
        ("茶话室.dmg", "default.dmg"),
        ("😀.pdf", "default.pdf"),
        (".env", "default.env"),
        ("name.", "name"),
        ("...", "default"),
        ("日本", "default"),
    ],
)
def test_names(asked: str, stored: str) -> None:
    """Assets are stored under names that users of the real server observed."""
    assert normalise(asked) == stored


@given(st.text(min_size=1))
def test_a_stored_name_stays(name: str) -> None:
    """Normalising twice is normalising once, and the result is never empty."""
    stored = normalise(name)
    assert stored
    assert normalise(stored) == stored
    assert stored.isascii()
