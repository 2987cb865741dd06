"""Rows 22 and 23: what one, two and four daemons over one database do together.

Each daemon is on a machine of its own: a network namespace with a link. A pass is timed by the
database's rows of the mirrors, which tell when each run began and ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.command import Options, Plan, Row, main
from benchmarks.idle import RELEASES, Idle
from benchmarks.machine import python
from benchmarks.measure import Contender, Line, Sample, at_least, at_most, plain
from benchmarks.network import PAYLOAD, Link, network
from benchmarks.stage.postgres import PostgresServer
from benchmarks.stage.processes import ENDS_WITH_US, Failed, timed
from benchmarks.stage.scene import ENVIRON, MIB, scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.measure import Round
    from benchmarks.network import Network
    from benchmarks.stage.scene import Scene

WORKERS = (1, 2, 4)
RATE = 2_000_000
"""Bytes a second of each machine's link, each way."""

SIZE = MIB
MIRRORS = 160
IDLE_MIRRORS = 10_000
ROUND_TRIP = 0.05
"""Seconds in which the source answers."""

AT_ONCE = 4
"""Mirrors at once in each daemon's idle pass: two cores have to be enough for everything."""

EDGE = 2.0
"""Seconds at both ends of a first sync that are left out: not all links are busy then."""

LONGEST = 600.0
_DAEMON = '[daemon]\ninterval = "12h"\njitter = "0s"\nlisten = ""\n[log]\nformat = "json"\n'


@dataclass(eq=False)
class Daemon:
    """A running daemon."""

    process: subprocess.Popen[bytes]
    log: Path

    def logged(self, event: str) -> bool:
        """Whether it logged an event."""
        return f'"event": "{event}"'.encode() in self.log.read_bytes()

    def cpu(self) -> float:
        """Seconds of CPU time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Cluster:
    """Daemons on machines of their own, and their database."""

    def __init__(self, here: Scene, net: Network, server: PostgresServer) -> None:
        self._here = here
        self._net = net
        self._server = server
        self.url = ""

    def new_database(self) -> None:
        """Forget the former database, and use a new one."""
        self.url = self._server.new_database()

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Read from the database."""
        with self._server.connected(self.url) as connection:
            return connection.execute(statement.encode(), values).fetchall()

    @contextmanager
    def daemons(self, config: Path, number: int) -> Iterator[list[Daemon]]:
        """Run so many; each takes part when the block begins."""
        found: list[Daemon] = []
        address = self._net.address("database")
        url = f"postgresql://postgres@{address}/{self.url.partition('@/')[2].partition('?')[0]}"
        try:
            for n in range(number):
                home = self._here.new_directory()
                environ = {
                    **os.environ,
                    **ENVIRON,
                    "BENCH_LEDGER": url,
                    "STATE_DIRECTORY": str(home),
                    "RUNTIME_DIRECTORY": str(home),
                }
                log = home / "log"
                command = [*ENDS_WITH_US, python(), "-m", "mirror", "--config", str(config)]
                with log.open("wb") as output, self._net.inside(f"w{n}"):
                    process = subprocess.Popen(
                        [*command, "daemon"],
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        env=environ,
                    )
                found.append(Daemon(process, log))
            yield found
        finally:
            for daemon in found:
                daemon.process.terminate()
            for daemon in found:
                daemon.process.wait(90)


def until(done: Callable[[], bool], daemons: Sequence[Daemon]) -> None:
    """Wait for something.

    Raises:
        Failed: It took too long, or a daemon ended.
    """
    end = time.monotonic() + LONGEST
    while not done():
        ended = [daemon for daemon in daemons if daemon.process.poll() is not None]
        if ended or time.monotonic() > end:
            text = (ended or daemons)[0].log.read_text()[-1500:]
            raise Failed(f"a daemon {'ended' if ended else 'did not finish'}: {text}")
        time.sleep(0.2)


@contextmanager
def cluster(source: Link, worker: Link, releases: Any, repositories: int) -> Iterator[Any]:
    """The hosts, a database and four machines; the scene and the cluster."""
    machines = {f"w{n}": worker for n in range(max(WORKERS))}
    links = {"source": source, "target": Link(), "database": Link(), "worker": Link(), **machines}
    with network(links) as net, ExitStack() as stack:
        here = stack.enter_context(scene(releases, repositories=repositories, net=net))
        here.directory.chmod(0o755)
        address = net.address("database")
        options = f"-c listen_addresses={address} -c track_counts=on"
        server = PostgresServer(here.directory / "pg", options=options)
        server.create()
        with (server.directory / "data/pg_hba.conf").open("a") as file:
            file.write("host all all samenet trust\n")
        with net.inside("database"):
            server.start()
        stack.callback(server.stop)
        yield here, Cluster(here, net, server)


def over_database(config: Path, extra: str) -> Path:
    """The same configuration with the ledger in the database."""
    lines = config.read_text(encoding="ascii").splitlines()
    lines = [
        'url = "env:BENCH_LEDGER"' if line.startswith("directory =") else line for line in lines
    ]
    made = config.with_suffix(".cluster.toml")
    made.write_text("\n".join(lines) + "\n" + extra, encoding="ascii")
    return made


_RUNS = "SELECT extract(epoch FROM ended_at)::float8 FROM mirrors WHERE ended_at > to_timestamp(%s)"


def first_sync(here: Scene, daemons: Cluster, number: int, mirrors: int) -> Sample:
    """Mirrors a second while all links are busy."""
    daemons.new_database()
    here.reset()
    config = here.config(here.new_directory(), extra=f"[sync]\ntransfers = 2\n{_DAEMON}")
    with daemons.daemons(over_database(config, ""), number) as running:
        until(lambda: all(one.logged("cluster.joined") for one in running), running)
        began = time.time() + EDGE
        until(lambda: len(daemons.query(_RUNS, 0.0)) >= mirrors, running)
        ends = sorted(at for (at,) in daemons.query(_RUNS, 0.0))
    last = ends[-1] - EDGE
    seen = sum(began <= at <= last for at in ends)
    if here.counts()["target"] < mirrors or last <= began:
        raise Failed(f"{len(ends)} of {mirrors} mirrors were synced, too fast to be timed")
    return {"seconds": last - began, "rate": seen / (last - began), "seen": float(seen)}


@contextmanager
def stage(options: Options) -> Iterator[Plan]:
    """160 mirrors with one asset of 1 MiB; each machine's link has 2 MB/s."""
    mirrors = 40 if options.quick else MIRRORS
    with cluster(Link(), Link(rate=RATE), [[SIZE]], mirrors) as (here, daemons):
        contenders = [
            Contender(str(n), lambda n=n: first_sync(here, daemons, n, mirrors))  # type: ignore[misc]
            for n in WORKERS
        ]

        def times(number: int) -> Callable[[Round], float]:
            return lambda found: found[str(number)]["rate"] / found["1"]["rate"] / number

        of_link = RATE * PAYLOAD / SIZE
        lines = [
            Line("two daemons / twice one", times(2), at_least(0.9)),
            Line("four daemons / four times one", times(4), at_least(0.9)),
            Line("one daemon / its link", plain("1", "rate", 1 / of_link)),
            Line("mirrors a second of four", plain("4", "rate")),
        ]
        yield Plan(contenders, lines)


def idle_pass(daemons: Cluster, config: Path, number: int, mirrors: int) -> Sample:
    """A pass that SIGUSR1 at one of them starts for all; nothing has changed."""
    with daemons.daemons(config, number) as running:
        until(lambda: all(one.logged("cluster.joined") for one in running), running)
        until(lambda: not daemons.query(_DUE), running)
        time.sleep(3)
        before, cpu = _transactions(daemons), sum(one.cpu() for one in running)
        began = time.time()
        running[0].process.send_signal(signal.SIGUSR1)
        until(lambda: daemons.query(_ENDED, began)[0][0] >= mirrors, running)
        cpu = sum(one.cpu() for one in running) - cpu
        time.sleep(1.5)  # statistics are told once a second
        statements = _transactions(daemons) - before
        ends = [at for (at,) in daemons.query(_RUNS, began)]
    return {
        "seconds": max(ends) - began,
        "rate": mirrors / (max(ends) - began),
        "cpu": cpu / mirrors,
        "statements": statements / mirrors,
    }


_DUE = "SELECT 1 FROM mirrors WHERE next_due <= now() OR owner IS NOT NULL LIMIT 1"
_ENDED = "SELECT count(*) FROM mirrors WHERE ended_at > to_timestamp(%s)"
_TRANSACTIONS = (
    "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
)


def _transactions(daemons: Cluster) -> float:
    return float(daemons.query(_TRANSACTIONS)[0][0])


def idle_alone(here: Scene, daemons: Cluster, config: Path, mirrors: int) -> Sample:
    """The same pass of one daemon with a ledger of files."""
    with daemons.daemons(config, 1) as (one,):
        until(lambda: one.logged("service.started"), [one])
        time.sleep(3)
        here.reset()
        cpu, began = one.cpu(), time.monotonic()
        one.process.send_signal(signal.SIGUSR1)
        until(lambda: here.counts()["source"] >= mirrors, [one])
        time.sleep(1)
        return {"seconds": time.monotonic() - began - 1, "cpu": (one.cpu() - cpu) / mirrors}


@contextmanager
def stage_idle(options: Options) -> Iterator[Plan]:
    """10,000 mirrors that were synced; the source answers in 50 ms."""
    mirrors = 500 if options.quick else IDLE_MIRRORS
    source = Link(round_trip=ROUND_TRIP)
    with cluster(source, Link(), RELEASES, mirrors) as (here, daemons):
        files = Idle(here).ledger(mirrors)
        extra = f"[sync]\nrepositories = {AT_ONCE}\n{_DAEMON}"
        alone = files.with_suffix(".alone.toml")
        alone.write_text(files.read_text(encoding="ascii") + extra, encoding="ascii")
        shared = over_database(files, extra)
        daemons.new_database()
        copy = [python(), "-m", "mirror", "ledger", "copy", str(files.with_suffix(""))]
        timed([*copy, "env:BENCH_LEDGER"], {"BENCH_LEDGER": daemons.url})
        contenders = [
            *(
                Contender(str(n), lambda n=n: idle_pass(daemons, shared, n, mirrors))  # type: ignore[misc]
                for n in WORKERS
            ),
            Contender("files", lambda: idle_alone(here, daemons, alone, mirrors)),
        ]

        def times(number: int) -> Callable[[Round], float]:
            return lambda found: found[str(number)]["rate"] / found["1"]["rate"] / number

        lines = [
            Line("two daemons / twice one", times(2), at_least(0.9)),
            Line("four daemons / four times one", times(4), at_least(0.9)),
            Line("statements a mirror, four daemons", plain("4", "statements"), at_most(3)),
            Line("CPU a mirror / with files", _ratio_of_cpu, at_most(3)),
            Line("mirrors a second of four", plain("4", "rate")),
            Line("CPU a mirror", plain("4", "cpu", 1000), unit="ms"),
            Line("CPU a mirror with files", plain("files", "cpu", 1000), unit="ms"),
        ]
        yield Plan(contenders, lines)


def _ratio_of_cpu(found: Round) -> float:
    return found["4"]["cpu"] / found["files"]["cpu"]


ROW = Row("22", "first sync by 1, 2 and 4 daemons", "cluster", stage, ("nginx",), warm_up=False)
IDLE = Row(
    "23", "idle pass by 1, 2 and 4 daemons", "cluster_idle", stage_idle, ("nginx",), warm_up=False
)

if __name__ == "__main__":
    main(ROW)
