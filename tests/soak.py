"""Soak test: runs the service with random faults for minutes or hours and checks for leaks.

Run as ``make soak MINUTES=10``. Prints a line per minute and a verdict. The exit status is 1 if
memory, descriptors, threads, tasks or files grew, a run was missed, or two runs of a mirror overlapped.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

from mirror.emulator import Fault, GitHubState
from support.clock import MachineClock
from support.daemon import WEBHOOK_SECRET, daemon, service
from support.process import run
from support.world import World

if TYPE_CHECKING:
    from mirror.emulator import RequestRecord
    from support.daemon import Daemon

WARM_UP = 15.0
"""Seconds from the first look at all to the first figures: caches fill."""

INTERVAL = 1.0
LONGEST_SESSION = 150.0
"""Seconds: after a lost reply a session looks for 30 s, and tries again, where the same may happen."""

FAULTS = (
    Fault(kind="status", route="list-releases", status=502),
    Fault(kind="reset", route="list-releases"),
    Fault(kind="status", route="list-releases", status=429, headers={"Retry-After": "1"}),
    Fault(kind="broken-json", route="list-releases"),
    Fault(kind="truncate", route="storage-download", at_byte=300),
    Fault(kind="reset-midway", route="storage-download", at_byte=500),
)
HURTING = (
    Fault(kind="lost-reply", route="create-release"),
    Fault(kind="status", route="upload-asset", status=502),
    Fault(kind="corrupt", route="storage-download", at_byte=10),
    Fault(kind="reset-midway", route="upload-asset", at_byte=400),
)


def say(text: str) -> None:
    """Print unbuffered."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@dataclass(slots=True)
class Figures:
    """The process's resources at one moment."""

    memory: int
    descriptors: int
    threads: int
    files: int

    @classmethod
    def of(cls, pid: int, directory: Path) -> Figures:
        status = Path(f"/proc/{pid}/status").read_text()
        facts = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.MULTILINE))
        files = sum(len(found) for _, _, found in os.walk(directory))
        return cls(
            int(facts["VmRSS"]) // 1024,
            len(list(Path(f"/proc/{pid}/fd").iterdir())),
            int(facts["Threads"]),
            files,
        )

    def __str__(self) -> str:
        return (
            f"{self.memory} MiB, {self.descriptors} descriptors,"
            f" {self.threads} threads, {self.files} files"
        )


@dataclass
class Looks:
    """Number of runs per source, and whether two of them overlapped."""

    last: dict[str, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    gaps: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    counting: bool = False

    def note(self, record: RequestRecord) -> None:
        if record.route != "list-releases" or not self.counting:
            return
        now = time.monotonic()
        name = record.path.removeprefix("/repos/").removesuffix("/releases")
        if before := self.last.get(name):
            self.gaps[name] = max(self.gaps[name], now - before)
        self.last[name] = now
        self.counts[name] += 1


class Soak:
    """One soak run."""

    def __init__(self, world: World, mirrors: int, seed: int) -> None:
        self.world = world
        self.names = [f"octo/tool-{number}" for number in range(mirrors)]
        self.dice = random.Random(seed)  # noqa: S311
        self.looks = Looks()
        self.changes = 0
        self.faults = 0
        self.number = 0

    def seed(self) -> None:
        for name in self.names:
            self.world.source.add_repository(name)
            self.world.source.add_release(name, "v0", assets={"a.bin": self._bytes()})
        self.world.source.on_request(self.looks.note)

    def _bytes(self) -> bytes:
        return self.dice.randbytes(self.dice.randrange(1000, 5000))

    async def disturb(self) -> None:
        """Publish, change and delete releases, and inject faults from time to time."""
        while True:
            await asyncio.sleep(0.5)
            self._change()
            if self.dice.random() < 0.1:
                self.world.source.faults.clear()
                self.world.source.faults.add(self.dice.choice(FAULTS))
                self.faults += 1
            if self.dice.random() < 0.05:
                hurting = self.dice.choice(HURTING)
                side = self.world.source if "storage" in hurting.route else self.world.target
                side.faults.clear()
                side.faults.add(hurting)
                self.faults += 1

    def _change(self) -> None:
        """Remove later what was added, so that the totals stay constant."""
        name = self.dice.choice(self.names)
        releases = self.world.source.releases(name)
        self.changes += 1
        if len(releases) > 3:
            oldest = min(releases, key=lambda release: release.id)
            self.world.source.delete_release(name, oldest.tag, delete_tag=True)
            return
        self.number += 1
        self.world.source.add_release(name, f"v{self.number}", assets={"a.bin": self._bytes()})

    async def run(self, running: Daemon, seconds: float) -> int:
        """Run, stop the service, and compare both sides."""
        async with asyncio.TaskGroup() as group:
            disturbing = group.create_task(self.disturb())
            wrong = await self._watch(running, seconds)
            disturbing.cancel()
        self.world.source.faults.clear()
        self.world.target.faults.clear()
        running.signal(signal.SIGTERM)
        if (status := await running.stopped()) not in {0, 143}:  # 143: some work was cancelled
            wrong.append(f"the exit status was {status}")
        await run(self.world, "sync", "--quiet")
        for name in self.names:
            target = f"mirrors/{name.partition('/')[2]}"
            wrong += [f"{name}: {text}" for text in self.world.same(name, target)]
        for text in wrong[:20]:
            say(f"WRONG: {text}")
        say("all is as it was" if not wrong else f"{len(wrong)} things are wrong")
        return 1 if wrong else 0

    async def _watch(self, running: Daemon, seconds: float) -> list[str]:
        pid = running.process.pid
        async with asyncio.timeout(600):
            while (await running.status())["summary"]["never"]:  # noqa: ASYNC110 - another process
                await asyncio.sleep(1)
        await asyncio.sleep(WARM_UP)
        self.looks.counting = True
        first = Figures.of(pid, self.world.ledger)
        say(f"first:    {first}")
        began = time.monotonic()
        every = max(15.0, min(60.0, seconds / 8))
        while (left := began + seconds - time.monotonic()) > 0:
            await asyncio.sleep(min(every, left))
            now = Figures.of(pid, self.world.ledger)
            say(
                f"{time.monotonic() - began:6.0f} s: {now}; {sum(self.looks.counts.values())} looks,"
                f" {self.changes} changes, {self.faults} faults",
            )
        last = Figures.of(pid, self.world.ledger)
        self.looks.counting = False
        return self._verdict(first, last, seconds, running)

    def _verdict(self, first: Figures, last: Figures, seconds: float, running: Daemon) -> list[str]:
        looks = self.looks
        wrong = []
        if last.memory > first.memory * 1.25 + 8:
            wrong.append(f"memory grew from {first.memory} to {last.memory} MiB")
        if last.descriptors > first.descriptors + 16:
            wrong.append(f"descriptors grew from {first.descriptors} to {last.descriptors}")
        if last.threads > first.threads + 4:
            wrong.append(f"threads grew from {first.threads} to {last.threads}")
        if last.files > first.files + len(self.names) // 4:
            wrong.append(f"files grew from {first.files} to {last.files}")
        usual = max(INTERVAL, seconds / statistics.median(looks.counts.values()))
        # A mirror with a long session runs again when that has ended; all others continue meanwhile.
        missed = [name for name, gap in looks.gaps.items() if gap > LONGEST_SESSION + 4 * usual]
        missed += [name for name in self.names if looks.counts[name] < seconds / usual / 4]
        if missed:
            wrong.append(f"{len(missed)} mirrors missed a run, such as {missed[:5]}")
        crashed = [e for e in running.events if "crashed" in str(e["event"])]
        if crashed:
            wrong.append(f"crashed: {crashed[:3]}")
        least, most = min(looks.counts.values()), max(looks.counts.values())
        say(f"last:     {last}")
        say(
            f"{len(self.names)} mirrors, {seconds:.0f} s: each looked at {least} to {most} times;"
            f" every {usual:.1f} s, at most {max(looks.gaps.values()):.1f} s apart"
        )
        return wrong


async def soak(minutes: float, mirrors: int, seed: int) -> int:
    with tempfile.TemporaryDirectory() as directory:
        settings = "\n".join(
            f'[[mirrors]]\nsource = "octo/tool-{n}"\ntarget = "mirrors/tool-{n}"'
            for n in range(mirrors)
        )
        extra = (
            service(f"{INTERVAL:g}s", 'drain_timeout = "20s"')
            + '[defaults]\non_delete = "delete"\n'
        )
        # No hourly rate limit: waiting tests nothing.
        source = GitHubState(kind="github", rate_limit=0)
        clock = MachineClock()
        async with World(
            Path(directory), settings, source=source, extra=extra, clock=clock
        ) as world:
            world.environ["WEBHOOK_SECRET"] = WEBHOOK_SECRET
            one = Soak(world, mirrors, seed)
            one.seed()
            async with daemon(world) as running:
                return await one.run(running, minutes * 60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--mirrors", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    say(f"{given.mirrors} mirrors, {given.minutes:g} minutes, seed {given.seed}")
    sys.exit(asyncio.run(soak(given.minutes, given.mirrors, given.seed)))


if __name__ == "__main__":
    main()
