"""The reference of log events is what the code logs."""

from __future__ import annotations

from support.log_events import LEVELS, Event, events_of_the_code, events_of_the_page


def row(name: str, event: Event) -> str:
    """The line that the page lacks, but for its meaning."""
    levels = " or ".join(level for level in LEVELS if level in event.levels)
    keys = ", ".join(f"`{key}`" for key in sorted(event.keys))
    return f"| `{name}` | {levels} | {keys}{', …' if event.open else ''} | MEANING |"


def test_the_page_lists_every_event() -> None:
    """Each event has a line with its levels and keys; a line without an event is out of date."""
    code, page = events_of_the_code(), events_of_the_page()
    assert len(code) > 50
    wrong = [
        row(name, event)
        for name, event in code.items()
        if name not in page
        or page[name].levels != event.levels
        or not (event.keys == page[name].keys or (event.open and event.keys < page[name].keys))
    ]
    gone = sorted(page.keys() - code.keys())
    text = "docs/reference/log-events.md needs these lines:\n" + "\n".join(wrong)
    assert not wrong, text
    assert not gone, f"docs/reference/log-events.md lists events that nothing logs: {gone}"
