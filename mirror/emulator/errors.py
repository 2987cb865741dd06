"""What GitHub answers when it will not do something: status, sentence and list of errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

Item = dict[str, Any]


class ApiError(Exception):
    """A request that is refused; the server turns it into GitHub's JSON.

    Attributes:
        status: The HTTP status.
        message: The `message` of the body.
        errors: The `errors` array; `None` leaves the key out.
        headers: Headers to add to the answer.
        documented: Whether the body names a `documentation_url`.
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
        self.headers = headers or {}
        self.documented = documented
        self.extra = extra or {}


def not_found() -> ApiError:
    """404: it does not exist, or the caller may not know that it does."""
    return ApiError(HTTPStatus.NOT_FOUND, "Not Found")


def bad_request(message: str) -> ApiError:
    """400: the body is no JSON object, or a header is wrong."""
    return ApiError(HTTPStatus.BAD_REQUEST, message)


def forbidden(message: str, **headers: str) -> ApiError:
    """403: known, and not allowed."""
    return ApiError(HTTPStatus.FORBIDDEN, message, headers=headers)


def conflict(message: str) -> ApiError:
    """409: the repository's state does not allow it."""
    return ApiError(HTTPStatus.CONFLICT, message)


def unprocessable(message: str) -> ApiError:
    """422 with a sentence of its own and no `errors` array."""
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, message)


def invalid(*errors: Item) -> ApiError:
    """422 `Validation Failed` with its list of errors."""
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "Validation Failed", list(errors))


def item(resource: str, code: str, field: str | None = None, message: str | None = None) -> Item:
    """One element of `errors`: keys that do not apply are absent, as GitHub leaves them out."""
    made: Item = {"resource": resource, "code": code}
    if field is not None:
        made["field"] = field
    if message is not None:
        made["message"] = message
    return made
