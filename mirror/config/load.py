"""Finding and reading the configuration file; every mistake is reported at once."""

from __future__ import annotations

import os.path
import re
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import ValidationError

from mirror.config import checks
from mirror.config.lines import Lines, label
from mirror.config.messages import kind, sentence, unknown_key
from mirror.config.model import (
    Config,
    ConfiguredMirror,
    Daemon,
    File,
    Host,
    Ledger,
    Log,
    Mirror,
    MirrorSettings,
    Notify,
    Settings,
    Sync,
    configured,
    secret_uses,
    state_directory,
)
from mirror.config.secrets import read_secrets
from mirror.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from mirror.config.lines import Path as KeyPath
    from mirror.config.model import SecretUse
    from mirror.config.secrets import Secrets

SYSTEM_FILE = Path("/etc/release-mirror/config.toml")
_LARGEST_FILE = 16 * 2**20

S = TypeVar("S", bound=Settings)


def user_file(environ: Mapping[str, str]) -> Path:
    """The configuration file of a user: ``$XDG_CONFIG_HOME/release-mirror/config.toml``."""
    home = environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(home):  # noqa: PTH117 - the XDG specification: ignore a relative one
        home = f"{environ.get('HOME', '').rstrip('/')}/.config"
    return Path(home, "release-mirror", "config.toml")


def find_config_file(explicit: str | Path | None, environ: Mapping[str, str]) -> Path:
    """Find the configuration file.

    The first of: ``explicit`` (``--config``), ``$RELEASE_MIRROR_CONFIG``,
    ``$XDG_CONFIG_HOME/release-mirror/config.toml``, ``/etc/release-mirror/config.toml``. The first
    two are returned unchecked, so that a wrong path is an error instead of being skipped.

    Raises:
        ConfigError: There is none; the message lists the places searched.
    """
    if explicit:
        return Path(explicit)
    if given := environ.get("RELEASE_MIRROR_CONFIG"):
        return Path(given)
    candidates = [user_file(environ), SYSTEM_FILE]
    for candidate in candidates:
        if os.path.lexists(candidate):
            return candidate
    places = ", ".join(str(candidate) for candidate in candidates)
    raise ConfigError(
        "config.toml",
        [
            Problem(
                "",
                "no configuration file found; searched --config (not given),"
                f" $RELEASE_MIRROR_CONFIG (not set), {places}; create one with release-mirror init",
            )
        ],
    )


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Read a configuration file. Reads no secret and contacts no host.

    Args:
        path: The file.
        environ: The environment, for the ledger's default directory.

    Raises:
        ConfigError: The file cannot be read or is invalid; it lists every mistake, in the order of
            the file.
    """
    reader = _reader(path, environ)
    config = reader.config()
    if config is None:
        raise ConfigError(str(path), reader.problems())
    return config


def load_config_and_secrets(
    path: Path, environ: Mapping[str, str], *, only: Collection[str] | None = None
) -> tuple[Config, Secrets]:
    """Read a configuration file and the secrets that it refers to. Contacts no host.

    Args:
        path: The file.
        environ: The environment.
        only: The top-level tables whose secrets are needed, such as ``{"target", "sources"}``;
            default: all.

    Raises:
        ConfigError: The file, a secret or a ``ca_file`` is missing, unreadable or invalid; it lists
            every mistake, in the order of the file.
    """
    reader = _reader(path, environ)
    config = reader.config()
    secrets, unreadable = reader.secrets(only)
    problems = reader.problems() + unreadable
    if config is None or problems:
        raise ConfigError(str(path), sorted(problems, key=lambda problem: problem.line or 0))
    return config, secrets


def _reader(path: Path, environ: Mapping[str, str]) -> _Reader:
    try:
        text = _read(path)
        return _Reader(path, text, _parse(text), environ)
    except _Unreadable as error:
        raise ConfigError(str(path), [error.problem]) from None


class _Unreadable(Exception):
    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.problem = Problem("", message, line)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        raise _Unreadable("the file does not exist") from None
    except IsADirectoryError:
        raise _Unreadable("is a directory, not a file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "invalid path"
        raise _Unreadable(f"the file cannot be read: {reason}") from None
    if len(data) > _LARGEST_FILE:
        raise _Unreadable("the file is too large (over 16 MiB)")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _Unreadable(f"the file is not UTF-8 text (line {line})", line) from None


_PLAINER = {
    "Cannot overwrite a value": "a key is set twice",
    "Illegal character '\\n'": "a string is not closed at the end of its line",
    "Invalid value": "a value is missing or invalid; strings need quotes",
    "Expected '=' after a key in a key/value pair": "a key must be followed by = and a value",
}
"""Messages of the TOML parser that are hard to understand, and plainer ones."""


def _parse(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error).partition("\n")[0]
        sentence, _, place = message.rpartition(" (at ")
        found = re.match(r"line (\d+), column (\d+)", place)
        line = int(found[1]) if found else text.count("\n") + 1
        where = f"line {line}, column {found[2]}" if found else f"line {line}, the end of the file"
        sentence = _PLAINER.get(sentence, sentence[:1].lower() + sentence[1:])
        raise _Unreadable(f"is not valid TOML: {sentence} ({where})", line) from None
    except RecursionError:
        raise _Unreadable("is not valid TOML: nested too deeply") from None
    except ValueError:
        raise _Unreadable("is not valid TOML: a number or date is out of range") from None


@dataclass(frozen=True, slots=True)
class _Part(Generic[S]):
    """A table of the file: its valid settings, and the TOML they were read from."""

    settings: S | None
    table: dict[str, Any]


class _Reader:
    """Turns a parsed file into a `Config`, collecting mistakes on the way."""

    def __init__(
        self, path: Path, text: str, raw: dict[str, Any], environ: Mapping[str, str]
    ) -> None:
        self._path = path
        self._raw = raw
        self._environ = environ
        self._lines = Lines(text)
        self._found: dict[tuple[KeyPath, str], Problem] = {}
        self._uses: Iterable[SecretUse] = ()
        self._hosts: dict[str, Host] = {}
        self._context = {"base": path.absolute().parent}
        mirrors = raw.get("mirrors")
        self._sources = {
            position: table["source"]
            for position, table in enumerate(mirrors if isinstance(mirrors, list) else [])
            if isinstance(table, dict) and _is_plain(table.get("source"))
        }

    def add(self, path: KeyPath, message: str) -> None:
        """Record a mistake."""
        problem = Problem(label(path, self._sources), message, self._lines.find(path))
        self._found.setdefault((path, message), problem)

    def problems(self) -> list[Problem]:
        """All mistakes, in the order of the file."""
        return sorted(self._found.values(), key=lambda problem: problem.line or 0)

    def config(self) -> Config | None:
        """Read every table; ``None`` if there is any mistake."""
        for key in self._raw:
            if key not in File.model_fields:
                self.add((key,), unknown_key(key, File))
        target = self._target()
        sources = self._host_tables()
        hosts = {"target": target, **sources} if target else sources
        mirrors = self._mirrors(list(self._source_names()), hosts)
        sync = self._section("sync", Sync)
        checks.check_exclusive(("ledger",), self._raw.get("ledger"), ("directory", "url"), self.add)
        self._default_directory()
        ledger = self._section("ledger", Ledger)
        checks.check_exclusive(
            ("daemon",), self._raw.get("daemon"), ("interval", "schedule"), self.add
        )
        daemon = self._section("daemon", Daemon)
        notify = self._section("notify", Notify)
        self._uses = secret_uses(
            self._hosts,
            ledger or Ledger.built_in(),
            daemon or Daemon.built_in(),
            notify or Notify.built_in(),
            self._lines,
        )
        log = self._section("log", Log)
        if self._found or not (target and sync and ledger and daemon and notify and log):
            return None
        return Config(
            self._path, target, sources, mirrors, sync, ledger, daemon, notify, log, self._lines
        )

    def secrets(self, only: Collection[str] | None) -> tuple[Secrets, list[Problem]]:
        """Read the secrets that the valid tables refer to, after :meth:`config`."""
        uses = [use for use in self._uses if only is None or use.path[0] in only]
        return read_secrets(uses, self._hosts, self._lines, self._path, self._environ)

    def _section(self, name: str, model: type[S]) -> S | None:
        return self._table((name,), model, self._raw.get(name, {})).settings

    def _default_directory(self) -> None:
        table = self._raw.setdefault("ledger", {})
        if isinstance(table, dict):
            table.setdefault("directory", str(state_directory(self._environ)))

    def _target(self) -> Host | None:
        if "target" in self._raw:
            return self._host(("target",), self._raw["target"])
        self.add(("target",), "must be set: add a [target] table with the host's url and token")
        return None

    def _source_names(self) -> Sequence[str]:
        tables = self._raw.get("sources")
        return list(tables) if isinstance(tables, dict) else []

    def _host_tables(self) -> dict[str, Host]:
        tables = self._named_sources(self._raw.get("sources", {}))
        if not isinstance(tables, dict):
            self.add(("sources",), f"must be tables: write [sources.NAME], not {kind(tables)}")
            return {}
        checks.check_names(list(tables), self.add)
        hosts = {name: self._host(("sources", name), table) for name, table in tables.items()}
        return {name: host for name, host in hosts.items() if host is not None}

    def _named_sources(self, tables: object) -> object:
        """The sources; keys of a source under ``[sources]`` itself are read as one with a name."""
        if not isinstance(tables, dict):
            return tables
        keys = {key: value for key, value in tables.items() if not isinstance(value, dict)}
        if not keys.keys() & Host.model_fields.keys():
            return tables
        if isinstance(tables.get("app"), dict):
            keys["app"] = tables["app"]
        name = "github" if "github.com" in str(keys.get("url", "github.com")) else "source"
        self.add(
            ("sources",),
            f"each source is a table with a name of your choice: write [sources.{name}] instead of"
            " [sources]",
        )
        named = {key: value for key, value in tables.items() if key not in keys}
        self._raw["sources"] = {name: keys} | named
        return self._raw["sources"]

    def _host(self, path: KeyPath, table: object) -> Host | None:
        part = self._table(path, Host, table)
        host = part.settings
        checks.check_kind(path, table, self.add)
        checks.check_exclusive(path, table, ("token", "app"), self.add)
        checks.check_credential(path, table, self.add)
        if host is None:
            # Without a valid address it is no host, but its secrets can be checked all the same.
            with suppress(ValidationError):
                self._hosts[str(path[-1])] = Host.model_validate(
                    {"url": "https://unknown.invalid", **part.table}, context=self._context
                )
            return None
        checks.check_plaintext(path, host, self.add)
        self._hosts[str(path[-1])] = host
        return host

    def _mirrors(
        self, names: Sequence[str], hosts: Mapping[str, Host]
    ) -> tuple[ConfiguredMirror, ...]:
        defaults = self._table(("defaults",), MirrorSettings, self._raw.get("defaults", {}))
        tables = self._raw.get("mirrors", [])
        if tables == []:
            self.add(
                ("mirrors",), "must be set: add a [[mirrors]] table with a source and a target"
            )
        if not isinstance(tables, list):
            self.add(
                ("mirrors",), f"must be a list of tables: write [[mirrors]], not {kind(tables)}"
            )
            return ()
        mirrors: dict[int, ConfiguredMirror] = {}
        known: dict[tuple[object, ...], MirrorSettings] = {}
        for position, table in enumerate(tables):
            mirror = self._mirror(position, table, defaults.table, names)
            if mirror is not None:
                mirrors[position] = configured(mirror, known, names)
        checks.check_bundles(hosts, self.add)
        checks.check_targets(mirrors, hosts, self.add)
        return tuple(mirrors.values())

    def _mirror(
        self, position: int, table: object, defaults: dict[str, Any], names: Sequence[str]
    ) -> Mirror | None:
        """Validate a mirror alone, to report its own mistakes only, then merged with the defaults."""
        path = ("mirrors", position)
        own = self._table(path, Mirror, table)
        if isinstance(table, dict):
            checks.check_from(path, table.get("from"), names, self.add)
        if own.settings is None:
            return None
        checks.check_pattern_keys(path, own.settings, self.add)
        if not defaults:
            return own.settings
        return Mirror.model_validate(merge(defaults, own.table), context=self._context)

    def _table(self, path: KeyPath, model: type[S], value: object) -> _Part[S]:
        """Read a table; mistakes are recorded and removed, so that the rest is validated."""
        if not isinstance(value, dict):
            self.add(path, f"must be a table: write [{label(path)}], not {kind(value)}")
            return _Part(None, {})
        if not value and not any(field.is_required() for field in model.model_fields.values()):
            return _Part(model.built_in(), value)
        try:
            return _Part(model.model_validate(value, context=self._context), value)
        except ValidationError as error:
            found = error.errors(include_url=False)
        for item in found:
            self.add((*path, *item["loc"]), sentence(item, model))
        # A table that lacks a required key is removed, unless it is this table itself.
        bad = [item["loc"][: -1 if item["type"] == "missing" else None] for item in found]
        rest = _without(value, [place for place in bad if place])
        try:
            return _Part(model.model_validate(rest, context=self._context), rest)
        except ValidationError:  # a required key is missing
            return _Part(None, rest)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two tables, key by key in nested tables; values and lists replace."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged


def _is_plain(source: object) -> bool:
    return isinstance(source, str) and bool(re.fullmatch(r"[\w./*?!^\[\]-]{1,140}", source))


def _without(table: dict[str, Any], paths: Sequence[KeyPath]) -> dict[str, Any]:
    """A copy of a table without the keys at these paths, or the innermost ones around them."""
    by_key: dict[str | int, list[KeyPath]] = {}
    for path in paths:
        by_key.setdefault(path[0], []).append(path[1:])
    rest: dict[str, Any] = {}
    for key, value in table.items():
        inner = by_key.get(key)
        if inner is None:
            rest[key] = value
        elif isinstance(value, dict) and all(inner):
            rest[key] = _without(value, inner)
    return rest
