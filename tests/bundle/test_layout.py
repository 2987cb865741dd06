"""The documents of a bundle."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.bundle import documents, layout
from mirror.bundle.documents import ReleaseDocument
from mirror.bundle.layout import Descriptor, Index, Manifest
from mirror.core.domain.release import Asset, Release, RepoRef
from mirror.errors import BundleError, BundleTooNew

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
IDENTITY = "5f0c1d4e-9a63-4f2b-8a55-0d2a6f6f9d11"
CLI = RepoRef("mirrors", "cli")
_GRAMMAR = re.compile(
    r"[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*(?:/[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*)*"
)
"""Of ``org.opencontainers.image.ref.name``, from annotations.md of the image specification."""


def an_index(**facts: Any) -> Index:
    return Index(**{"identity": IDENTITY, "sequence": 7, "created_at": NOW, **facts})


def test_index_round_trip() -> None:
    """Reading an index back gives an equal one."""
    manifest = Descriptor.of(b"{}", layout.MANIFEST_TYPE, annotations={"a": "b"})
    index = an_index(predecessor=layout.digest_of(b"x"), manifests=(manifest,))
    assert layout.decode_index(index.encode()) == index


def test_a_newer_format_is_refused() -> None:
    """An index of a later format is refused with a sentence that says what to do."""
    document = json.loads(an_index().encode())
    document["annotations"][layout.FORMAT] = "2"
    document["manifests"] = "in another shape"
    with pytest.raises(BundleTooNew, match=r"format 2, this one knows 1.*upgrade"):
        layout.decode_index(json.dumps(document).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"annotations":' * 100_000,
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{}}',
        an_index(identity="none").encode(),
        an_index(sequence=0).encode(),
        an_index(sequence=10**30).encode(),
        an_index(predecessor="sha256:..").encode(),
        an_index().encode().replace(b"2026-11-21T09:00:00Z", b"today"),
        an_index(manifests=(Descriptor("a/b", "sha256:../../etc/passwd", 1),)).encode(),
        an_index(manifests=(Descriptor("a/b", layout.digest_of(b""), -1),)).encode(),
    ],
)
def test_what_is_no_index_is_refused(content: bytes) -> None:
    """Anything that is not the index of a bundle is a :class:`BundleError` of one sentence."""
    with pytest.raises(BundleError) as caught:
        layout.decode_index(content)
    assert "\n" not in str(caught.value)


def test_release_round_trip() -> None:
    """A release is read back as the source told it, with the assets that have a layer."""
    assets = (
        Asset(5, "a b.zip", 3, "application/zip", label="A", sha256="a" * 64, created_at=NOW),
        Asset(6, "left out", 4),
    )
    release = Release(
        9, "v1", "Title", "Text\r\n", prerelease=True, created_at=NOW, author="me", assets=assets
    )
    document = ReleaseDocument.of(release)
    read = layout.decode(layout.encode(document), ReleaseDocument, "a release")
    stored = read.release([documents.asset_layer(assets[0])])
    assert stored == replace(release, assets=assets[:1])
    assert json.loads(layout.encode(document))["tag_name"] == "v1"


def test_a_manifest_has_a_layer() -> None:
    """A release without assets has the empty layer, which stands for nothing."""
    config = Descriptor.of(b"{}", layout.RELEASE_CONFIG_TYPE)
    manifest = Manifest.of(layout.RELEASE_TYPE, config)
    assert [layer.media_type for layer in manifest.layers] == [layout.EMPTY_TYPE]
    assert manifest.contents == []


def test_content_type_of_a_layer() -> None:
    """A content type that OCI does not take stays in the config; the layer is plain bytes."""
    asset = Asset(1, "a", 1, "text/plain; charset=utf-8", sha256="a" * 64)
    assert documents.asset_layer(asset).media_type == layout.BYTES_TYPE


@pytest.mark.parametrize(
    ("name", "exact", "expected"),
    [
        ("mirrors/cli:v1.2.0", True, "mirrors/cli:v1.2.0"),
        ("mirrors/cli:release/v1", True, "mirrors/cli:release/v1"),
        ("mirrors/cli:v1.2.0", False, "mirrors/cli-v1-2-0@7"),
        ("mirrors/c_li:v1~rc", True, "mirrors/c-li-v1-rc@7"),
        ("mirrors/cli:v1@7", True, "mirrors/cli-v1-7@7"),
        ("mirrors/cli:ü/../..", True, "mirrors/cli@7"),
    ],
)
def test_reference(name: str, exact: bool, expected: str) -> None:
    """A reference is the name itself where OCI takes that, else a plain form with the number."""
    assert documents.reference(name, 7, exact=exact) == expected


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.integers(1, 50), min_size=2))
def test_references_differ(tags: dict[str, int]) -> None:
    """Every reference is in OCI's grammar, and those of different releases differ."""
    numbers = {number: tag for tag, number in tags.items()}  # one tag each
    found = [documents.reference(f"{CLI}:{tag}", number) for number, tag in numbers.items()]
    assert len(set(found)) == len(found)
    assert all(_GRAMMAR.fullmatch(name) for name in found)


@pytest.mark.parametrize("notes", [{}, {layout.TITLE: "a"}, {layout.ASSET_ID: "1"}])
def test_a_layer_without_a_name_is_refused(notes: dict[str, str]) -> None:
    """Every layer of a release says which asset it is."""
    document = ReleaseDocument.of(Release(1, "v1"))
    with pytest.raises(BundleError, match="no name or no id"):
        document.release([Descriptor.of(b"", layout.BYTES_TYPE, annotations=notes)])


def test_dates_leave_room_to_count() -> None:
    """A date at the end of the calendar is moved inwards, whatever its zone."""
    text = (
        b'{"id":1,"tag_name":"v","draft":false,"prerelease":false,"assets":[],"published_at":"%s"}'
    )
    for date in (
        b"9999-12-31T23:59:59Z",
        b"9999-12-31T23:59:59-12:00",
        b"0001-01-01T00:00:00+12:00",
    ):
        read = layout.decode(text % date, ReleaseDocument, "a release").release([])
        assert read.published_at is not None
        assert read.published_at.year < 9001
