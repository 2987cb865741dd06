"""``aioresponses`` for newer aiohttp versions, whose responses need a stream writer."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

from aiohttp import ClientResponse


class MockedResponse(ClientResponse):
    """The response class for ``aioresponses``.

    Source: https://github.com/pnuckowski/aioresponses/issues/289
    """

    def __init__(self, *args: Any, **facts: Any) -> None:
        facts.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **facts)
