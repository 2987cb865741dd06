"""A release's text for the target: mentions, length, marker; and the text of our first commit."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from mirror.core.domain.capabilities import BODY_LIMIT
from mirror.core.text.mentions import escape_mentions, escaped_parts, shortened
from mirror.core.text.timestamps import iso

if TYPE_CHECKING:
    from mirror.core.domain.release import Release
    from mirror.core.text.mentions import Kind

_LONGEST_FOOTER = BODY_LIMIT // 2
_LONGEST_ADDRESS = 2000

_MARKER = re.compile(r"<!-- release-mirror ([0-9a-f]{12})/(\d{1,20}) -->")
_REPOSITORY_MARK = "<!-- release-mirror: this repository was made by a mirror -->"


def render_body(text: str, *, mentions: str = "escape", origin: str = "", footer: str = "") -> str:
    """Make a release's text for the target.

    Args:
        text: As the source has it.
        mentions: ``escape``: ``@name`` notifies nobody; ``keep``: as it is.
        origin: The address of the release at the source; a text that is cut names it.
        footer: Added at the end, and kept when the text is cut; empty for none.

    Returns:
        A text of at most :data:`BODY_LIMIT` characters. Rendering it again changes nothing.
    """
    body = text[: BODY_LIMIT + 1]  # escaping only adds, so that the rest is cut in any case
    parts: list[tuple[Kind, str]] = [("code", body)]
    end = f"\n\n{footer[:_LONGEST_FOOTER]}" if footer else ""
    if mentions == "escape":
        parts, end = escaped_parts(body), escape_mentions(end)[:_LONGEST_FOOTER]
        body = "".join([part for _, part in parts])
    if len(body) + len(end) > BODY_LIMIT:
        where = origin if len(origin) <= _LONGEST_ADDRESS else "the source"
        notice = f"\n\n*Text truncated at the target's size limit. Full text: {where}*\n"
        body = shortened(parts, BODY_LIMIT - len(notice) - len(end)) + notice
    return body + end


def render_footer(template: str, release: Release) -> str:
    """A footer with the release's facts in it; unknown names in braces stay as they are."""
    published = release.published_at
    facts = {
        "{source_url}": release.html_url,
        "{published_at}": iso(published) if published else "",
        "{author}": release.author,
    }
    return re.sub(r"\{\w+\}", lambda found: facts.get(found.group(), found.group()), template)


def same_text(one: str, other: str) -> bool:
    """Whether two texts are equal but for line ends, which hosts and their web editors change."""
    return one.replace("\r\n", "\n").rstrip() == other.replace("\r\n", "\n").rstrip()


def marker(source_url: str, release: Release) -> str:
    """The invisible line by which a draft is known to be ours, and of which release it is.

    Args:
        source_url: The source host's web address: ids are unique on one host.
        release: The source's release.
    """
    return f"<!-- release-mirror {_host_mark(source_url)}/{release.id} -->"


def with_marker(body: str, mark: str) -> str:
    """A draft's text: the body and the marker, within the limit."""
    return f"{body[: BODY_LIMIT - len(mark) - 2]}\n\n{mark}" if body else mark


def marked_release(body: str, source_url: str) -> int | None:
    """The id of the source's release that a draft's marker names; ``None`` without ours."""
    # The last one: ours ends the text, and a source's own text may hold others.
    for host, number in reversed(_MARKER.findall(body)):
        if host == _host_mark(source_url):
            return int(number)
    return None


def _host_mark(source_url: str) -> str:
    return hashlib.sha256(source_url.casefold().encode()).hexdigest()[:12]


def description(source_address: str) -> str:
    """What a repository that a mirror made says of itself; it is known again by it."""
    return f"Releases of {source_address}, kept by release-mirror"


def is_our_description(text: str) -> bool:
    """Whether :func:`description` made this text."""
    return text.startswith("Releases of ") and text.endswith(", kept by release-mirror")


def readme(source_address: str) -> str:
    """The text of the one file of a repository that a mirror made."""
    return (
        f"# Releases of {source_address}\n\n"
        f"release-mirror keeps the releases of this repository in sync with <{source_address}>.\n"
        "The tags point at placeholder commits; the source code is not mirrored.\n\n"
        f"{_REPOSITORY_MARK}\n"
    )


def is_our_readme(text: str | None) -> bool:
    """Whether a repository's README is one that a mirror wrote."""
    return text is not None and _REPOSITORY_MARK in text


def placeholder_message(source_address: str, tag: str, commit: str | None) -> str:
    """The message of a commit that a tag stands at where the source's commit is not there."""
    return (
        f"Placeholder for {tag}\n\n"
        f"Source: {source_address}\nTag: {tag}\nCommit: {commit or 'unknown'}\n"
    )
