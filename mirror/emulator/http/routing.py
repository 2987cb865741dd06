"""Routes: a method and a path template with a stable name, and the table that finds them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mirror.emulator.http.call import Handler

Origin = Literal["api", "uploads", "storage", "web", "graphql", "control"]
OCTETS = "application/octet-stream"
UNKNOWN = "unknown"
_PARAMETER = re.compile(r"\{(\w+)(\*?)\}")


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a template with a name.

    Attributes:
        origin: Where it is.
        template: `{name}` is one segment, `{name*}` is one or more.
        name: What faults and records call it.
        octets: Its name when the client accepts bytes, if that is another route to GitHub.
    """

    origin: Origin
    method: str
    template: str
    name: str
    handler: Handler
    octets: str = ""

    @property
    def precedence(self) -> list[int]:
        """Sorts a literal segment before a parameter, and the rest of a path last."""
        segments = self.template.split("/")
        return [s.startswith("{") + s.endswith("*}") for s in segments]

    @property
    def pattern(self) -> re.Pattern[str]:
        """What its paths look like, percent-encoded as they are sent."""

        def group(found: re.Match[str]) -> str:
            return rf"(?P<{found[1]}>[^/]{'.*' if found[2] else '+'})"

        return re.compile(_PARAMETER.sub(group, self.template))


class Routes:
    """The routes of one resource, which its handlers join by a decorator."""

    def __init__(self, origin: Origin = "api") -> None:
        self._origin = origin
        self.all: list[Route] = []

    def route(
        self,
        method: str,
        template: str,
        name: str,
        *,
        octets: str = "",
        origin: Origin | None = None,
    ) -> Callable[[Handler], Handler]:
        """Register a handler under a stable name, at the resource's origin or at another."""

        def register(handler: Handler) -> Handler:
            where = origin or self._origin
            self.all.append(Route(where, method, template, name, handler, octets))
            return handler

        return register


class RouteTable:
    """Finds the route of a request.

    Args:
        tables: The routes of every resource.

    Attributes:
        names: What faults and records may call a route.
    """

    def __init__(self, tables: Iterable[Routes]) -> None:
        found = [route for table in tables for route in table.all]
        found.sort(key=lambda route: route.precedence)
        self._routes: dict[tuple[str, str], list[tuple[re.Pattern[str], Route]]] = {}
        for route in found:
            entry = (route.pattern, route)
            self._routes.setdefault((route.origin, route.method), []).append(entry)
        public = [route for route in found if route.origin != "control"]
        self.names = frozenset({UNKNOWN, *(r.name for r in public), *(r.octets for r in public)})
        self.names -= {""}

    def find(
        self, origin: str, method: str, path: str, accept: str = ""
    ) -> tuple[Route, dict[str, str]] | None:
        """The route of a path that is not decoded, with its decoded parameters."""
        method = "GET" if method == "HEAD" else method
        for pattern, route in self._routes.get((origin, method), ()):
            if match := pattern.fullmatch(path):
                other = route.octets if OCTETS in accept else ""
                named = replace(route, name=other) if other else route
                return named, {name: unquote(value) for name, value in match.groupdict().items()}
        return None
