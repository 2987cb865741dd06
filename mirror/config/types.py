"""The types of the settings: how each is parsed, and how the JSON Schema describes it."""

# No `from __future__ import annotations` here: pydantic needs the annotations as objects.

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainValidator, Strict, ValidationInfo, WithJsonSchema

from mirror.config import host_urls, repository_names, values
from mirror.config.secret_refs import SECRET_PATTERN, SecretRef


def _typed(title: str, *examples: str, **keywords: Any) -> WithJsonSchema:
    """The JSON Schema of a string with a format of its own."""
    return WithJsonSchema(
        {"type": "string", "title": title, "examples": list(examples), **keywords}
    )


def _path(value: object, info: ValidationInfo) -> Path:
    return values.parse_path(value, info.context)


_DURATION = _typed("duration", "90s", "15m", "24h", pattern=values.DURATION_PATTERN)
_HTTP = "^[Hh][Tt][Tt][Pp][Ss]?://"
Duration = Annotated[timedelta, PlainValidator(values.parse_duration), _DURATION]
PositiveDuration = Annotated[timedelta, PlainValidator(values.parse_positive_duration), _DURATION]
Size = Annotated[
    int, PlainValidator(values.parse_size), _typed("size", "1GiB", pattern=values.SIZE_PATTERN)
]
Bandwidth = Annotated[
    int,
    PlainValidator(values.parse_bandwidth),
    _typed("bandwidth", "50MB/s", pattern=values.BANDWIDTH_PATTERN),
]
Day = Annotated[
    date, PlainValidator(values.parse_date), _typed("date", "2024-01-31", format="date")
]
WebUrl = Annotated[
    str,
    PlainValidator(host_urls.parse_web_url),
    _typed("URL", "https://ghe.example.com", pattern=_HTTP),
]
Url = Annotated[
    str,
    PlainValidator(host_urls.parse_url),
    _typed("URL", "https://ghe.example.com/api/v3", pattern=_HTTP),
]
Origin = Annotated[
    str,
    PlainValidator(host_urls.parse_origin),
    _typed("URL", "https://uploads.ghe.example.com", pattern=_HTTP),
]
Proxy = Annotated[
    str,
    PlainValidator(host_urls.parse_proxy),
    _typed("URL", "http://proxy.example.com:3128", pattern=f"^$|{_HTTP}"),
]
Listen = Annotated[
    host_urls.Address | None,
    PlainValidator(host_urls.parse_listen),
    _typed("HOST:PORT", "127.0.0.1:8321"),
]
HostName = Annotated[
    str,
    PlainValidator(host_urls.parse_host),
    _typed("host name", "mirror.example.com", minLength=1),
]
Secret = Annotated[
    SecretRef,
    PlainValidator(SecretRef.parse),
    _typed("secret reference", "env:MIRROR_TARGET_TOKEN", pattern=SECRET_PATTERN),
]
PrivateKey = Annotated[
    SecretRef,
    PlainValidator(SecretRef.parse),
    _typed("secret reference", "file:/etc/release-mirror/app.pem", pattern=SECRET_PATTERN),
]
FilePath = Annotated[
    Path, PlainValidator(_path), _typed("path", "/etc/release-mirror/ca.pem", minLength=1)
]
Glob = Annotated[str, PlainValidator(values.parse_glob), _typed("pattern", "v*", minLength=1)]
Footer = Annotated[
    str, PlainValidator(values.parse_footer), _typed("template", "Mirrored from {source_url}")
]
Versions = Annotated[
    str, PlainValidator(values.parse_versions), _typed("version specifier", ">=1.2,<3")
]
Cron = Annotated[str, PlainValidator(values.parse_cron), _typed("cron expression", "*/15 * * * *")]
SourceName = Annotated[
    str,
    PlainValidator(repository_names.parse_source),
    _typed("OWNER/REPO", "cli/cli", pattern=repository_names.REPOSITORY_PATTERN),
]
Exclude = Annotated[
    str, PlainValidator(repository_names.parse_exclude), _typed("OWNER/REPO", "hashicorp/*-archive")
]
TargetName = Annotated[
    str,
    PlainValidator(repository_names.parse_target),
    _typed("OWNER/REPO", "mirrors/cli", pattern="^.+/.+$"),
]
Globs = Annotated[tuple[Glob, ...], Strict(strict=False)]
Excludes = Annotated[tuple[Exclude, ...], Strict(strict=False)]
HostNames = Annotated[tuple[HostName, ...], Strict(strict=False)]
SecretList = Annotated[tuple[Secret, ...], Strict(strict=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
CountOrZero = Annotated[int, Field(ge=0, le=1_000_000_000)]
Few = Annotated[int, Field(ge=1, le=1000)]
