"""Names and bytes."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.emulator import Generated, normalise
from mirror.emulator.model.content import BLOCK, chunks
from mirror.emulator.model.content_store import ContentStore


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("tool-1.0_linux+amd64.tar.gz", "tool-1.0_linux+amd64.tar.gz"),
        ("a b.zip", "a.b.zip"),
        ("a~b.zip", "a.b.zip"),
        ("a  ~ b.zip", "a.b.zip"),
        ("a@b.zip", "a.b.zip"),
        ("a/b.zip", "a.b.zip"),
        ("tobwen-1.1.0-1~buster.deb", "tobwen-1.1.0-1.buster.deb"),
        ("żółć.txt", "zolc.txt"),
        ("ðæŋ.txt", "daeng.txt"),
        ("茶话室-0.1.2.dmg", "-0.1.2.dmg"),
        ("茶话室.dmg", "default.dmg"),
        ("😀.pdf", "default.pdf"),
        (".env", "default.env"),
        ("name.", "name"),
        ("...", "default"),
        ("日本", "default"),
    ],
)
def test_names(asked: str, stored: str) -> None:
    """Assets are stored under names that users of the real server observed."""
    assert normalise(asked) == stored


@given(st.text(min_size=1))
def test_a_stored_name_stays(name: str) -> None:
    """Normalising twice is normalising once, and the result is never empty."""
    stored = normalise(name)
    assert stored
    assert normalise(stored) == stored
    assert stored.isascii()


@given(
    seed=st.integers(0, 9),
    size=st.integers(0, 3 * BLOCK),
    offset=st.integers(0, 3 * BLOCK),
    length=st.integers(0, 2 * BLOCK),
)
def test_generated_bytes_have_random_access(seed: int, size: int, offset: int, length: int) -> None:
    """Any part is the same part of the whole; a longer content begins with the shorter."""
    content = Generated(seed=seed, size=size)
    whole = b"".join(chunks(content))
    assert len(whole) == size
    assert content.read(offset, length) == whole[offset : offset + length]
    assert Generated(seed=seed, size=4 * BLOCK).read(0, size) == whole


def test_generated_blocks_differ() -> None:
    """Blocks in another order are other bytes; seeds differ; the digest is that of the bytes."""
    content = Generated(seed=1, size=2 * BLOCK)
    assert content.read(0, BLOCK) != content.read(BLOCK, BLOCK)
    assert content.read(0, 99) != Generated(seed=2, size=99).read(0, 99)
    assert content.sha256 == hashlib.sha256(content.read(0, 2 * BLOCK)).hexdigest()


def test_an_abandoned_intake_leaves_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The directory is as it was."""
    directory = tmp_path_factory.mktemp("store")
    store = ContentStore(directory)
    intake = store.take(10)
    intake.write(b"12345")
    assert list(directory.iterdir()) != []
    intake.abandon()
    assert list(directory.iterdir()) == []
