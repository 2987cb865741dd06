"""What an observer finds who knows only the target's journal and the database's history of claims."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_GOOD = range(200, 300)


@dataclass(slots=True)
class Write:
    """A change that somebody asked the target for.

    Attributes:
        worker: The process that asked; empty for none of the cluster.
        repository: The key of the mirror.
        received, carried_out: Epoch seconds; ``None`` if it was never carried out.
        status: Of the answer; 0 for none.
    """

    worker: str
    repository: str
    route: str
    received: float
    carried_out: float | None = None
    status: int = 0

    @property
    def effective(self) -> bool:
        """It changed something."""
        return self.status in _GOOD

    @staticmethod
    def read(journal: str) -> list[Write]:
        """All of a journal, in order."""
        found: dict[int, Write] = {}
        for line in journal.splitlines():
            entry = json.loads(line)
            if entry["what"] == "received":
                found[entry["n"]] = Write(
                    entry["worker"], entry["repository"], entry["route"], entry["at"]
                )
            else:
                write = found[entry["n"]]
                write.repository = entry["repository"]
                write.carried_out, write.status = entry["at"], entry["status"]
        return list(found.values())


class Claimed(NamedTuple):
    """From this moment on, somebody has a claim; ``None``: nobody."""

    at: float
    key: str
    number: int
    owner: str | None


class Takeover(NamedTuple):
    """A claim that somebody took over from somebody who had not given it back."""

    key: str
    before: str
    after: str
    at: float


def takeovers(claims: Iterable[Claimed]) -> list[Takeover]:
    """All of a history."""
    owners: dict[str, str | None] = {}
    found = []
    for claim in claims:
        before, after = owners.get(claim.key), claim.owner
        if before and after and before != after:
            found.append(Takeover(claim.key, before, after, claim.at))
        owners[claim.key] = after
    return found


def second_writers(writes: Sequence[Write], claims: Iterable[Claimed]) -> list[str]:
    """Changes that a process made without a claim, or after another one had taken it over.

    What was sent under a claim may arrive later: an upload whose last bytes were on their way when its
    process was stopped or cut off. The name is refused to others meanwhile, so it harms nobody;
    :func:`overlapping` counts it.
    """
    history: dict[str, list[Claimed]] = defaultdict(list)
    for claim in claims:
        history[claim.key].append(claim)
    wrong = []
    for write in writes:
        if not write.effective or write.carried_out is None:
            continue
        mine = history[write.repository]
        first = bisect_right(mine, write.received, key=attrgetter("at")) - 1
        what = f"{write.repository}: {write.route} of {write.worker}"
        if first < 0 or mine[first].owner != write.worker:
            owner = mine[first].owner if first >= 0 else None
            wrong.append(
                f"{what} was received at {write.received:.3f}, while {owner} had the claim"
            )
            continue
        last = bisect_right(mine, write.carried_out, key=attrgetter("at")) - 1
        others = [
            c.owner for c in mine[first + 1 : last + 1] if c.owner not in {None, write.worker}
        ]
        if others and write.route != "upload-asset":
            lasted = write.carried_out - write.received
            wrong.append(f"{what} lasted {lasted:.3f} s, while {others} took the claim")
    return wrong


def overlapping(writes: Sequence[Write]) -> list[str]:
    """Changes of two processes to one repository that were under way at the same time."""
    by_repository: dict[str, list[Write]] = defaultdict(list)
    for write in writes:
        if write.effective and write.carried_out is not None:
            by_repository[write.repository].append(write)
    wrong = []
    for repository, found in by_repository.items():
        latest: dict[str, float] = {}
        for write in sorted(found, key=attrgetter("received")):
            assert write.carried_out is not None
            wrong += [
                f"{repository}: {write.route} of {write.worker} while {other} wrote"
                for other, end in latest.items()
                if other != write.worker and end > write.received
            ]
            latest[write.worker] = max(latest.get(write.worker, 0.0), write.carried_out)
    return wrong
