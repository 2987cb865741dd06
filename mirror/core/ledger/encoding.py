"""Reads and writes the JSON of ledger documents; what does not match its declaration is refused."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from mirror.core.json_types import mismatch
from mirror.errors import LedgerCorrupt, LedgerTooNew

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = 2
"""Version of the documents that this program writes; it reads this one and earlier ones."""

T = TypeVar("T", bound=Struct)


Version = Annotated[int, Meta(ge=1)]
"""The type of a document's ``version``."""


class _Versioned(Struct):
    version: Version


def decode(content: bytes, shape: type[T]) -> T:
    """Read a document, whose declaration has a field ``version`` of type :data:`Version`.

    Raises:
        LedgerTooNew: A later version of this program wrote it.
        LedgerCorrupt: It is not JSON, or does not match; the path in the document is named.
    """
    with _as_corrupt():
        try:
            document = _read(content, shape)
        except msgspec.ValidationError:
            # A later version may differ from this declaration, too.
            check_version(_read(content, _Versioned).version)
            raise
        check_version(document.version)  # type: ignore[attr-defined]
        return document


def decode_record(content: bytes, shape: type[T]) -> T:
    """Read a part that is stored by itself, without a version.

    Raises:
        LedgerCorrupt: It is not JSON, or does not match; the path in it is named.
    """
    with _as_corrupt():
        return _read(content, shape)


@contextmanager
def _as_corrupt() -> Iterator[None]:
    try:
        yield
    except msgspec.ValidationError as error:
        raise LedgerCorrupt(mismatch(error)) from error
    except (ValueError, RecursionError) as error:
        raise LedgerCorrupt(f"not JSON: {error}") from error


def _read(content: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=shape)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # The standard library also reads text that is not Unicode, as in an undecodable path.
        return msgspec.convert(json.loads(content), shape)


def check_version(version: int) -> None:
    """Refuse a document of a later version.

    Raises:
        LedgerTooNew: A later version of this program wrote it.
    """
    if version > VERSION:
        raise LedgerTooNew(
            f"written by a later release-mirror (document version {version}, this one knows"
            f" {VERSION}): upgrade release-mirror, or give it another [ledger] directory"
        )


def encode(document: Struct | dict[str, Any]) -> bytes:
    """Write a document or a part of one; :func:`decode` gives an equal one."""
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:  # halves of surrogate pairs, which only escapes can carry
        return json.dumps(msgspec.to_builtins(document), separators=(",", ":")).encode()


def as_declared(value: Struct, shape: type[T], **other: Any) -> T:
    """Make a ``shape`` of a value that shares fields with it.

    Args:
        value: What has the fields.
        shape: The other declaration.
        other: The fields that differ.
    """
    shared = shape.__struct_fields__
    fields = {name: getattr(value, name) for name in value.__struct_fields__ if name in shared}
    return shape(**fields | other)
