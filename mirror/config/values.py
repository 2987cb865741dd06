"""Values as people type them in the configuration file, and what they become.

Every parser takes whatever TOML may hold and raises ``ValueError`` with a sentence that can follow
the key: ``must be a duration such as "90s", "15m", "24h" or "7d", not an integer``. No sentence
repeats an address or a secret, because a mistake may have put a credential there.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from mirror.core.domain.hostnames import host_name

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_DURATION = timedelta(days=3650)
LARGEST_SIZE = 10**18
_LONGEST_QUOTE = 60
_HIGHEST_PORT = 65535

DURATION_PATTERN = "^([0-9]+(ms|s|m|h|d))+$"
SIZE_PATTERN = r"^[0-9]+(\.[0-9]+)? ?(B|[kK]B|[MGT]B|[KMGT]iB)$"
BANDWIDTH_PATTERN = r"^(0|[0-9]+(\.[0-9]+)? ?(B|[kK]B|[MGT]B|[KMGT]iB)/s)$"
REPOSITORY_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_-]*/[A-Za-z0-9._*?!^\[\]-]+$"
SOURCE_NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_-]*$"

_DURATION = re.compile(
    "(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?(?:([0-9]{1,9})ms)?"
)
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?(B|[kK]B|[MGT]B|[KMGT]iB)")
_UNITS = {
    "TiB": 2**40,
    "TB": 10**12,
    "GiB": 2**30,
    "GB": 10**9,
    "MiB": 2**20,
    "MB": 10**6,
    "KiB": 2**10,
    "kB": 10**3,
    "KB": 10**3,
    "B": 1,
}
_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_OWNER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,38}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_NAME_GLOB = re.compile(r"[A-Za-z0-9._*?!^\[\]-]{1,200}")
_OWNER_GLOB = re.compile(r"[A-Za-z0-9_*?!^\[\]-]{1,200}")
_WILDCARD = re.compile(r"[*?\[\]]")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

_DURATION_WORDS = 'a duration such as "90s", "15m", "24h" or "7d"'
_SIZE_WORDS = 'a size such as "500kB", "10MB" or "1GiB"'
_BANDWIDTH_WORDS = 'a bandwidth such as "50MB/s", or "0" for no limit'
_URL_WORDS = 'a URL such as "https://ghe.example.com"'


class Address(NamedTuple):
    """A host and a port to listen on; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def kind(value: object) -> str:
    """Name the kind of a TOML value in words."""
    kinds = (
        (bool, "a boolean"),
        (str, "a string"),
        (int, "an integer"),
        (float, "a floating-point number"),
        (list, "a list"),
        (dict, "a table"),
        (datetime, "a date with a time"),
        (date, "a date"),
        (time, "a time"),
    )
    return next((words for type_, words in kinds if isinstance(value, type_)), "something else")


def quote(text: str) -> str:
    """Put a text in quotes for a message: one line, printable, not too long."""
    if len(text) > _LONGEST_QUOTE:
        text = text[:_LONGEST_QUOTE] + "…"
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f'"{"".join(shown)}"'


def alternatives(words: list[str]) -> str:
    """Join words for a sentence: ``a, b or c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _text(value: object, words: str) -> str:
    if isinstance(value, str):
        return value
    message = f"must be {words}, not {kind(value)}"
    raise ValueError(message)


def parse_duration(value: object) -> timedelta:
    """Read ``"90s"``, ``"15m"``, ``"1h30m"``, ``"250ms"``: zero up to ten years."""
    text = _text(value, _DURATION_WORDS)
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError(f"must be {_DURATION_WORDS}, not {quote(text)}")
    days, hours, minutes, seconds, milliseconds = (int(part or 0) for part in match.groups())
    try:
        found = timedelta(days, seconds, 0, milliseconds, minutes, hours)
    except OverflowError:
        found = timedelta.max
    if found > LONGEST_DURATION:
        raise ValueError('must not be longer than ten years ("3650d")')
    return found


def parse_positive_duration(value: object) -> timedelta:
    """Read a duration that is longer than nothing."""
    found = parse_duration(value)
    if not found:
        raise ValueError(f"must be longer than zero: {_DURATION_WORDS}")
    return found


def format_duration(value: timedelta) -> str:
    """Write a duration as a person would: the largest unit that tells it exactly, from two up.

    Precise to the millisecond; ``parse_duration`` reads it back.
    """
    milliseconds = value // timedelta(milliseconds=1)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000)):
        if milliseconds % size == 0 and milliseconds >= 2 * size:
            return f"{milliseconds // size}{unit}"
    if milliseconds % 1000 == 0:
        return f"{milliseconds // 1000}s"
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds}s{rest}ms" if seconds else f"{rest}ms"


def _bytes(text: str) -> int | None:
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    number, unit = match.groups()
    found = int(Decimal(number) * _UNITS[unit])
    if found > LARGEST_SIZE:
        raise ValueError('must not be larger than "1000000TB"')
    return found


def parse_size(value: object) -> int:
    """Read a size in bytes: decimal ``"10MB"``, binary ``"1GiB"``; one byte or more."""
    text = _text(value, _SIZE_WORDS)
    found = _bytes(text)
    if found is None:
        raise ValueError(f"must be {_SIZE_WORDS}, not {quote(text)}")
    if not found:
        raise ValueError(f"must be larger than zero: {_SIZE_WORDS}")
    return found


def format_size(value: int) -> str:
    """Write a number of bytes with the largest unit that tells it exactly."""
    for unit, size in _UNITS.items():
        if value >= size and value % size == 0:
            return f"{value // size}{unit}"
    return f"{value}B"


def parse_bandwidth(value: object) -> int:
    """Read bytes a second: ``"50MB/s"``; ``"0"`` is no limit."""
    text = _text(value, _BANDWIDTH_WORDS)
    found = 0 if text == "0" else _bytes(text.removesuffix("/s")) if text.endswith("/s") else None
    if found is None:
        raise ValueError(f"must be {_BANDWIDTH_WORDS}, not {quote(text)}")
    return found


def parse_date(value: object) -> date:
    """Read a TOML date, or one in quotes."""
    words = "a date such as 2024-01-31"
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    text = _text(value, words)
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise ValueError(f"must be {words}, not {quote(text)}") from None


def _host_of(host: str | None) -> str:
    """Check the host of an address and give it back as an address writes it."""
    if not host:
        raise ValueError(f"has no host; use {_URL_WORDS}")
    if ":" in host:
        return f"[{host}]"
    if not _HOST.fullmatch(host):
        raise ValueError("has an invalid host name; allowed: letters, digits, hyphens and dots")
    return host


def parse_url(value: object) -> str:
    """Read an http or https address; the answer has no trailing slash and no default port.

    The path, if any, stays. User names, passwords, queries and fragments are refused.
    """
    text = _text(value, _URL_WORDS)
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"contains invalid characters; use {_URL_WORDS}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"is not a valid URL; check host and port, and use {_URL_WORDS}") from None
    scheme = parts.scheme.lower()
    if scheme not in {"http", "https"}:
        raise ValueError(f"must start with https:// or http://; use {_URL_WORDS}")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or password")
    if "?" in text or "#" in text:
        raise ValueError("must not contain a query (?) or a fragment (#)")
    host = _host_of(parts.hostname)
    if port is not None and not 1 <= port <= _HIGHEST_PORT:
        raise ValueError(f"must have a port from 1 to {_HIGHEST_PORT}")
    shown = "" if port in {None, {"http": 80, "https": 443}[scheme]} else f":{port}"
    return f"{scheme}://{host}{shown}{parts.path.rstrip('/')}"


def parse_web_url(value: object) -> str:
    """Read the web address of a GitHub host; the API's address in its place is refused."""
    url = parse_url(value)
    host = urlsplit(url).hostname or ""
    if host in {"api.github.com", "www.github.com", "uploads.github.com"}:
        raise ValueError('must be the web address: "https://github.com"')
    if url.endswith(("/api/v3", "/api", "/api/uploads")) or (
        host.startswith(("api.", "uploads.")) and host.endswith(".ghe.com")
    ):
        raise ValueError(
            'must be the web address, such as "https://ghe.example.com"; the API address is'
            " derived from it (or set api_url)"
        )
    return url


def parse_origin(value: object) -> str:
    """Read an origin: scheme, host and port, no path."""
    url = parse_url(value)
    if urlsplit(url).path:
        raise ValueError('must be an origin without a path, such as "https://uploads.example.com"')
    return url


def parse_proxy(value: object) -> str:
    """Read the address of a proxy; empty is none at all."""
    if value == "":
        return ""
    try:
        return parse_origin(value)
    except ValueError as error:
        if "password" in str(error):
            raise ValueError(
                "must not contain a user name or password; omit proxy and set HTTPS_PROXY in"
                " the environment"
            ) from None
        raise


def is_loopback(url: str) -> bool:
    """Tell whether an address reaches this machine alone."""
    from ipaddress import ip_address  # noqa: PLC0415 - only for addresses over http://

    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_listen(value: object) -> Address | None:
    """Read ``host:port``, ``[::1]:port``; empty is ``None``."""
    words = 'an address and a port such as "127.0.0.1:8321", or "" for none'
    text = _text(value, words)
    if not text:
        return None
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", text)
    if match is None or int(match[3]) > _HIGHEST_PORT:
        raise ValueError(
            f'must be {words}, not {quote(text)}; "0.0.0.0:8321" listens on all interfaces'
        )
    return Address(match[1] or match[2], int(match[3]))


def parse_host(value: object) -> str:
    """Read a host's name or IP address, and bring it into the form in which it is compared."""
    words = 'a host name such as "mirror.example.com"'
    text = _text(value, words)
    name = host_name(text)
    if name is None:
        raise ValueError(
            f"must be {words}, without scheme, port, path or wildcards, not {quote(text)}"
        )
    return name


def parse_path(value: object, context: Mapping[str, object] | None = None) -> Path:
    """Read a path; ``~`` is the home directory, and a relative one starts at ``context["base"]``."""
    text = _text(value, "a path")
    if not text or "\0" in text:
        raise ValueError("must be a path, not an empty string")
    base = (context or {}).get("base")
    path = _expand(text)
    return base / path if isinstance(base, Path) else path


def _expand(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("names a home directory that cannot be found") from None


def parse_glob(value: object) -> str:
    """Read one shell-style pattern."""
    text = _text(value, 'a pattern such as "v*"')
    if not text:
        raise ValueError("must be a pattern, not an empty string")
    return text


FOOTER_NAMES = ("{source_url}", "{published_at}", "{author}")


def parse_footer(value: object) -> str:
    """Read a template of a release's footer."""
    text = _text(value, "a template with any of " + ", ".join(FOOTER_NAMES))
    unknown = sorted(set(re.findall(r"\{\w*\}", text)) - set(FOOTER_NAMES))
    if unknown:
        known = ", ".join(FOOTER_NAMES)
        raise ValueError(f"unknown placeholder {quote(unknown[0])}; known: {known}")
    return text


def parse_versions(value: object) -> str:
    """Read a version specifier; empty is no restriction."""
    from packaging.specifiers import (  # noqa: PLC0415 - start-up: few files have it
        InvalidSpecifier,
        SpecifierSet,
    )

    words = 'a version specifier such as ">=1.2,<3"'
    text = _text(value, words)
    try:
        SpecifierSet(text)
    except (InvalidSpecifier, ValueError):
        raise ValueError(f"must be {words}, not {quote(text)}") from None
    return text


def parse_cron(value: object) -> str:
    """Read a cron line of five fields that comes due at some time."""
    from cronsim import CronSim, CronSimError  # noqa: PLC0415 - start-up: few files have it

    words = 'a cron expression with five fields such as "*/15 * * * *"'
    text = _text(value, words)
    if len(text.split()) != 5:
        raise ValueError(f"must be {words}, not {quote(text)}")
    try:
        moments = CronSim(text, datetime(2024, 1, 1))  # noqa: DTZ001 - only whether there is one
        next(moments)
    except StopIteration:
        raise ValueError(f"never matches any time: {quote(text)}") from None
    except CronSimError as error:
        place = str(error).removeprefix("Bad ")
        raise ValueError(f"must be {words}; the {place} of {quote(text)} is invalid") from None
    except (ValueError, AssertionError, IndexError, OverflowError):
        raise ValueError(f"must be {words}, not {quote(text)}") from None
    return text


def is_pattern(source: str) -> bool:
    """Tell whether an ``OWNER/REPO`` holds a wildcard."""
    return bool(_WILDCARD.search(source))


def parse_source(value: object) -> str:
    """Read ``OWNER/REPO``; the repository part may hold ``*``, ``?`` and ``[…]``."""
    words = '"OWNER/REPO", such as "cli/cli" or "hashicorp/*"'
    text = _text(value, words)
    if "://" in text:
        raise ValueError(f"must be {words}, not a URL; from selects the host")
    owner, slash, name = text.partition("/")
    if not slash or "/" in name:
        raise ValueError(f"must be {words}, not {quote(text)}")
    if is_pattern(owner):
        raise ValueError(f"the owner cannot contain a wildcard: {quote(text)}")
    _check_owner(owner, text)
    if not is_pattern(name):
        _check_name(name, text)
    elif not _NAME_GLOB.fullmatch(name):
        raise ValueError(
            f"{quote(text)} contains invalid characters; the wildcards are *, ? and [...]"
        )
    return text


def parse_exclude(value: object) -> str:
    """Read an ``OWNER/REPO`` to leave out; both parts may hold wildcards."""
    text = _text(value, '"OWNER/REPO", such as "hashicorp/*-archive"')
    owner, slash, name = text.partition("/")
    if not slash or not _OWNER_GLOB.fullmatch(owner) or not _NAME_GLOB.fullmatch(name):
        raise ValueError(f'must be "OWNER/REPO", such as "hashicorp/*-archive", not {quote(text)}')
    return text


def parse_target(value: object) -> str:
    """Read the ``OWNER/REPO`` of a target, with ``{owner}`` and ``{repo}`` as placeholders."""
    words = '"OWNER/REPO", such as "mirrors/cli" or "mirrors/{owner}-{repo}"'
    text = _text(value, words)
    if "://" in text:
        raise ValueError(f"must be {words}, not a URL; [target] sets the host")
    unknown = sorted(set(_PLACEHOLDER.findall(text)) - {"owner", "repo"})
    if unknown:
        raise ValueError(
            f"unknown placeholder {quote('{' + unknown[0] + '}')}; known: {{owner}} and {{repo}}"
        )
    owner, slash, name = fill(text, "o", "r").partition("/")
    if not slash or "/" in name or "{" in owner + name or "}" in owner + name:
        raise ValueError(f"must be {words}, not {quote(text)}")
    if is_pattern(text):
        raise ValueError(
            f"cannot contain a wildcard: {quote(text)}; use {{repo}} for the repository's name"
        )
    _check_owner(owner, text)
    _check_name(name, text)
    return text


def fill(template: str, owner: str, name: str) -> str:
    """Put an owner and a repository's name into a target template."""
    values = {"owner": owner, "repo": name}
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)


def _check_owner(owner: str, text: str) -> None:
    if not _OWNER.fullmatch(owner):
        raise ValueError(
            f"{quote(text)} has an invalid owner; allowed: 1 to 39 letters, digits, hyphens"
            " and underscores"
        )


def _check_name(name: str, text: str) -> None:
    if name.lower().endswith(".git"):
        raise ValueError(f"write {quote(text)} without .git")
    if not _NAME.fullmatch(name) or name in {".", ".."}:
        raise ValueError(
            f"{quote(text)} has an invalid repository name; allowed: 1 to 100 letters, digits,"
            " hyphens, underscores and dots"
        )
