"""Signatures of webhooks."""

from __future__ import annotations

import hashlib
import hmac
import re

_SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}")


def is_signature(header: str | None) -> bool:
    """Whether an ``X-Hub-Signature-256`` has the form of one, so that its body is worth reading."""
    return header is not None and _SIGNATURE.fullmatch(header) is not None


def is_signed(body: bytes, header: str | None, secret: str) -> bool:
    """Whether a webhook's body was signed with a secret; the comparison takes the same time always.

    Args:
        body: As it came, byte for byte.
        header: ``X-Hub-Signature-256``; the older ``X-Hub-Signature`` (SHA-1) is not asked for.
        secret: What the sender and we share; nothing is signed with an empty one.

    Source: https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
    """
    if not secret or header is None or not is_signature(header):
        return False
    mac = hmac.new(secret.encode("utf-8", "surrogateescape"), body, hashlib.sha256)
    return hmac.compare_digest(f"sha256={mac.hexdigest()}", header)
