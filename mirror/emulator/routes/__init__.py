"""The routes, one file a resource, and the table of all of them."""

from __future__ import annotations

from mirror.emulator.http.routing import RouteTable
from mirror.emulator.routes import (
    account_routes,
    app_routes,
    archives,
    asset_routes,
    content_routes,
    control_routes,
    downloads,
    git_http,
    git_object_routes,
    graphql,
    meta,
    refs,
    release_routes,
    repository_routes,
    uploads,
    web_routes,
)

ROUTE_TABLE = RouteTable(
    [
        account_routes.routes,
        app_routes.routes,
        archives.routes,
        asset_routes.routes,
        content_routes.routes,
        control_routes.routes,
        downloads.routes,
        git_http.routes,
        git_object_routes.routes,
        graphql.routes,
        meta.routes,
        refs.routes,
        release_routes.routes,
        repository_routes.routes,
        uploads.routes,
        web_routes.routes,
    ]
)

ROUTES = ROUTE_TABLE.names
"""Names that faults and records use; `unknown` is a path that is none of them."""
