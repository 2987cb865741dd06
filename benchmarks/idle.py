"""Rows 6 and 7: an idle pass over 1,000 and over 10,000 mirrors."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.command import Options, Plan, Row, both, main
from benchmarks.measure import Contender, Line, Sample, at_most, exactly, plain, ratio
from benchmarks.stage import ceiling
from benchmarks.stage.api import PREFIX
from benchmarks.stage.processes import measured
from benchmarks.stage.scene import Scene, scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

AT_ONCE = 16
RELEASES = ((1000, 1000),) * 3
"""Content of each repository; an idle pass reads none of it."""


class Idle:
    """Ledgers of synced mirrors, and passes over them."""

    def __init__(self, here: Scene) -> None:
        self._here = here
        first = here.new_directory()
        config = here.config(first, mirrors=1)
        here.reset()
        here.run(config, fast=True)
        self._index: dict[str, Any] = json.loads((first / "index.json").read_bytes())
        self._document = next(first.glob("*/*.json"))

    def ledger(self, mirrors: int, extra: str = "") -> Path:
        """A configuration and its ledger, as if every mirror had been synced."""
        directory = self._here.new_directory()
        ((key, entry),) = self._index["mirrors"].items()
        text = json.dumps(entry)
        index = {**self._index, "mirrors": {}}
        documents = directory / key.split("/")[0]
        documents.mkdir()
        etag = f"{0:064x}"
        for number in range(mirrors):
            name = f"r{number:05d}"
            mine = text.replace("r00000", name).replace(etag, f"{number:064x}")
            index["mirrors"][key.replace("r00000", name)] = json.loads(mine)
            shutil.copyfile(self._document, documents / f"{name}.json")
        (directory / "index.json").write_text(json.dumps(index), encoding="ascii")
        return self._here.config(directory, mirrors=mirrors, extra=extra)

    def sync(self, config: Path, mirrors: int, *, fast: bool, profile: str = "") -> Sample:
        """One idle pass."""
        self._here.reset()
        found = self._here.run(config, fast=fast, profile=profile)
        if found["unchanged"] != mirrors:
            raise AssertionError(found)
        return found

    def bare(self, mirrors: int, *, uvloop: bool = False) -> Sample:
        """A bare aiohttp loop that requests every repository with its ETag."""
        self._here.reset()
        base = f"{self._here.api['source']}{PREFIX}/repos/octo"
        addresses = [
            [f"{base}/r{number:05d}/releases?per_page=100", f'W/"{number:064x}"']
            for number in range(mirrors)
        ]
        work = {"work": "idle", "addresses": addresses, "at_once": AT_ONCE, "uvloop": uvloop}
        found: Sample = measured("benchmarks.bare", work)
        return found

    def speed(self) -> float:
        """Conditional requests per second the server can answer."""
        path = f"{PREFIX}/repos/octo/r00000/releases?per_page=100"
        request = f'GET {path} HTTP/1.1\r\nHost: x\r\nIf-None-Match: W/"{0:064x}"\r\n\r\n'
        return ceiling.of_api(self._here.api["source"], request, 10_000)


@contextmanager
def stage(options: Options) -> Iterator[Plan]:
    """1,000 mirrors of different repositories."""
    mirrors = 100 if options.quick else 1000
    with scene(RELEASES, repositories=mirrors) as here:
        idle = Idle(here)
        config = idle.ledger(mirrors)
        contenders = [
            Contender("bare", lambda: idle.bare(mirrors)),
            Contender("bare uvloop", lambda: idle.bare(mirrors, uvloop=True)),
            *both(lambda fast: idle.sync(config, mirrors, fast=fast)),
        ]
        lines = [
            Line(
                "CPU of idle pass / CPU of bare aiohttp 304 loop",
                ratio("fast", "bare", "cpu"),
                at_most(1.3),
            ),
            Line("idle pass / bare aiohttp 304 loop", ratio("fast", "bare")),
            Line("requests to the source", plain("fast", "requests_source"), exactly(mirrors)),
            Line("requests to the target", plain("fast", "requests_target"), exactly(1)),
            Line("plain install: CPU / CPU", ratio("plain", "bare", "cpu")),
            Line("idle pass / bare loop on uvloop", ratio("fast", "bare uvloop")),
            Line("bare aiohttp 304 loop", plain("bare"), unit="s"),
            Line("idle pass", plain("fast"), unit="s"),
            Line("reading the configuration, before", plain("fast", "configured"), unit="s"),
        ]

        def notes() -> Sequence[str]:
            return [f"the API server alone answers {idle.speed():,.0f} requests per second"]

        yield Plan(contenders, lines, notes)


@contextmanager
def stage_large(options: Options) -> Iterator[Plan]:
    """1,000 mirrors against 10,000."""
    few = 100 if options.quick else 1000
    many = 10 * few
    with scene(RELEASES, repositories=many) as here:
        idle = Idle(here)
        small, large = idle.ledger(few), idle.ledger(many)

        def runs(config: Path, mirrors: int, *, fast: bool) -> Callable[[], Sample]:
            return lambda: idle.sync(config, mirrors, fast=fast)

        contenders = [
            Contender("few", runs(small, few, fast=True)),
            Contender("many", runs(large, many, fast=True)),
            Contender("few plain", runs(small, few, fast=False)),
            Contender("many plain", runs(large, many, fast=False)),
        ]
        part = few / many
        mib = 1 / 2**20
        lines = [
            Line("CPU a mirror / CPU at 1,000", ratio("many", "few", "cpu", part), at_most(1.0)),
            Line("peak memory", plain("many", "rss", mib), at_most(90), "MiB"),
            Line("cost a mirror / cost at 1,000", ratio("many", "few", scale=part)),
            Line(
                "plain: cost a mirror / cost at 1,000", ratio("many plain", "few plain", scale=part)
            ),
            Line("plain: peak memory", plain("many plain", "rss", mib), unit="MiB"),
            Line("peak memory at 1,000", plain("few", "rss", mib), unit="MiB"),
            Line("pass over 10,000", plain("many"), unit="s"),
            Line("reading the configuration, before", plain("many", "configured"), unit="s"),
        ]
        yield Plan(contenders, lines)


ROW = Row("6", "idle pass over 1,000 mirrors", "idle", stage, ("nginx",))
LARGE = Row("7", "idle pass over 10,000 mirrors", "idle_large", stage_large, ("nginx",))

if __name__ == "__main__":
    main(ROW)
