"""Seed documents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mirror.emulator import (
    Generated,
    GitHubState,
    SeedError,
    apply_seed,
    load_seed,
    parse_seed,
)
from support.seed_document import SEED

if TYPE_CHECKING:
    from pathlib import Path


def test_a_seed_is_applied(tmp_path: Path) -> None:
    """Everything it says is there."""
    path = tmp_path / "seed.json"
    path.write_text(json.dumps(SEED))
    state = GitHubState()
    apply_seed(state, load_seed(path))
    assert state.max_assets == 5
    repository = state.repository("octo/seeded")
    assert (repository.visibility, repository.archived) == ("private", True)
    release = state.release("octo/seeded", "v1")
    assert release.published_at == release.created_at == "2026-01-01T00:00:00Z"
    assert [(a.name, a.size, a.label, a.state) for a in release.assets] == [
        ("a", 2, None, "uploaded"),
        ("b", 2, None, "uploaded"),
        ("c", 1000, "C", "uploaded"),
        ("d", 0, None, "starter"),
    ]
    assert release.assets[2].sha256 == Generated(seed=3, size=1000).sha256
    assert state.release("octo/seeded", "v2").draft
    with pytest.raises(SeedError, match="has a release v1"):
        apply_seed(state, load_seed(path))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"repos": []}, "repos: Extra inputs"),
        ({"repositories": [{"name": "x"}]}, r"repositories.0.name"),
        ({"tokens": [{"token": "a", "permission": "all"}]}, r"tokens.0.permission"),
        (
            {
                "repositories": [
                    {"name": "o/r", "releases": [{"tag": "v", "assets": [{"name": "a"}]}]}
                ]
            },
            r"releases.0.assets.0: .*exactly one of size",
        ),
        ([], "document"),
    ],
)
def test_a_wrong_seed_is_explained(document: Any, words: str) -> None:
    """The message names the place and what is allowed."""
    with pytest.raises(SeedError, match=words):
        parse_seed(document, "seed.json")


def test_an_unreadable_seed_is_explained(tmp_path: Path) -> None:
    """With the file's name."""
    with pytest.raises(SeedError, match=r"gone\.json: No such file"):
        load_seed(tmp_path / "gone.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(SeedError, match=r"bad\.json"):
        load_seed(tmp_path / "bad.json")
