"""A pattern of the command line that can match nothing."""

from __future__ import annotations

import pytest

from mirror.core.domain.mirror import Rule
from mirror.core.domain.patterns import check_patterns
from mirror.core.domain.policy import Policy
from mirror.errors import UsageError


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("hashicorp", "hashicorp/*"),
        ("HashiCorp", "hashicorp/*"),
        ("hashicrop", "hashicorp/*"),
        ("github:hashicorp", "hashicorp/*"),
        ("tool", "octo/tool"),
        ("octo/tol", "octo/tool"),
        ("zzz", ""),
    ],
)
def test_a_pattern_that_can_match_nothing_is_answered_with_the_right_one(
    pattern: str, meant: str
) -> None:
    """An owner or a repository alone, and what is mistyped; otherwise with what is configured."""
    sources = ("hashicorp/*", "octo/tool")
    rules = [Rule("github", source, "{owner}/{repo}", Policy(), "") for source in sources]
    with pytest.raises(UsageError) as caught:
        check_patterns(rules, [pattern])
    text = str(caught.value)
    assert (f'did you mean "{meant}"?' in text) if meant else "did you mean" not in text
    assert "configured: hashicorp/*, octo/tool" in text
