"""The environment of a row: hosts, files, a sink and configurations."""

from __future__ import annotations

import hashlib
import json
import tempfile
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

from benchmarks.machine import in_memory
from benchmarks.measure import Sample, figures
from benchmarks.stage import certificates as tls
from benchmarks.stage import nginx
from benchmarks.stage.processes import Failed, measured, served

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from benchmarks.network import Network

ENVIRON = {"BENCH_SOURCE_TOKEN": "source-token", "BENCH_TARGET_TOKEN": "target-token"}

MIB = 1 << 20
_BLOCK = 8 * MIB


@dataclass(slots=True)
class Scene:
    """The running servers.

    Attributes:
        api: URLs of ``source``, ``target`` and ``control``.
        bytes_url: ``BYTES_URL/SIZE/NAME`` is a download.
        sink_url: Upload URL; empty if the target itself receives uploads.
        directory: Directory of ledgers and configurations, on disk.
        authority: Certificate authority, with TLS.
        repositories: Number of repositories at the source.
        files: Directory of the assets, each named by its size.
        net: Has the nodes ``source``, ``target`` and ``worker``; ``None`` for loopback.
    """

    api: dict[str, str]
    bytes_url: str
    sink_url: str
    directory: Path
    repositories: int
    files: Path
    authority: Path | None = None
    hashing: bool = True
    net: Network | None = None
    _runs: int = field(default=0)

    def reset(self) -> None:
        """Reset the target. It hashes uploads the first time, and only counts them later."""
        upload = f"{self.sink_url}/{'hash' if self.hashing else 'count'}" if self.sink_url else ""
        request = Request(  # noqa: S310 - loopback
            f"{self.api['control']}/_reset",
            json.dumps({"upload_url": upload}).encode(),
            method="POST",
        )
        with urlopen(request, timeout=10):  # noqa: S310
            pass

    def counts(self) -> dict[str, int]:
        """Requests to source and target since the last reset."""
        with urlopen(f"{self.api['control']}/_counts", timeout=10) as answer:  # noqa: S310
            found: dict[str, int] = json.load(answer)
        return found

    def log(self) -> list[tuple[float, str, str, str]]:
        """Monotonic seconds, host, method and path of each request since the last reset."""
        with urlopen(f"{self.api['control']}/_log", timeout=10) as answer:  # noqa: S310
            return [tuple(entry) for entry in json.load(answer)]

    def publish(self, sizes: Sequence[int]) -> None:
        """Publish a further release in the source's first repository."""
        request = Request(  # noqa: S310 - loopback
            f"{self.api['control']}/_publish", json.dumps(list(sizes)).encode(), method="POST"
        )
        with urlopen(request, timeout=10):  # noqa: S310
            pass

    def inside(self) -> AbstractContextManager[None]:
        """What is started in this block is where the measured program runs."""
        return self.net.inside("worker") if self.net else nullcontext()

    def new_directory(self) -> Path:
        """The ledger directory of one run."""
        self._runs += 1
        made = self.directory / f"run-{self._runs}"
        made.mkdir()
        return made

    def config(
        self,
        ledger: Path,
        mirrors: int | None = None,
        extra: str = "",
        *,
        source: str = "",
        target: str = "",
    ) -> Path:
        """Write a configuration with one mirror per repository.

        Args:
            ledger: The ledger's directory.
            mirrors: Number of mirrors; by default, that of repositories.
            extra: More tables.
            source: Keys of the source's table, instead of those of this scene's.
            target: The same for the target.
        """
        trust = f'ca_file = "{self.authority}"' if self.authority else ""
        trust += "\nallow_plaintext = true" if self.net and not self.authority else ""
        owner = "mirrors" if source else "octo"
        origin = f'upload_origin = "{self.sink_url}"' if self.sink_url else ""
        target = target or f"{self._host('target')}{trust}\n{origin}"
        source = source or f"{self._host('source')}{trust}"
        text = [f"[target]\n{target}", f"[sources.github]\n{source}"]
        text.append(f'[ledger]\ndirectory = "{ledger}"\n{extra}')
        names = [f"r{n:05d}" for n in range(self.repositories if mirrors is None else mirrors)]
        text += [f'[[mirrors]]\nsource = "{owner}/{n}"\ntarget = "mirrors/{n}"' for n in names]
        path = ledger.parent / f"{ledger.name}.toml"
        path.write_text("\n".join(text) + "\n", encoding="ascii")
        return path

    def _host(self, name: str) -> str:
        url, secret = self.api[name], f"env:BENCH_{name.upper()}_TOKEN"
        return f'url = "{url}"\napi_url = "{url}/api/v3"\ntoken = "{secret}"\n'

    def sync(self, *, fast: bool, extra: str = "", profile: str = "", thread: str = "") -> Sample:
        """One complete ``sync`` to an empty target."""
        config = self.config(self.new_directory(), extra=extra)
        self.reset()
        return self.run(config, fast=fast, profile=profile, thread=thread)

    def run(self, config: Path, *, fast: bool, profile: str = "", thread: str = "") -> Sample:
        """One pass with a configuration.

        Args:
            config: The configuration file.
            fast: Use the extra ``fast``.
            profile: Output file for cProfile.
            thread: Name of the thread to profile (default: the event loop's).

        Raises:
            Failed: The pass failed.
        """
        spec = {
            "config": str(config),
            "fast": fast,
            "environ": ENVIRON,
            "profile": profile,
            "thread": thread,
        }
        with self.inside():
            output = measured("benchmarks.subject", spec)
        if output["failed"]:
            raise Failed(f"a pass failed: {output['status']}, {output['problems']}")
        counts = {f"requests_{name}": count for name, count in self.counts().items()}
        return figures({**output, **output["totals"], **counts})


@contextmanager
def scene(
    releases: Sequence[Sequence[int]],
    *,
    repositories: int = 1,
    over_tls: bool = False,
    link: Mapping[str, Any] | None = None,
    sink: Mapping[str, Any] | None = None,
    workers: int = 1,
    net: Network | None = None,
) -> Iterator[Scene]:
    """Start all servers, and stop them at the end of the block.

    Args:
        releases: Asset sizes of each release of every repository.
        repositories: Number of repositories.
        over_tls: Use TLS for every measured connection.
        link: Rate limits of the download server (``rate``, ``connection_rate``); default: nginx.
        sink: Input of an upload sink; default: the target receives uploads.
        workers: Number of nginx processes.
        net: Where the hosts are, as nodes ``source`` and ``target``; by default, on loopback.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        memory = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=in_memory()))
        sizes = sorted({size for release in releases for size in release})
        digests = make_files(Path(memory), sizes)
        issued = tls.make(directory) if over_tls else None
        order = {"directory": memory, **(link or {})}
        if link is None:
            location = nginx.files(Path(memory))
            address = net.address("source") if net else "127.0.0.1"
            with net.inside("source") if net else nullcontext():
                server = nginx.running(location, issued, workers=workers, address=address)
                bytes_url = stack.enter_context(server)
        else:
            bytes_url = stack.enter_context(served("benchmarks.stage.link", order))["url"]
        spec: dict[str, Any] = {
            "repositories": repositories,
            "releases": [list(release) for release in releases],
            "digests": digests,
            "bytes_url": bytes_url,
            **(issued.spec() if issued else {}),
        }
        if net is not None:
            hosts = ("source", "target")
            spec["listen"] = {name: (net.places[name], net.address(name)) for name in hosts}
        api = stack.enter_context(served("benchmarks.stage.api", spec))
        sink_url = ""
        if sink is not None:
            orders = {**sink, **(issued.spec() if issued else {})}
            orders["notify"] = f"{api['control']}/_arrived"
            sink_url = stack.enter_context(served("benchmarks.stage.sink", orders))["url"]
        authority = issued.authority if issued else None
        files = Path(memory)
        yield Scene(api, bytes_url, sink_url, directory, repositories, files, authority, net=net)


def make_files(directory: Path, sizes: Sequence[int]) -> dict[str, str]:
    """Write a file of each size, named by its size, and return their SHA-256.

    The files repeat a block of pseudo-random bytes; nothing on the path compresses them.
    """
    block = hashlib.shake_128(b"release-mirror").digest(_BLOCK)
    digests = {}
    for size in sizes:
        digest = hashlib.sha256()
        with (directory / str(size)).open("wb") as file:
            left = size
            while left:
                piece = block[: min(left, _BLOCK)]
                file.write(piece)
                digest.update(piece)
                left -= len(piece)
        digests[str(size)] = digest.hexdigest()
    return digests
