"""What mirrors there are: found anew at each tick, known in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Sequence

    from mirror.core.domain.expansion import Mirror
    from mirror.daemon.passes import Group, OpenPass


@dataclass(frozen=True, slots=True)
class Call:
    """The wish that the mirrors of a group and source be found, and run.

    Attributes:
        at: The moment that it counts from, monotonic.
        whole: All of them are to be run.
        repos: Those of these repositories are to be run (``owner/repo``, in lower case).
        full: Trust nothing that is stored.
        explicit: Somebody wants it: nothing is held back after failures.
        of: The passes that wait for it.
    """

    at: float
    whole: bool = False
    repos: frozenset[str] = frozenset()
    full: bool = False
    explicit: bool = False
    of: tuple[OpenPass, ...] = ()

    def merged(self, other: Call | None) -> Call:
        """One listing for both."""
        if other is None:
            return self
        return Call(
            max(self.at, other.at),
            self.whole or other.whole,
            self.repos | other.repos,
            self.full or other.full,
            self.explicit or other.explicit,
            self.of + other.of,
        )


@dataclass(slots=True, eq=False)
class Listing:
    """The mirrors of one group and source; it never overlaps itself.

    Attributes:
        call: What is asked for next.
        under_way: What it is being made for.
        task: That does it.
    """

    group: Group
    source: str
    call: Call | None = None
    under_way: Call | None = None
    task: asyncio.Task[None] | None = None

    def ask(self, call: Call, waiting: OpenPass | None = None) -> bool:
        """Ask for it; calls that come while it waits or is under way become one.

        Returns:
            Whether the pass waits for it; not if another one does already.
        """
        attached = waiting is not None and not (self.call and self.call.of)
        if attached and waiting is not None:
            waiting.sources.add(self.source)
            call = call.merged(Call(call.at, of=(waiting,)))
        self.call = call.merged(self.call)
        return attached


class Known:
    """The mirrors that were found, by their keys and by their sources.

    Args:
        mirrors: Those that can be told without asking a host.
    """

    def __init__(self, mirrors: Iterable[Mirror]) -> None:
        self.mirrors: dict[str, Mirror] = {}
        self._keys: dict[tuple[float, str], set[str]] = {}
        self._named: dict[tuple[str, str], set[str]] = {}
        for mirror in mirrors:
            self._add(mirror)

    def of(self, group: Group, source: str) -> int:
        """How many mirrors of a group and source are known."""
        return len(self._keys.get((group.interval, source), ()))

    def named(self, source: str, repo: str) -> list[Mirror]:
        """The mirrors of a repository.

        Args:
            source: The name of the host.
            repo: ``OWNER/REPO``, in any case.
        """
        keys = self._named.get((source, repo.casefold()), ())
        return [self.mirrors[key] for key in sorted(keys)]

    def learn(
        self, group: Group, source: str, mirrors: Sequence[Mirror], *, whole: bool
    ) -> set[str]:
        """Take over what was found.

        Args:
            group: Whose mirrors these are.
            source: The name of their host.
            mirrors: What was found.
            whole: It is all there is; what was known besides is gone.

        Returns:
            The keys of what is gone.
        """
        before = set(self._keys.get((group.interval, source), ()))
        gone = before - {mirror.key for mirror in mirrors} if whole else set()
        for key in gone:
            self._remove(key)
        for mirror in mirrors:
            self._add(mirror)
        return gone

    def _add(self, mirror: Mirror) -> None:
        if self.mirrors.get(mirror.key) == mirror:
            return
        self._remove(mirror.key)
        self.mirrors[mirror.key] = mirror
        self._keys.setdefault(_part(mirror), set()).add(mirror.key)
        self._named.setdefault(_name(mirror), set()).add(mirror.key)

    def _remove(self, key: str) -> None:
        mirror = self.mirrors.pop(key, None)
        if mirror is not None:
            self._keys[_part(mirror)].discard(key)
            named = self._named[_name(mirror)]
            named.discard(key)
            if not named:
                del self._named[_name(mirror)]


def _part(mirror: Mirror) -> tuple[float, str]:
    return mirror.interval, mirror.source_name


def _name(mirror: Mirror) -> tuple[str, str]:
    return mirror.source_name, str(mirror.source).casefold()
