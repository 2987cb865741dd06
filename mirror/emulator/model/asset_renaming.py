"""How GitHub renames assets, as observed on github.com.

GitHub documents that it "renames asset filenames that have special characters, non-alphanumeric
characters, and leading or trailing periods"; the details here are what users reported. The
real server does not guarantee them, so a client must take the name from the answer.
"""

from __future__ import annotations

import re
import unicodedata

DEFAULT_STEM = "default"

_REPLACED = re.compile(r"[^A-Za-z0-9.\-_+]+")
_DOTS = re.compile(r"\.{2,}")
_LATIN = str.maketrans(
    {
        "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE",
        "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ŋ": "ng", "Ŋ": "Ng",
        "ß": "ss", "\u0131": "i", "ħ": "h", "Ħ": "H", "ŧ": "t", "Ŧ": "T",
    }
)  # fmt: skip


def _ascii(name: str) -> str:
    """Transliterate Latin letters; what has no ASCII form stays, to be replaced."""
    made: list[str] = []
    for character in name.translate(_LATIN):
        if character.isascii():
            made.append(character)
            continue
        plain = "".join(c for c in unicodedata.normalize("NFKD", character) if c.isascii())
        made.append(plain if plain and plain.isalnum() else character)
    return "".join(made)


def normalise(name: str) -> str:
    """The name under which an asset is stored.

    Args:
        name: The name a client asked for.

    Returns:
        A name of letters, digits and `. - _ +`, in which each run of anything else became one
        period, without a leading or trailing period; `default.EXT` when nothing of the stem is left.
    """
    made = _DOTS.sub(".", _REPLACED.sub(".", _ascii(name)))
    if made.startswith("."):
        rest = made.strip(".")
        if not rest:
            return DEFAULT_STEM
        # A stem that vanished (`.env`, `茶.pdf`) leaves its extension; `茶-1.dmg` keeps `-1.dmg`.
        return rest if "." in rest or rest.startswith(("-", "_")) else f"{DEFAULT_STEM}.{rest}"
    return made.rstrip(".") or DEFAULT_STEM
