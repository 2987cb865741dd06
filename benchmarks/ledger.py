"""Row 9: with a ledger of a million assets, a pass reads only the index."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.command import Options, Plan, Row, main
from benchmarks.measure import Contender, Line, Sample, at_most, figures, plain, ratio
from benchmarks.stage.api import DATE
from benchmarks.stage.processes import measured
from benchmarks.stage.scene import MIB
from mirror.core.ledger.document import AssetEntry, Ledger, ReleaseEntry
from mirror.core.ledger.index import Index, IndexEntry, PageProof

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORIES = 1000
RELEASES = 100
ASSETS = 10


def document() -> Ledger:
    """A repository's document: 100 releases of 10 assets."""
    ledger = Ledger("github:octo/r00000", "mirrors/r00000", "https://ghe.example.com/api/v3", 1, 1)
    for release in range(1, RELEASES + 1):
        made = ReleaseEntry(release, 10_000 + release, f"v1.{release}.0", published=DATE)
        for number in range(release * ASSETS, (release + 1) * ASSETS):
            name, digest = f"tool-{number}-linux_amd64.tar.gz", f"{number:064x}"
            made.assets[number] = AssetEntry(
                number, name, number, name, 12_345_678, digest, digest, DATE
            )
        ledger.releases[release] = made
    return ledger


def entry(name: str, number: int = 0, ledger: Ledger | None = None) -> IndexEntry:
    """The entry of the index for such a repository."""
    releases, assets, size = (ledger or document()).totals()
    page = PageProof(
        f"https://api.github.com/repos/octo/{name}/releases?per_page=100",
        f'W/"{number:064x}"',
        f"{number:032x}",
        RELEASES,
    )
    return IndexEntry(
        f"github:octo/{name}",
        f"mirrors/{name}",
        pages=(page,),
        releases=releases,
        assets=assets,
        bytes=size,
    )


def write(directory: Path, repositories: int) -> None:
    """Fill a directory with documents and their index."""
    ledger = document()
    text = ledger.encode().decode()
    index = Index()
    (directory / "mirrors").mkdir(parents=True)
    for number in range(repositories):
        name = f"r{number:05d}"
        (directory / "mirrors" / f"{name}.json").write_text(
            text.replace("r00000", name), encoding="ascii"
        )
        index.mirrors[f"mirrors/{name}"] = entry(name, number, ledger)
    (directory / "index.json").write_bytes(index.encode())


def asked(work: str, directory: Path) -> Sample:
    """Start a process that opens the ledger or saves a document."""
    order = {"work": work, "directory": str(directory)}
    found: Sample = figures(measured("benchmarks.ledger_subject", order))
    return found


@contextmanager
def stage(options: Options) -> Iterator[Plan]:
    """A ledger of 1,000 repositories, and one of a single repository."""
    repositories = 50 if options.quick else REPOSITORIES
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        all_, one = Path(name) / "all", Path(name) / "one"
        write(all_, repositories)
        write(one, 1)
        contenders = [
            Contender("open", lambda: asked("open", all_)),
            Contender("save", lambda: asked("save", all_)),
            Contender("save alone", lambda: asked("save", one)),
        ]
        ms, mib = 1000, 1 / MIB
        lines = [
            Line("opened for a pass", plain("open", scale=ms), at_most(50), "ms"),
            Line("memory of that", plain("open", "memory", mib), at_most(30), "MiB"),
            Line("a save among 1,000 / alone", ratio("save", "save alone"), at_most(1.2)),
            Line("a save", plain("save", scale=ms), unit="ms"),
            Line("fsyncs of a save", plain("save", "fsyncs")),
        ]
        yield Plan(contenders, lines)


ROW = Row("9", "ledger of 1,000,000 assets in 1,000 repositories", "ledger", stage, ())

if __name__ == "__main__":
    main(ROW)
