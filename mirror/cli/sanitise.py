"""Text of others, made safe for a terminal."""

from __future__ import annotations

from mirror.core.text.sanitise import ELLIPSIS, clean, lines, shorten

__all__ = ["ELLIPSIS", "clean", "lines", "shorten"]
