"""Row 5: a complete first ``sync`` of many small assets."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from shlex import quote
from typing import TYPE_CHECKING

from benchmarks import peers
from benchmarks.command import Options, Plan, Row, both, main
from benchmarks.hub import Hub, hub
from benchmarks.measure import Contender, Line, Sample, at_least, at_most, plain, ratio
from benchmarks.stage import ceiling
from benchmarks.stage.api import PREFIX, asset_name
from benchmarks.stage.processes import measured, shell
from benchmarks.stage.scene import Scene, scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SIZE = 16 << 10
RELEASES = 20
AT_ONCE = 16


def addresses(here: Scene, assets: int) -> list[list[str]]:
    """Each asset's download URL at the API and its upload URL for a peer."""
    source = f"{here.api['source']}{PREFIX}/repos/octo/r00000/releases/assets"
    target = f"{here.api['target']}/api/uploads/repos/mirrors/r00000/releases"
    numbers = [
        (release, release * 10_000 + 1 + asset)
        for release in range(RELEASES)
        for asset in range(assets // RELEASES)
    ]
    return [
        [f"{source}/{number}", f"{target}/{release + 1}/assets?name={asset_name(number)}"]
        for release, number in numbers
    ]


def bare(here: Scene, assets: int, *, uvloop: bool) -> Sample:
    """A bare aiohttp loop that copies every asset between the same servers."""
    here.reset()
    work = {"work": "copy", "addresses": addresses(here, assets), "at_once": AT_ONCE}
    found: Sample = measured("benchmarks.bare", {**work, "uvloop": uvloop})
    return found


def one_by_one(here: Scene, assets: int, some: int) -> Sample:
    """``xargs`` with one ``curl | curl`` per asset, 16 at once; measured with some, extrapolated to all."""
    here.reset()
    pairs = addresses(here, assets)[:some]
    read = "curl -sSfL -H 'Accept: application/octet-stream' \"$0\""
    script = f"{read} | {peers.upload('$1', SIZE).replace(quote('$1'), chr(34) + '$1' + chr(34))}"
    listed = " ".join(f"{quote(source)} {quote(target)}" for source, target in pairs)
    found = shell(
        f"printf '%s %s\\n' {listed} | xargs -P{AT_ONCE} -n2 bash -o pipefail -c {quote(script)}"
    )
    return {**found, "seconds": found["seconds"] * assets / some}


@contextmanager
def stage(options: Options) -> Iterator[Plan]:
    """The minimal hosts; ``gh`` runs against the emulator, because it needs more of the API."""
    assets = 200 if options.quick else 2000
    some = 100 if options.quick else 400
    with ExitStack() as stack:
        here = stack.enter_context(scene([[SIZE] * (assets // RELEASES)] * RELEASES))
        emulated: Hub = stack.enter_context(hub(SIZE, 4 if options.quick else 20))
        contenders = [
            Contender("bare", lambda: bare(here, assets, uvloop=False)),
            Contender("bare uvloop", lambda: bare(here, assets, uvloop=True)),
            Contender("curl", lambda: one_by_one(here, assets, some)),
            Contender("gh", lambda: emulated.copy(assets)),
            *both(lambda fast: here.sync(fast=fast)),
        ]
        lines = [
            Line(
                "CPU of whole sync / CPU of bare aiohttp loop",
                ratio("fast", "bare", "cpu"),
                at_most(1.8),
            ),
            Line("whole sync / bare aiohttp loop", ratio("fast", "bare")),
            Line(
                "speed / one curl | curl an asset, 16 at once", ratio("curl", "fast"), at_least(10)
            ),
            Line("speed / gh download + gh upload an asset", ratio("gh", "fast"), at_least(50)),
            Line("fsyncs of sync", plain("fast", "fsyncs"), at_most(200)),
            Line("plain install / bare aiohttp loop", ratio("plain", "bare")),
            Line("whole sync / bare loop on uvloop", ratio("fast", "bare uvloop")),
            Line("bare aiohttp loop", plain("bare"), unit="s"),
            Line("whole sync", plain("fast"), unit="s"),
            Line("requests to the target", plain("fast", "requests_target")),
        ]

        def notes() -> Sequence[str]:
            path = addresses(here, assets)[0][0].removeprefix(here.api["source"])
            request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"
            speed = ceiling.of_api(here.api["source"], request, 5000)
            note = f"curl | curl was measured with {some} assets, gh with {emulated.assets}"
            return [
                f"the API server alone answers {speed:,.0f} requests per second",
                f"{note}, and extrapolated to all",
            ]

        yield Plan(contenders, lines, notes)


ROW = Row(
    "5",
    "2,000 assets of 16 KiB in 20 releases, whole sync",
    "small",
    stage,
    ("curl", "bash", "nginx", "xargs", "gh"),
)

if __name__ == "__main__":
    main(ROW)
