"""Row 15: a new release in an idle service over a WAN, from the webhook's delivery to its publication."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import Request, urlopen

from benchmarks.command import Options, Plan, Row, main
from benchmarks.idle import RELEASES, Idle
from benchmarks.machine import python
from benchmarks.measure import Contender, Line, Sample, at_most, plain
from benchmarks.network import network
from benchmarks.stage.processes import ENDS_WITH_US, ROOT, Failed
from benchmarks.stage.scene import ENVIRON, Scene, scene
from benchmarks.wan import NODES, SOURCE, TARGET

if TYPE_CHECKING:
    from collections.abc import Iterator

ASSETS = [1000] * 6
"""Sizes of the new release's assets: each fits into the first packets of a connection, so that its
transfer is a single round trip."""

IDLE_FOR = 20.0
"""Seconds without a request before each delivery: kept connections have been closed by then."""

LONGEST = 60.0
PORT = 8321
SECRET = "webhook-secret"  # noqa: S105 - of the benchmark

FAR = (
    "connection to the source",
    "its releases: what is new",
    "its repository, its latest release, the new tag's commit: what the plan depends on",
    "an asset's address",
    "connection to its storage",
    "its bytes",
)
"""Round trips to the source that follow one another."""

NEAR = ("the draft", "an upload", "the assets, read again")
"""Round trips to the target that follow one another; half of one more carries the publication."""


def chain() -> float:
    """Seconds of all round trips that follow one another, until the publication has arrived."""
    return len(FAR) * SOURCE.round_trip + (len(NEAR) + 0.5) * TARGET.round_trip


class Service:
    """A running daemon, and deliveries to it."""

    def __init__(self, here: Scene, url: str) -> None:
        self._here = here
        self._url = url

    def deliver(self) -> Sample:
        """Publish a release at the source, deliver its webhook and wait for its publication."""
        time.sleep(IDLE_FOR)
        self._here.publish(ASSETS)
        body = json.dumps(
            {"action": "published", "repository": {"full_name": "octo/r00000"}, "release": {}}
        ).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "release",
            "X-GitHub-Delivery": str(time.monotonic()),
            "X-Hub-Signature-256": f"sha256={signature}",
        }
        before = len(self._here.log())
        request = Request(f"{self._url}/webhooks/github", body, headers)  # noqa: S310
        delivered = time.monotonic()
        with self._here.inside(), urlopen(request, timeout=10):  # noqa: S310
            pass
        end = delivered + LONGEST
        while time.monotonic() < end:
            time.sleep(0.1)
            log = self._here.log()[before:]
            for at, host, method, path in log:
                if method == "PATCH" and host == "target" and "/releases/" in path:
                    return {"seconds": at - delivered, "requests": float(len(log))}
        raise Failed("the release was not published")

    def wait(self) -> None:
        """Wait until the service is ready and has looked at every mirror."""
        end = time.monotonic() + LONGEST
        while time.monotonic() < end:
            try:
                with self._here.inside(), urlopen(f"{self._url}/readyz", timeout=5):  # noqa: S310
                    return
            except (URLError, OSError):
                time.sleep(0.2)
        raise Failed("the service did not become ready")


@contextmanager
def running(here: Scene, mirrors: int) -> Iterator[Service]:
    """Run a daemon with unchanged mirrors for the duration of the block."""
    assert here.net is not None  # noqa: S101
    address = here.net.address("worker")
    idle = Idle(here)
    extra = (
        f'[daemon]\nlisten = "{address}:{PORT}"\nwebhook_secret = "env:BENCH_WEBHOOK"\n'
        'interval = "1h"\njitter = "0s"\n'
    )
    config = idle.ledger(mirrors, extra)
    command = [*ENDS_WITH_US, python(), "-m", "mirror", "daemon", "-c", str(config)]
    environ = {**os.environ, **ENVIRON, "BENCH_WEBHOOK": SECRET}
    with here.inside():
        process = subprocess.Popen(
            command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    try:
        service = Service(here, f"http://{address}:{PORT}")
        service.wait()
        yield service
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def stage(options: Options) -> Iterator[Plan]:
    """1,000 mirrors over the WAN of row 13."""
    mirrors = 20 if options.quick else 1000
    bound = chain()
    with (
        network(NODES) as net,
        scene(RELEASES, repositories=mirrors, net=net) as here,
        running(here, mirrors) as service,
    ):
        lines = [
            Line(
                "delivery to publication / chain of round trips",
                lambda samples: samples["webhook"]["seconds"] / bound,
                at_most(1.25),
            ),
            Line("delivery to publication", plain("webhook"), unit="s"),
            Line("requests", plain("webhook", "requests")),
        ]
        trips = f"{len(FAR)} to the source, {len(NEAR) + 0.5} to the target"
        yield Plan(
            [Contender("webhook", service.deliver)],
            lines,
            lambda: [f"chain of round trips: {bound * 1000:.0f} ms, {trips}"],
        )


ROW = Row("15", "a new release of 6 assets, by webhook, over a WAN", "webhook", stage, ("nginx",))

if __name__ == "__main__":
    main(ROW)
