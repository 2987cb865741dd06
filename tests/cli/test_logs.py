"""Logs: no secret, no control character, no traceback unless somebody debugs."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from mirror.cli.logs import configure

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON: one object a line, to standard error, and nothing below the level."""
    configure("info", "json", {})
    log = structlog.get_logger()
    log.debug("not.shown")
    log.info("asset.uploaded", asset="a\nb", url="https://h/x?sig=abc")
    logging.getLogger("asyncio").error("Task %s", "failed")
    out, err = capsys.readouterr()
    assert out == ""
    first, second = map(json.loads, err.splitlines())
    assert (first["event"], first["level"], first["asset"]) == ("asset.uploaded", "info", "a\nb")
    assert "abc" not in err
    assert second["logger"] == "asyncio"


def test_auto_is_json_for_the_journal(capsys: pytest.CaptureFixture[str]) -> None:
    """Under systemd `auto` is JSON, elsewhere it is for people."""
    configure("info", "auto", {"JOURNAL_STREAM": "8:1"})
    structlog.get_logger().info("a.b")
    configure("info", "auto", {})
    structlog.get_logger().info("a.b", name="\x1b[31m")
    as_json, for_people = capsys.readouterr().err.splitlines()
    assert json.loads(as_json)["event"] == "a.b"
    assert for_people.endswith("[info] a.b name=\\x1b[31m")


def test_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    """An exception is one line; its traceback is shown at `debug` only."""
    for level in ("info", "debug"):
        configure(level, "console", {})
        structlog.get_logger().error("mirror.crashed", exc_info=ValueError("why"))
        err = capsys.readouterr().err
        assert "ValueError: why" in err
        assert ("\nValueError" in err) == (level == "debug")


def test_lists_are_read_by_people(capsys: pytest.CaptureFixture[str]) -> None:
    """On the console what is told of several mistakes is plain text; as JSON it stays a list."""
    problems = ['a.toml:3: daemon.listne: unknown key; did you mean "listen"?', "a.toml:9: x"]
    configure("info", "console", {})
    structlog.get_logger().error("config.rejected", problems=problems)
    assert "; ".join(problems) in capsys.readouterr().err
    configure("info", "json", {})
    structlog.get_logger().error("config.rejected", problems=problems)
    assert json.loads(capsys.readouterr().err)["problems"] == problems


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_value_of_any_length_is_a_short_line(
    format_: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names come from servers, which may send megabytes."""
    configure("info", format_)
    structlog.get_logger().info("asset.uploaded", asset="x" * 10_000_000, bytes=1)
    line = capsys.readouterr().err
    assert "x" * 1999 in line
    assert len(line) < 3000
