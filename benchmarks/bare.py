"""The baseline: what anyone would write with aiohttp in ten lines.

Runs as a process: ``python -m benchmarks.bare``. Input:

work: ``idle`` (request each URL with its ETag) or ``copy`` (download each asset into
memory, hash and upload it).
addresses: ``[url, etag]`` each, or ``[url, upload url]`` each.
at_once: requests in flight.
uvloop: use uvloop.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def work_off(spec: dict[str, Any]) -> dict[str, float]:
    """Process all addresses with limited concurrency."""
    began, cpu = time.perf_counter(), time.process_time()
    queue = iter(spec["addresses"])
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        once = {"idle": idle, "copy": copy}[spec["work"]]

        async def worker() -> None:
            for first, second in queue:
                await once(session, first, second)

        async with asyncio.TaskGroup() as group:
            for _ in range(spec["at_once"]):
                group.create_task(worker())
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


async def idle(session: aiohttp.ClientSession, url: str, etag: str) -> None:
    """Send a conditional request."""
    headers = {"If-None-Match": etag, "Authorization": "Bearer t"}
    async with session.get(url, headers=headers) as response:
        if response.status != 304:
            raise AssertionError(response.status)
        await response.read()


async def copy(session: aiohttp.ClientSession, url: str, upload_url: str) -> None:
    """Download, hash and upload one asset."""
    headers = {"Accept": "application/octet-stream", "Authorization": "Bearer t"}
    async with session.get(url, headers=headers) as response:
        content = await response.read()
        if response.status != 200:
            raise AssertionError(response.status)
    hashlib.sha256(content).hexdigest()
    headers = {"Content-Type": "application/octet-stream", "Authorization": "Bearer t"}
    async with session.post(upload_url, data=content, headers=headers) as response:
        await response.read()
        if response.status != 201:
            raise AssertionError(response.status)


def main() -> None:
    """Run the requested work."""
    spec = json.loads(sys.stdin.readline())
    run: Callable[[Awaitable[Any]], Any] = asyncio.run  # type: ignore[assignment]
    if spec.get("uvloop"):
        import uvloop

        run = uvloop.run  # type: ignore[assignment]
    sys.stdout.write(json.dumps(run(work_off(spec))) + "\n")


if __name__ == "__main__":
    main()
