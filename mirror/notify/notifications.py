"""Sends notices about new failures and recoveries after a pass, and calls the heartbeat."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from mirror.core.domain.selection import could_match
from mirror.core.reporting.notices import (
    as_known,
    find_news,
    forget,
    is_outlived,
    mark,
    without_entry,
)
from mirror.core.retry import RetryPolicy, retrying
from mirror.errors import ConfigError, LedgerLocked, MirrorError, Problem
from mirror.github.connector import Proxies
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
"""Few: an attempt may take :data:`mirror.notify.apprise_sender.LIMIT`, and a pass waits for them."""


class _NotSent(MirrorError):
    """At least one address did not accept a notice."""


class Notifications:
    """Sends notices and heartbeats; their failures never fail a pass.

    Args:
        addresses: Where notices are sent.
        heartbeat: Called after each good pass; ``None`` for none.
        clock: For waits.
        place: The target's host, for people who have several.
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
            ConfigError: Apprise is not installed, or the heartbeat's address is invalid.
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
            place=urlsplit(config.target.url).netloc or str(config.target.bundle),
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
        """Send what is new after a one-shot pass, which has released its lock.

        If another run holds the ledger by now, it sends the same; otherwise the next pass does. Where
        several processes share the ledger, one of them at a time sends what none has sent before. The
        index is saved after sending, so that a run killed in between repeats a notice rather than
        losing it.

        Args:
            report: The report of the pass.
            ledgers: Holds the index.
            rules: All configured mirrors.
            patterns: The selection of the command line. Mirrors outside of it are not mentioned, and
                a partial pass sends no heartbeat.
            good: Nothing outside the report failed.
        """
        if self._addresses:
            try:
                await self._tell_and_save(report, ledgers, rules, patterns)
            except LedgerLocked as error:
                log.info("notify.postponed", reason=str(error))
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
        others: Collection[str] = (),
    ) -> bool:
        """Send what is new since the last notices, for the service. Raises nothing.

        Args:
            index: Records what was sent.
            rules: All configured mirrors.
            reports: The reports of a pass, for the wildcards that could not be listed: the index does
                not hold those.
            listed: The wildcards that this pass listed or tried to list (:func:`wildcards`).
            others: Keys of mirrors that are left to processes with newer settings. As long as there
                are any, those also decide which mirrors are no longer configured.

        Returns:
            Whether the index changed and has to be saved.
        """
        if not self._addresses:
            return False
        changed = not others and forget(index, rules)
        told = await self._tell(index, _known(index, rules, reports, others), listed=listed)
        return changed or told

    def has_news(
        self,
        index: Index,
        rules: Sequence[Rule],
        reports: Sequence[RepositoryReport] = (),
        *,
        listed: Collection[str] = (),
        others: Collection[str] = (),
    ) -> bool:
        """Whether :meth:`tell` would send or forget something, as far as the index is up to date."""
        if not self._addresses:
            return False
        if not others and is_outlived(index, rules):
            return True
        return bool(find_news(index, _known(index, rules, reports, others), listed=listed))

    async def heartbeat(self) -> None:
        """Call the heartbeat, if there is one, after a good pass. Raises nothing."""
        if self._heartbeat is not None:
            await self._heartbeat.beat()

    @property
    def beats(self) -> bool:
        """Whether there is a heartbeat."""
        return self._heartbeat is not None

    @property
    def configured(self) -> str:
        """A summary: ``2 notification addresses, a heartbeat``; empty if nothing is configured."""
        number = len(self._addresses)
        addresses = f"{number} notification address{'' if number == 1 else 'es'}" if number else ""
        return ", ".join(filter(None, (addresses, "a heartbeat" if self._heartbeat else "")))

    async def unreadable(self) -> list[str]:
        """The secret references of the addresses that Apprise cannot parse; nothing is sent.

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
        current = not any(repository.superseded for repository in report.repositories)
        # Most passes have no news and need no lock.
        index = await ledgers.load_index()
        news = find_news(index, report.repositories, command=command, listed=listed)
        if not news and not (current and is_outlived(index, rules)):
            return
        async with ledgers.notifying():
            index = await ledgers.load_index()
            changed = current and forget(index, rules)
            told = await self._tell(index, report.repositories, command=command, listed=listed)
            if changed or told:
                await ledgers.save_shared(index)

    async def _tell(
        self,
        index: Index,
        reports: Sequence[RepositoryReport],
        *,
        command: str = "sync",
        listed: Collection[str] = (),
    ) -> bool:
        """Send what is new; whether the index changed.

        A notice counts as sent when one address has accepted it: otherwise a broken address would
        make the others repeat it after each pass.
        """
        changed = False
        for news in find_news(index, reports, command=command, listed=listed, place=self._place):
            if await self._send(news):
                mark(index, news)
                changed = True
        return changed

    async def _send(self, news: News) -> bool:
        """Send a notice; whether at least one address accepted it."""
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
    """The names of the wildcards that a pass with these patterns lists."""
    return {
        f"{rule.source_name}:{rule.source}"
        for rule in rules
        if rule.enabled
        and rule.wildcard
        and (not patterns or any(could_match(p, rule.source_name, rule.source) for p in patterns))
    }


def _known(
    index: Index,
    rules: Sequence[Rule],
    reports: Sequence[RepositoryReport],
    others: Collection[str],
) -> list[RepositoryReport]:
    """What is known of all mirrors but those that are left to others."""
    return [
        report
        for report in (*as_known(index, rules), *without_entry(index, reports))
        if report.target is None or report.target.casefold() not in others
    ]


def _problem(config: Config, path: tuple[str, ...], text: str) -> Problem:
    return Problem(".".join(path), text, config.lines.find(path))
