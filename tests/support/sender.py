"""A process that sends a host as many requests as the limits of a credential allow, shared with others.

``python -m support.sender SETTINGS``, a JSON object; it works until SIGTERM, then prints how many
statements it sent to the database.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from mirror.cluster.shares import DatabaseLimits
from mirror.core.shared_limits import Rates
from mirror.database.connection import Database
from mirror.errors import MirrorError
from mirror.github import GitHubClient, TokenAuth
from mirror.github.allowance import Allowance
from mirror.github.settings import Limits, Network

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class FastClock:
    """A clock that runs ``factor`` times as fast as the machine's, equal in all processes."""

    began: float
    factor: float

    def timestamp(self) -> float:
        return self.began + (time.time() - self.began) * self.factor

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.timestamp(), UTC)

    def monotonic(self) -> float:
        return time.monotonic() * self.factor

    def boottime(self) -> float:
        return self.monotonic()

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            await asyncio.sleep(seconds / self.factor)


class Settings(msgspec.Struct):
    """Of one sender.

    Attributes:
        readers, writers: Requests at once of each kind.
    """

    name: str
    url: str
    api_url: str
    token: str
    database: str
    points: float
    writes: float
    readers: int
    writers: int
    clock: FastClock


class CountingDatabase(Database):
    """Counts its statements."""

    statements: ClassVar[int] = 0

    async def query(self, *args: Any, **settings: Any) -> Any:
        type(self).statements += 1
        return await super().query(*args, **settings)


async def work(settings: Settings, client: GitHubClient) -> None:
    """Send requests until cancelled."""
    numbers = itertools.count()

    async def forever(send: Callable[[], Any]) -> None:
        while True:
            try:
                await send()
            except MirrorError as error:
                sys.stderr.write(f"{settings.name}: {error}\n")
                await settings.clock.sleep(0.5)
                client.revive()

    async def write() -> None:
        body = {"tag_name": f"{settings.name}-{next(numbers)}", "draft": True}
        await client.post("repos/octo/tool/releases", body)

    async with asyncio.TaskGroup() as group:
        for _ in range(settings.readers):
            group.create_task(forever(lambda: client.get("repos/octo/tool")))
        for _ in range(settings.writers):
            group.create_task(forever(write))


async def main() -> None:
    settings = msgspec.json.decode(sys.argv[1], type=Settings)
    clock = settings.clock
    auth = TokenAuth(lambda: settings.token, host=settings.api_url)
    limits = Limits(points_per_minute=settings.points, writes_per_minute=settings.writes)
    async with CountingDatabase(lambda: settings.database, clock) as database:
        shared = DatabaseLimits(database, clock, settings.name)
        rates = Rates(settings.points, settings.writes)
        share = shared.share(settings.api_url, lambda: auth.fingerprint, rates)
        client = GitHubClient(
            "github",
            settings.url,
            settings.api_url,
            auth,
            clock,
            network=Network(proxy=""),
            limits=limits,
            allowance=Allowance(clock, limits, share),
        )
        async with client, shared.active():
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            with suppress(asyncio.CancelledError):
                async with asyncio.TaskGroup() as group:
                    task = group.create_task(work(settings, client))
                    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    sys.stdout.write(json.dumps({"statements": CountingDatabase.statements}) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
