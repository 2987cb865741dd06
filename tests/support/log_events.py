"""The log events of the program, read from its source: their levels and keys."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

import mirror

LEVELS = ("debug", "info", "warning", "error")
_LOGGERS = {"log", "structlog.get_logger()", "warnings", "self._log"}
_EVENT = re.compile(r"[a-z_]+(\.[a-z_]+)+")
_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "log-events.md"
_ROW = re.compile(r"\| `(?P<event>[a-z_.]+)` \| (?P<levels>[^|]+) \| (?P<keys>[^|]*) \| [^|]+ \|")


@dataclass
class Event:
    """One event, over all calls that log it.

    Attributes:
        levels: The severities that it is logged with.
        keys: Its static keys.
        open: It has more keys, which are not static.
    """

    levels: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    open: bool = False


def events_of_the_code() -> dict[str, Event]:
    """Every event that a module logs, but for the emulator's, which is another program."""
    found: dict[str, Event] = {}
    root = Path(mirror.__file__).parent
    for file in sorted(root.rglob("*.py")):
        if "emulator" not in file.relative_to(root).parts[:1]:
            tree = ast.parse(file.read_text("utf-8"))
            names = _choices(tree)
            for call in ast.walk(tree):
                if isinstance(call, ast.Call) and call.args:
                    _add(found, call, names)
    return found


def events_of_the_page() -> dict[str, Event]:
    """Every event that the reference page lists."""
    found: dict[str, Event] = {}
    for row in _ROW.finditer(_PAGE.read_text("utf-8")):
        levels = set(re.findall(r"[a-z]+", row["levels"])) - {"or"}
        found[row["event"]] = Event(levels, set(re.findall(r"`([a-z_]+)`", row["keys"])))
    return found


def _add(found: dict[str, Event], call: ast.Call, names: dict[str, list[ast.expr]]) -> None:
    levels = {level for level in map(_level, _meanings(call.func, names)) if level}
    for event in _meanings(call.args[0], names):
        if not (levels and isinstance(event, ast.Constant) and isinstance(event.value, str)):
            continue
        if not _EVENT.fullmatch(event.value):
            continue
        entry = found.setdefault(event.value, Event())
        entry.levels |= levels
        entry.keys |= {word.arg for word in call.keywords if word.arg}
        entry.open |= any(word.arg is None for word in call.keywords)
        entry.keys.discard("exc_info")


def _level(function: ast.expr) -> str:
    """The level of a logger's method; empty for any other function."""
    if not isinstance(function, ast.Attribute):
        return ""
    logger = ast.unparse(function.value) in _LOGGERS
    name = "error" if function.attr == "exception" else function.attr
    return name if logger and name in LEVELS else ""


def _choices(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """What a name may mean that is assigned by a conditional expression."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.IfExp):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).extend([node.value.body, node.value.orelse])
    return found


def _meanings(value: ast.expr, names: dict[str, list[ast.expr]]) -> list[ast.expr]:
    if isinstance(value, ast.Name) and value.id in names:
        return names[value.id]
    return [value]
