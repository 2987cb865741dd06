"""Every route by name."""

from __future__ import annotations

from dataclasses import replace

from mirror.emulator import (
    routes_apps,
    routes_archives,
    routes_assets,
    routes_control,
    routes_git,
    routes_objects,
    routes_push,
    routes_releases,
    routes_repositories,
    routes_storage,
)
from mirror.emulator.routing import ROUTERS, UNKNOWN, Route

MODULES = (
    routes_apps,
    routes_archives,
    routes_assets,
    routes_control,
    routes_git,
    routes_objects,
    routes_push,
    routes_releases,
    routes_repositories,
    routes_storage,
)
"""The modules whose import registers the routes."""

OCTETS = "application/octet-stream"


_asset = ROUTERS["api"].find("GET", ["repos", "o", "r", "releases", "assets", "1"])
DOWNLOAD = replace(_asset[0], name="download-asset") if _asset else None

ROUTES: frozenset[str] = frozenset(
    {UNKNOWN, "download-asset"}.union(
        *(router.names for origin, router in ROUTERS.items() if origin != "control")
    )
)
"""Names that faults and records use; `unknown` is a path that is none of them."""


def by_accept(found: Route, accept: str) -> Route:
    """The same address of an asset is two routes: what is known of it, and its bytes."""
    if found.name == "get-asset" and DOWNLOAD is not None and OCTETS in accept:
        return DOWNLOAD
    return found
