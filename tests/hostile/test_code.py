"""What the program's own code may not hold, and under which licences the code of others is."""

from __future__ import annotations

import ast
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conftest import MUST_RUN
from support.licences import EXTRAS, canonical, closure, licence, page

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).resolve().parents[2]
SOURCES = sorted((TOP / "mirror").rglob("*.py"))
SETTINGS = tomllib.loads((TOP / "pyproject.toml").read_text())

BANNED_MODULES = frozenset(
    {"pickle", "marshal", "shelve", "dill", "cPickle", "commands", "telnetlib", "xmlrpc", "imp"}
)
BANNED_CALLS = frozenset(
    {
        "eval",
        "exec",
        "compile",
        "__import__",
        "os.system",
        "os.popen",
        "os.spawnl",
        "subprocess.getoutput",
        "asyncio.create_subprocess_shell",
        "ssl._create_unverified_context",
        "tempfile.mktemp",
        "yaml.load",
    }
)


def name_of(node: ast.expr) -> str:
    """A dotted name as it is called."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def offences(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        yield from (m for m in modules if m.split(".")[0] in BANNED_MODULES)
        if isinstance(node, ast.Call):
            if name_of(node.func) in BANNED_CALLS:
                yield name_of(node.func)
            for word in node.keywords:
                off = isinstance(word.value, ast.Constant) and word.value.value is False
                # The completion script is printed for a shell, which nothing here runs.
                shell = word.arg == "shell" and name_of(node.func) != "get_completion_script"
                if shell or (word.arg in {"verify", "ssl", "verify_ssl"} and off):
                    yield f"{name_of(node.func)}({word.arg}=…)"
        if isinstance(node, ast.Attribute) and node.attr == "CERT_NONE":
            yield "CERT_NONE"


@pytest.mark.parametrize("file", SOURCES, ids=lambda path: str(path.relative_to(TOP)))
def test_no_shell_no_pickle_no_blind_trust(file: Path) -> None:
    """No shell reads a command, no stored bytes become code, no certificate is taken unseen."""
    assert list(offences(ast.parse(file.read_text()))) == []


def test_the_search_finds_what_it_is_for() -> None:
    """Else it would pass for nothing."""
    for text in (
        "import pickle",
        "from pickle import loads",
        "import subprocess\nsubprocess.run('x', shell=True)",
        "os.system('x')",
        "eval('x')",
        "session.get(url, ssl=False)",
        "context.verify_mode = ssl.CERT_NONE",
    ):
        assert list(offences(ast.parse(text)))


def test_nothing_is_ignored_wholesale() -> None:
    """Each ignored rule is named where it is ignored; those of security also say why."""
    for file in SOURCES:
        text = file.read_text()
        assert "ruff: noqa" not in text
        assert not re.search(r"# noqa(?!: [A-Z]+[0-9])", text), file
        assert not re.search(r"# type: ignore(?!\[)", text), file
    rules = SETTINGS["tool"]["ruff"]["lint"]
    assert "S" in rules["select"]
    assert not [rule for rule in rules["ignore"] if re.fullmatch("S[0-9]*", rule)]
    for place, ignored in rules["per-file-ignores"].items():
        security = [rule for rule in ignored if re.fullmatch("S[0-9]*", rule)]
        assert not place.startswith("mirror") or not security
        assert "S" not in ignored


def test_what_ci_installs_is_pinned_by_hash() -> None:
    """Versions and hashes of everything, also of what builds; and no address of a registry."""
    lines = (TOP / ".ci" / "constraints.txt").read_text().splitlines()
    pinned = {}
    for line in lines:
        found = re.fullmatch(r"([a-z0-9-]+)==(\S+)((?: --hash=sha256:[0-9a-f]{64})+)", line)
        assert found, line
        pinned[found[1]] = found[2]
    assert {canonical(name) for name in closure((*EXTRAS, "dev"))} <= pinned.keys()
    assert "hatchling" in pinned


def test_licences_are_listed() -> None:
    """The page names every package that the program runs with; in CI it is exactly what is installed."""
    text = (TOP / "docs" / "reference" / "licences.md").read_text()
    direct = [re.split(r"[ \[>=<]", line)[0] for line in SETTINGS["project"]["dependencies"]]
    for name in direct:
        assert f"| {canonical(name)} |" in text
    if os.environ.get(MUST_RUN):
        assert page() == text


def test_no_licence_asks_for_our_source() -> None:
    """What is installed beside an Apache-licensed program puts no condition on those who run it."""
    for name in closure(EXTRAS):
        text = licence(name)
        assert text != "unknown", name
        assert not re.search(r"\b(?:A|)GPL", text) or "LGPL" in text, (name, text)
