"""Rows 17 to 19: a bundle that is written, packed, unpacked and imported, against curl, tar and sha256sum."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from shlex import quote
from typing import TYPE_CHECKING

from benchmarks.command import Options, Plan, Row, main
from benchmarks.machine import python
from benchmarks.measure import Contender, Line, Sample, at_least, at_most, plain, ratio
from benchmarks.stage.processes import shell, timed
from benchmarks.stage.scene import MIB, Scene, scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

LARGE = [[1024 * MIB]]
SMALL = [[(16 << 10) + 100 * release + asset for asset in range(100)] for release in range(20)]
"""Each size has its own bytes: a bundle stores equal ones once."""


class Carried:
    """A bundle, its volumes, and the same files in a tar file; all on disk.

    Each contender writes to a directory of its own, which is removed afterwards. Before each, what
    others wrote is synced.
    """

    def __init__(self, here: Scene, releases: Sequence[Sequence[int]]) -> None:
        self._here = here
        self._urls = "".join(
            f'url = "{here.bytes_url}/{size}/asset"\noutput = "{size}"\n'
            for release in releases
            for size in release
        )
        (here.directory / "urls").write_text(self._urls, encoding="ascii")
        self.bundle = here.directory / "bundle"
        self._write(self.bundle)
        self._command("pack", self.bundle, "--output", here.directory / "volume")
        self._prepare_tar()

    def _prepare_tar(self) -> None:
        place = quote(str(self._here.directory))
        shell(f"cd {place} && tar -cf tar -C bundle blobs && sha256sum tar > tar.sum")

    def in_new_directory(self, work: Callable[[Path], Sample]) -> Callable[[], Sample]:
        """The work of a contender."""

        def run() -> Sample:
            directory = self._here.new_directory()
            os.sync()
            try:
                return work(directory)
            finally:
                shutil.rmtree(directory)

        return run

    # --- release-mirror ---------------------------------------------------------------------------

    def _write(self, bundle: Path) -> Sample:
        ledger = self._here.new_directory()
        return self._here.run(self._here.config(ledger, target=f'bundle = "{bundle}"'), fast=True)

    def write(self, directory: Path) -> Sample:
        """``sync`` from the source into a new bundle."""
        return self._write(directory / "bundle")

    def imported(self, _directory: Path) -> Sample:
        """``sync`` from the bundle to an empty target."""
        ledger = self._here.new_directory()
        config = self._here.config(ledger, source=f'bundle = "{self.bundle}"')
        self._here.reset()
        return self._here.run(config, fast=True)

    def pack(self, directory: Path) -> Sample:
        """``bundle pack``, the start of the interpreter included."""
        return self._command("pack", self.bundle, "--output", directory / "volume")

    def unpack(self, directory: Path) -> Sample:
        """``bundle unpack`` into a new directory, the start of the interpreter included."""
        volumes = sorted(self._here.directory.glob("volume.*"))
        return self._command("unpack", *volumes, directory / "bundle")

    def _command(self, *arguments: str | Path) -> Sample:
        nowhere = {"XDG_CONFIG_HOME": str(self._here.directory), "RELEASE_MIRROR_CONFIG": ""}
        command = [python(), "-m", "mirror", "bundle", *map(str, arguments), "--no-progress"]
        return timed(command, nowhere)

    # --- what people use instead ------------------------------------------------------------------

    def curl(self, hasher: str) -> Callable[[Path], Sample]:
        """``curl`` to disk, 8 at once over few connections; then a digest of each file."""
        urls = quote(str(self._here.directory / "urls"))
        download = f"curl -sSf --parallel --parallel-max 8 --config {urls}"
        return lambda directory: shell(f"cd {quote(str(directory))} && {download} && {hasher} *")

    def tar(self, hasher: str) -> Callable[[Path], Sample]:
        """``tar -c``, then a digest of the tar file."""
        bundle = quote(str(self.bundle))

        def run(directory: Path) -> Sample:
            place = quote(str(directory))
            return shell(f"cd {place} && tar -cf tar -C {bundle} blobs && {hasher} tar")

        return run

    def untar(self, directory: Path) -> Sample:
        """``sha256sum -c`` of the tar file, then ``tar -x``."""
        place = quote(str(self._here.directory))
        return shell(
            f"cd {place} && sha256sum -c tar.sum && tar -xf tar -C {quote(str(directory))}"
        )

    def untar_fast(self, directory: Path) -> Sample:
        """The same with ``openssl``."""
        place = quote(str(self._here.directory))
        return shell(
            f"cd {place} && openssl dgst -sha256 tar && tar -xf tar -C {quote(str(directory))}"
        )


OPENSSL = "openssl dgst -sha256"


def speed(releases: Sequence[Sequence[int]]) -> Callable[[Options], object]:
    """A row for releases with assets of these sizes."""

    @contextmanager
    def stage(options: Options) -> Iterator[Plan]:
        chosen = [[size // 16 for size in r[:10]] for r in releases] if options.quick else releases
        with scene(chosen) as here:
            carried = Carried(here, chosen)
            works = {
                "write": carried.write,
                "pack": carried.pack,
                "unpack": carried.unpack,
                "curl": carried.curl("sha256sum"),
                "curl openssl": carried.curl(OPENSSL),
                "tar": carried.tar("sha256sum"),
                "tar openssl": carried.tar(OPENSSL),
                "untar": carried.untar,
                "untar openssl": carried.untar_fast,
            }
            contenders = [
                Contender(name, carried.in_new_directory(work)) for name, work in works.items()
            ]
            yield Plan(contenders, _speed_lines())

    return stage


def _speed_lines() -> list[Line]:
    lines = [
        Line("speed of sync / curl to disk, then sha256sum", ratio("curl", "write"), at_least(0.9)),
        Line("speed of pack / tar, then sha256sum", ratio("tar", "pack"), at_least(0.8)),
        Line("speed of unpack / sha256sum, then tar -x", ratio("untar", "unpack"), at_least(0.8)),
    ]
    pairs = (("sync", "write", "curl"), ("pack", "pack", "tar"), ("unpack", "unpack", "untar"))
    for what, ours, peer in pairs:
        with_openssl = ratio(f"{peer} openssl", ours)
        lines.append(Line(f"speed of {what}, with openssl instead of sha256sum", with_openssl))
    for what, ours, peer in pairs:
        lines.append(Line(f"CPU of {what} / CPU with sha256sum", ratio(ours, peer, "cpu")))
    lines += [Line(name, plain(name), unit="s") for name in ("write", "pack", "unpack")]
    lines += [Line(name, plain(name), unit="s") for name in ("curl", "tar", "untar")]
    return lines


@contextmanager
def stage_memory(options: Options) -> Iterator[Plan]:
    """One asset of just less than 2 GiB, which servers still take."""
    size = (64 if options.quick else 2047) * MIB
    with scene([[size]], sink={}) as here:
        carried = Carried(here, [[size]])
        works = {
            "writing": carried.write,
            "packing": carried.pack,
            "unpacking": carried.unpack,
            "importing": carried.imported,
        }
        lines = [
            Line(f"peak memory of {name}", plain(name, "rss", 1 / MIB), at_most(100), "MiB")
            for name in works
        ]
        lines += [Line(f"seconds of {name}", plain(name), unit="s") for name in works]
        yield Plan([Contender(n, carried.in_new_directory(w)) for n, w in works.items()], lines)


_PROGRAMS = ("curl", "bash", "nginx", "tar", "openssl")

ROW = Row(
    "17",
    "a bundle with one asset of 1 GiB: written, packed, unpacked",
    "bundle",
    speed(LARGE),  # type: ignore[arg-type]
    _PROGRAMS,
)
MANY = Row(
    "18",
    "a bundle with 2,000 assets of 16 KiB: written, packed, unpacked",
    "bundle_many",
    speed(SMALL),  # type: ignore[arg-type]
    _PROGRAMS,
)
MEMORY = Row(
    "19",
    "a bundle with one asset of 2 GiB: memory",
    "bundle_memory",
    stage_memory,
    _PROGRAMS,
    warm_up=False,
)

if __name__ == "__main__":
    main(ROW)
