"""Row 8: peak memory by asset size, with a slow target."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

from benchmarks.command import Options, Plan, Row, main
from benchmarks.measure import Contender, Line, Round, Sample, at_most, plain
from benchmarks.stage.processes import Failed
from benchmarks.stage.scene import MIB, scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SMALL = 64 * MIB


def together(works: Mapping[str, Callable[[], Sample]]) -> Sample:
    """Run all concurrently: they mostly wait, and time is not measured here.

    Raises:
        Failed: A run failed.
    """
    found: dict[str, Sample] = {}

    def keep(name: str, work: Callable[[], Sample]) -> None:
        found[name] = work()

    threads = [Thread(target=keep, args=item) for item in works.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(found) < len(works):
        raise Failed(f"one of {', '.join(works)} failed")
    return {f"{figure} {name}": value for name, s in found.items() for figure, value in s.items()}


def _lines(large: str) -> list[Line]:
    def more(kind: str) -> Callable[[Round], float]:
        return lambda r: (r["sync"][f"rss {large} {kind}"] - r["sync"][f"rss 64 MiB {kind}"]) / MIB

    part = 1 / MIB
    return [
        Line(
            f"peak memory, {large}", plain("sync", f"rss {large} fast", part), at_most(100), "MiB"
        ),
        Line("more than for 64 MiB", more("fast"), at_most(15), "MiB"),
        Line("plain: peak memory", plain("sync", f"rss {large} plain", part), unit="MiB"),
        Line("plain: more than for 64 MiB", more("plain"), unit="MiB"),
        Line("before the pass", plain("sync", f"rss_at_start {large} fast", part), unit="MiB"),
        Line("seconds of the pass", plain("sync", f"seconds {large} fast"), unit="s"),
    ]


def measuring(large: str, size: int, rate: int) -> Callable[[Options], object]:
    """A row for one asset size and one target speed."""

    @contextmanager
    def stage(options: Options) -> Iterator[Plan]:
        """Each pass has its own servers, so that passes do not slow each other down."""
        sizes = {"64 MiB": SMALL // (8 if options.quick else 1)}
        sizes[large] = size // (32 if options.quick else 1)
        with ExitStack() as stack:
            works: dict[str, Callable[[], Sample]] = {}
            for name, size_ in sizes.items():
                for kind in ("fast", "plain"):
                    here = stack.enter_context(scene([[size_]], sink={"rate": rate}))
                    here.hashing = False
                    works[f"{name} {kind}"] = partial(here.sync, fast=kind == "fast")
            yield Plan([Contender("sync", lambda: together(works))], _lines(large))

    return stage


ROW = Row(
    "8",
    "1.9 GiB asset, target reading 100 MB/s",
    "memory",
    measuring("1.9 GiB", 1945 * MIB, 100_000_000),  # type: ignore[arg-type]
    ("nginx",),
    warm_up=False,
)
LONG = Row(
    "8-long",
    "4 GiB asset, target reading 20 MB/s",
    "memory_long",
    measuring("4 GiB", 4096 * MIB, 20_000_000),  # type: ignore[arg-type]
    ("nginx",),
    warm_up=False,
)

if __name__ == "__main__":
    main(ROW)
