"""The torture of a cluster as a command: ``python -m cluster_torture --rounds 200`` prints a table."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from cluster_torture.cluster import Cluster
from cluster_torture.rounds import UPLOAD_RATE, Outcome, Torture, drawn, judge
from mirror.core.claims import TIMES, ClaimTimes
from support.seed import SEED


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description="Torture a cluster of daemons.")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--mirrors", type=int, default=24)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--lease", type=float, default=TIMES.lease, help="seconds of a claim")
    parser.add_argument("--keep", type=Path, help="directory for logs and journals; kept")
    given = parser.parse_args()
    times = TIMES if given.lease == TIMES.lease else ClaimTimes(given.lease, 2.0, 7.0)
    with tempfile.TemporaryDirectory(prefix="rm-t-") as short:
        Path(short).chmod(0o755)
        directory = given.keep or Path(short, "files")
        directory.mkdir(parents=True)
        cluster = Cluster(
            directory,
            Path(short),
            workers=given.workers,
            mirrors=given.mirrors,
            times=times,
            upload_rate=UPLOAD_RATE,
        )
        dice = random.Random(given.seed)  # noqa: S311 - the same rounds every time
        outcome = asyncio.run(_torture(cluster, dice, given.rounds))
    sys.stdout.write("\n".join(outcome.lines()) + "\n")
    return 1 if outcome.wrong else 0


async def _torture(cluster: Cluster, dice: random.Random, rounds: int) -> Outcome:
    async with cluster:
        await cluster.start_all()
        torture = Torture(cluster, dice)

        def on_round(number: int, what: str) -> None:
            seconds = time.monotonic() - torture.began
            sys.stderr.write(f"{seconds:7.1f}  {number:4} {what}\n")

        await torture.run(drawn(rounds, dice), on_round)
        return await judge(torture)


if __name__ == "__main__":
    sys.exit(main())
