"""What a route answers, before it is sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mirror.emulator.documents.shared import dumps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mirror.emulator.model.content import Content

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"


@dataclass(slots=True)
class Answer:
    """An answer.

    Attributes:
        content: Bytes to stream instead of `body`, from `start` to `stop`.
        stream: Bytes of unknown length to stream instead.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str | None = JSON
    content: Content | None = None
    start: int = 0
    stop: int = 0
    stream: Iterator[bytes] | None = None

    @classmethod
    def json(cls, document: Any, status: int = 200) -> Answer:
        """A JSON document; text is one that was rendered already."""
        text = document if isinstance(document, str) else dumps(document)
        return cls(status, text.encode())

    @classmethod
    def created(cls, document: Any, location: str = "") -> Answer:
        """201 with the document of what was created, and where it is: by default, its `url`."""
        answer = cls.json(document, HTTPStatus.CREATED)
        answer.headers["Location"] = location or document["url"]
        return answer

    @classmethod
    def nothing(cls) -> Answer:
        """204."""
        return cls(HTTPStatus.NO_CONTENT, content_type=None)

    @classmethod
    def redirect(cls, url: str) -> Answer:
        """302."""
        return cls(HTTPStatus.FOUND, headers={"Location": url}, content_type="text/html")

    @classmethod
    def page(cls, title: str, status: int = 200) -> Answer:
        """A page for people."""
        text = escape(title)
        html = f"<!DOCTYPE html><html><head><title>{text}</title></head><body>{text}</body></html>"
        return cls(status, html.encode(), content_type=HTML)
