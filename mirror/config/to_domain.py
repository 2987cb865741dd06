"""Settings to values of the core: the one place where a mirror's keys are handed over.

Keys keep their names, so that a new key of a mirror is declared in ``model.py`` and in
``core.domain``, and nowhere else.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from mirror.core.domain.mirror import Rule
from mirror.core.domain.policy import Policy
from mirror.core.domain.selection import Selection

if TYPE_CHECKING:
    from mirror.config.model import Config, Mirror

T = TypeVar("T")


def rules_of(config: Config) -> list[Rule]:
    """The configured mirrors, in the order of the file."""
    policies: dict[str, Policy] = {}  # thousands of mirrors share few
    return [_rule(mirror, policies) for mirror in config.mirrors]


def _rule(mirror: Mirror, policies: dict[str, Policy]) -> Rule:
    settings = mirror.fingerprint()
    if settings not in policies:
        policies[settings] = _policy(mirror)
    interval = mirror.interval.total_seconds() if mirror.interval else 0.0
    return _filled(
        Rule,
        dict(mirror),
        source_name=mirror.from_name,
        policy=policies[settings],
        settings=settings,
        interval=interval,
    )


def _policy(mirror: Mirror) -> Policy:
    assets = {f"asset_{name}": value for name, value in mirror.assets}
    selection = _filled(
        Selection,
        {**assets, **dict(mirror.releases)},
        since=mirror.releases.since_moment,
        source_archives=mirror.assets.source_archives,
    )
    return _filled(Policy, {**dict(mirror), **dict(mirror.body)}, selection=selection)


def _filled(kind: type[T], keys: dict[str, Any], **others: Any) -> T:
    """A value whose fields are the keys of the same names, and others."""
    names = [field.name for field in fields(kind) if field.name not in others]  # type: ignore[arg-type]
    return kind(**{name: keys[name] for name in names}, **others)
