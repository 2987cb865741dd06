"""Sources, exclusions and targets in the configuration file."""

from __future__ import annotations

import pytest

from mirror.config import repository_names


@pytest.mark.parametrize(
    "text", ["cli/cli", "a/b.c_d-e", "hashicorp/*", "o/v?", "o/[ab]*", "a_b/c"]
)
def test_sources(text: str) -> None:
    """A source is an owner and a repository or a pattern of them."""
    assert repository_names.parse_source(text) == text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("*/cli", "the owner cannot contain a wildcard"),
        ("cli", "OWNER/REPO"),
        ("a/b/c", "OWNER/REPO"),
        ("/b", "invalid owner"),
        ("a/", "invalid repository name"),
        ("a/..", "invalid repository name"),
        ("a/b c", "invalid repository name"),
        ("a/{b,c}*", "characters"),
        ("a/b.git", "without .git"),
        ("a" * 40 + "/b", "invalid owner"),
        ("a/" + "b" * 101, "invalid repository name"),
        ("https://github.com/cli/cli", "not a URL"),
        ("", "OWNER/REPO"),
        (1, "not an integer"),
    ],
)
def test_what_is_no_source(value: object, words: str) -> None:
    """What GitHub could not have is refused, and the usual mistakes have their own sentence."""
    with pytest.raises(ValueError, match=words):
        repository_names.parse_source(value)


def test_excludes() -> None:
    """What a pattern leaves out has an owner and a repository, both with wildcards if wanted."""
    assert repository_names.parse_exclude("*/*-archive") == "*/*-archive"
    for value in ("*-archive", "a/b/c", "", 1):
        with pytest.raises(ValueError, match="OWNER/REPO"):
            repository_names.parse_exclude(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("mirrors/{name}", "unknown placeholder"),
        ("mirrors/{}", "unknown placeholder"),
        ("mirrors/{repo", "OWNER/REPO"),
        ("mirrors", "OWNER/REPO"),
        ("{owner}/{repo}/x", "OWNER/REPO"),
        ("mirrors/*", "wildcard"),
        ("mirrors/a b", "repository name"),
        ("-/a", "owner"),
        ("https://ghe/mirrors/a", "not a URL"),
        (["a/b"], "not a list"),
    ],
)
def test_what_is_no_target(value: object, words: str) -> None:
    """A target is an owner and a repository; {owner} and {repo} are the only placeholders."""
    with pytest.raises(ValueError, match=words):
        repository_names.parse_target(value)


def test_targets_are_filled() -> None:
    """Placeholders take the source's names, and nothing in these names is a placeholder again."""
    assert repository_names.fill("m/{owner}-{repo}", "cli", "{owner}") == "m/cli-{owner}"
    assert repository_names.parse_target("{owner}/{repo}") == "{owner}/{repo}"
