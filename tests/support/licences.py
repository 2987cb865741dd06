"""Generates the page of run-time dependencies and their licences from the installed packages.

To update the page: ``.venv/bin/python tests/support/licences.py > docs/reference/licences.md``.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import distribution

from packaging.requirements import Requirement

EXTRAS = ("fast", "notify")
HEAD = """\
# Licences

release-mirror is licensed under the Apache License 2.0. This page lists the packages that it needs
at run time and their licences. pip installs them; release-mirror's own distribution contains none of
them. Packages that only the tests need are not listed. The source distribution's tests contain extracts of
GitHub's OpenAPI descriptions from the npm package `@octokit/openapi` (MIT, `tests/support/openapi_descriptions/LICENSE`).

`tests/support/licences.py` generates this page from the metadata of the installed packages, and a test
keeps it up to date.

| package | licence | needed |
| --- | --- | --- |
"""

_CLASSIFIER = "License :: OSI Approved :: "


def canonical(name: str) -> str:
    """Normalise a package name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(extras: tuple[str, ...] = ()) -> set[str]:
    """Packages installed with release-mirror and these extras."""
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
    """The licence from the package's own metadata."""
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
    """The page as Markdown."""
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
