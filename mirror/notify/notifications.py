"""After a pass: people are told what is new, and the heartbeat is called where all is well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from mirror.core.notices import find_news, forget, mark
from mirror.core.retry import Backoff
from mirror.core.selection import could_match
from mirror.errors import LedgerLocked, MirrorError
from mirror.notify.ways import Ways

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mirror.core.expansion import Rule
    from mirror.core.index import Index
    from mirror.core.ledger import LedgerStore
    from mirror.core.notices import News
    from mirror.core.report import Report, RepositoryReport
    from mirror.core.timetable import Clock
    from mirror.notify.heartbeat import Heartbeat
    from mirror.notify.ways import Way

log = structlog.get_logger()

BACKOFF = Backoff(attempts=2, first=5.0, longest=5.0)
"""An attempt is as long as :data:`mirror.notify.ways.LIMIT`, and a pass waits for all of them."""


class Notifications:
    """Whom to tell, and how; nothing here ever fails a pass.

    Args:
        ways: To people; none for telling nobody.
        heartbeat: Called after each good pass; ``None`` for none.
        clock: For waits.
        place: Where the mirrors are, for people who have several.
        sender: How the ways are gone.
    """

    def __init__(
        self,
        ways: Sequence[Way] = (),
        heartbeat: Heartbeat | None = None,
        *,
        clock: Clock,
        place: str = "",
        sender: Ways | None = None,
    ) -> None:
        self._ways = tuple(ways)
        self._heartbeat = heartbeat
        self._clock = clock
        self._place = place
        self._sender = sender or Ways(clock)

    async def after(
        self,
        report: Report,
        ledgers: LedgerStore,
        rules: Sequence[Rule],
        patterns: Sequence[str] = (),
        *,
        good: bool = True,
    ) -> None:
        """Tell of a pass of its own, whose lock has been given back; the service has other means.

        What cannot be said now (another run holds the ledger: it has the same to say) is said
        after the next pass. The index is saved after the sending, so that a run that is killed in
        between says something twice rather than never.

        Args:
            report: Of the pass.
            ledgers: Where the index is.
            rules: All configured mirrors.
            patterns: Of the command line: what it left out is not spoken of, and a pass over a
                part proves nothing of the whole, so that it is no heartbeat.
            good: Nothing beside the report went wrong.
        """
        if self._ways:
            try:
                await self._tell_and_save(report, ledgers, rules, patterns)
            except LedgerLocked:
                log.info("notify.postponed", reason="another run holds the ledger")
            except MirrorError as error:
                log.warning("notify.failed", reason=str(error))
        well = good and not (report.failed or report.interrupted)
        if well and report.command == "sync" and not patterns:
            await self.beat()

    async def tell(
        self,
        index: Index,
        reports: Sequence[RepositoryReport],
        *,
        command: str = "sync",
        listed: Collection[str] = (),
    ) -> bool:
        """Tell what is new, and note in the index that people know. Raises nothing.

        A notice counts as sent when one way has taken it: a way that is broken for good would
        else make the others repeat it after each pass.

        Args:
            index: Of the ledger, in memory.
            reports: What became of the mirrors of a pass.
            command: ``sync`` or ``verify``.
            listed: The wildcards that the pass listed, or tried to.

        Returns:
            Whether the index changed: it is to be saved.
        """
        changed = False
        if not self._ways:
            return changed
        for news in find_news(index, reports, command=command, listed=listed, place=self._place):
            if await self._send(news):
                mark(index, news)
                changed = True
        return changed

    async def beat(self) -> None:
        """Call the heartbeat, if there is one. Raises nothing."""
        if self._heartbeat is not None:
            await self._heartbeat.beat()

    async def unreadable(self) -> list[str]:
        """Where the addresses are kept that Apprise cannot read; nothing is sent.

        Raises:
            OSError: Apprise could not be started.
        """
        if not self._ways:
            return []
        return [way.name for way in await self._sender.unreadable(self._ways)]

    async def _tell_and_save(
        self,
        report: Report,
        ledgers: LedgerStore,
        rules: Sequence[Rule],
        patterns: Sequence[str],
    ) -> None:
        listed = _listed(rules, patterns)
        command = report.command
        # Most passes have no news: they take no lock.
        index = await ledgers.load_index()
        news = find_news(index, report.repositories, command=command, listed=listed)
        if not news and not forget(index, rules):
            return
        async with ledgers.lock(0):
            index = await ledgers.load_index()
            changed = forget(index, rules)
            told = await self.tell(index, report.repositories, command=command, listed=listed)
            if changed or told:
                await ledgers.save_index(index)

    async def _send(self, news: News) -> bool:
        """Whether one way at least took it."""
        left = list(self._ways)
        for number in range(1, BACKOFF.attempts + 1):
            try:
                answers = await self._sender.send(left, news.notice)
            except Exception as error:  # noqa: BLE001 - its text may hold anything
                answers = [f"Apprise could not be run: {type(error).__name__}"] * len(left)
            failed = [(way, why) for way, why in zip(left, answers, strict=True) if why]
            if not failed or number == BACKOFF.attempts:
                break
            left = [way for way, _ in failed]
            await self._clock.sleep(BACKOFF.delay(number, jitter=1.0))
        for way, why in failed:
            log.error("notify.failed", way=way.name, reason=why)
        sent = len(self._ways) - len(failed)
        if sent:
            log.info("notify.sent", kind=news.notice.kind, mirrors=len(news.about), ways=sent)
        return bool(sent)


def _listed(rules: Sequence[Rule], patterns: Sequence[str]) -> set[str]:
    """The wildcards that a pass over these patterns asks its sources for."""
    return {
        f"{rule.source_name}:{rule.source}"
        for rule in rules
        if rule.enabled
        and rule.wildcard
        and (not patterns or any(could_match(p, rule.source_name, rule.source) for p in patterns))
    }
