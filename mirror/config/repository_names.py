"""``OWNER/REPO`` in the configuration file: sources, exclusions and targets."""

from __future__ import annotations

import re

from mirror.config.messages import expected, quote, text_of

REPOSITORY_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_-]*/[A-Za-z0-9._*?!^\[\]-]+$"
SOURCE_NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_-]*$"
_OWNER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,38}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_NAME_GLOB = re.compile(r"[A-Za-z0-9._*?!^\[\]-]{1,200}")
_OWNER_GLOB = re.compile(r"[A-Za-z0-9_*?!^\[\]-]{1,200}")
_WILDCARD = re.compile(r"[*?\[\]]")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def is_pattern(source: str) -> bool:
    """Whether an ``OWNER/REPO`` contains a wildcard."""
    return bool(_WILDCARD.search(source))


def parse_source(value: object) -> str:
    """Parse ``OWNER/REPO``; ``REPO`` may contain ``*``, ``?`` and ``[…]``."""
    words = '"OWNER/REPO", such as "cli/cli" or "hashicorp/*"'
    text = text_of(value, words)
    if "://" in text:
        raise ValueError(f"must be {words}, not a URL; from selects the host")
    owner, slash, name = text.partition("/")
    if not slash or "/" in name:
        raise expected(words, text)
    if is_pattern(owner):
        raise ValueError(f"the owner cannot contain a wildcard: {quote(text)}")
    _check_owner(owner, text)
    if not is_pattern(name):
        _check_name(name, text)
    elif not _NAME_GLOB.fullmatch(name):
        raise ValueError(
            f"{quote(text)} contains invalid characters; the wildcards are *, ? and [...]"
        )
    return text


def parse_exclude(value: object) -> str:
    """Parse an ``OWNER/REPO`` to exclude; both parts may contain wildcards."""
    words = '"OWNER/REPO", such as "hashicorp/*-archive"'
    text = text_of(value, words)
    owner, slash, name = text.partition("/")
    if not slash or not _OWNER_GLOB.fullmatch(owner) or not _NAME_GLOB.fullmatch(name):
        raise expected(words, text)
    return text


def parse_target(value: object) -> str:
    """Parse the ``OWNER/REPO`` of a target; it may contain ``{owner}`` and ``{repo}``."""
    words = '"OWNER/REPO", such as "mirrors/cli" or "mirrors/{owner}-{repo}"'
    text = text_of(value, words)
    if "://" in text:
        raise ValueError(f"must be {words}, not a URL; [target] sets the host")
    unknown = sorted(set(_PLACEHOLDER.findall(text)) - {"owner", "repo"})
    if unknown:
        raise ValueError(
            f"unknown placeholder {quote('{' + unknown[0] + '}')}; known: {{owner}} and {{repo}}"
        )
    owner, slash, name = fill(text, "o", "r").partition("/")
    if not slash or "/" in name or "{" in owner + name or "}" in owner + name:
        raise expected(words, text)
    if is_pattern(text):
        raise ValueError(
            f"cannot contain a wildcard: {quote(text)}; use {{repo}} for the repository's name"
        )
    _check_owner(owner, text)
    _check_name(name, text)
    return text


def fill(template: str, owner: str, name: str) -> str:
    """Replace the placeholders of a target."""
    values = {"owner": owner, "repo": name}
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)


def _check_owner(owner: str, text: str) -> None:
    if not _OWNER.fullmatch(owner):
        raise ValueError(
            f"{quote(text)} has an invalid owner; allowed: 1 to 39 letters, digits, hyphens and underscores"
        )


def _check_name(name: str, text: str) -> None:
    if name.lower().endswith(".git"):
        raise ValueError(f"write {quote(text)} without .git")
    if not _NAME.fullmatch(name) or name in {".", ".."}:
        raise ValueError(
            f"{quote(text)} has an invalid repository name; allowed: 1 to 100 letters, digits,"
            " hyphens, underscores and dots"
        )
