"""Apprise in a process of its own; run as a script by :mod:`mirror.notify.apprise_sender`.

Only this file calls Apprise: its more than a hundred services use libraries that block, log addresses
and may wait for ever. A process can be killed whatever it does, and its memory goes with it.

It reads one JSON document from standard input::

    {"urls": […], "limit": 30, "notice": {"title", "body", "kind": "failure|success"} or null}

and writes one line per address, by its number, as soon as the result is known::

    {"number": 0, "sent": true, "why": ""}

Without a notice nothing is sent: the result is whether Apprise can read the address. The output holds
nothing but these lines, and no address.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
import threading
from contextvars import ContextVar
from typing import Any

UNREADABLE = "Apprise cannot read the address, or lacks a library for it"

# Apprise hands it on to threads of its own.
_NUMBER: ContextVar[int] = ContextVar("number", default=-1)

_STATUS = re.compile(r"\berror=(\d{3})\b")


class Statuses(logging.Handler):
    """Hears what Apprise logs, and keeps of it the HTTP status alone: the rest may be secret."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[int, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the status of a failure, by the address that it happened to."""
        if status := _STATUS.search(record.getMessage()):
            self.found[_NUMBER.get()] = status[1]


def main() -> None:
    """Do what standard input asks for, and leave without waiting for anything."""
    out = os.dup(sys.stdout.fileno())
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(silence, stream.fileno())
    wish = json.load(sys.stdin)
    # Whoever started this ends it in time; but it may have been killed itself.
    signal.alarm(int(wish["limit"]) + 5)
    _trust_the_system()
    statuses = Statuses()
    logger = logging.getLogger("apprise")
    logger.addHandler(statuses)
    logger.propagate = False
    threads = []
    for number, url in enumerate(wish["urls"]):
        plugin = _plugin(url)
        if plugin is None or wish["notice"] is None:
            _write(out, number, why="" if plugin else UNREADABLE)
            continue
        # Each by itself: one that hangs keeps none of the others.
        arguments = (out, number, plugin, wish["notice"], statuses)
        threads.append(threading.Thread(target=_send, args=arguments, daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(0)


def _trust_the_system() -> None:
    """As everywhere else in this program, the system's certificates are trusted."""
    import ssl  # noqa: PLC0415 - after the alarm is set

    paths = ssl.get_default_verify_paths()
    roots = paths.cafile or paths.capath
    if not roots or (os.path.isdir(roots) and not os.listdir(roots)):  # noqa: PTH112, PTH208
        return  # a machine without any: those that come with the library
    if "CURL_CA_BUNDLE" not in os.environ:
        os.environ.setdefault("REQUESTS_CA_BUNDLE", roots)


def _plugin(url: str) -> Any:
    """What sends to an address; ``None`` where Apprise cannot read it."""
    import apprise  # noqa: PLC0415 - takes its time

    asset = apprise.AppriseAsset(
        app_id="release-mirror",
        app_desc="Mirrors releases of GitHub",
        app_url="",
        async_mode=False,
        image_url_mask="",
        image_url_logo="",
    )
    try:
        plugin = apprise.Apprise.instantiate(url, asset=asset)
    except Exception:  # noqa: BLE001 - a plugin of others; its text may hold the address
        return None
    # A service refuses a text that is too long for it, unless the address says what to do.
    if plugin is not None and "overflow=" not in url:
        plugin.overflow_mode = apprise.OverflowMode.TRUNCATE
    return plugin


def _send(out: int, number: int, plugin: Any, notice: dict[str, str], statuses: Statuses) -> None:
    import apprise  # noqa: PLC0415 - as above

    _NUMBER.set(number)
    why = ""
    try:
        service = apprise.Apprise()
        service.add(plugin)
        sent = service.notify(
            body=notice["body"],
            title=notice["title"],
            notify_type=notice["kind"],
            body_format=apprise.NotifyFormat.TEXT,
        )
        if not sent:
            status = statuses.found.get(number)
            why = f"HTTP {status}" if status else "not reached, or refused"
    except Exception as error:  # noqa: BLE001 - as above
        why = type(error).__name__
    _write(out, number, why=why)


def _write(out: int, number: int, *, why: str) -> None:
    line = json.dumps({"number": number, "sent": not why, "why": why})
    os.write(out, line.encode() + b"\n")


if __name__ == "__main__":
    main()
