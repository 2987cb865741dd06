"""Routes: a template, a method, a stable name; and the call that a route answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlencode

from mirror.emulator.access import require
from mirror.emulator.documents import dumps
from mirror.emulator.errors import ApiError, bad_request, not_found
from mirror.emulator.flow import whole

if TYPE_CHECKING:
    from aiohttp import web

    from mirror.emulator.content import Content
    from mirror.emulator.faults import Fault
    from mirror.emulator.model import Permission, Release, Repository, Token
    from mirror.emulator.requestlog import RequestRecord
    from mirror.emulator.state import GitHubState

T = TypeVar("T")

JSON = "application/json; charset=utf-8"
UNKNOWN = "unknown"
DEFAULT_PAGE = 30
LARGEST_PAGE = 100
READING = frozenset({"GET", "HEAD"})


@dataclass(slots=True)
class Answer:
    """What a route answers; the server sends it.

    Attributes:
        digest: The digest of the body, when it is known already.
        content: Bytes to stream instead of `body`, from `start` to `stop`.
        stream: Bytes of unknown length to stream instead.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str | None = JSON
    digest: str = ""
    content: Content | None = None
    start: int = 0
    stop: int = 0
    stream: Iterator[bytes] | None = None

    @classmethod
    def json(cls, document: Any, status: int = 200, **headers: str) -> Answer:
        """A JSON document."""
        return cls(status, dumps(document).encode(), headers)

    @classmethod
    def nothing(cls) -> Answer:
        """204."""
        return cls(HTTPStatus.NO_CONTENT, content_type=None)

    @classmethod
    def page(cls, html: str, status: int = 200) -> Answer:
        """A page for people."""
        return cls(status, html.encode(), content_type="text/html; charset=utf-8")


def digest_of(body: bytes) -> str:
    """What an ETag is made of."""
    return hashlib.blake2b(body, digest_size=16).hexdigest()


Handler = Callable[["Call"], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a template with a name."""

    method: str
    template: str
    name: str
    origin: str
    handler: Handler


@dataclass(slots=True)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    one: tuple[str, _Node] | None = None
    rest: tuple[str, _Node] | None = None
    routes: dict[str, Route] = field(default_factory=dict)


class Router:
    """Finds the route of a path; a literal segment comes before a parameter."""

    def __init__(self) -> None:
        self._root = _Node()
        self.names: set[str] = set()

    def add(self, route: Route) -> None:
        """Add a route; `{name}` is one segment, `{name*}` at the end is the rest."""
        node = self._root
        for segment in route.template.strip("/").split("/"):
            if segment.endswith("*}"):
                node.rest = node.rest or (segment[1:-2], _Node())
                node = node.rest[1]
            elif segment.startswith("{"):
                node.one = node.one or (segment[1:-1], _Node())
                if node.one[0] != segment[1:-1]:
                    raise ValueError(f"{route.template}: {segment} is {node.one[0]} elsewhere")
                node = node.one[1]
            else:
                node = node.literals.setdefault(segment, _Node())
        node.routes[route.method] = route
        self.names.add(route.name)

    def find(self, method: str, segments: list[str]) -> tuple[Route, dict[str, str]] | None:
        """The route of a path that was split but not decoded, with its decoded parameters."""
        found = self._find(self._root, method, segments, 0)
        if found is None:
            return None
        return found[0], {name: unquote(value) for name, value in found[1].items()}

    def _find(
        self, node: _Node, method: str, segments: list[str], at: int
    ) -> tuple[Route, dict[str, str]] | None:
        if at == len(segments):
            route = node.routes.get(method)
            return (route, {}) if route else None
        literal = node.literals.get(segments[at])
        found = self._find(literal, method, segments, at + 1) if literal else None
        if found is None and node.one is not None and segments[at]:
            found = self._find(node.one[1], method, segments, at + 1)
            if found is not None:
                found[1][node.one[0]] = segments[at]
        if found is None and node.rest is not None and segments[at]:
            route = node.rest[1].routes.get(method)
            if route is not None:
                return route, {node.rest[0]: "/".join(segments[at:])}
        return found


ROUTERS = {origin: Router() for origin in ("api", "uploads", "storage", "web", "control")}


def route(
    method: str, template: str, name: str, *, origin: str = "api"
) -> Callable[[Handler], Handler]:
    """Register a handler under a stable name."""

    def register(handler: Handler) -> Handler:
        ROUTERS[origin].add(Route(method, template, name, origin, handler))
        return handler

    return register


class Moved(ApiError):
    """The repository has another name: 301 to its number, 307 for a write."""

    def __init__(self, method: str, url: str) -> None:
        reading = method in READING
        status = HTTPStatus.MOVED_PERMANENTLY if reading else HTTPStatus.TEMPORARY_REDIRECT
        super().__init__(status, "Moved Permanently", headers={"Location": url}, extra={"url": url})


@dataclass(slots=True)
class Call:
    """One request on its way through a route."""

    state: GitHubState
    request: web.BaseRequest
    route: Route
    params: dict[str, str]
    segments: list[str]
    origin: str
    target: str
    record: RequestRecord
    token: Token | None = None
    faults: list[Fault] = field(default_factory=list)

    @property
    def credential(self) -> str:
        """What limits and ETags belong to; empty for nobody."""
        return self.token.value if self.token else ""

    def repository(self, need: Permission = "read") -> Repository:
        """The repository of the path, when the caller may do what the route does.

        Raises:
            ApiError: 404, 401, 403; 301 or 307 when the repository has another name now.
        """
        state = self.state
        name = f"{self.params['owner']}/{self.params['repo']}".lower()
        number = state.names.get(name)
        if number is not None:
            found = state.repositories[number]
            require(state, found, self.token, need)
            return found
        moved = state.repositories.get(state.renamed.get(name, 0))
        if moved is None:
            raise not_found()
        require(state, moved, self.token, "read")
        rest = "/".join(["", *self.segments[3:]])
        query = f"?{self.record.query}" if self.record.query else ""
        base = state.addresses.uploads if self.origin == "uploads" else state.addresses.api
        raise Moved(self.request.method, f"{base}/repositories/{moved.id}{rest}{query}")

    def number(self, name: str) -> int:
        """A parameter that is a number; 404 when it is none."""
        value = self.params[name]
        if not (value.isascii() and value.isdigit()):
            raise not_found()
        return int(value)

    def release(self, repository: Repository, *, drafts: bool) -> Release:
        """The release of the path; a draft only for those who may push."""
        found = repository.releases.get(self.number("release_id"))
        if found is None or (found.draft and not drafts):
            raise not_found()
        return found

    def paging(self) -> tuple[int, int]:
        """`page` and `per_page`, brought into their limits."""

        def positive(name: str, default: int) -> int:
            value = self.request.query.get(name, "")
            return max(int(value), 1) if value.isascii() and value.isdigit() else default

        return positive("page", 1), min(positive("per_page", DEFAULT_PAGE), LARGEST_PAGE)

    def links(self, path: str, count: int) -> dict[str, str]:
        """The `Link` header of a list of `count` items; none when it fits one page.

        Args:
            path: The list's path from the API's base, in the form that uses numbers.
            count: Items in the whole list.
        """
        page, size = self.paging()
        last = max(1, -(-count // size))
        if last == 1 and page == 1:
            return {}
        query = {k: v for k, v in self.request.query.items() if k != "page"}

        def link(number: int, rel: str) -> str:
            asked = urlencode({**query, "page": number})
            return f'<{self.state.addresses.api}{path}?{asked}>; rel="{rel}"'

        made = []
        if page > 1:
            made.append(link(min(page - 1, last), "prev"))
        if page < last:
            made += [link(page + 1, "next"), link(last, "last")]
        if page > 1:
            made.append(link(1, "first"))
        return {"Link": ", ".join(made)}

    def cut(self, items: list[T]) -> list[T]:
        """The items of the page that is asked for."""
        page, size = self.paging()
        return items[(page - 1) * size : page * size]

    def hidden(self, items: list[tuple[int, float]]) -> set[int]:
        """Numbers of items that a scripted lag does not show yet."""
        state = self.state
        return state.faults.hidden(self.route.name, self.target, items, state.clock())

    async def body(self) -> bytes:
        """The whole body of a small request."""
        return await whole(self)

    async def welcome(self) -> None:
        """Tell a client that waits for it to send its body."""
        if self.request.headers.get("Expect", "").lower() == "100-continue":
            writer = self.request.writer
            await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            writer.output_size = 0

    async def document(self) -> dict[str, Any]:
        """The body as a JSON object; an empty one is an empty object.

        Raises:
            ApiError: 400, in GitHub's words.
        """
        data = await self.body()
        if not data:
            return {}
        try:
            made = json.loads(data)
        except ValueError:
            raise bad_request("Problems parsing JSON") from None
        if not isinstance(made, dict):
            raise bad_request("Body should be a JSON object")
        self.record.document = made
        return made
