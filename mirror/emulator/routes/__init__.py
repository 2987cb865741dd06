"""The routes, one file a resource, and the table of all of them."""

from __future__ import annotations

from mirror.emulator.http.routing import RouteTable
from mirror.emulator.routes import (
    accounts,
    apps,
    archives,
    assets,
    contents,
    control,
    git_http,
    git_objects,
    meta,
    refs,
    releases,
    repositories,
    storage,
    uploads,
    web,
)

ROUTE_TABLE = RouteTable(
    [
        accounts.routes,
        apps.routes,
        archives.routes,
        archives.storage_routes,
        assets.routes,
        contents.routes,
        control.routes,
        git_http.routes,
        git_objects.routes,
        meta.routes,
        refs.routes,
        releases.routes,
        repositories.routes,
        storage.routes,
        uploads.routes,
        web.routes,
    ]
)

ROUTES = ROUTE_TABLE.names
"""Names that faults and records use; `unknown` is a path that is none of them."""
