"""Line numbers of keys in a TOML file, and the names of keys in messages.

The standard library's parser reports no positions. This scanner reads a text that is known to be
valid TOML and finds the lines where tables and keys begin. A key inside an inline table has the line
of the nearest key around it.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from mirror.config.messages import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Path = tuple[str | int, ...]

_OPAQUE = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})|'
    r"'''.*?'''(?:'{0,2})|"
    r'"(?:\\.|[^"\\\n])*"|'
    r"'[^'\n]*'|"
    r"#[^\n]*",
    re.DOTALL,
)
_HEADER = re.compile(r"\s*\[(\[?)([\w\s.-]+)\]")
_KEY = re.compile(r"([\w\s.-]+)=")
_PART = re.compile(r'"((?:\\.|[^"\\])*)"|\'([^\']*)\'|([\w-]+)')
_BARE = re.compile(r"[\w-]+", re.ASCII)


def label(path: Path, sources: Mapping[int, str] | None = None) -> str:
    """Format a key's path: ``mirrors[2] (cli/cli).releases.latest``.

    Args:
        path: Keys, and positions in lists counted from 0.
        sources: The source of each mirror, by position.
    """
    shown = ""
    for depth, part in enumerate(path):
        if isinstance(part, int):
            shown += f"[{part + 1}]"
            if depth == 1 and path[0] == "mirrors" and part in (sources or {}):
                shown += f" ({(sources or {})[part]})"
        else:
            shown += "." * bool(shown) + (part if _BARE.fullmatch(part) else quote(part))
    return shown


_MIRRORS: Path = ("mirrors",)


class Lines:
    """The line of each table and key of a file.

    Args:
        text: The file's text; valid TOML.
    """

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._others = self._scanned(mirrors=False)

    def find(self, path: Path) -> int | None:
        """The line of a key, or of the nearest key or table around it, counted from 1."""
        lines = self._mirrors if path[:1] == _MIRRORS else self._others
        while path and path not in lines:
            path = path[:-1]
        return lines.get(path)

    @cached_property
    def _mirrors(self) -> dict[Path, int]:
        """Of the mirrors, which may be thousands: only a mistake in one needs them."""
        return self._scanned(mirrors=True)

    def _scanned(self, *, mirrors: bool) -> dict[Path, int]:
        lines: dict[Path, int] = {}
        for path, line in _scan(self._text):
            if (path[:1] == _MIRRORS) is mirrors:
                lines.setdefault(path, line)
        return lines


def _hide(match: re.Match[str]) -> str:
    """Mask a string or a comment with text of the same length that is not TOML."""
    filler = " " if match[0].startswith("#") else "_"
    return "".join(c if c == "\n" else filler for c in match[0])


def _scan(text: str) -> Iterator[tuple[Path, int]]:
    table: Path = ()
    lengths: dict[Path, int] = {}
    depth = start = 0
    for number, masked in enumerate(_OPAQUE.sub(_hide, text).split("\n"), 1):
        original = text[start : start + len(masked)]
        start += len(masked) + 1
        if depth == 0 and (header := _HEADER.match(masked)):
            keys = _keys(original[header.start(2) : header.end(2)])
            table = _resolve(keys, lengths, new=bool(header[1]))
            yield from _prefixes(table, number)
            continue
        if depth == 0 and (key := _KEY.match(masked)):
            path = table + _keys(original[key.start(1) : key.end(1)])
            yield from _prefixes(path, number)
        depth += sum(map(masked.count, "[{")) - sum(map(masked.count, "]}"))


def _prefixes(path: Path, number: int) -> Iterator[tuple[Path, int]]:
    return ((path[:length], number) for length in range(len(path), 0, -1))


def _keys(text: str) -> Path:
    return tuple(basic or literal or bare for basic, literal, bare in _PART.findall(text))


def _resolve(keys: Path, lengths: dict[Path, int], *, new: bool) -> Path:
    """The table that a header names; ``new``: the header appends to a list of tables."""
    path: Path = ()
    for position, key in enumerate(keys, 1):
        path = (*path, key)
        if new and position == len(keys):
            lengths[path] = lengths.get(path, 0) + 1
        if path in lengths:
            path = (*path, lengths[path] - 1)
    return path
