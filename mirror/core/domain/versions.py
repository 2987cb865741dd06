"""Versions that tags name, and specifiers that select them."""

from __future__ import annotations

import re
from functools import lru_cache

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

_END = re.compile(r"(?<![0-9A-Za-z.])[vV]?(?=(\d[0-9A-Za-z]*(?:[-_.+][0-9A-Za-z]+)*)$)", re.ASCII)
"""The longest end of a tag that begins with a number; unambiguous, so it takes no time."""

_LONGEST_VERSION = 1000
"""Characters of a tag: Python refuses to read numbers of thousands of digits."""


def has_version_in(tag: str, specifier: str) -> bool:
    """Whether a tag names a version that a specifier such as ``>=1.2,<3`` contains."""
    version = version_of(tag)
    # `releases.prereleases` decides about prereleases by the release's flag; a version such as
    # 2.0rc1 is only compared here.
    return version is not None and _specifier(specifier).contains(version, prereleases=True)


@lru_cache(maxsize=256)
def _specifier(text: str) -> SpecifierSet:
    return SpecifierSet(text)


def version_of(tag: str) -> Version | None:
    """The version that a tag names: ``v1.2``, ``jq-1.7.1``, ``cli/v2.0.0-rc.1``; else ``None``."""
    if len(tag) > _LONGEST_VERSION:
        return None
    found = _END.search(tag)
    for text in (tag, found.group(1) if found else ""):
        try:
            return Version(text)
        except InvalidVersion:
            continue
    return None
