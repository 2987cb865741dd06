"""The receipt of a bundle: what it holds, for the way back, so that the next volumes leave that out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from mirror.bundle import layout
from mirror.bundle.layout import Sha256
from mirror.bundle.mirrored import unneeded
from mirror.bundle.references import References, size_of
from mirror.core.json_types import WholeNumber
from mirror.errors import BundleError, BundleTooNew

if TYPE_CHECKING:
    from mirror.bundle.directory import BundleDirectory, Contents
    from mirror.bundle.signature import AllowedSigners, SigningKey

_SIGNATURE = b"-----BEGIN SSH SIGNATURE-----"


class Receipt(Struct, frozen=True):
    """What a bundle holds.

    Attributes:
        format: Version of the bundle's format.
        identity: The bundle's UUID.
        sequence: Of its index.
        index: The index's digest.
        blobs: SHA-256 (hexadecimal) of the blobs that it holds or needs no more, sorted.
    """

    format: WholeNumber
    identity: str
    sequence: WholeNumber
    index: Sha256
    blobs: list[str]


def receipt_of(directory: BundleDirectory, contents: Contents) -> Receipt:
    """What a bundle holds or has pruned; of blobs, the sizes are compared, and not read. It blocks.

    Raises:
        BundleError: A manifest is missing or damaged.
    """
    references = References.of(contents.index, directory.manifest)
    wanted = references.documents | references.blobs
    blobs = directory.path / layout.BLOBS
    pruned = unneeded(directory, contents.index)
    held = sorted(s for s, size in wanted.items() if s in pruned or size_of(blobs / s) == size)
    index = contents.index
    return Receipt(layout.VERSION, index.identity, index.sequence, contents.digest, held)


async def encode(receipt: Receipt, key: SigningKey | None) -> bytes:
    """A receipt as a file: a line of JSON, and its signature.

    Raises:
        BundleError: It cannot be signed.
    """
    content = layout.encode(receipt) + b"\n"
    return content + (await key.sign(content) if key else b"")


async def decode(content: bytes, contents: Contents, signers: AllowedSigners | None) -> Receipt:
    """Read a receipt.

    Args:
        content: The file.
        contents: The index of the bundle that it has to be of.
        signers: Who may sign it; ``None`` to believe it.

    Raises:
        BundleError: It is of another bundle, of an index that this bundle never had, or refused.
    """
    document, mark, rest = content.partition(_SIGNATURE)
    if signers:
        await signers.verify_content(document, mark + rest if mark else None)
    receipt = layout.decode(document, Receipt, "the receipt")
    if receipt.format > layout.VERSION:
        raise BundleTooNew(
            "the receipt was written by a later release-mirror: upgrade release-mirror"
        )
    index = contents.index
    if receipt.identity != index.identity:
        raise BundleError("the receipt is of another bundle")
    same = receipt.sequence == index.sequence
    if receipt.sequence > index.sequence or (same and receipt.index != contents.digest):
        raise BundleError(
            f"the receipt is of an index that this bundle does not have (sequence {receipt.sequence};"
            f" the bundle has {index.sequence})"
        )
    return receipt
