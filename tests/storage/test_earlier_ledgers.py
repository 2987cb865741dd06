"""Ledgers that earlier code wrote, as files in ``earlier/``: they are read and carried on.

``version-1`` and ``version-2`` were saved before documents were declared with msgspec, each by the
code of its time; the files are never written again.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from mirror.core.failure import Failure, Quarantined
from mirror.core.ledger.document import (
    AssetEntry,
    Index,
    IndexEntry,
    Ledger,
    ListingEntry,
    PageProof,
    ProofCounts,
    QuarantineEntry,
    ReleaseEntry,
)
from mirror.core.ledger.index import PassRecord, Told
from mirror.errors import LedgerCorrupt
from mirror.storage.json_ledger import FileLedgerStore
from support.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable

EARLIER = Path(__file__).parent / "earlier"
URL = "https://ghe.example.com/api/v3"
DATE = "2026-01-02T00:00:00Z"


def open_copy(tmp_path: Path, version: int) -> FileLedgerStore:
    shutil.copytree(EARLIER / f"version-{version}", tmp_path / "ledger")
    return FileLedgerStore(tmp_path / "ledger", VirtualClock())


def asset(number: int, proof: Any, **more: Any) -> AssetEntry:
    name = f"tool-{number}.tar.gz"
    return AssetEntry(
        number, name, 100 + number, name, 5 * number, f"{number:064x}", proof=proof, **more
    )


def by_id(*assets: AssetEntry) -> dict[int, AssetEntry]:
    return {entry.target_id: entry for entry in assets}


TOOL = Ledger(
    "github:octo/tool",
    "Mirrors/Tool",
    URL,
    5,
    6,
    created_repository=True,
    working_since="2026-01-03T00:00:00Z",
    releases={
        7: ReleaseEntry(
            7,
            77,
            "v1",
            published=DATE,
            commit="a" * 40,
            assets=by_id(
                asset(
                    1,
                    "bytes",
                    source_digest=f"{1:064x}",
                    source_updated_at=DATE,
                    target_created_at=DATE,
                ),
                asset(2, "sent", source_updated_at=DATE, target_created_at=DATE),
                AssetEntry(3, "docs é ✓.txt", 103, "docs.txt", 0, created=False),
                asset(4, "refuted"),
            ),
            in_place=("tool-9.tar.gz", "ünï.txt"),
        ),
        8: ReleaseEntry(
            8,
            88,
            "v2 draft",
            created=False,
            followed=False,
            assets=by_id(AssetEntry(-17, "tool-v2.tar.gz", -9, "x", 1, proof="sent")),
        ),
    },
    quarantined={
        (9, 0): QuarantineEntry(9, 0, "facts of it", 'too large: "125,001" characters', DATE, "v0"),
        (7, 5): QuarantineEntry(7, 5, "other facts", "name taken", DATE, "v1", "tool-5.tar.gz"),
    },
)
READ = replace(TOOL, quarantined={})
"""As it is read: of quarantined items without a kind it is not known that they may be final."""

NEW = Ledger("github:octo/new", "mirrors/new", URL, creating_repository=True)
ODD = Ledger(
    "ghes:o/odd",
    "mirrors/odd",
    URL,
    1,
    2,
    releases={1: ReleaseEntry(1, 2, "half \ud83d of a pair")},
)


def page(number: int) -> PageProof:
    url = f"https://api.github.com/repos/octo/tool/releases?per_page=100&page={number}"
    return PageProof(url, f'W/"{number:064x}"', f"{number:032x}", 100)


INDEX = Index(
    mirrors={
        "mirrors/tool": IndexEntry(
            "github:octo/tool",
            "Mirrors/Tool",
            settings="settings",
            credential="credential",
            target_url=URL,
            source_id=5,
            pages=(page(1), PageProof(page(2).url, "", "f" * 32, None)),
            audited_at=1767400000.25,
            succeeded_at=1767400000.5,
            error="the host github is down",
            failure=Failure("internal", "the host github is down"),
            releases=1,
            assets=4,
            bytes=35,
            proof=ProofCounts(1, 1, 1),
            newest=DATE,
            newest_visible=None,
            since=1767300000.0,
            wake_at=1767500000.0,
            warnings=("a warning",),
            quarantined=(
                Quarantined('too large: "125,001" characters', DATE, "v0"),
                Quarantined("name taken", DATE, "v1", "tool-5.tar.gz"),
            ),
            told=True,
        ),
        "mirrors/new": IndexEntry("github:octo/new", "mirrors/new"),
    },
    listings={
        "github:octo": ListingEntry(
            "credential", (page(1),), (("octo/tool", 5, False, True), ("octo/new", 8, True, False))
        )
    },
    finished_at=1767400001.0,
    passes=(PassRecord(1767400000.0, 1.5, 2, 1, 0, 1024, 9),),
    told=(Told("sync", "github:octo/*", None), Told("verify", "github:octo/tool", "Mirrors/Tool")),
)


INDEX_READ = replace(
    INDEX,
    mirrors={
        **INDEX.mirrors,
        "mirrors/tool": replace(INDEX.mirrors["mirrors/tool"], quarantined=(), pages=()),
    },
)
"""As it is read: the next pass looks at the mirror, and tries what was quarantined."""


async def test_a_ledger_of_version_2_is_carried_on(tmp_path: Path) -> None:
    """Each field of each kind of entry is read, saved, and read again as the same."""
    store = open_copy(tmp_path, 2)
    documents = {"mirrors/tool": READ, "mirrors/new": NEW, "mirrors/odd": ODD}
    for _ in range(2):
        assert {key: await store.load(key) for key in documents} == documents
        assert await store.load_index() == INDEX_READ
        for key, document in documents.items():
            await store.save(key, document)
        await store.save_index(INDEX_READ)


async def test_what_is_saved_has_the_fields_of_version_2(tmp_path: Path) -> None:
    """No field got another name or form; new ones may be there."""
    store = open_copy(tmp_path, 2)
    before = {path: json.loads(path.read_bytes()) for path in (tmp_path / "ledger").rglob("*.json")}
    await store.save("mirrors/tool", TOOL)
    await store.save_index(INDEX)
    for path, document in before.items():
        assert _contains(json.loads(path.read_bytes()), document), path.name


def _contains(now: Any, before: Any) -> bool:
    if isinstance(before, dict):
        return now.keys() >= before.keys() and all(
            _contains(now[key], before[key]) for key in before
        )
    if isinstance(before, list):
        return len(now) == len(before) and all(map(_contains, now, before))
    return bool(now == before)


def test_an_unknown_word_for_a_proof_counts_as_assumed() -> None:
    """A later version may know more; its word costs neither the document nor the records."""
    ledger = Ledger("github:octo/tool", "mirrors/tool", "https://ghe.example.com/api/v3")
    ledger.releases[1] = ReleaseEntry(1, 2, "v1", assets={7: asset(7, "sent")})
    found = Ledger.decode(ledger.encode().replace(b'"sent"', b'"witnessed"'))
    assert [entry.proof for entry in found.releases[1].assets.values()] == ["assumed"]


async def test_a_ledger_of_version_1_is_carried_on(tmp_path: Path) -> None:
    """Its assets count as assumed; a digest that only the target had told proves nothing."""
    store = open_copy(tmp_path, 1)
    found = await store.load("mirrors/tool")
    assert found
    assets = found.releases[7].assets.values()
    assert {entry.proof for entry in assets} == {"assumed"}
    assert [entry.sha256 for entry in assets] == ["1" * 64, None, "3" * 64]
    assert found.quarantined == {}
    index = await store.load_index()
    assert index.mirrors["mirrors/tool"].proof == ProofCounts(0, 0, 3)
    assert index.passes == (PassRecord(1.0, 1.5, 1),)
    await store.save("mirrors/tool", found)
    await store.save_index(index)
    assert await store.load("mirrors/tool") == found
    assert await store.load_index() == index


def _without(document: Any, *path: Any) -> None:
    *places, last = path
    for place in places:
        document = document[place]
    del document[last]


def _with(document: Any, *path: Any) -> None:
    *places, last, value = path
    for place in places:
        document = document[place]
    document[last] = value


MIRROR = "mirrors['mirrors/tool']"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "mirrors/tool.json",
            lambda d: _with(d, "releases", 0, "assets", 1, "size", "10"),
            "releases[0].assets[1].size: expected `int`, got `str`",
        ),
        (
            "mirrors/tool.json",
            lambda d: _without(d, "releases", 1, "tag"),
            "releases[1].tag: missing",
        ),
        ("mirrors/tool.json", lambda d: _without(d, "target_id"), "target_id: missing"),
        (
            "mirrors/tool.json",
            lambda d: _with(d, "quarantined", 0, "since", None),
            "quarantined[0].since: expected `str`, got `null`",
        ),
        (
            "index.json",
            lambda d: _with(d, "mirrors", "mirrors/tool", "pages", 1, 0, 7),
            f"{MIRROR}.pages[1][0]: expected `str`, got `int`",
        ),
        (
            "index.json",
            lambda d: _with(d, "listings", "github:octo", "repositories", 1, 1, True),
            "listings['github:octo'].repositories[1][1]: expected `int`, got `bool`",
        ),
        (
            "index.json",
            lambda d: _with(d, "finished_at", -1),
            "finished_at: expected `float` >= 0.0",
        ),
    ],
)
async def test_what_is_corrupt_is_named_by_its_path(
    tmp_path: Path, name: str, change: Callable[[Any], None], message: str
) -> None:
    """The error and the log name the key; the file is set aside as it was."""
    store = open_copy(tmp_path, 2)
    file = tmp_path / "ledger" / name
    document = json.loads(file.read_bytes())
    change(document)
    file.write_text(json.dumps(document))
    kind: Any = Index if name == "index.json" else Ledger
    with pytest.raises(LedgerCorrupt) as raised:
        kind.decode(file.read_bytes())
    assert str(raised.value) == message
    async with store.lock():
        with capture_logs() as logs:
            await (store.load_index() if kind is Index else store.load("mirrors/tool"))
    (aside,) = file.parent.glob(f"{file.name}.corrupt-*")
    assert json.loads(aside.read_bytes()) == document
    assert logs[0]["reason"] == message


async def test_unknown_fields_are_ignored(tmp_path: Path) -> None:
    """A field that later code adds without a new version does not cost the document."""
    store = open_copy(tmp_path, 2)
    for name in ("mirrors/tool.json", "index.json"):
        file = tmp_path / "ledger" / name
        file.write_text(json.dumps(_with_more(json.loads(file.read_bytes()))))
    assert await store.load("mirrors/tool") == READ
    index = await store.load_index()
    assert index.passes == INDEX.passes
    assert index.mirrors["mirrors/tool"] == INDEX_READ.mirrors["mirrors/tool"]


async def test_an_unknown_kind_of_failure_is_internal(tmp_path: Path) -> None:
    """A word that other code stored costs its own meaning, and not the document."""
    store = open_copy(tmp_path, 2)
    ledger, index = TOOL.encode(), INDEX.encode()
    document = json.loads(ledger)
    document["quarantined"][0]["kind"] = "novel"
    (tmp_path / "ledger" / "mirrors/tool.json").write_text(json.dumps(document))
    document = json.loads(index)
    entry = document["mirrors"]["mirrors/tool"]
    entry["failure"] = {"kind": "novel", "hint": "novel", "detail": "it failed"}
    entry["quarantined"] = [{"error": "no", "since": "2026-01-01", "kind": "novel"}]
    (tmp_path / "ledger" / "index.json").write_text(json.dumps(document))

    found = await store.load("mirrors/tool")
    assert found
    assert next(iter(found.quarantined.values())).kind == "internal"
    assert found.releases == TOOL.releases
    entry = (await store.load_index()).mirrors["mirrors/tool"]
    assert entry.failure == Failure("internal", "it failed")
    assert [item.kind for item in entry.quarantined] == ["internal"]
    assert entry.pages == INDEX.mirrors["mirrors/tool"].pages


@pytest.mark.parametrize("kind", ["permission", "credential", "archived", "rejected"])
async def test_what_is_never_final_now_is_tried_again(kind: Any, tmp_path: Path) -> None:
    """Earlier code quarantined it for a day: after an upgrade the next pass tries it."""
    store = open_copy(tmp_path, 2)
    kept = QuarantineEntry(1, 1, "facts", "0 bytes", DATE, "v1", "a", "empty")
    lifted = QuarantineEntry(2, 0, "facts", "403", DATE, "v2", None, kind)
    await store.save("mirrors/tool", replace(TOOL, quarantined={(1, 1): kept, (2, 0): lifted}))
    entry = replace(
        INDEX.mirrors["mirrors/tool"], failure=None, quarantined=(kept.report(), lifted.report())
    )
    await store.save_index(replace(INDEX, mirrors={"mirrors/tool": entry}))

    found = await store.load("mirrors/tool")
    assert found
    assert found.quarantined == {(1, 1): kept}
    entry = (await store.load_index()).mirrors["mirrors/tool"]
    assert entry.quarantined == (kept.report(),)
    assert entry.pages == ()
    assert entry.failure
    assert (entry.failure.kind, entry.failure.release) == (kind, "v2")
    assert not entry.failure.final


def _with_more(node: Any, name: str = "") -> Any:
    if isinstance(node, list):
        return [_with_more(item) for item in node]
    if not isinstance(node, dict):
        return node
    more = {} if name in {"mirrors", "listings"} else {"unknown": [{"x": 1}]}
    return {key: _with_more(value, key) for key, value in node.items()} | more
