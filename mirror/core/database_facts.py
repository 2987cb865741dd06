"""What a database tells of itself before anything depends on it."""

from __future__ import annotations

from typing import NamedTuple


class DatabaseFacts(NamedTuple):
    """The ledger's database, and what its role may do there.

    Attributes:
        server: The version of PostgreSQL.
        role: Whom the URL names.
        schema: Where tables would be created; ``None`` if the role may use none.
        standby: It accepts no writes.
        may_create: The role may create tables in that schema.
        version: Of the tables; 0 for none.
        expected: The version that this program uses.
        missing: Rights that the role lacks: ``UPDATE on mirrors``.
    """

    server: str
    role: str
    schema: str | None
    standby: bool
    may_create: bool
    version: int
    expected: int
    missing: tuple[str, ...] = ()
