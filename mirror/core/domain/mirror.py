"""A mirror: which source repository is followed by which target repository, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mirror.core.domain.selection import is_glob

if TYPE_CHECKING:
    from mirror.core.domain.policy import Policy
    from mirror.core.domain.release import RepoRef


@dataclass(frozen=True, slots=True)
class Rule:
    """One ``[[mirrors]]`` entry: a mirror, or a pattern of mirrors.

    Attributes:
        source_name: The name of the source host (``github``).
        source: ``OWNER/REPO``; ``REPO`` may hold shell wildcards.
        target: ``OWNER/REPO``, where ``{owner}`` and ``{repo}`` stand for the source's.
        policy: The settings that decide what is done.
        settings: A fingerprint of the settings that matter.
        exclude: Globs of ``OWNER/REPO`` that a pattern leaves out, ignoring case.
        interval: Seconds between two sessions; 0 for the service's own timetable.
    """

    source_name: str
    source: str
    target: str
    policy: Policy
    settings: str
    exclude: tuple[str, ...] = ()
    enabled: bool = True
    forks: bool = False
    archived: bool = True
    interval: float = 0.0

    @property
    def wildcard(self) -> bool:
        """Whether it stands for many repositories."""
        return is_glob(self.source)

    @property
    def owner(self) -> str:
        """The source's owner, which never holds a wildcard."""
        return self.source.partition("/")[0]

    @property
    def listing(self) -> str:
        """The key of the listing that a pattern is expanded by."""
        return f"{self.source_name}:{self.owner}".casefold()

    def target_of(self, source: RepoRef) -> str:
        """The target of one of its sources; it is not necessarily a valid name."""
        if "{" not in self.target:
            return self.target
        return self.target.replace("{owner}", source.owner).replace("{repo}", source.name)


@dataclass(frozen=True, slots=True)
class Mirror:
    """One pair: a source repository and the target repository that follows it.

    Attributes:
        rule: The entry of the configuration that it comes from, with its settings.
        name: Its name in reports: ``github:cli/cli``.
        key: Its key in the ledger: the target's, which no other mirror has.
    """

    rule: Rule
    source: RepoRef
    target: RepoRef
    name: str = field(init=False, repr=False, compare=False)
    key: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # A pass asks for them all the time.
        object.__setattr__(self, "name", f"{self.rule.source_name}:{self.source}")
        object.__setattr__(self, "key", self.target.key)

    @property
    def source_name(self) -> str:
        """The name of the source host."""
        return self.rule.source_name

    @property
    def policy(self) -> Policy:
        """The settings that decide what is done."""
        return self.rule.policy

    @property
    def settings(self) -> str:
        """A fingerprint of the settings that matter."""
        return self.rule.settings

    @property
    def interval(self) -> float:
        """Seconds between two sessions; 0 for the service's own timetable."""
        return self.rule.interval

    @property
    def listing(self) -> str:
        """The :attr:`Rule.listing` that it was found by; empty where it is configured by name."""
        return self.rule.listing if self.rule.wildcard else ""
