"""Settings to values of the core: the one place where a mirror's keys are handed over.

Keys keep their names, so that a new key of a mirror is declared in ``model.py`` and in
``core.domain``, and nowhere else.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from mirror.config.model import fingerprint
from mirror.core.domain.mirror import Rule
from mirror.core.domain.policy import Policy
from mirror.core.domain.selection import Selection

if TYPE_CHECKING:
    from mirror.config.model import Config, MirrorSettings

T = TypeVar("T")


def rules_of(config: Config) -> list[Rule]:
    """The configured mirrors, in the order of the file."""
    shared: dict[int, _Shared] = {}  # thousands of mirrors share few settings
    policies: dict[str, Policy] = {}
    rules = []
    for mirror in config.mirrors:
        common = shared.get(id(mirror.settings))
        if common is None:
            common = shared[id(mirror.settings)] = _shared(mirror.settings, policies)
        rules.append(Rule(mirror.from_name, mirror.source, mirror.target, *common))
    return rules


class _Shared(NamedTuple):
    """The attributes of a rule that follow from its settings, in their order there."""

    policy: Policy
    settings: str
    exclude: tuple[str, ...]
    enabled: bool
    forks: bool
    archived: bool
    interval: float


def _shared(settings: MirrorSettings, policies: dict[str, Policy]) -> _Shared:
    name = fingerprint(settings)
    if name not in policies:
        policies[name] = _policy(settings)
    return _filled(
        _Shared,
        dict(settings),
        policy=policies[name],
        settings=name,
        interval=settings.interval.total_seconds() if settings.interval else 0.0,
    )


def _policy(settings: MirrorSettings) -> Policy:
    assets = {f"asset_{name}": value for name, value in settings.assets}
    selection = _filled(
        Selection,
        {**assets, **dict(settings.releases)},
        since=settings.releases.since_moment,
        source_archives=settings.assets.source_archives,
    )
    return _filled(Policy, {**dict(settings), **dict(settings.body)}, selection=selection)


def _filled(kind: type[T], keys: dict[str, Any], **others: Any) -> T:
    """A value whose fields are the keys of the same names, and others."""
    declared = getattr(kind, "_fields", None) or [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: keys[name] for name in declared if name not in others}, **others)
