"""After a pass: what is new is told and remembered, and nothing here ever fails a pass."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from mirror.core.domain.mirror import Rule
from mirror.core.domain.policy import Policy
from mirror.core.failure import Failure
from mirror.core.ledger.index import Index, IndexEntry
from mirror.core.reporting.notices import find_news
from mirror.core.reporting.report import Report, RepositoryReport
from mirror.notify import Address, AppriseSender, Heartbeat, Notifications, wildcards
from mirror.storage.json_ledger import FileLedgerStore
from mirror.storage.postgres_ledger import PostgresLedgerStore
from support.clock import START, VirtualClock
from support.postgres import opened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mirror.core.reporting.notices import Notice
    from support.bell import Bell

ADDRESSES = (Address("env:ONE", "json://one"), Address("env:TWO", "json://two"))
RULES = (Rule("github", "octo/tool", "mirrors/tool", Policy(), ""),)
FAILED = RepositoryReport(
    "github:octo/tool", "mirrors/tool", "failed", failures=(Failure("rejected", "it broke"),)
)
WELL = RepositoryReport("github:octo/tool", "mirrors/tool", "ok")


class Post(AppriseSender):
    """Takes notices, and answers as it is told: by attempt, one answer for each address."""

    def __init__(self, *answers: list[str] | Exception) -> None:
        super().__init__(VirtualClock())
        self.answers = list(answers)
        self.sent: list[tuple[list[str], Notice]] = []

    async def send(self, addresses: Sequence[Address], notice: Notice) -> list[str]:
        self.sent.append(([address.name for address in addresses], notice))
        answer = self.answers.pop(0) if self.answers else [""] * len(addresses)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
async def ledgers(tmp_path: Path) -> FileLedgerStore:
    store = FileLedgerStore(tmp_path / "ledger", VirtualClock())
    async with store.lock():
        entry = IndexEntry("github:octo/tool", "mirrors/tool")
        await store.save_index(Index({"mirrors/tool": entry}))
    return store


def report(*repositories: RepositoryReport, command: str = "sync", **more: Any) -> Report:
    return Report(command, START, START, repositories, **more)


def notifications(post: AppriseSender, heartbeat: Heartbeat | None = None) -> Notifications:
    return Notifications(ADDRESSES, heartbeat, clock=VirtualClock(), sender=post)


async def told(ledgers: FileLedgerStore) -> bool:
    return (await ledgers.load_index()).mirrors["mirrors/tool"].told


async def test_once_each_over_passes_of_their_own(ledgers: FileLedgerStore) -> None:
    """Each pass is a process: what people know is in the index."""
    kinds = []
    for item in (FAILED, FAILED, WELL, WELL):
        post = Post()
        await notifications(post).after(report(item), ledgers, RULES)
        kinds.append([notice.kind for _, notice in post.sent])
    assert kinds == [["failure"], [], ["success"], []]


async def test_what_failed_is_tried_again_and_the_rest_is_not(ledgers: FileLedgerStore) -> None:
    """A second attempt goes to the addresses that failed; one that took it is enough to remember."""
    post = Post(["", "HTTP 500"], ["HTTP 500"])
    with capture_logs() as logs:
        await notifications(post).after(report(FAILED), ledgers, RULES)
    assert [names for names, _ in post.sent] == [["env:ONE", "env:TWO"], ["env:TWO"]]
    assert await told(ledgers)
    assert [entry for entry in logs if entry["event"] == "notify.failed"] == [
        {"event": "notify.failed", "log_level": "error", "address": "env:TWO", "reason": "HTTP 500"}
    ]


@pytest.mark.parametrize(
    "answers", [(["no", "no"], ["no", "no"]), (OSError("secret"), OSError("secret"))]
)
async def test_what_nobody_took_is_said_by_the_next_pass(
    ledgers: FileLedgerStore, answers: tuple[Any, ...]
) -> None:
    """Nothing is lost by a service that is down, and the pass is none the worse for it."""
    with capture_logs() as logs:
        await notifications(Post(*answers)).after(report(FAILED), ledgers, RULES)
    assert "secret" not in str(logs)
    assert not await told(ledgers)
    post = Post()
    await notifications(post).after(report(FAILED), ledgers, RULES)
    assert [notice.kind for _, notice in post.sent] == ["failure"]
    assert await told(ledgers)


async def test_while_another_run_holds_the_ledger_nothing_is_said(
    ledgers: FileLedgerStore, tmp_path: Path
) -> None:
    """What it does not remember is not said: the other run has the same to say, or the next."""
    post = Post()
    async with FileLedgerStore(tmp_path / "ledger", VirtualClock()).lock():
        await notifications(post).after(report(FAILED), ledgers, RULES)
    assert not post.sent
    await notifications(post).after(report(FAILED), ledgers, RULES)
    assert len(post.sent) == 1


async def test_without_news_the_ledger_is_only_read(
    ledgers: FileLedgerStore, tmp_path: Path
) -> None:
    """A pass with nothing to tell takes no lock: it can be told while another run holds it."""
    index = tmp_path / "ledger/index.json"
    before = index.stat().st_mtime_ns
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(FileLedgerStore(tmp_path / "ledger", VirtualClock()).lock())
        with capture_logs() as logs:
            await notifications(Post()).after(report(WELL), ledgers, RULES)
    assert logs == []
    assert index.stat().st_mtime_ns == before


async def test_a_mirror_that_is_no_longer_configured_is_forgotten(
    ledgers: FileLedgerStore,
) -> None:
    """It is not said to be well again, now or when it is configured again."""
    await notifications(Post()).after(report(FAILED), ledgers, RULES)
    post = Post()
    await notifications(post).after(report(), ledgers, ())
    assert not await told(ledgers)
    await notifications(post).after(report(WELL), ledgers, RULES)
    assert not post.sent


@pytest.mark.parametrize(
    ("about", "patterns", "good", "beats"),
    [
        (report(WELL), (), True, 1),
        (report(), (), True, 1),
        (report(FAILED), (), True, 0),
        (report(WELL), (), False, 0),
        (report(WELL), ("octo/*",), True, 0),
        (report(WELL, interrupted=True), (), True, 0),
        (report(WELL, command="verify"), (), True, 0),
    ],
    ids=["good", "empty", "failed", "error", "part", "interrupted", "verify"],
)
async def test_the_heartbeat_is_of_good_passes_over_everything(
    ledgers: FileLedgerStore,
    bell: Bell,
    about: Report,
    patterns: tuple[str, ...],
    *,
    good: bool,
    beats: int,
) -> None:
    """Nothing that failed, no part and no comparison says that all is well."""
    beat = Heartbeat(bell.url("ping"), VirtualClock())
    await Notifications(heartbeat=beat, clock=VirtualClock()).after(
        about, ledgers, RULES, patterns, good=good
    )
    assert len(bell.rings) == beats


async def test_a_heart_beats_although_nobody_can_be_told(
    ledgers: FileLedgerStore, bell: Bell
) -> None:
    """An address that is broken does not make a pass fail."""
    async with ledgers.lock():
        index = await ledgers.load_index()
        index.mirrors["mirrors/tool"].told = True
        await ledgers.save_index(index)
    post = Post(["no", "no"], ["no", "no"])
    beat = Heartbeat(bell.url("ping"), VirtualClock())
    await notifications(post, beat).after(report(WELL), ledgers, RULES)
    assert len(bell.rings) == 1
    assert await told(ledgers), "the recovery is not yet told"


async def test_the_service_tells_from_its_index() -> None:
    """What is in memory is told, with wildcards from the reports of a pass, and noted there."""
    down = Failure("unavailable", "down")
    index = Index({"mirrors/tool": IndexEntry("github:octo/tool", "mirrors/tool", failure=down)})
    rules = (*RULES, Rule("github", "acme/*", "acme/{repo}", Policy(), ""))
    lost = RepositoryReport(
        "github:acme/*", None, "failed", failures=(Failure("rejected", "no list"),)
    )
    post = Post()
    service = notifications(post)
    listed = wildcards(rules)
    assert listed == {"github:acme/*"}
    assert await service.tell(index, rules, [lost], listed=listed)
    assert not await service.tell(index, rules, [lost], listed=listed)
    assert not await service.tell(index, rules), "of a pass that listed nothing"
    index.mirrors["mirrors/tool"].failure = None
    assert await service.tell(index, rules, listed=listed)
    bad, good = (notice for _, notice in post.sent)
    assert "2 mirrors failed" in bad.title
    assert "2 mirrors recovered" in good.title
    assert not await Notifications(clock=VirtualClock()).tell(index, rules)


async def test_what_others_have_newer_settings_of_is_left_to_them() -> None:
    """Neither told nor forgotten by a process that is outdated; a sync's report of it is no failure."""
    down = Failure("unavailable", "down")
    entry = IndexEntry("github:octo/tool", "mirrors/tool", failure=down)
    gone = IndexEntry("github:octo/new", "mirrors/new", told=True)
    index = Index({"mirrors/tool": entry, "mirrors/new": gone})
    post = Post()
    service = notifications(post)
    others = ["mirrors/tool", "mirrors/new"]
    assert not service.has_news(index, RULES, others=others)
    assert not await service.tell(index, RULES, others=others)
    assert gone.told
    assert service.has_news(index, RULES)
    left = Failure("policy", "a later start", hint="newer-settings")
    superseded = RepositoryReport("github:octo/tool", "mirrors/tool", "failed", failures=(left,))
    assert find_news(Index(), [superseded]) == ()
    assert not post.sent


class Slow(Post):
    """Takes a notice when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def send(self, addresses: Sequence[Address], notice: Notice) -> list[str]:
        self.begun.set()
        await self.go_on.wait()
        return await super().send(addresses, notice)


async def test_processes_that_share_a_ledger_tell_once(postgres_url: str) -> None:
    """While one sends, nobody else does; whoever comes later knows what was sent."""
    async with opened(postgres_url) as one, opened(postgres_url) as other:
        here, there = (PostgresLedgerStore(database, {}) for database in (one, other))
        await here.save_index(
            Index({"mirrors/tool": IndexEntry("github:octo/tool", "mirrors/tool")})
        )
        index = await there.load_index()
        for item, kind in (FAILED, "failure"), (WELL, "success"):
            slow, post = Slow(), Post()
            async with asyncio.TaskGroup() as group:
                group.create_task(notifications(slow).after(report(item), here, RULES))
                await slow.begun.wait()
                with capture_logs() as logs:
                    await notifications(post).after(report(item), there, RULES)
                assert [entry["event"] for entry in logs] == ["notify.postponed"]
                slow.go_on.set()
            await notifications(post).after(report(item), there, RULES)
            assert [notice.kind for _, notice in slow.sent] == [kind]
            assert not post.sent
            await there.refresh_told(index)
            assert index.mirrors["mirrors/tool"].told == (kind == "failure")


async def test_what_a_killed_process_was_about_to_tell_is_told(postgres_url: str) -> None:
    """After three minutes: it may have been sent, and then it is sent twice."""
    lost = RepositoryReport("github:acme/*", None, "failed", failures=FAILED.failures)
    async with opened(postgres_url) as database, AsyncExitStack() as killed:
        store = PostgresLedgerStore(database, {})
        await killed.enter_async_context(PostgresLedgerStore(database, {}).notifying())
        rules = [Rule("github", "acme/*", "acme/{repo}", Policy(), "")]
        await database.query("UPDATE records SET saved_at = now() - interval '181 s'")
        post = Post()
        for item, sent in (lost, 1), (lost, 1), (WELL.but(source="github:acme/a"), 2):
            await notifications(post).after(report(item), store, rules)
            assert len(post.sent) == sent


def test_only_what_is_asked_for_is_listed() -> None:
    """A pattern of the command line says which wildcards a pass knows anything of."""
    rules = [
        Rule("github", "acme/*", "a/{repo}", Policy(), ""),
        Rule("github", "octo/*", "o/{repo}", Policy(), "", enabled=False),
        Rule("ghe", "octo/*", "o/{repo}", Policy(), ""),
        *RULES,
    ]
    assert wildcards(rules) == {"github:acme/*", "ghe:octo/*"}
    assert wildcards(rules, ["github:*/*"]) == {"github:acme/*"}
    assert wildcards(rules, ["octo/tool"]) == {"ghe:octo/*"}
