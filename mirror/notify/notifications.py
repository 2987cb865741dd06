"""After a pass: people are told what is new, and the heartbeat is called where all is well."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from mirror.core.domain.selection import could_match
from mirror.core.reporting.notices import as_known, find_news, forget, mark, without_entry
from mirror.core.retry import RetryPolicy, retrying
from mirror.errors import ConfigError, LedgerLocked, MirrorError, Problem
from mirror.github.connection import Proxies
from mirror.notify.apprise_sender import INSTALL, Address, AppriseSender, is_installed
from mirror.notify.heartbeat import Heartbeat, usable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from mirror.config import Config, Secrets
    from mirror.core.clock import Clock
    from mirror.core.domain.mirror import Rule
    from mirror.core.ledger.document import LedgerStore
    from mirror.core.ledger.index import Index
    from mirror.core.reporting.notices import News
    from mirror.core.reporting.report import Report, RepositoryReport

log = structlog.get_logger()

RETRY = RetryPolicy(attempts=2, first=5.0, longest=5.0)
"""An attempt is as long as :data:`mirror.notify.apprise_sender.LIMIT`, and a pass waits for all of them."""


class _NotSent(MirrorError):
    """At least one address did not take a notice."""


class Notifications:
    """Whom to tell, and how; nothing here ever fails a pass.

    Args:
        addresses: Where notices are sent.
        heartbeat: Called after each good pass; ``None`` for none.
        clock: For waits.
        place: Where the mirrors are, for people who have several.
        sender: Sends them.
    """

    def __init__(
        self,
        addresses: Sequence[Address] = (),
        heartbeat: Heartbeat | None = None,
        *,
        clock: Clock,
        place: str = "",
        sender: AppriseSender | None = None,
    ) -> None:
        self._addresses = tuple(addresses)
        self._heartbeat = heartbeat
        self._clock = clock
        self._place = place
        self._sender = sender or AppriseSender(clock)

    @classmethod
    def of(cls, config: Config, secrets: Secrets, clock: Clock) -> Notifications:
        """As configured; nothing is contacted.

        Raises:
            ConfigError: Apprise is not installed, or the heartbeat's address is none.
        """
        urls, beat = config.notify.urls, config.notify.heartbeat_url
        problems = []
        if urls and not is_installed():
            text = f"needs Apprise, which is not installed: {INSTALL}"
            problems.append(_problem(config, ("notify", "urls"), text))
        address = secrets.get(beat)
        if address is not None and not usable(address):
            text = "what is there is no address that begins with https:// or http:// (not shown)"
            problems.append(_problem(config, ("notify", "heartbeat_url"), text))
        if problems:
            raise ConfigError(str(config.file), problems)
        return cls(
            [Address(str(ref), url) for ref in urls if (url := secrets.get(ref)) is not None],
            Heartbeat(address, clock, proxies=Proxies().of) if address is not None else None,
            clock=clock,
            place=urlsplit(config.target.url).netloc,
        )

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
        if self._addresses:
            try:
                await self._tell_and_save(report, ledgers, rules, patterns)
            except LedgerLocked:
                log.info("notify.postponed", reason="another run holds the ledger")
            except MirrorError as error:
                log.warning("notify.failed", reason=str(error))
        well = good and not (report.failed or report.interrupted)
        if well and report.command == "sync" and not patterns:
            await self.heartbeat()

    async def tell(
        self,
        index: Index,
        rules: Sequence[Rule],
        reports: Sequence[RepositoryReport] = (),
        *,
        listed: Collection[str] = (),
    ) -> bool:
        """Tell what is new since people were told last: for the service. Raises nothing.

        Args:
            index: In memory; what people know is noted there.
            rules: All configured mirrors.
            reports: Of a pass: for the wildcards that could not be listed, which the index does
                not know of.
            listed: The wildcards that this pass listed, or tried to (:func:`wildcards`).

        Returns:
            Whether the index changed: it is to be saved.
        """
        if not self._addresses:
            return False
        changed = forget(index, rules)
        known = [*as_known(index, rules), *without_entry(index, reports)]
        told = await self._tell(index, known, listed=listed)
        return changed or told

    async def heartbeat(self) -> None:
        """Call the heartbeat, if there is one: a pass was good. Raises nothing."""
        if self._heartbeat is not None:
            await self._heartbeat.beat()

    @property
    def beats(self) -> bool:
        """Whether there is a heartbeat."""
        return self._heartbeat is not None

    @property
    def configured(self) -> str:
        """What there is, for a person: ``2 notification addresses, a heartbeat``; empty for nothing."""
        number = len(self._addresses)
        addresses = f"{number} notification address{'' if number == 1 else 'es'}" if number else ""
        return ", ".join(filter(None, (addresses, "a heartbeat" if self._heartbeat else "")))

    async def unreadable(self) -> list[str]:
        """Where the addresses are kept that Apprise cannot read; nothing is sent.

        Raises:
            OSError: Apprise could not be started.
        """
        if not self._addresses:
            return []
        return [address.name for address in await self._sender.unreadable(self._addresses)]

    async def _tell_and_save(
        self,
        report: Report,
        ledgers: LedgerStore,
        rules: Sequence[Rule],
        patterns: Sequence[str],
    ) -> None:
        listed = wildcards(rules, patterns)
        command = report.command
        # Most passes have no news: they take no lock.
        index = await ledgers.load_index()
        news = find_news(index, report.repositories, command=command, listed=listed)
        if not news and not forget(index, rules):
            return
        async with ledgers.lock(0):
            index = await ledgers.load_index()
            changed = forget(index, rules)
            told = await self._tell(index, report.repositories, command=command, listed=listed)
            if changed or told:
                await ledgers.save_index(index)

    async def _tell(
        self,
        index: Index,
        reports: Sequence[RepositoryReport],
        *,
        command: str = "sync",
        listed: Collection[str] = (),
    ) -> bool:
        """Send what is new; whether the index changed.

        A notice counts as sent when one address has taken it: one that is broken for good would
        else make the others repeat it after each pass.
        """
        changed = False
        for news in find_news(index, reports, command=command, listed=listed, place=self._place):
            if await self._send(news):
                mark(index, news)
                changed = True
        return changed

    async def _send(self, news: News) -> bool:
        """Whether at least one address took it."""
        left = dict.fromkeys(self._addresses, "")

        async def send() -> None:
            try:
                answers = await self._sender.send(list(left), news.notice)
            except Exception as error:  # noqa: BLE001 - its text may hold anything
                answers = [f"Apprise could not be run: {type(error).__name__}"] * len(left)
            failed = {address: why for address, why in zip(left, answers, strict=True) if why}
            left.clear()
            left.update(failed)
            if failed:
                raise _NotSent

        with suppress(_NotSent):
            await retrying(send, RETRY, self._clock, lambda _: True)
        for address, why in left.items():
            log.error("notify.failed", address=address.name, reason=why)
        sent = len(self._addresses) - len(left)
        if sent:
            log.info("notify.sent", kind=news.notice.kind, mirrors=len(news.about), addresses=sent)
        return bool(sent)


def wildcards(rules: Iterable[Rule], patterns: Sequence[str] = ()) -> set[str]:
    """The names of those wildcards that a pass over these patterns asks its sources for."""
    return {
        f"{rule.source_name}:{rule.source}"
        for rule in rules
        if rule.enabled
        and rule.wildcard
        and (not patterns or any(could_match(p, rule.source_name, rule.source) for p in patterns))
    }


def _problem(config: Config, path: tuple[str, ...], text: str) -> Problem:
    return Problem(".".join(path), text, config.lines.find(path))
