from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mirror.config import load_config
from mirror.config.reference import reference, schema

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
MINIMAL = ROOT / "config" / "minimal.toml"
FULL = ROOT / "config" / "full.toml"
COMMENTED = re.compile(r"^# (?:or: )?(?=[a-z_.]+ = )", re.MULTILINE)

Json = dict[str, Any]


def complaints(node: Json, value: object, path: str = "") -> list[str]:
    """Validate a value against what this project's schema uses of JSON Schema."""
    if isinstance(value, date):
        value = value.isoformat()
    types = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    if type(value) is not types[node["type"]]:
        return [f"{path}: not {node['type']}"]
    if isinstance(value, list):
        return [x for item in value for x in complaints(node["items"], item, f"{path}[]")]
    if isinstance(value, dict):
        return list(table_complaints(node, value, path))
    if "enum" in node and value not in node["enum"]:
        return [f"{path}: not in enum"]
    if isinstance(value, str) and not re.search(node.get("pattern", ""), value):
        return [f"{path}: not of pattern"]
    return [] if in_range(node, value) else [f"{path}: out of range"]


def in_range(node: Json, value: object) -> bool:
    return not isinstance(value, int) or (
        node.get("minimum", value) <= value <= node.get("maximum", value)
    )


def table_complaints(node: Json, table: Json, path: str) -> Iterator[str]:
    yield from (f"{path}.{key}: missing" for key in node.get("required", ()) if key not in table)
    for key, inner in table.items():
        found = node.get("properties", {}).get(key, node["additionalProperties"])
        if found is False:
            yield f"{path}.{key}: unknown"
        else:
            yield from complaints(found, inner, f"{path}.{key}")


def tables(node: Json) -> Iterator[Json]:
    """Find every table that a schema describes."""
    if "properties" in node:
        yield node
    for inner in node.values():
        if isinstance(inner, dict):
            yield from tables(inner)


def keys(node: Json, prefix: str = "") -> Iterator[str]:
    """Name every key of a schema; each source and mirror stands for all."""
    for key, inner in node.get("properties", {}).items():
        if key in {"sources", "defaults"}:  # these hold the keys of the target and of mirrors
            continue
        path = f"{prefix}{key}"
        below = list(keys(inner.get("items", inner), f"{path}."))
        yield from below or [path]


def names(value: object, prefix: str = "") -> Iterator[str]:
    """Name every key of a parsed file in the same way."""
    if isinstance(value, list):
        for item in value:
            yield from names(item, prefix)
    elif isinstance(value, dict):
        for key, inner in value.items():
            here = f"{prefix}{key}".replace("sources.github", "target")
            yield re.sub(r"^sources\.\w+", "target", here)
            yield from names(inner, f"{re.sub(r'^sources.[a-z]+', 'target', here)}.")


def uncommented() -> str:
    return COMMENTED.sub("", FULL.read_text())


def test_the_reference_page_is_what_the_model_says() -> None:
    """The committed page is the generated one.

    To renew it: python -m mirror.config.reference > docs/reference/configuration.md
    """
    assert (ROOT / "docs" / "reference" / "configuration.md").read_text() == reference()


def test_the_page_can_be_made_by_hand() -> None:
    """The module prints the page when it is run."""
    done = subprocess.run(
        [sys.executable, "-m", "mirror.config.reference"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout == reference()


@pytest.mark.parametrize("file", [MINIMAL, FULL])
def test_the_example_files_are_good(file: Path) -> None:
    """Both example files load, and fit the schema."""
    assert load_config(file, {"HOME": "/home/me"}).mirrors
    assert complaints(schema(), tomllib.loads(file.read_text())) == []


def test_every_key_is_in_the_full_file() -> None:
    """The full file shows every key of the model, and fits the schema when all of it is used."""
    document = tomllib.loads(uncommented())
    assert set(keys(schema())) - set(names(document)) == set()
    assert complaints(schema(), document) == []


def test_only_alternatives_are_commented_out() -> None:
    """A key of the full file is commented out where another stands for it, and nowhere else."""
    commented = [line for line in FULL.read_text().splitlines() if COMMENTED.match(line)]
    assert [line for line in commented if not line.startswith("# or: ")] == []


def test_the_schema_is_closed_and_described() -> None:
    """Every table refuses unknown keys, every key has a description, nothing refers elsewhere."""
    made = schema()
    text = json.dumps(made)
    assert made["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert "$ref" not in text
    assert "null" not in text
    for table in tables(made):
        assert table["additionalProperties"] is False
        assert all(inner["description"] for inner in table["properties"].values())
    assert made["properties"]["sources"]["additionalProperties"]["additionalProperties"] is False


def test_defaults_in_the_schema_are_as_typed() -> None:
    """A default in the schema is what the file would say, and fits the schema itself."""
    made: Json = schema()["properties"]
    assert made["sync"]["properties"]["audit_interval"]["default"] == "24h"
    assert made["sync"]["properties"]["bandwidth"]["default"] == "0"
    assert made["daemon"]["properties"]["listen"]["default"] == "127.0.0.1:8321"
    for table in tables(schema()):
        for key, inner in table["properties"].items():
            if "default" in inner and inner["type"] != "object":
                assert complaints(inner, inner["default"], key) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[target]\nurl = "ftp://h"\n', ".target.url: not of pattern"),
        ('[target]\nurl = "https://h"\ntoken = "ghp_x"\n', ".target.token: not of pattern"),
        ('[target]\nurl = "https://h"\nurls = 1\n', ".target.urls: unknown"),
        ('[[mirrors]]\nsource = "a/b"\ninterval = 5\n', ".mirrors[].interval: not string"),
        ('[[mirrors]]\ntags = "x"\n', ".mirrors[].tags: not in enum"),
        ('[[mirrors]]\ntarget = "a/b"\n', ".mirrors[].source: missing"),
        ("[sync]\ntransfers = 0\n", ".sync.transfers: out of range"),
    ],
)
def test_the_schema_finds_mistakes(text: str, words: str) -> None:
    """An editor with the schema finds the common mistakes while the file is written."""
    assert words in complaints(schema(), tomllib.loads(text))


def test_nothing_heavy_is_imported_to_load_a_file() -> None:
    """Cron lines, version specifiers and the documentation cost nothing to who has none."""
    code = (
        "import sys; from pathlib import Path; from mirror.config import load_config\n"
        f"load_config(Path({str(MINIMAL)!r}), {{}})\n"
        "heavy = {'cronsim', 'packaging', 'mirror.config.reference', 'aiohttp',"
        " 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
