"""Removing what looks like a secret from log events and messages."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

HIDDEN = "[hidden]"

_TOKENS = re.compile(r"\b(?:gh[opsur]_[A-Za-z0-9_]{8,}|github_pat_[A-Za-z0-9_]{8,})")
_JWT = re.compile(r"\beyJ[\w-]{8,4000}\.[\w-]{4,}(?:\.[\w-]+)?")
_HEADER = re.compile(
    r"(?i)\b(authorization[\"']?\s*[:=]\s*[\"']?)(?:(?:bearer|token|basic)\s+)?\S+"
)
_SCHEME = re.compile(r"(?i)\b(bearer|basic)(\s+)[\w.~+/=-]{8,}")
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|$)", re.DOTALL)
_USER = re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://)[^\s/@\"'<>]+@", re.IGNORECASE)
_QUERY = re.compile(
    r"(?i)([?&](?:x-amz-[\w-]+|x-goog-[\w-]+|awsaccesskeyid|signature|sig|jwt|token|access_token"
    r"|client_secret|code|key|password|se|sp|sv|skoid|sktid)=)[^&\s\"'<>]*"
)
_SECRET_NAMES = re.compile(r"(?i)authorization|password|secret|private_key|^token$")


_PLAIN = re.compile(r"[\w.:/+-]*", re.ASCII)
_SUSPICIOUS = re.compile(r"gh|pat_|eyJ|(?i:authorization)")


def _is_plain(text: str) -> bool:
    """Whether no pattern below can match: true for most names, tags and times."""
    return _PLAIN.fullmatch(text) is not None and not _SUSPICIOUS.search(text)


def redact(text: str) -> str:
    """Replace tokens, credentials in addresses and headers, and signatures."""
    if _is_plain(text):
        return text
    text = _KEY.sub(HIDDEN, text)
    text = _HEADER.sub(rf"\g<1>{HIDDEN}", text)
    text = _SCHEME.sub(rf"\g<1>\g<2>{HIDDEN}", text)
    text = _TOKENS.sub(HIDDEN, text)
    text = _JWT.sub(HIDDEN, text)
    text = _USER.sub(rf"\g<1>{HIDDEN}@", text)
    return _QUERY.sub(rf"\g<1>{HIDDEN}", text)


@lru_cache(maxsize=256)
def _is_secret(key: str) -> bool:
    return bool(_SECRET_NAMES.search(key))


def redact_value(key: str, value: Any) -> Any:
    """Redact a value of a log event, of any type."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if _is_secret(key):
        return HIDDEN
    if isinstance(value, dict):
        return {name: redact_value(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_value("", inner) for inner in value]
    return redact(value if isinstance(value, str) else str(value))
