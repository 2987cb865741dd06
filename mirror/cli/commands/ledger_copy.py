"""``ledger copy``: every document and the index from one ledger into an empty one."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.cli import exit_status, startup
from mirror.cli.output import print_error_line, print_text
from mirror.config import SecretRef
from mirror.config.secrets import SecretResolver
from mirror.core.text.sanitise import clean
from mirror.core.text.wording import count
from mirror.errors import UsageError
from mirror.open_ledger import check_url, open_database_ledger
from mirror.storage.copy import copy_ledger
from mirror.storage.json_ledger import FileLedgerStore
from mirror.system_clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mirror.core.ledger.document import LedgerStore
    from mirror.storage.copy import Copied

From = Annotated[
    str, typer.Argument(metavar="FROM", help="Ledger to copy: a directory or a secret reference.")
]
To = Annotated[
    str, typer.Argument(metavar="TO", help="Empty ledger: a directory or a secret reference.")
]


def ledger_copy(context: typer.Context, source: From, target: To) -> int:
    r"""Copy every document and the index of a ledger into an empty one, and verify the copy.

    FROM and TO are each a directory, or a secret reference of a PostgreSQL URL
    (env:NAME, file:PATH, credential:NAME). Stop what uses FROM first.

    \b
    Examples:
      release-mirror ledger copy /var/lib/release-mirror env:LEDGER_URL
      release-mirror ledger copy env:LEDGER_URL ./ledger
    """
    startup.set_up_log(context.obj, None, "warning")
    copied = asyncio.run(_copy(source, target))
    documents = count(copied.documents, "document")
    mirrors = count(copied.mirrors, "mirror")
    print_text(f"Copied and verified {documents}, and the index of {mirrors}.\n")
    for key in copied.unreadable:
        print_error_line(f"not copied: the document {clean(key)} cannot be read")
    return exit_status.FAILED if copied.unreadable else exit_status.OK


async def _copy(source: str, target: str) -> Copied:
    async with _opened("FROM", source) as first, _opened("TO", target) as second:
        return await copy_ledger(first, second)


@asynccontextmanager
async def _opened(name: str, place: str) -> AsyncIterator[LedgerStore]:
    """Open what an argument names.

    Raises:
        UsageError: It is a literal URL.
        ConfigError: The secret cannot be read.
    """
    scheme = place.partition(":")[0]
    if "://" in place or scheme in {"postgres", "postgresql"}:
        raise UsageError(
            f"{name} is a literal URL, which other users of this machine can read: pass a secret"
            " reference, such as env:LEDGER_URL (not shown)"
        )
    if scheme == place or scheme not in {"env", "file", "credential"}:
        yield FileLedgerStore(Path(place), SystemClock())
        return
    try:
        ref = SecretRef.parse(place)
        resolver = SecretResolver(os.environ, Path.cwd())
        check_url(resolver.read(ref))
    except ValueError as error:
        raise UsageError(f"{name} {error}") from None
    async with open_database_ledger(partial(resolver.read, ref), SystemClock()) as opened:
        yield opened.store
