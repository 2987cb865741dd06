"""The page at one moment."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mirror.core.reporting.workers import Worker
from mirror.page import Document
from support.pages import a_page, a_status, busy, failed
from support.values import NOW

if TYPE_CHECKING:
    from mirror.core.reporting.status import MirrorStatus


def test_the_tag_tells_whether_anything_changed() -> None:
    """Seconds do not count, the minute does, since ages are told; so does everything else."""

    def page(status: MirrorStatus, **facts: Any) -> dict[str, Any]:
        """With a lag that grows, heartbeats, and a speed that fades."""
        now = facts.get("now", NOW)
        speed = 1000 / (1 + (now - NOW).total_seconds())
        worker = Worker("host:7", "1.0.0", NOW, now, bytes_per_second=speed)
        return a_page([status, failed()], passes=(), workers=[worker], **facts)

    tag = Document.of(page(a_status())).tag
    assert Document.of(page(a_status(), now=NOW + timedelta(seconds=59))).tag == tag
    others = [
        page(a_status(), now=NOW + timedelta(seconds=60)),
        page(a_status(bytes=1)),
        page(a_status(), version="1.2.4"),
        page(a_status(), notices=["x"]),
    ]
    assert len({tag, *(Document.of(data).tag for data in others)}) == 5


def test_html_is_made_once_while_nothing_changes() -> None:
    """A moment later the same HTML will do, but JSON tells the time of its own."""
    first = Document.of(a_page([a_status()]))
    html = first.html()
    later = first.later(a_page([a_status()], now=NOW + timedelta(seconds=5)))
    assert later.html() is html
    assert "09:00:05Z" in later.json()
    assert first.later(a_page([failed()])).html() != html


@pytest.mark.parametrize("count", [3, 60])
def test_the_page_tells_its_tag(count: int) -> None:
    """The script asks with it."""
    document = Document.of(busy(count=count))
    assert f'data-tag="{document.tag}"'.encode() in document.html().body
