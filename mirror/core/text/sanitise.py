"""Text of others, made safe for a terminal and for a page.

Tags, file names and error texts come from servers, and whoever may publish a release chooses them.
On a terminal they could move the cursor, change colours, hide text or turn it around; on a page they
could still do the latter two.
"""

from __future__ import annotations

import unicodedata

from mirror.errors import truncate

MOST_NAMED = 300
"""Characters of a tag or a file name in what people read; hosts allow 255."""

ELLIPSIS = "…"

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Control and format characters (bidi and zero-width ones among them), halves of surrogate pairs,
what has no meaning, and the separators that break lines."""


def clean(text: object) -> str:
    r"""Replace what a terminal could act on by its code: an escape becomes ``\x1b``."""
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(_visible(character) for character in plain)


def _visible(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE:
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def bound(record: object, **most: int) -> None:
    """Cut texts of a record that is being made, a frozen one too, to what a person reads.

    Args:
        record: What holds them.
        most: The most characters of each attribute; ``None`` in one stays.
    """
    for name, limit in most.items():
        text = getattr(record, name)
        if text is not None and len(text) > limit:
            object.__setattr__(record, name, truncate(text, limit))


def lines(text: object) -> str:
    """The same, but line breaks stay: for texts of this program that hold names of others."""
    return "\n".join(clean(line) for line in str(text).split("\n"))


def shorten(text: object, most: int) -> str:
    """Clean a name and leave out its middle where it is longer than ``most`` characters.

    The end stays: it tells one architecture's file from another's.
    """
    plain = clean(text)
    if len(plain) <= most:
        return plain
    tail = (most - 1) // 2
    return plain[: most - 1 - tail] + ELLIPSIS + (plain[-tail:] if tail else "")
