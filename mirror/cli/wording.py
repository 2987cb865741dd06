"""Numbers and times as people read them: the same words on the terminal and on the page."""

from __future__ import annotations

from mirror.core.text.wording import age, count, duration, size

__all__ = ["age", "count", "duration", "size"]
