"""In which order the actions on the assets of one release are carried out."""

from __future__ import annotations

from mirror.core.execution.action import (
    DeleteAsset,
    RenameAsset,
    ReplaceAsset,
    UpdateAsset,
    UploadAsset,
)
from mirror.core.execution.asset_order import AssetOrder
from support.values import an_asset

ASSET, COPY = an_asset(1, "a.zip"), an_asset(50, "a.zip")
OTHER, FREE = an_asset(2, "b.zip"), an_asset(51, "free.zip")

UPLOAD = UploadAsset(ASSET)
STAGED = UploadAsset(ASSET, temporary_name="tmp")
COLLIDING = UploadAsset(OTHER, collides=True)
REPLACE = ReplaceAsset(ASSET, COPY, "a.zip", "tmp")
IN_PLACE = ReplaceAsset(ASSET, COPY, "a.zip", "")
SWAP = ReplaceAsset(ASSET, COPY, "a.zip", "tmp", temporary=FREE)
RENAME = RenameAsset(OTHER, FREE, "b.zip")
LABEL = UpdateAsset(OTHER, FREE, "label")
DELETE = DeleteAsset(FREE)


def test_names_whose_bytes_are_there_come_before_the_uploads() -> None:
    """People should not miss them while the uploads take their time."""
    order = AssetOrder.of([UPLOAD, SWAP, RENAME, LABEL, DELETE])
    assert order.before == (SWAP, RENAME, LABEL, DELETE)
    assert order.uploads == (UPLOAD,)
    assert order.after == ()


def test_a_name_is_kept_until_the_upload_that_takes_it_has_arrived() -> None:
    """Then all renames follow the uploads; deletions and labels do not wait."""
    taking = UploadAsset(ASSET, temporary_name="tmp", after=(FREE.id,))
    order = AssetOrder.of([taking, RENAME, LABEL])
    assert order.before == (LABEL,)
    assert order.after == (taking, RENAME)


def test_what_arrives_under_a_temporary_name_is_named_at_the_end() -> None:
    """An upload under its own name and a replacement in place are complete on arrival."""
    order = AssetOrder.of([UPLOAD, STAGED, REPLACE, IN_PLACE])
    assert order.uploads == (UPLOAD, STAGED, REPLACE, IN_PLACE)
    assert order.after == (STAGED, REPLACE)


def test_uploads_whose_names_may_collide_come_last() -> None:
    """So that the asset that has the name by right gets it."""
    order = AssetOrder.of([COLLIDING, UPLOAD])
    assert (order.uploads, order.colliding) == ((UPLOAD,), (COLLIDING,))
