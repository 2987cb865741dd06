"""Writes man pages, one for the program and one for each command, from the commands themselves."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mirror import __version__
from mirror.cli import exit_status
from mirror.cli.parser import COMMANDS, GROUPS, load_command, parser


def escape(text: str) -> str:
    """Text as roff prints it: no line starts a request, and hyphens can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return "".join(f"\\&{line}" if line[:1] == "." else line for line in text.splitlines(True))


def write_pages(directory: Path, epoch: int) -> None:
    """Write every page.

    Args:
        directory: Where; it exists.
        epoch: Seconds since 1970 of the date in the pages' footers.
    """
    date = datetime.fromtimestamp(epoch, UTC).date().isoformat()
    pages = {"": (parser, "mirror GitHub releases to a GitHub Enterprise Server")}
    modules = dict(COMMANDS)
    for group, nested in GROUPS.items():
        pages[group] = (parser.commands[group], modules.pop(group))
        pages |= {
            f"{group} {name}": (load_command(f"{group}_{name}"), text)
            for name, text in nested.items()
        }
    pages |= {name: (load_command(name), text) for name, text in modules.items()}
    for name, (command, summary) in pages.items():
        title = "-".join(["release-mirror", *name.split()])
        text = _page(title, f"release-mirror {name}".strip(), command, summary, date)
        Path(directory, f"{title}.1").write_text(text, "utf-8")


def _page(title: str, words: str, command: Any, summary: str, date: str) -> str:
    context = command.context_class(command, info_name=words)
    usage = " ".join(command.collect_usage_pieces(context))
    summary = summary[0].lower() + summary[1:].rstrip(".")
    parts = [
        f'.TH {title.upper()} 1 {date} "release-mirror {__version__}"\n',
        f".SH NAME\n{escape(title)} \\- {escape(summary)}\n",
        f".SH SYNOPSIS\n.B {escape(words)}\n{escape(usage)}\n",
        f".SH DESCRIPTION\n{_paragraphs(command.help or '')}",
        _options(command, context),
    ]
    if command is parser:
        rows = "".join(f".TP\n.B {name}\n{escape(text)}\n" for name, text in COMMANDS.items())
        parts.append(f".SH COMMANDS\n{rows}")
    if command is parser or "--json" in {o for p in command.params for o in p.opts}:
        rows = "".join(
            f".TP\n.B {code}\n{escape(text)}\n" for code, text in exit_status.MEANINGS.items()
        )
        parts.append(f".SH EXIT STATUS\n{rows}")
    parts.append(_files() if command is parser else ".SH SEE ALSO\n.BR release\\-mirror (1)\n")
    return "".join(parts)


def _options(command: Any, context: Any) -> str:
    records = [
        p.get_help_record(context) for p in command.params if not getattr(p, "hidden", False)
    ]
    rows = "".join(
        f".TP\n.B {escape(' '.join(name.split()))}\n{escape(' '.join(text.split()))}\n"
        for name, text in filter(None, records)
    )
    return f".SH OPTIONS\n{rows}" if rows else ""


def _paragraphs(text: str) -> str:
    made = []
    for paragraph in text.split("\n\n"):
        kept = paragraph.removeprefix("\b\n")
        if kept == paragraph:
            made.append(f".PP\n{escape(paragraph)}\n")
        else:
            made.append(f".PP\n.nf\n{escape(kept)}\n.fi\n")
    return "".join(made)


def _files() -> str:
    return (
        ".SH FILES\n.TP\n.I ~/.config/release\\-mirror/config.toml\n"
        "The configuration of a user.\n"
        ".TP\n.I /etc/release\\-mirror/config.toml\nThe configuration of the system.\n"
    )


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]), int(sys.argv[2]))
