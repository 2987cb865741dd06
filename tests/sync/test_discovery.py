"""The mirrors of a configuration, as listings of their owners come in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from mirror.core.domain.mirror import Rule
from mirror.core.domain.policy import Policy
from mirror.core.domain.release import RepoRef, Repository
from mirror.core.host import OwnerListing
from mirror.core.ledger.index import Index
from mirror.errors import ServerError
from mirror.sync.context import Endpoint
from mirror.sync.discovery import Catalogue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mirror.github import ReleaseStore


class FakeStore:
    """A source whose owners hold what a test says."""

    def __init__(self, **owners: Sequence[str]) -> None:
        self.owners = dict(owners)
        self.gates: dict[str, asyncio.Event] = {}
        self.down = False

    async def owner_repositories(self, owner: str, proofs: object = ()) -> OwnerListing:
        del proofs
        if gate := self.gates.get(owner):
            await gate.wait()
        if self.down:
            raise ServerError("503 maintenance", status=503)
        names = self.owners[owner]
        found = tuple(
            Repository(RepoRef(owner, name), id=hash((owner, name)), default_branch="main")
            for name in names
        )
        return OwnerListing(found, ())


def rule(source: str, target: str = "mirrors/{owner}-{repo}") -> Rule:
    return Rule("github", source, target, Policy(), "settings")


def catalogue(store: FakeStore, *rules: Rule, index: Index | None = None) -> Catalogue:
    host = Endpoint("github", "", "", "credential", cast("ReleaseStore", store))
    return Catalogue(rules, {"github": host}, index or Index())


def targets(found: Catalogue) -> set[str]:
    return {str(mirror.target) for mirror in found.mirrors}


async def test_mirrors_that_are_configured_by_name_need_no_listing() -> None:
    """They are known from the start; those of a pattern when its owner was listed."""
    found = catalogue(FakeStore(a=["one", "two"]), rule("x/fixed"), rule("a/*"))
    assert targets(found) == {"mirrors/x-fixed"}
    assert {mirror.listing for mirror in found.mirrors} == {""}
    assert await found.relist("github:a") == ()
    assert targets(found) == {"mirrors/x-fixed", "mirrors/a-one", "mirrors/a-two"}
    assert {mirror.listing for mirror in found.mirrors} == {"", "github:a"}


async def test_what_was_listed_is_known_after_a_restart() -> None:
    """The index holds the listings, also those that another catalogue made."""
    store, index = FakeStore(a=["one"]), Index()
    before = catalogue(store, rule("a/*"), index=index)
    early = catalogue(store, rule("a/*"), index=index)
    await before.relist("github:a")
    assert targets(catalogue(store, rule("a/*"), index=index)) == {"mirrors/a-one"}
    await early.relist("github:a")
    assert targets(early) == {"mirrors/a-one"}


async def test_listings_that_overlap_lose_nothing() -> None:
    """Whichever ends first, both owners' repositories are known at the end."""
    store = FakeStore(a=["one"], b=["two"])
    store.gates = {"a": asyncio.Event(), "b": asyncio.Event()}
    found = catalogue(store, rule("a/*"), rule("b/*"))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(found.relist("github:a"))
        tasks.create_task(found.relist("github:b"))
        await asyncio.sleep(0)
        store.gates["b"].set()
        await asyncio.sleep(0)
        store.gates["a"].set()
    assert targets(found) == {"mirrors/a-one", "mirrors/b-two"}


async def test_an_unchanged_listing_changes_no_mirror() -> None:
    """The mirrors are the same objects: nothing is expanded for ten thousand of them."""
    found = catalogue(FakeStore(a=["one"]), rule("a/*"))
    await found.relist("github:a")
    before = found.mirrors
    await found.relist("github:a", full=True)
    assert found.mirrors is before


async def test_a_listing_that_fails_is_reported_for_each_pattern() -> None:
    """And the mirrors stay as they were."""
    store = FakeStore(a=["one"])
    found = catalogue(store, rule("a/o*"), rule("a/t*"))
    await found.relist("github:a")
    store.down = True
    failed = await found.relist("github:a")
    assert [(report.source, report.target) for report in failed] == [
        ("github:a/o*", None),
        ("github:a/t*", None),
    ]
    assert all(report.failures for report in failed)
    assert targets(found) == {"mirrors/a-one"}


async def test_two_sources_with_one_target_are_both_impossible() -> None:
    """Also where one of them is configured by name, until the listing shows otherwise."""
    store = FakeStore(a=["one"])
    found = catalogue(store, rule("x/fixed", "mirrors/a-one"), rule("a/*"))
    assert targets(found) == {"mirrors/a-one"}
    await found.relist("github:a")
    assert targets(found) == set()
    assert {report.source for report in found.impossible} == {"github:x/fixed", "github:a/one"}
    store.owners["a"] = []
    await found.relist("github:a")
    assert targets(found) == {"mirrors/a-one"}
    assert found.impossible == ()
