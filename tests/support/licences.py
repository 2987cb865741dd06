"""The licences of everything that the program runs with: a page made from what is installed.

Run it to write the page: ``.venv/bin/python tests/support/licences.py > docs/reference/licences.md``.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import distribution

from packaging.requirements import Requirement

EXTRAS = ("fast", "notify")
HEAD = """\
# Licences

What release-mirror runs with, and under which licence; release-mirror itself is under the Apache
License 2.0. Nothing of it is part of release-mirror's own distribution: pip installs it. What only
the tests need is not listed.

This page is made from the metadata of the installed packages, by `tests/support/licences.py`; a
test compares the two.

| package | licence | needed |
| --- | --- | --- |
"""

_CLASSIFIER = "License :: OSI Approved :: "


def canonical(name: str) -> str:
    """One spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(extras: tuple[str, ...] = ()) -> set[str]:
    """The packages that are installed with release-mirror and these of its extras."""
    found: set[str] = set()
    left = [("release-mirror", extra) for extra in ("", *extras)]
    seen = set(left)
    for name, extra in left:
        for text in distribution(name).requires or ():
            requirement = Requirement(text)
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            needed = canonical(requirement.name)
            found.add(needed)
            more = [(needed, inner) for inner in ("", *requirement.extras)]
            left += [item for item in more if item not in seen]
            seen.update(more)
    return found - {"release-mirror"}


def licence(name: str) -> str:
    """As the package itself tells it."""
    metadata = distribution(name).metadata
    told = metadata.json
    if expression := told.get("license_expression"):
        return str(expression)
    classifiers = [c for c in metadata.get_all("Classifier") or () if c.startswith(_CLASSIFIER)]
    text = str(told.get("license") or "").strip()
    if text and "\n" not in text and len(text) <= 40:
        return text
    return ", ".join(c.removeprefix(_CLASSIFIER) for c in classifiers) or "unknown"


def page() -> str:
    """The whole page."""
    always = closure()
    rows = []
    for name in sorted(closure(EXTRAS)):
        needed = "always"
        if name not in always:
            needed = ", ".join(f"`{e}`" for e in EXTRAS if name in closure((e,)))
        rows.append(f"| {name} | {licence(name)} | {needed} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(page())
