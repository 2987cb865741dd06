"""What a route answers, before it is sent, and the errors of GitHub's API that it raises."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mirror.emulator.documents.shared import dumps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mirror.emulator.model.content import Content

Item = dict[str, Any]
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


class ApiError(Exception):
    """A request is refused; the handler turns it into GitHub's JSON.

    Attributes:
        status: The HTTP status.
        message: The `message` of the body.
        errors: The `errors` array; `None` leaves the key out.
        headers: Headers to add to the answer.
        documented: Whether the body has a `documentation_url`.
        extra: More keys of the body.
    """

    def __init__(
        self,
        status: int,
        message: str,
        errors: list[Item] | None = None,
        *,
        headers: dict[str, str] | None = None,
        documented: bool = True,
        extra: Item | None = None,
    ) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message
        self.errors = errors
        self.headers = dict(headers or {})
        self.documented = documented
        self.extra = extra or {}


def bad_request(message: str, *, documented: bool = True) -> ApiError:
    """400: the body is not a JSON object, or a header is wrong."""
    return ApiError(HTTPStatus.BAD_REQUEST, message, documented=documented)


def unauthorized(
    message: str = "Requires authentication", headers: dict[str, str] | None = None
) -> ApiError:
    """401: no credential, or a wrong one."""
    return ApiError(HTTPStatus.UNAUTHORIZED, message, headers=headers)


def forbidden(message: str, headers: dict[str, str] | None = None) -> ApiError:
    """403: known, and not allowed."""
    return ApiError(HTTPStatus.FORBIDDEN, message, headers=headers)


def not_found(message: str = "Not Found") -> ApiError:
    """404: it does not exist, or the caller may not know that it does."""
    return ApiError(HTTPStatus.NOT_FOUND, message)


def conflict(message: str) -> ApiError:
    """409: the repository's state does not allow it."""
    return ApiError(HTTPStatus.CONFLICT, message)


def unprocessable(message: str) -> ApiError:
    """422 with its own message and no `errors` array."""
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, message)


def invalid(*errors: Item, message: str = "Validation Failed") -> ApiError:
    """422 with a list of errors."""
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, message, list(errors))


def item(resource: str, code: str, field: str | None = None, message: str | None = None) -> Item:
    """One element of `errors`; GitHub leaves out the keys that do not apply."""
    optional = {"field": field, "message": message}
    return {
        "resource": resource,
        "code": code,
        **{key: value for key, value in optional.items() if value is not None},
    }
