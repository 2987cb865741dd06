"""What one process may send of a limit that several share: takes from its block, and reports."""

from __future__ import annotations

import math
from collections import deque

from mirror.core.shared_limits import HOLD, USE, Grant, UnitReport

STOCK = 8.0
"""Seconds of its present demand that a process would like to have in hand."""

REPORT = HOLD / 3
"""Seconds between two reports of a process that holds something, or sent something."""

_NEVER = math.inf


class Quota:
    """One unit of a credential's limits, as one process sees it. Times are monotonic, and its own.

    It is not thread-safe, and it only counts: somebody else carries its reports to the shared
    record and the grants back.

    Args:
        limit: The lowest of the limits: what costs more counts as that much.
        text: The limit in words, until the shared record tells which one is used up.
    """

    def __init__(self, limit: float, text: str) -> None:
        self.text = text
        self._limit = limit
        self._in_hand = 0.0
        self._usable_until = -_NEVER
        self._open = 0.0  # sent, and not answered yet
        self._answered: deque[tuple[float, float]] = deque()
        self._queue: deque[float] = deque()  # the costs of those that wait
        self._taken = 0.0  # since the last report
        self._reported_at = -_NEVER
        self._ask_at = -_NEVER  # not before
        self._asked = 0.0  # what the request needs that is next; 0 if it need not be asked for

    # --- requests --------------------------------------------------------------------------------

    def enqueue(self, cost: float) -> None:
        """A request waits for its turn."""
        self._queue.append(min(cost, self._limit))

    def leave(self, cost: float) -> None:
        """It waits no more: it was admitted, or given up."""
        self._queue.remove(min(cost, self._limit))

    def take(self, now: float, cost: float) -> bool:
        """Take what a request costs from the block; whether that much is in hand."""
        cost = min(cost, self._limit)
        if self._in_hand < cost or now >= self._usable_until:
            return False
        self._in_hand -= cost
        self._open += cost
        self._taken += cost
        self._asked = 0.0
        return True

    def ask(self, cost: float) -> None:
        """The block does not suffice for the request that is next."""
        self._asked = min(cost, self._limit)

    def answered(self, now: float, cost: float) -> None:
        """The response of a request arrived, or it failed; also of one that took nothing here."""
        cost = min(cost, self._limit)
        self._open = max(0.0, self._open - cost)
        self._answered.append((now, cost))

    def withdraw(self, cost: float) -> None:
        """A request that took its cost was not sent."""
        cost = min(cost, self._limit)
        self._open -= cost
        self._in_hand += cost

    def wait(self, now: float, cost: float) -> float:
        """Seconds until it is worth asking for a request's cost; 0 if it is in hand, or unknown."""
        if self._in_hand >= min(cost, self._limit) and now < self._usable_until:
            return 0.0
        return max(0.0, self._ask_at - now)

    # --- reports ---------------------------------------------------------------------------------

    def due_in(self, now: float) -> float:
        """Seconds until a report is due; infinite if there is nothing to tell."""
        due = _NEVER
        if self._in_hand or self._open or self._answered:
            due = self._reported_at + REPORT
        if self._asked and self._queue:
            due = min(due, self._ask_at)
        return max(0.0, due - now)

    def report(self, now: float) -> UnitReport:
        """What is to be told. What is in hand and not needed is returned by it, and used no more."""
        waiting = sum(self._queue)
        seconds = max(1.0, now - self._reported_at)
        stock = math.floor((self._taken + waiting) / seconds * STOCK)
        keeps = min(self._in_hand, waiting + stock) if now < self._usable_until else 0.0
        self._in_hand = keeps
        self._taken = 0.0
        self._reported_at = now
        answered = [(now - moment, cost) for moment, cost in self._answered]
        self._answered.clear()
        return UnitReport(
            held=self._open + keeps,
            answered=answered,
            need=max(0.0, self._asked - keeps) if self._queue else 0.0,
            waiting=max(0.0, waiting - keeps),
            stock=max(0.0, stock - max(0.0, keeps - waiting)),
        )

    def granted(self, asked_at: float, grant: Grant, text: str, jitter: float) -> None:
        """What a report was answered with.

        Args:
            asked_at: When it was sent.
            grant: The answer.
            text: The limit that is waited for, in words.
            jitter: From 0 to 1: processes that wait for the same moment ask at different ones.
        """
        self._in_hand += grant.amount
        self._usable_until = asked_at + USE
        self._ask_at = -_NEVER
        if not grant.spacing:
            self._asked = 0.0
        else:
            self.text = text
            self._ask_at = asked_at + grant.wait + grant.spacing * 2 * jitter

    def unknown(self, told_at: float, report: UnitReport, retry_at: float) -> None:
        """A report may have been lost: what it told is told again. Counted twice does no harm.

        Args:
            told_at: When it was made.
            report: What it told.
            retry_at: When the next one is due.
        """
        self._answered.extendleft((told_at - age, cost) for age, cost in reversed(report.answered))
        self._ask_at = retry_at
