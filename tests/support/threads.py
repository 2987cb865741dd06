"""An event loop in a separate thread."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def there() -> Iterator[asyncio.AbstractEventLoop]:
    """Run a loop in the thread ``there`` for the duration of the block; no task may be left."""
    loop = asyncio.new_event_loop()
    wrong: list[object] = []
    loop.set_exception_handler(lambda _, context: wrong.append(context))
    thread = threading.Thread(target=loop.run_forever, name="there", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        left = asyncio.all_tasks(loop)
        loop.close()
    assert not left
    assert not wrong
