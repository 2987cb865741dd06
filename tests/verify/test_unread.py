"""What is reported of assets whose bytes could not be read."""

from __future__ import annotations

from mirror.core.planning.verification import Pair
from mirror.errors import BadAnswer, NotFound, NotTried
from mirror.verify.unread import Unread, failures_of
from support.values import a_release, an_asset


def unread(error: Exception, host: str = "target") -> Unread:
    assert isinstance(error, BadAnswer | NotFound | NotTried)
    return Unread(Pair(0, a_release(), an_asset(1, "a"), an_asset(2, "a"), None), error, host)


def test_a_host_that_fails_is_one_failure() -> None:
    """From three assets on; what was not even tried belongs to it, and its first error is told."""
    page = BadAnswer("a page")
    (failure,) = failures_of([unread(NotTried("off")), *[unread(page)] * 3])
    assert failure.detail == "4 assets could not be read from target: a page"
    assert failure.hint == "storage-host"
    assert (failure.kind, failure.release, failure.asset) == ("invalid-answer", None, None)
    assert len(failures_of([unread(NotTried("off"))])) == 1


def test_an_asset_that_fails_is_named() -> None:
    """Two of a host may be bad by themselves, and what no host is blamed for is told alone."""
    found = failures_of([unread(BadAnswer("a page"))] * 2)
    assert [failure.asset for failure in found] == ["a", "a"]
    assert len(failures_of([unread(NotFound("gone"), "")] * 5)) == 5
