"""Generates the configuration file's JSON Schema and its reference page from the settings model."""

from __future__ import annotations

import sys
from datetime import timedelta
from json import dumps
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema

from mirror.config.host_urls import Address
from mirror.config.messages import alternatives
from mirror.config.model import File, Settings
from mirror.config.values import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]


class _Generator(GenerateJsonSchema):
    """Writes defaults in the syntax of the file, and titles only for types with a name."""

    def encode_default(self, dft: Any) -> Any:
        """A default value in the syntax of the file."""
        if isinstance(dft, timedelta):
            return format_duration(dft)
        if isinstance(dft, Address):
            return str(dft)
        if isinstance(dft, Settings):
            return {}
        return super().encode_default(dft)

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        """Omit titles that only repeat the key."""
        return False


def schema() -> Json:
    """The JSON Schema of the configuration file.

    Draft 7, which TOML language servers support best. Every table is inlined, because that draft
    ignores descriptions and defaults beside a ``$ref``.
    """
    made = File.model_json_schema(schema_generator=_Generator)
    body: Json = _plain(made, made.get("$defs", {}))
    body.pop("$defs", None)
    title = {"title": "Configuration of release-mirror"}
    return {"$schema": "http://json-schema.org/draft-07/schema#"} | body | title


def _plain(node: Any, definitions: Json) -> Any:
    """Inline references, and drop null: TOML has none, a key is omitted instead."""
    if isinstance(node, list):
        return [_plain(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return _plain(definitions[node["$ref"].rpartition("/")[2]] | rest, definitions)
    for wrapper in ("anyOf", "allOf"):  # pydantic before 2.9 wraps references in the latter
        choices = [choice for choice in node.get(wrapper, ()) if choice != {"type": "null"}]
        if len(choices) == 1:
            rest = {key: value for key, value in node.items() if key != wrapper}
            return _plain(choices[0] | rest, definitions)
    return {
        key: _plain(value, definitions)
        for key, value in node.items()
        if not (key == "$defs" or (key == "default" and value is None))
        and not (key == "title" and node.get("type") == "object" and isinstance(value, str))
    }


_INTRODUCTION = """\
# Configuration reference

This page describes every key of the configuration file. `config/minimal.toml` is the smallest
useful file, and `config/full.toml` shows every key in context. `release-mirror schema` prints a
JSON Schema for editors, and `release-mirror check --offline` validates a file.

The configuration is a TOML file: the first that exists of `--config FILE`,
`$RELEASE_MIRROR_CONFIG`, `$XDG_CONFIG_HOME/release-mirror/config.toml` and
`/etc/release-mirror/config.toml`. Unknown keys are errors. Relative paths are relative to the
file's directory.

| type | format |
| --- | --- |
| duration | a number and a unit, `ms`, `s`, `m`, `h` or `d`: `"90s"`, `"15m"`, `"1h30m"`, `"7d"` |
| size | a number and a unit: decimal `"500kB"`, `"10MB"`, `"2GB"`, or binary `"512KiB"`, `"1GiB"` |
| bandwidth | a size per second, `"50MB/s"`; `"0"` is unlimited |
| date | `2024-01-31`, with or without quotes |
| secret reference | where a secret is stored: `"env:NAME"` (an environment variable), `"file:PATH"`, or \
`"credential:NAME"` (a file in systemd's `$CREDENTIALS_DIRECTORY`); literal secrets are rejected |
| pattern | shell-style: `*` matches any text, `?` one character, `[abc]` one of the listed |

A secret file that other users can read or write is rejected; set its mode to 0600. Exceptions:

- a file of `root` that a group can read (mode 0640), as is common for services;
- a file in a directory that other users cannot enter;
- a systemd credential, which an access control list protects;
- with a warning, a file in `/run/secrets` (Docker) or in a Kubernetes volume, unless other users
  can write it. In Kubernetes, `defaultMode: 0400` removes the warning.

This page is generated from the settings model.
"""

_HOSTS = """\
`[target]` is the host that releases are written to. Each `[sources.NAME]` is a host that releases
are read from, under a name of your choice. Both have the same keys. A [bundle](bundle.md), a directory,
can take the place of a host: with `bundle`, no other key is allowed but `sign_with` and
`allowed_signers`."""
_MIRRORS = """\
Each `[[mirrors]]` table defines one mirror. `[defaults]` accepts the same keys except `source`,
`from` and `target`, and applies to every mirror. Nested tables are merged key by key; a mirror's
value or list replaces the default, and `[]` clears a list. An explicit mirror takes precedence over
a pattern, and an earlier pattern over a later one."""
_SECTIONS = {
    "target": ("`[target]` and `[sources.NAME]`", _HOSTS),
    "mirrors": ("`[[mirrors]]` and `[defaults]`", _MIRRORS),
    "sync": ("`[sync]`", ""),
    "ledger": ("`[ledger]`", ""),
    "daemon": ("`[daemon]`", ""),
    "notify": ("`[notify]`", " See [Notifications](../guides/notifications.md)."),
    "log": ("`[log]`", ""),
}
"""Headings, and a text: one of its own, or what follows the description in the schema."""


def reference() -> str:
    """The reference page, `docs/reference/configuration.md`."""
    pages = [_INTRODUCTION]
    tables = schema()["properties"]
    for name, (title, more) in _SECTIONS.items():
        table = tables[name].get("items", tables[name])
        text = more if more in {_HOSTS, _MIRRORS} else table["description"] + more
        rows = sorted(_rows("", table), key=lambda row: row[0] not in _FIRST)
        lines = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
        head = "| key | type | default | meaning |\n| --- | --- | --- | --- |"
        pages.append(f"## {title}\n\n{text}\n\n{head}\n{lines}\n")
    return "\n".join(pages)


_FIRST = ("`source`", "`from`", "`target`")


def _rows(prefix: str, table: Json) -> Iterator[tuple[str, str, str, str]]:
    for name, node in table["properties"].items():
        key = prefix + name
        if "properties" in node:
            yield from _rows(f"{key}.", node)
            continue
        required = name in table.get("required", ())
        default = f"`{dumps(node['default'])}`" if "default" in node else "none"
        meaning = node["description"]
        cells = (f"`{key}`", _value(node), _required(prefix) if required else default, meaning)
        yield tuple(cell.replace("|", "\\|") for cell in cells)  # type: ignore[misc]


def _required(prefix: str) -> str:
    return f"required in `{prefix.rstrip('.')}`" if prefix else "required"


def _value(node: Json) -> str:
    if "enum" in node:
        return alternatives([f"`{dumps(value)}`" for value in node["enum"]])
    if node["type"] == "array":
        return f"list of: {_value(node['items'])}"
    if node["type"] == "boolean":
        return "`true` or `false`"
    if node["type"] == "integer":
        most = node["maximum"]
        unlimited = most >= 10**9
        return f"{node['minimum']} or more" if unlimited else f"{node['minimum']} to {most}"
    return str(node.get("title", "string"))


if __name__ == "__main__":
    sys.stdout.write(reference())
