"""Builds the documentation as a site: stages the pages, then runs zensical in strict mode.

The pages in docs/ are written to be read in the repository as well. They link to files outside docs/, which
the site does not have, and write lists as CommonMark allows, which the site's Markdown parser does not. The
staged copies differ from the pages in these two things alone. Run it with ``make docs``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).resolve().parent.parent
STAGE = TOP / "build" / "docs"

ELSEWHERE = {
    "README.md": "get-started.md",
    "SECURITY.md": "project/security.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "docs/README.md": "index.md",
}
"""Pages whose place in the site differs from that in the repository."""

_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)")
_ITEM = re.compile(r"(?:[-*] |\d+\. )(?=\S)")


class BrokenLink(Exception):
    """A page links to a file that the repository does not have."""


def pages(top: Path = TOP) -> dict[str, str]:
    """Every page: its path in the repository, and its path in the site."""
    own = sorted(path.relative_to(top).as_posix() for path in (top / "docs").rglob("*.md"))
    return {path: path.removeprefix("docs/") for path in own} | ELSEWHERE


def stage(to: Path = STAGE, top: Path = TOP) -> None:
    """Write the site's pages, and the files that they link to.

    Raises:
        BrokenLink: A link leads nowhere; the message names page and link.
    """
    shutil.rmtree(to, ignore_errors=True)
    known = pages(top)
    for path, place in known.items():
        text = relink((top / path).read_text("utf-8"), path, known, to, top)
        _write(to / place, "\n".join(indented(text.splitlines())) + "\n")


def relink(text: str, path: str, known: dict[str, str], to: Path, top: Path) -> str:
    """The text of a page with links as they are in the site; what is no page is copied there."""

    def link(found: re.Match[str]) -> str:
        wanted = os.path.normpath(Path(path).parent / found[1])
        place = known.get(wanted)
        if place is None:
            file = top / wanted
            if not file.is_file() or not file.resolve().is_relative_to(top):
                raise BrokenLink(f"{path}: no file {found[1]}")
            place = (
                wanted.removeprefix("docs/") if wanted.startswith("docs/") else f"files/{wanted}"
            )
            (to / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, to / place)
        return os.path.relpath(place, Path(known[path]).parent)

    return _LINK.sub(link, text)


def indented(lines: list[str]) -> Iterator[str]:
    """The lines with what belongs to a list item indented by four spaces, and each list set apart."""
    width = 0  # of the marker of the item that the line may belong to
    fenced, before = False, ""
    for line in lines:
        item = None if fenced else _ITEM.match(line)
        if item:
            if before and not width:
                yield ""
            width = len(item[0])
        elif line and not line.startswith(" "):
            width = 0
        inside = width and line.startswith(" " * width)
        yield " " * (4 - width) + line if inside else line
        fenced ^= line.startswith("```")
        before = line


def unlisted(top: Path = TOP) -> set[str]:
    """Pages that the site's navigation lacks, and entries of it that are no page."""
    project = tomllib.loads((top / "zensical.toml").read_text("utf-8"))["project"]
    return set(_entries(project["nav"])) ^ set(pages(top).values())


def _entries(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    if isinstance(nav, dict):
        nav = list(nav.values())
    if isinstance(nav, list):
        for inner in nav:
            yield from _entries(inner)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")


def main() -> int:
    """Stage and build; 0 if there is nothing to complain about."""
    try:
        stage()
    except BrokenLink as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if wrong := unlisted():
        sys.stderr.write(f"zensical.toml: [project] nav does not match: {sorted(wrong)}\n")
        return 1
    program = Path(sys.executable).with_name("zensical")
    command = [str(program), "build", "--strict", "--clean"]
    return subprocess.run(command, check=False, cwd=TOP).returncode  # noqa: S603 - our own words


if __name__ == "__main__":
    sys.exit(main())
