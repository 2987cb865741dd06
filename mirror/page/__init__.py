"""The status page: what the service and the ledger know, as data and as HTML."""

from __future__ import annotations

from mirror.page.document import Document
from mirror.page.query import EVERYTHING, Query
from mirror.page.render import render
from mirror.page.service_state import HostView, RunningView, ServiceView, TransferView
from mirror.page.view import page_data

__all__ = [
    "EVERYTHING",
    "Document",
    "HostView",
    "Query",
    "RunningView",
    "ServiceView",
    "TransferView",
    "page_data",
    "render",
]
