"""Secrets that are planted, and the search for them in whatever leaves the program."""

from __future__ import annotations

import hashlib
from base64 import b32encode, b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

PART = 8
"""Characters of a secret that are a leak by themselves."""


def planted(name: str) -> str:
    """A secret that looks like nothing that a pattern could know, the same in every run."""
    digest = hashlib.sha256(f"planted {name}".encode()).digest()
    return b32encode(digest).decode().lower()[:40]


@dataclass
class Search:
    """Looks for secrets in places.

    Attributes:
        secrets: What must not be found, by name.
        places: What was searched so far: bytes of each place.
        found: Every leak, in words.
    """

    secrets: Mapping[str, str]
    places: dict[str, int] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._needles = {name: _needles(value) for name, value in self.secrets.items()}

    def look(self, place: str, content: str | bytes, allowed: Collection[str] = ()) -> None:
        """Search a place; ``allowed`` secrets belong there."""
        data = content.encode("utf-8", "replace") if isinstance(content, str) else content
        self.places[place] = self.places.get(place, 0) + len(data)
        for name, needles in self._needles.items():
            if name in allowed:
                continue
            hit = next((needle for needle in needles if needle in data), None)
            if hit is not None:
                at = data.index(hit)
                around = data[max(0, at - 120) : at + 80]
                self.found.append(f"{name} in {place}: …{around!r}…")

    def table(self) -> str:
        """What was searched, for a report."""
        rows = [f"  {place:<44} {size:>9,} bytes" for place, size in self.places.items()]
        return "\n".join(
            (
                f"planted: {', '.join(self.secrets)}",
                *rows,
                f"found: {len(self.found) or 'none'}",
            )
        )


def _needles(secret: str) -> set[bytes]:
    """A secret as it is, in parts, percent-encoded, in Base64 at any place of a longer text, hex."""
    raw = secret.encode()
    parts = {raw[at : at + PART] for at in range(len(raw) - PART + 1)}
    parts |= {part.upper() for part in parts}
    for before in range(3):
        coded = b64encode(b"\0" * before + raw)
        # Only what stands for the secret alone; the ends share bits with what is around them.
        parts.add(coded[4:-4])
    parts.add(raw.hex().encode())
    parts.add(quote(secret, safe="").encode())
    return parts


def pieces_of_key(pem: str) -> dict[str, str]:
    """A private key's lines, each of which is a secret by itself."""
    lines = [line for line in pem.splitlines() if len(line) == 64]
    return {f"App private key, line {number}": line for number, line in enumerate(lines[:8], 1)}
