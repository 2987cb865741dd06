"""Rounds of torture: something is killed, stopped, cut off or restarted while releases arrive."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cluster_torture.observer import Takeover, overlapping, second_writers, takeovers
from cluster_torture.oracle import Compared, compare

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Sequence

    from cluster_torture.cluster import Cluster, Worker

SIZES = (1, 60_000, 400_000)
"""Bytes of a release's assets."""

AMID_UPLOADS = 250
"""How often to look for an upload under way, each 20 ms, before a worker is hurt."""

UPLOAD_RATE = 400_000
"""Bytes a second at which the target reads an upload."""

BACKLOG = 8
"""Releases that are not mirrored yet, at each round: there is always something to interrupt."""

LONGEST_TAKEOVER = 60.0
"""Seconds from a kill until another worker has the mirror, with claims as users have them."""


@dataclass(eq=False)
class Torture:
    """One torture of a cluster.

    Attributes:
        counts: Rounds, by what was done.
        lost: When which process was killed, or could not renew its claims any more.
        amid_uploads: Rounds that hit a worker while it uploaded something.
        began: When, monotonic.
    """

    cluster: Cluster
    dice: random.Random
    pause: tuple[float, float] = (0.3, 3.0)
    counts: Counter[str] = field(default_factory=Counter)
    lost: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    amid_uploads: int = 0
    _database: asyncio.Lock = field(default_factory=asyncio.Lock)
    began: float = field(default_factory=time.monotonic)

    async def run(self, kinds: Sequence[str], on_round: Callable[[int, str], None]) -> None:
        """Do these things one after the other, each while others last; then heal everything."""
        async with asyncio.TaskGroup() as group:
            for number, kind in enumerate(kinds, 1):
                await self._publish()
                await asyncio.sleep(self.dice.uniform(*self.pause))
                hurt = _KINDS[kind]
                worker = None
                if kind in _DATABASE:
                    await self._database.acquire()
                else:
                    worker = await self._free_worker()
                    worker.busy = True
                    await self._amid_uploads(worker)
                self.counts[kind] += 1
                on_round(number, f"{kind} {worker.name if worker else ''}")
                group.create_task(self._hurt(hurt, worker))

    async def _hurt(
        self, hurt: Callable[[Torture, Worker], Awaitable[None]], worker: Worker | None
    ) -> None:
        try:
            await hurt(self, worker)  # type: ignore[arg-type]  # those of the database take none
        finally:
            if worker:
                worker.busy = False
            else:
                self._database.release()

    async def _publish(self) -> None:
        """See that there is something to do."""
        missing = len(await self.cluster.missing())
        for _ in range(max(0, BACKLOG - missing)):
            name = self.dice.choice(self.cluster.names)
            await self.cluster.publish(name, SIZES)

    async def _free_worker(self) -> Worker:
        """One that nothing happens to; at least one other is left alone."""
        while True:
            free = [worker for worker in self.cluster.workers if not worker.busy]
            if len(free) > 1 or (free and len(self.cluster.workers) == 1):
                return self.dice.choice(free)
            await asyncio.sleep(0.1)

    async def _amid_uploads(self, worker: Worker) -> None:
        """Wait a moment for an upload of it to be under way."""
        for _ in range(AMID_UPLOADS):
            if f"{worker.name}-{worker.started}" in await self.cluster.target.ask(uploading=1):
                self.amid_uploads += 1
                return
            await asyncio.sleep(0.02)

    def lose(self, worker: Worker) -> None:
        """Note that a worker cannot renew its claims from now on."""
        self.lost[f"{worker.name}-{worker.started}"].append(time.time())

    def waited(self, taken: Takeover) -> float:
        """Seconds from a loss until another worker had the mirror."""
        losses = [at for at in self.lost[taken.before] if at < taken.at]
        return taken.at - losses[-1] if losses else 0.0

    @property
    def past_claim(self) -> float:
        """Seconds, longer than a claim is valid."""
        return self.cluster.times.lease * self.dice.uniform(1.05, 1.4)


async def _kill(torture: Torture, worker: Worker) -> None:
    assert worker.process
    torture.lose(worker)
    worker.signal(signal.SIGKILL)
    await worker.process.wait()
    await asyncio.sleep(torture.dice.choice((0.0, 1.0, torture.past_claim)))
    await torture.cluster.start(worker)
    await torture.cluster.joined(worker)


async def _drain(torture: Torture, worker: Worker) -> None:
    assert worker.process
    worker.signal(signal.SIGTERM)
    status = await worker.process.wait()
    assert status == 0, worker.logs[-1].read_text()[-3000:]
    await torture.cluster.start(worker)
    await torture.cluster.joined(worker)


async def _stop(torture: Torture, worker: Worker) -> None:
    torture.lose(worker)
    worker.signal(signal.SIGSTOP)
    await asyncio.sleep(torture.past_claim)
    worker.signal(signal.SIGCONT)
    await asyncio.sleep(1)


async def _blink(torture: Torture, worker: Worker) -> None:
    torture.lose(worker)
    worker.signal(signal.SIGSTOP)
    await asyncio.sleep(torture.cluster.times.lease * torture.dice.uniform(0.05, 0.9))
    worker.signal(signal.SIGCONT)
    await asyncio.sleep(1)


async def _lose_database(torture: Torture, worker: Worker) -> None:
    torture.lose(worker)
    torture.cluster.cut_database(worker, "reset")
    await asyncio.sleep(torture.dice.choice((0.1, 3.0, torture.past_claim)))
    torture.cluster.mend_database(worker)


async def _hang_database(torture: Torture, worker: Worker) -> None:
    torture.lose(worker)
    torture.cluster.cut_database(worker, "hang")
    await asyncio.sleep(torture.dice.choice((2.0, torture.past_claim)))
    torture.cluster.mend_database(worker)


async def _lose_hosts(torture: Torture, worker: Worker) -> None:
    cluster = torture.cluster
    hosts = torture.dice.choice(
        ([cluster.source], [cluster.target], [cluster.source, cluster.target])
    )
    for one in hosts:
        await cluster.cut_host(one, worker, "reset")
    await asyncio.sleep(torture.dice.choice((0.0, 2.0)))
    for one in hosts:
        await cluster.mend_host(one, worker)


async def _unplug(torture: Torture, worker: Worker) -> None:
    """Pull the cable for longer than a claim; what was on its way arrives afterwards."""
    cluster = torture.cluster
    torture.lose(worker)
    cluster.cut_database(worker, "hang")
    for one in (cluster.source, cluster.target):
        await cluster.cut_host(one, worker, "hang")
    await asyncio.sleep(torture.past_claim)
    cluster.mend_database(worker)
    for one in (cluster.source, cluster.target):
        await cluster.mend_host(one, worker)


async def _link_down(torture: Torture, worker: Worker) -> None:
    """Pull the cable of a machine in a network of its own for longer than a claim."""
    torture.lose(worker)
    torture.cluster.set_link(worker, "down")
    await asyncio.sleep(torture.past_claim)
    torture.cluster.set_link(worker, "up")


async def _restart(torture: Torture, _: object) -> None:
    await torture.cluster.databases.restart("fast")


async def _crash(torture: Torture, _: object) -> None:
    await torture.cluster.databases.restart("immediate")


async def _fail_over(torture: Torture, _: object) -> None:
    await torture.cluster.databases.fail_over()


KILL, STOP, LINK_DOWN = "kill -9", "SIGSTOP past the claim", "link down past the claim"
_KINDS: dict[str, Any] = {
    LINK_DOWN: _link_down,
    KILL: _kill,
    "SIGTERM": _drain,
    STOP: _stop,
    "SIGSTOP within the claim": _blink,
    "database cut": _lose_database,
    "database hangs": _hang_database,
    "hosts cut": _lose_hosts,
    "unplugged past the claim": _unplug,
    "database restarts": _restart,
    "database crashes": _crash,
    "database fails over": _fail_over,
}
_DATABASE = {"database restarts", "database crashes", "database fails over"}
KINDS = tuple(kind for kind in _KINDS if kind != LINK_DOWN)
"""What can be done on loopback."""

_WEIGHTS = {KILL: 5, STOP: 3, "unplugged past the claim": 3}


def drawn(number: int, dice: random.Random) -> list[str]:
    """What to do in so many rounds: everything at least once, if there are enough."""
    if number <= len(KINDS):
        return dice.sample(KINDS, number)
    more = dice.choices(KINDS, [_WEIGHTS.get(kind, 2) for kind in KINDS], k=number - len(KINDS))
    kinds = [*KINDS, *more]
    dice.shuffle(kinds)
    return kinds


@dataclass
class Outcome:
    """What came of a torture, and what is wrong."""

    counts: Counter[str]
    amid_uploads: int
    seconds: float
    compared: Compared
    writes: int
    uploads: int
    taken_over: int
    slowest_takeover: float
    overlaps: int
    failovers: int
    wrong: list[str]

    def lines(self) -> list[str]:
        """A table."""
        assets, size = self.compared.assets, self.compared.bytes / 1e6
        return [
            *(f"{kind:<28}{count:>6}" for kind, count in sorted(self.counts.items())),
            f"{'rounds':<28}{self.counts.total():>6}   in {self.seconds:.0f} s",
            f"hit a worker while it uploaded: {self.amid_uploads}",
            f"claims taken over: {self.taken_over}; at most {self.slowest_takeover:.1f} s after the loss",
            f"changes at the target: {self.writes}; while another process's was under way: {self.overlaps}",
            f"read back and compared: {self.compared.releases} releases, {assets} assets, {size:.1f} MB",
            f"uploads that were finished: {self.uploads}, {self.uploads - assets} more than needed",
            f"wrong: {len(self.wrong)}",
            *self.wrong,
        ]


async def judge(torture: Torture) -> Outcome:
    """Let everything arrive, stop the workers, make a clean pass, and compare."""
    cluster = torture.cluster
    wrong = []
    settle = 3 * cluster.times.lease + 60
    if late := await cluster.arrived(settle):
        wrong.append(f"not published after {settle:.0f} s: {late}")
    statuses = await cluster.stop_all()
    wrong += [f"{name} ended with {status}" for name, status in statuses.items() if status]
    for worker in cluster.workers:
        wrong += [f"{worker.name} printed: {line}" for line in worker.strays()]
        wrong += [
            f"{worker.name} logged {event}"
            for event in worker.events()
            if "exception" in event or event["event"].endswith("crashed")
        ]
    if left := cluster.databases.query(_LEFT):
        wrong.append(f"claims are left: {left}")
    wrong += await _clean_passes(cluster)
    with cluster.inside("target"):
        compared = await compare(cluster)
    writes, claims = cluster.target.journal(), cluster.claims()
    ours = [write for write in writes if write.worker]
    taken = takeovers(claims)
    waits = [torture.waited(one) for one in taken]
    wrong += compared.wrong + second_writers(ours, claims)
    wrong += await cluster.target.ask(violations=1)
    uploads = sum(write.route == "upload-asset" and write.effective for write in writes)
    return Outcome(
        torture.counts,
        torture.amid_uploads,
        time.monotonic() - torture.began,
        compared,
        len(writes),
        uploads,
        len(taken),
        max(waits, default=0.0),
        len(overlapping(ours)),
        cluster.databases.failovers,
        wrong,
    )


_LEFT = "SELECT key, owner FROM mirrors WHERE owner IS NOT NULL"


async def _clean_passes(cluster: Cluster) -> list[str]:
    """What is wrong with a pass after it all, and with the one after that, which finds nothing to do."""
    wrong = []
    status, out, err = await cluster.run("sync", "--full", "--json")
    if status:
        wrong.append(f"the clean pass ended with {status}: {out[-2000:]} {err[-2000:]}")
    elif (made := json.loads(out)["totals"])["assets_uploaded"] or made["releases_created"]:
        wrong.append(f"the clean pass still had something to do: {made}")
    before = len(cluster.target.journal())
    status, out, err = await cluster.run("sync", "--json")
    if status or json.loads(out)["status"] != "unchanged":
        wrong.append(f"the idle pass ended with {status}: {out[-2000:]} {err[-2000:]}")
    if (after := len(cluster.target.journal())) != before:
        wrong.append(f"the idle pass changed something: {after - before} requests")
    return wrong
