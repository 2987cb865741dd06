"""What the layers promise beyond the contracts of import-linter: no circle, and no clock below."""

from __future__ import annotations

import re
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_no_import_circle() -> None:
    """No module imports itself by way of others, packages and type-checking imports included.

    The contract of import-linter compares siblings, so it misses a module that imports its own
    package. The imports that the contract ignores are left out here as well.
    """
    contracts = tomllib.loads(PROJECT.read_text())["tool"]["importlinter"]["contracts"]
    ignored = {entry for contract in contracts for entry in contract.get("ignore_imports", ())}
    graph = grimp.build_graph("mirror", cache_dir=None)
    imports = {
        module: {
            name
            for name in graph.find_modules_directly_imported_by(module)
            if f"{module} -> {name}" not in ignored
        }
        for module in graph.modules
    }
    TopologicalSorter(imports).prepare()  # CycleError names the modules of a circle


def test_core_and_settings_read_no_clock() -> None:
    """They are given the time, so their tests are the same on every date: `make test-dates` omits them."""
    clock = re.compile(r"\b(?:datetime|date|time)\.(?:now|today|utcnow|time|localtime|gmtime)\(")
    package = PROJECT.parent / "mirror"
    files = [*package.glob("core/**/*.py"), *package.glob("config/**/*.py")]
    assert len(files) > 50
    assert [file.name for file in files if clock.search(file.read_text("utf-8"))] == []
