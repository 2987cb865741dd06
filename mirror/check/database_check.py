"""Whether the ledger's database answers, and whether its role may do what a daemon needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.check.check_results import CheckResult, failure
from mirror.errors import MirrorError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mirror.check.check_results import State
    from mirror.core.database_facts import DatabaseFacts

HOST = "ledger"
"""What the results stand under."""


async def check_database(ask: Callable[[], Awaitable[DatabaseFacts]]) -> list[CheckResult]:
    """Ask the database about itself; nothing is written.

    Args:
        ask: Asks it.
    """
    try:
        facts = await ask()
    except MirrorError as error:
        return [failure(HOST, "database", error)]
    role = f"PostgreSQL {facts.server}, role {facts.role}"
    if facts.standby:
        detail = f"{role}: it is a standby and accepts no writes; name the primary in [ledger] url"
        return [CheckResult(HOST, "database", "failed", detail)]
    tables, rights = _tables(facts), _rights(facts)
    return [CheckResult(HOST, "database", "ok", role), tables, *rights]


def _tables(facts: DatabaseFacts) -> CheckResult:
    state: State = "ok"
    if facts.version == facts.expected:
        detail = f"schema version {facts.version}"
    elif facts.version > facts.expected:
        state = "failed"
        detail = (
            f"schema version {facts.version} was made by a later release-mirror; this one knows"
            f" {facts.expected}: upgrade release-mirror"
        )
    elif facts.may_create:
        made = (
            f"schema version {facts.version} is upgraded" if facts.version else "none yet: created"
        )
        detail = f"{made} by the first sync or daemon"
    else:
        state = "failed"
        schema = facts.schema or "public"
        detail = (
            f"none that this release-mirror can use, and the role may create none:"
            f" GRANT USAGE, CREATE ON SCHEMA {schema} TO {facts.role}"
        )
    return CheckResult(HOST, "tables", state, detail)


def _rights(facts: DatabaseFacts) -> list[CheckResult]:
    if not facts.version:
        return []
    if facts.missing:
        detail = (
            f"the role lacks {', '.join(facts.missing)}: grant it, or use the role of the tables"
        )
        return [CheckResult(HOST, "rights", "failed", detail)]
    return [CheckResult(HOST, "rights", "ok", "may read and write every table")]
