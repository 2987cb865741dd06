"""Which version a tag names."""

from __future__ import annotations

import time

import pytest

from mirror.core.domain.versions import version_of


@pytest.mark.parametrize(
    ("tag", "version"),
    [
        ("v1.2", "1.2"),
        ("V1.2", "1.2"),
        ("1.2.3", "1.2.3"),
        ("2024.01.15", "2024.1.15"),
        ("jq-1.7.1", "1.7.1"),
        ("cli/v2.0.0-rc.1", "2.0.0rc1"),
        ("@scope/pkg@1.2.3", "1.2.3"),
        ("llvmorg-17.0.6", "17.0.6"),
        ("release_1.0+build.5", "1.0+build.5"),
        ("v1.0.0-beta2", "1.0.0b2"),
        ("nightly", None),
        ("release-2024-01-15", None),
        ("1.0.0-alpine", None),
        ("v", None),
        ("", None),
    ],
)
def test_versions_of_odd_tags(tag: str, version: str | None) -> None:
    """A tag's version is what stands at its end; a tag without one matches no specifier."""
    found = version_of(tag)
    assert (str(found) if found else None) == version


def test_no_tag_takes_long() -> None:
    """A long tag that is almost a version costs no more than another."""
    started = time.perf_counter()
    assert version_of("v1" + "a1" * 100 + "/é") is None
    assert version_of("1-" * 120 + "!") is None
    assert time.perf_counter() - started < 1
