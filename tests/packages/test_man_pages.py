"""The man pages: one for each command, without a warning of man."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from man_pages import escape, write_pages

from mirror.cli.parser import COMMANDS, GROUPS

if TYPE_CHECKING:
    from pathlib import Path


def test_a_page_for_each_command(tmp_path: Path) -> None:
    """Every command has a page, which has its name, synopsis and options."""
    write_pages(tmp_path, 0)
    names = {"release-mirror", *(f"release-mirror-{name}" for name in COMMANDS)}
    for group, nested in GROUPS.items():
        names |= {f"release-mirror-{group}-{name}" for name in nested}
    assert {page.stem for page in tmp_path.iterdir()} == names
    for page in tmp_path.iterdir():
        text = page.read_text()
        assert all(f".SH {part}\n" in text for part in ("NAME", "SYNOPSIS", "OPTIONS"))
        assert " 1970-01-01 " in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [(".SH x", r"\&.SH x"), ("a-b", r"a\-b"), ("'x", r"\(aqx"), ("a\\b", r"a\eb")],
)
def test_text_is_no_request(text: str, shown: str) -> None:
    """No line of a help text becomes a request of roff."""
    assert escape(text) == shown
