"""One request on its way through its route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from mirror.emulator.documents.shared import dumps
from mirror.emulator.http.answer import Answer, ApiError, not_found
from mirror.emulator.http.permissions import require

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import web

    from mirror.emulator.faults.fault import Fault
    from mirror.emulator.model.accounts import Permission, Token
    from mirror.emulator.model.repository import Repository
    from mirror.emulator.model.request_log import RequestRecord
    from mirror.emulator.model.state import GitHubState

T = TypeVar("T")
Handler = Callable[["Call"], Awaitable[Answer]]
READING = frozenset({"GET", "HEAD"})
DEFAULT_PAGE = 30
LARGEST_PAGE = 100


@dataclass(slots=True)
class Call:
    """One request.

    Attributes:
        route: The name of its route.
        params: The decoded parameters of the path.
        path: The path below the base of its origin, as it was sent.
        origin: `api`, `uploads`, `storage`, `web`, `graphql` or `control`.
        target: The whole path and query as they were sent.
        token: The credential that was presented; `None` until it is known.
        faults: The scripted faults that hit it.
    """

    state: GitHubState
    request: web.BaseRequest
    route: str
    handler: Handler
    params: dict[str, str]
    path: str
    origin: str
    target: str
    record: RequestRecord
    token: Token | None = None
    faults: list[Fault] = field(default_factory=list)

    @property
    def credential(self) -> str:
        """What limits and ETags belong to; empty without a token."""
        return self.token.value if self.token else ""

    def repository(self, need: Permission = "read") -> Repository:
        """The repository of the path, if the caller has the permission.

        Raises:
            ApiError: 404, 401, 403; 301 (307 for a write) if the repository was renamed.
        """
        state, owner, name = self.state, self.params["owner"], self.params["repo"]
        found = state.find(owner, name)
        if found is not None:
            require(state, found, self.token, need)
            return found
        moved = state.repositories.get(state.renamed.get(f"{owner}/{name}".lower(), 0))
        if moved is None:
            raise not_found()
        require(state, moved, self.token, "read")
        rest = "".join(f"/{part}" for part in self.path.split("/")[4:])
        query = f"?{self.record.query}" if self.record.query else ""
        base = state.addresses.uploads if self.origin == "uploads" else state.addresses.api
        url = f"{base}/repositories/{moved.id}{rest}{query}"
        reading = self.request.method in READING
        raise ApiError(
            HTTPStatus.MOVED_PERMANENTLY if reading else HTTPStatus.TEMPORARY_REDIRECT,
            "Moved Permanently",
            headers={"Location": url},
            extra={"url": url},
        )

    def number(self, name: str) -> int:
        """A parameter that is a number; 404 when it is not."""
        value = self.params[name]
        if not (value.isascii() and value.isdigit()):
            raise not_found()
        return int(value)

    def paging(self) -> tuple[int, int]:
        """`page` and `per_page`, within their limits."""

        def positive(name: str, default: int) -> int:
            value = self.request.query.get(name, "")
            return max(int(value), 1) if value.isascii() and value.isdigit() else default

        return positive("page", 1), min(positive("per_page", DEFAULT_PAGE), LARGEST_PAGE)

    def page_of(self, items: list[T], path: str, render: Callable[[T], Any]) -> Answer:
        """The page of a list that is asked for, with its `Link` header unless it is the only one.

        Args:
            items: The whole list.
            path: The list's path from the API's base, in the form that uses numbers.
            render: Gives an item as a document, or as JSON text.
        """
        page, size = self.paging()
        shown = (render(item) for item in items[(page - 1) * size : page * size])
        texts = (made if isinstance(made, str) else dumps(made) for made in shown)
        last = max(1, -(-len(items) // size))
        pages = {"prev": min(page - 1, last)} if page > 1 else {}
        if page < last:
            pages |= {"next": page + 1, "last": last}
        if page > 1:
            pages["first"] = 1
        query = {k: v for k, v in self.request.query.items() if k != "page"}
        url = f"{self.state.addresses.api}{path}"
        links = [
            f'<{url}?{urlencode({**query, "page": number})}>; rel="{rel}"'
            for rel, number in pages.items()
        ]
        headers = {"Link": ", ".join(links)} if links else {}
        return Answer(body=f"[{','.join(texts)}]".encode(), headers=headers)

    def lagging(self, made: Iterable[tuple[int, float]]) -> set[int]:
        """Numbers of the items that a scripted lag still hides, of numbers and times of creation."""
        state = self.state
        return state.faults.hidden(self.route, self.target, list(made), state.clock())
