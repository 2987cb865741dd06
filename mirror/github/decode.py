"""JSON of the REST API to values of the domain: unknown fields are ignored, wrong types are not.

Source: https://docs.github.com/rest/about-the-rest-api/api-versions (fields are added without
a new version) and GitHub's OpenAPI descriptions (which fields are there and which may be null).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mirror.core.domain.release import Asset, Digest, Release, RepoRef, Repository
from mirror.errors import BadAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_LARGEST = 2**63 - 1
_OBJECT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_LAST_YEAR = 9000


class Check(Generic[T]):
    """Reads an answer while it can still be asked for again, and keeps the value.

    Args:
        read: The JSON to a value.
        host: The host's configured name.
    """

    def __init__(self, read: Callable[[object, str], T], host: str) -> None:
        self.value: T
        self._read = read
        self._host = host

    def __call__(self, data: object) -> None:
        """Read; what it raises is the host's error."""
        self.value = self._read(data, self._host)


class Fields:
    """A JSON object whose fields are read with their types.

    Args:
        data: What came; anything but an object is a bad answer.
        what: What it should be (``release``), for the error's sentence.
        host: The host's configured name.
    """

    __slots__ = ("_data", "_host", "_what")

    def __init__(self, data: object, what: str, host: str) -> None:
        self._what = what
        self._host = host
        if not isinstance(data, dict):
            raise self._wrong("", data)
        self._data: dict[str, Any] = data

    def _wrong(self, name: str, value: object) -> BadAnswer:
        where = f"{name!r} of a {self._what}" if name else f"a {self._what}"
        return BadAnswer(
            f"{self._host}: the API's answer has the wrong type {type(value).__name__} as {where}",
            host=self._host,
        )

    def _broken(self, name: str) -> BadAnswer:
        return BadAnswer(
            f"{self._host}: the API's answer has what cannot be as {name!r} of a {self._what}",
            host=self._host,
        )

    def integer(self, name: str) -> int:
        """A number that must be there: an id or a size, hence no negative one."""
        value = self._data.get(name)
        if type(value) is not int:
            raise self._wrong(name, value)
        if not 0 <= value <= _LARGEST:
            raise self._broken(name)
        return value

    def required(self, name: str) -> str:
        """A text that must be there, and that can be sent on: no half of a surrogate pair."""
        value = self._data.get(name)
        if not isinstance(value, str):
            raise self._wrong(name, value)
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise self._broken(name) from None
        return value

    def sha(self, name: str = "sha") -> str:
        """The name of a git object that must be there: it becomes a part of addresses."""
        value = self.required(name)
        if not _OBJECT.fullmatch(value):
            raise self._wrong(name, value)
        return value

    def text(self, name: str, default: str = "") -> str:
        """A text that may be null or absent."""
        value = self._data.get(name)
        if value is None:
            return default
        return value if isinstance(value, str) and value.isascii() else self.required(name)

    def flag(self, name: str) -> bool:
        """A boolean that may be null or absent, which means no."""
        return self._data.get(name) is not None and self.told(name)

    def told(self, name: str) -> bool:
        """A boolean that must be there: too much depends on it to take no word for a no."""
        value = self._data.get(name)
        if not isinstance(value, bool):
            raise self._wrong(name, value)
        return value

    def moment(self, name: str) -> datetime | None:
        """A date that may be null or absent."""
        text = self.text(name)
        try:
            moment = datetime.fromisoformat(text) if text else None
            if moment is None:
                return None
            # Whoever counts from it must not come to the end of the calendar, at either side.
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
            return moment.replace(year=min(moment.year, _LAST_YEAR))
        except (ValueError, OverflowError):
            raise self._wrong(name, text) from None

    def items(self, name: str, read: Callable[[object, str], T]) -> tuple[T, ...]:
        """A list that must be there: an absent one is not an empty one."""
        value = self._data.get(name)
        if not isinstance(value, list):
            raise self._wrong(name, value)
        return tuple(read(item, self._host) for item in value)

    def object(self, name: str) -> Fields:
        """An object that must be there."""
        return Fields(self._data.get(name), f"{self._what}'s {name}", self._host)

    def login(self, name: str) -> str:
        """The ``login`` of a user, who may be gone (null)."""
        return "" if self._data.get(name) is None else self.object(name).text("login")

    def has(self, name: str) -> bool:
        """Whether a field is there."""
        return name in self._data


def asset_of(data: object, host: str) -> Asset:
    """Read a release asset.

    Raises:
        BadAnswer: It is none; the field of the wrong type is named.
    """
    fields = Fields(data, "release asset", host)
    digest = Digest.parse(fields.text("digest"))
    return Asset(
        id=fields.integer("id"),
        name=fields.required("name"),
        size=fields.integer("size"),
        content_type=fields.text("content_type") or "application/octet-stream",
        state=fields.required("state"),
        label=fields.text("label"),
        sha256=digest.sha256 if digest else None,
        updated_at=fields.moment("updated_at"),
        created_at=fields.moment("created_at"),
    )


def release_of(data: object, host: str) -> Release:
    """Read a release with the assets that are embedded in it.

    Raises:
        BadAnswer: It is none; the field of the wrong type is named.
    """
    fields = Fields(data, "release", host)
    return Release(
        id=fields.integer("id"),
        tag=fields.required("tag_name"),
        name=fields.text("name"),
        body=fields.text("body"),
        draft=fields.told("draft"),
        prerelease=fields.told("prerelease"),
        target_commitish=fields.text("target_commitish"),
        created_at=fields.moment("created_at"),
        published_at=fields.moment("published_at"),
        author=fields.login("author"),
        html_url=fields.text("html_url"),
        upload_url=fields.text("upload_url").partition("{")[0],
        immutable=fields.flag("immutable"),
        assets=fields.items("assets", asset_of),
    )


def repository_of(data: object, host: str) -> Repository:
    """Read a repository; whether it is empty is not told there.

    Raises:
        BadAnswer: It is none; the field of the wrong type is named.
    """
    fields = Fields(data, "repository", host)
    try:
        ref = RepoRef.parse(fields.required("full_name"))
    except ValueError as error:
        raise BadAnswer(f"{host}: the API's answer names a repository wrongly: {error}") from None
    return Repository(
        ref=ref,
        id=fields.integer("id"),
        private=fields.flag("private"),
        archived=fields.flag("archived"),
        fork=fields.told("fork"),
        default_branch=fields.text("default_branch"),
        html_url=fields.text("html_url"),
        description=fields.text("description"),
    )


def list_of(what: str, read: Callable[[object, str], T], data: object, host: str) -> list[T]:
    """Read a list of one kind.

    Raises:
        BadAnswer: It is none, or an item of it is wrong.
    """
    if not isinstance(data, list):
        raise BadAnswer(
            f"{host}: the API's answer has the wrong type {type(data).__name__} as a list of {what}",
            host=host,
        )
    return [read(item, host) for item in data]
