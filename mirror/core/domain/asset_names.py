"""Names of assets: what a server may make of one, labels, and our temporary names."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mirror.core.domain.release import Asset

_TEMPORARY = re.compile(r"release-mirror-tmp-(-?\d{1,19})-(?:([0-9a-f]{64})-)?")
_LONGEST_END = 100


def temporary_name(asset: Asset) -> str:
    """The name that a copy has while it may not have its own yet.

    It tells which asset of the source the copy is of, and the SHA-256 of its bytes where the
    source gives one, so that the target explains itself after a crash.
    """
    digest = f"{asset.sha256}-" if asset.sha256 else ""
    return f"release-mirror-tmp-{asset.id}-{digest}{asset.name[-_LONGEST_END:]}"


def is_temporary(name: str) -> bool:
    """Whether :func:`temporary_name` made this name."""
    return _TEMPORARY.match(name) is not None


@lru_cache(maxsize=4096)
def guessed_name(name: str) -> str:
    """What a server may make of an asset's name: "special characters" become periods.

    Only a guess, to look for a copy and to see a collision coming; the name in the server's
    answer is the truth.

    Source: https://docs.github.com/rest/releases/assets#upload-a-release-asset
    """
    return re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9._+-]+", ".", name)).strip(".")


def forms(name: str) -> tuple[str, ...]:
    """A name, and what a server may make of it."""
    return tuple(dict.fromkeys((name, guessed_name(name))))


def temporary_id(name: str) -> int | None:
    """The source asset's id in a temporary name of ours; ``None`` for any other name."""
    found = _TEMPORARY.match(name)
    return int(found.group(1)) if found else None


def label_of(asset: Asset, name: str) -> str:
    """A copy's label; where the server changes the name, it keeps the one that people look for."""
    return asset.label or ("" if name == asset.name else asset.name)


def may_become(name: str, made: str) -> bool:
    """Whether a server may have made one name of another.

    A name without special characters is kept by every server. Of any other name, ASCII letters and
    digits are kept in their order.
    """
    if guessed_name(name) == name or is_temporary(made):
        return made == name
    rest = iter(made.lower())
    return all(letter in rest for letter in name.lower() if letter.isascii() and letter.isalnum())


def folded(name: str) -> str:
    """What servers compare names by, as far as can be guessed."""
    return guessed_name(name).casefold()
