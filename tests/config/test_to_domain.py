from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mirror.config import load_config
from mirror.config.model import Assets, Body, MirrorSettings, Releases, Settings
from mirror.config.to_domain import rules_of
from mirror.core.domain.mirror import Rule
from mirror.core.domain.policy import Policy
from mirror.core.domain.selection import Selection

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
[target]
url = "https://ghe.example.com"
token = "env:TARGET"
[sources.github]
url = "https://github.com"
[[mirrors]]
source = "octo/*"
target = "mirrors/{repo}"
"""

KEYS: dict[str, tuple[str, Any]] = {
    "exclude": ('["octo/*-old"]', ("octo/*-old",)),
    "enabled": ("false", False),
    "forks": ("true", True),
    "archived": ("false", False),
    "interval": ('"5m"', 300.0),
    "incomplete": ('"hold"', "hold"),
    "tags": ('"push"', "push"),
    "allow_actions": ("true", True),
    "create_repository": ("false", False),
    "visibility": ('"internal"', "internal"),
    "existing": ('"adopt"', "adopt"),
    "on_change": ('"keep"', "keep"),
    "on_delete": ('"delete"', "delete"),
    "on_deselect": ('"delete"', "delete"),
    "max_deletes": ("7", 7),
    "body.mentions": ('"keep"', "keep"),
    "body.footer": ('"From {source_url}"', "From {source_url}"),
    "releases.include": ('["v*"]', ("v*",)),
    "releases.exclude": ('["*-rc"]', ("*-rc",)),
    "releases.versions": ('">=1.2"', ">=1.2"),
    "releases.since": ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
    "releases.latest": ("3", 3),
    "releases.prereleases": ("false", False),
    "releases.drafts": ("true", True),
    "releases.min_age": ('"2d"', timedelta(days=2)),
    "assets.include": ('["*.gz"]', ("*.gz",)),
    "assets.exclude": ('["*.sbom"]', ("*.sbom",)),
    "assets.max_size": ('"1MiB"', 2**20),
    "assets.latest": ("2", 2),
    "assets.source_archives": ("true", True),
}
"""Every key of a mirror, a value that is not its default, and that value in the core."""


def rule_of(tmp_path: Path, more: str = "") -> Rule:
    file = tmp_path / "config.toml"
    file.write_text(CONFIG + more)
    (rule,) = rules_of(load_config(file, {"HOME": "/home/me"}))
    return rule


def values_of(rule: Rule) -> dict[str, Any]:
    """What the core knows of a rule, in one level."""
    selection = rule.policy.selection
    return {
        **{f"selection.{f.name}": getattr(selection, f.name) for f in fields(Selection)},
        **{f.name: getattr(rule.policy, f.name) for f in fields(Policy) if f.name != "selection"},
        **{f.name: getattr(rule, f.name) for f in fields(Rule) if f.name != "policy"},
    }


def test_every_key_of_a_mirror_is_in_the_table() -> None:
    """A key that is added to the settings is added here."""
    nested: dict[str, type[Settings]] = {"releases": Releases, "assets": Assets, "body": Body}
    keys = {key for key in MirrorSettings.model_fields if key not in nested}
    keys |= {f"{table}.{key}" for table, model in nested.items() for key in model.model_fields}
    assert KEYS.keys() == keys


@pytest.mark.parametrize("key", KEYS)
def test_every_key_reaches_the_core(tmp_path: Path, key: str) -> None:
    """One key changes one value, and what is fingerprinted of it."""
    text, value = KEYS[key]
    before = values_of(rule_of(tmp_path))
    after = values_of(rule_of(tmp_path, f"{key} = {text}\n"))
    changed = {name: now for name, now in after.items() if now != before[name]}
    changed.pop("settings", None)
    assert list(changed.values()) == [value]


def test_without_keys_the_core_has_its_own_defaults(tmp_path: Path) -> None:
    """The defaults of the settings and those of the core are the same."""
    rule = rule_of(tmp_path)
    plain = Rule("github", "octo/*", "mirrors/{repo}", Policy(), "")
    assert values_of(rule) | {"settings": ""} == values_of(plain)


def test_equal_settings_are_one_policy(tmp_path: Path) -> None:
    """Thousands of mirrors of one kind hold one policy."""
    file = tmp_path / "config.toml"
    file.write_text(CONFIG + '[[mirrors]]\nsource = "octo/tool"\ntarget = "mirrors/other"\n')
    one, other = rules_of(load_config(file, {"HOME": "/home/me"}))
    assert one.policy is other.policy
