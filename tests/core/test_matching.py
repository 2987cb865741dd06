"""Which asset of the target is the copy of which asset of the source, and what each needs."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mirror.core.action import (
    DeleteAsset,
    RenameAsset,
    ReplaceAsset,
    UpdateAsset,
    UploadAsset,
)
from mirror.core.matching import (
    Matched,
    asset_facts,
    guessed_name,
    is_temporary,
    match_assets,
    temporary_name,
)
from support.values import NOW, an_asset, an_entry, digest_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mirror.core.ledger import AssetEntry
    from mirror.core.release import Asset

A, B = digest_of("a"), digest_of("b")


def matched(
    source: Sequence[Asset],
    target: Sequence[Asset],
    *entries: AssetEntry,
    ours: bool = True,
    follow: bool = True,
) -> Matched:
    known = {entry.source_id: entry for entry in entries}
    return match_assets(source, source, target, known, ours=ours, follow=follow)


def test_what_is_not_there_is_uploaded() -> None:
    """An asset without a copy is uploaded; nothing is expected to collide."""
    asset = an_asset(1, "a.zip")
    assert matched([asset], []).actions == [UploadAsset(asset)]


def test_an_unchanged_copy_needs_nothing() -> None:
    """What the ledger proves is kept, with what it knows of the bytes."""
    asset, copy = an_asset(1, "a.zip"), an_asset(50, "a.zip")
    entry = an_entry(asset, copy, sha256=A)
    found = matched([asset], [copy], entry)
    assert found == Matched(present={1: entry})


@pytest.mark.parametrize(("one", "other"), [(None, None), (A, B), (None, B)])
def test_a_replaced_asset_is_exchanged(one: str | None, other: str | None) -> None:
    """A new id under an old name is another asset, also of the same size, and is warned of."""
    old = an_asset(1, "a.zip", sha256=one)
    new = an_asset(2, "a.zip", sha256=other)
    copy = an_asset(50, "a.zip")
    found = matched([new], [copy], an_entry(old, copy))
    assert found.actions == [ReplaceAsset(new, copy, "a.zip", "release-mirror-tmp-2-a.zip")]
    assert "replaced at the source" in found.news[0]


def test_a_new_id_with_the_same_digest_is_no_replacement() -> None:
    """The same bytes under a new id are recorded, and nothing moves."""
    old, new = (an_asset(n, "a.zip", sha256=A) for n in (1, 2))
    copy = an_asset(50, "a.zip")
    found = matched([new], [copy], an_entry(old, copy))
    assert (found.actions, found.warnings) == ([], [])
    assert found.present[2].target_id == 50


@pytest.mark.parametrize("same_id", [True, False])
def test_the_first_copy_may_be_kept(same_id: bool) -> None:
    """With ``on_change = "keep"`` the old bytes stay, and every pass warns."""
    old = an_asset(1, "a.zip", sha256=A)
    new = an_asset(1 if same_id else 2, "a.zip", sha256=B)
    copy = an_asset(50, "a.zip", sha256=A)
    entry = an_entry(old, copy)
    for _ in range(3):
        found = matched([new], [copy], entry, follow=False)
        assert found.actions == []
        assert found.warnings == ["asset a.zip was replaced at the source; the first copy was kept"]
        (entry,) = found.present.values()
    assert matched([new], [copy], entry, follow=True).actions != []


@pytest.mark.parametrize("count", [2, 3])
def test_assets_that_took_each_other_s_names_are_exchanged(count: int) -> None:
    """As renames each would wait for the other's name for ever; a chain of renames has an end."""
    names = [f"{number}.zip" for number in range(count)]
    before = [an_asset(number, name) for number, name in enumerate(names, 1)]
    copies = [an_asset(50 + number, name) for number, name in enumerate(names, 1)]
    entries = [an_entry(asset, copy) for asset, copy in zip(before, copies, strict=True)]
    turned = [an_asset(n, name) for n, name in enumerate((*names[1:], names[0]), 1)]
    found = matched(turned, copies, *entries)
    assert sorted(found.actions, key=lambda action: action.name + str(action)) == [
        ReplaceAsset(asset, holder, asset.name, temporary_name(asset), None)
        for asset, holder in zip(turned, (*copies[1:], copies[0]), strict=True)
    ]
    assert found.leftovers == []
    chain = [*turned[:-1], an_asset(count, "new.zip")]
    assert {type(a) for a in matched(chain, copies, *entries).actions} == {RenameAsset}
    kept = matched(turned, copies, *entries, follow=False)
    assert (kept.actions, len(kept.warnings)) == ([], count)


def applied(found: Matched, here: list[Asset]) -> dict[str, int]:
    """What a target holds after a plan: sizes by name; no name is ever given twice."""
    rest = {copy.id: copy for copy in here}
    for leftover in found.leftovers:
        del rest[leftover.target.id]
    held = {copy.name: copy.size for copy in rest.values()}
    for action in sorted(found.actions, key=lambda action: isinstance(action, ReplaceAsset)):
        if isinstance(action, ReplaceAsset):
            for gone in (action.old, action.temporary):
                if gone:
                    del held[gone.name]
            assert action.target_name not in held
            held[action.target_name] = action.asset.size
        elif isinstance(action, RenameAsset):
            held[action.target_name] = held.pop(action.target.name)
        elif isinstance(action, UploadAsset):
            assert action.asset.name not in held
            held[action.asset.name] = action.asset.size
    return held


@pytest.mark.parametrize("recorded", [set(), {1}, {2}, {1, 2}], ids=str)
@pytest.mark.parametrize("one", ["begun", "uploaded", "deleted", "renamed"])
@pytest.mark.parametrize("other", ["begun", "uploaded", "deleted", "renamed"])
def test_an_exchange_of_names_goes_on_wherever_it_was_cut_off(
    one: str, other: str, recorded: set[int]
) -> None:
    """Whatever had happened to each of the two, both end under their new names, once."""
    first, second = an_asset(1, "b.zip", 10), an_asset(2, "a.zip", 20)
    a, b = an_asset(50, "a.zip", 10), an_asset(60, "b.zip", 20)
    entries = [
        an_entry(an_asset(1, "a.zip", 10), a),
        an_entry(an_asset(2, "b.zip", 20), b),
    ]
    here = {a.id: a, b.id: b}
    for asset, how, old in ((first, one, b), (second, other, a)):
        if how in {"deleted", "renamed"}:
            here.pop(old.id)
        if how != "begun":
            name = asset.name if how == "renamed" else temporary_name(asset)
            here[asset.id + 70] = an_asset(asset.id + 70, name, asset.size)
        if how == "renamed" and asset.id in recorded:
            entries[asset.id - 1] = an_entry(asset, here[asset.id + 70])
    found = matched([first, second], [*here.values()], *entries)
    assert applied(found, [*here.values()]) == {"b.zip": 10, "a.zip": 20}
    assert not any(isinstance(action, RenameAsset) for action in found.actions)


def test_a_renamed_asset_is_renamed() -> None:
    """The same id under another name moves no bytes; it counts as renamed once it is."""
    old, new = an_asset(1, "a.zip"), an_asset(1, "b.zip")
    copy = an_asset(50, "a.zip")
    found = matched([new], [copy], an_entry(old, copy))
    assert found.actions == [RenameAsset(new, copy, "b.zip")]
    again = matched([new], [copy], *found.present.values())
    assert again.actions == found.actions
    renamed = replace(copy, name="b.zip")
    assert matched([new], [renamed], *found.present.values()).actions == []


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("digests", [True, False])
def test_an_asset_of_others_is_no_reason_to_delete_our_copy(digests: bool, ours: bool) -> None:
    """What has a renamed asset's new name and size may hold anything: the copy of ours stays.

    It keeps its name and is told of in each pass, until the new name is free.
    """
    before, after = an_asset(1, "f.sig"), an_asset(1, "g", label="A label")
    copy = an_asset(60, "f.sig", sha256=A if digests else None)
    theirs = an_asset(50, "g", sha256=B if digests else None)
    found = matched([after], [theirs, copy], an_entry(before, copy), ours=ours)
    assert (found.actions, found.leftovers) == ([], [])
    assert ["still called f.sig" in text for text in found.warnings] == [True]
    assert matched([after], [theirs, copy], *found.present.values(), ours=ours) == found
    freed = matched([after], [copy], *found.present.values(), ours=ours)
    assert freed.actions == [RenameAsset(after, copy, "g")]


def test_an_exchange_of_names_ends_with_the_same_bytes() -> None:
    """Where the name's former holder is gone, only what has our copy's bytes is its new half."""
    first, second = an_asset(1, "b.zip", label="A label"), an_asset(2, "a.zip")
    a, b = an_asset(50, "a.zip", sha256=A), an_asset(60, "b.zip", sha256=B)
    entries = [an_entry(an_asset(1, "a.zip"), a), an_entry(an_asset(2, "b.zip"), b)]
    done, theirs = an_asset(71, "b.zip", sha256=A), an_asset(72, "b.zip", sha256=B)
    found = matched([first, second], [a, done], *entries)
    assert found.actions == [
        UpdateAsset(first, done, "A label"),
        ReplaceAsset(second, a, "a.zip", temporary_name(second), None),
    ]
    kept = matched([first, second], [a, theirs], *entries)
    assert kept.present[1].target_id == a.id
    assert not any(isinstance(action, ReplaceAsset) for action in kept.actions)
    assert kept.leftovers == []


def test_a_chain_of_renames_waits_for_its_last_name() -> None:
    """None is tried while what has the last name stays; all are told, then the last goes first."""
    copies = [an_asset(50, "a"), an_asset(51, "b"), an_asset(52, "c")]
    before = [an_asset(1, "a"), an_asset(2, "b")]
    after = [an_asset(1, "b"), an_asset(2, "c")]
    entries = [an_entry(asset, copy) for asset, copy in zip(before, copies, strict=False)]
    found = matched(after, copies, *entries)
    assert (found.actions, len(found.warnings)) == ([], 2)
    assert matched(after, copies[:2], *entries).actions == [
        RenameAsset(after[1], copies[1], "c"),
        RenameAsset(after[0], copies[0], "b"),
    ]


def test_names_that_a_server_renamed_are_exchanged_too() -> None:
    """What it made of a name before it will make of it again: that copy is the name's holder."""
    first, second = an_asset(1, "ä.txt"), an_asset(2, "b.zip")
    ae, b = an_asset(50, "ae.txt", label="ä.txt"), an_asset(60, "b.zip")
    entries = [an_entry(first, ae), an_entry(second, b)]
    turned = [an_asset(1, "b.zip"), an_asset(2, "ä.txt")]
    assert matched(turned, [ae, b], *entries).actions == [
        ReplaceAsset(turned[0], b, "b.zip", temporary_name(turned[0]), None),
        ReplaceAsset(turned[1], ae, "ae.txt", temporary_name(turned[1]), None),
    ]


def test_a_label_does_not_take_the_new_half_of_an_exchange() -> None:
    """What an exchange has brought is its asset's, though its label is the other one's name."""
    first, second = an_asset(1, "b.zip", label="a.zip"), an_asset(2, "a.zip")
    a, done = an_asset(50, "a.zip"), an_asset(71, "b.zip", label="a.zip")
    arrived = an_asset(72, temporary_name(second))
    entries = [
        an_entry(an_asset(1, "a.zip"), a),
        an_entry(an_asset(2, "b.zip"), an_asset(60, "b.zip")),
    ]
    found = matched([first, second], [a, done, arrived], *entries)
    assert found.present[1].target_id == done.id
    assert found.actions == [
        ReplaceAsset(second, a, "a.zip", temporary_name(second), arrived),
    ]


def test_a_temporary_is_no_reason_to_delete_a_renamed_copy() -> None:
    """Where no other copy was deleted, no names were exchanged: the copy itself is renamed."""
    asset = an_asset(1, "b.zip")
    copy, rest = an_asset(50, "a.zip"), an_asset(51, temporary_name(asset))
    found = matched([asset], [copy, rest], an_entry(an_asset(1, "a.zip"), copy))
    assert found.actions == [RenameAsset(asset, copy, "b.zip")]
    assert found.leftovers == [DeleteAsset(rest)]


@pytest.mark.parametrize("turn", [1, -1])
def test_names_that_only_look_alike_are_two(turn: int) -> None:
    """A host that has both "a b.zip" and "a.b.zip" keeps them apart, in whatever order they are."""
    before = [an_asset(1, "a.b.zip"), an_asset(2, "f.sig")]
    copies = [an_asset(50, "a.b.zip"), an_asset(51, "f.sig")]
    entries = [an_entry(asset, copy) for asset, copy in zip(before, copies, strict=True)]
    here = [*copies, an_asset(49, "a b.zip")][::turn]
    turned = [an_asset(1, "f.sig"), an_asset(2, "a.b.zip")]
    assert {type(a) for a in matched(turned, here, *entries).actions} == {ReplaceAsset}


def test_a_label_follows() -> None:
    """A label that changed is changed; it may be emptied."""
    copy = an_asset(50, "a.zip", label="Old")
    for label in ("New", ""):
        asset = an_asset(1, "a.zip", label=label)
        assert matched([asset], [copy], an_entry(asset, copy)).actions == [
            UpdateAsset(asset, copy, label)
        ]


@pytest.mark.parametrize("label", ["a b.zip", ""])
def test_a_renaming_server_is_followed(label: str) -> None:
    """A copy that the server renamed keeps its name, and its label tells the original one."""
    asset, copy = an_asset(1, "a b.zip"), an_asset(50, "a.b.zip", label=label)
    actions = matched([asset], [copy], an_entry(asset, copy)).actions
    assert actions == ([] if label else [UpdateAsset(asset, copy, "a b.zip")])


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("a.zip", an_asset(50, "a.zip")),
        ("a b.zip", an_asset(50, "a.b.zip", label="a b.zip")),
        ("a b.zip", an_asset(50, "a.b.zip")),
        ("ä.zip", an_asset(50, "ae.zip", label="ä.zip")),
    ],
)
def test_an_unrecorded_copy_is_recognised(name: str, copy: Asset) -> None:
    """By name, label or guess, with size and digest, nothing is sent twice."""
    asset = an_asset(1, name)
    found = matched([asset], [copy])
    assert not any(isinstance(action, UploadAsset | ReplaceAsset) for action in found.actions)
    assert found.present[1].target_id == 50
    assert found.present[1].created


def test_a_label_tells_a_copy_whose_name_nobody_could_guess() -> None:
    """A label of the source's own, with size and digest, where no other asset could be meant."""
    asset = an_asset(1, "ä.zip", label="Linux", sha256=A)
    copy = an_asset(50, "ae.zip", label="Linux")
    assert matched([asset], [copy]).present[1].target_id == 50
    assert matched([asset], [replace(copy, sha256=B)]).present == {}
    assert matched([asset], [replace(copy, size=9)]).present == {}
    assert matched([asset, an_asset(2, "ö.zip", label="Linux")], [copy]).present == {}
    plain = an_asset(2, "x.zip", label="Linux")
    assert matched([asset, plain], [copy]).present.keys() == {1}


def test_no_copy_is_taken_for_another_s() -> None:
    """Of two names that the server makes one of, the copy's label tells whose it is."""
    spaced, dotted = an_asset(1, "a b.zip", 20), an_asset(2, "a.b.zip", 10)
    mine = an_asset(50, "a.b.zip", 20, label="a b.zip")
    found = matched([spaced, dotted], [mine])
    assert found.present.keys() == {1}
    assert found.actions == [UploadAsset(dotted, collides=True)]
    theirs = an_asset(51, "a.b.zip", 10)
    found = matched([spaced, dotted], [theirs])
    assert found.present.keys() == {2}
    assert found.actions == [UploadAsset(spaced, collides=True)]


def test_an_asset_that_is_not_wanted_keeps_its_copy() -> None:
    """A copy of a source asset that filters leave out is not taken for a wanted one's."""
    spaced, dotted = an_asset(1, "a b.zip", 20), an_asset(2, "a.b.zip", 10)
    copy = an_asset(50, "a.b.zip", 10)
    found = match_assets([spaced], [spaced, dotted], [copy], {}, ours=True, follow=True)
    assert found.actions == [UploadAsset(spaced)]


@pytest.mark.parametrize("recorded", [True, False])
def test_what_differs_in_a_release_of_others_is_left_alone(recorded: bool) -> None:
    """An asset that this mirror did not make is not replaced, and is warned of."""
    asset, copy = an_asset(1, "a.zip", 20), an_asset(50, "a.zip", 10)
    entry = an_entry(asset, copy, size=10, created=False)
    found = matched([asset], [copy], *([entry] if recorded else []), ours=False)
    assert found.actions == found.leftovers == []
    assert "is not of this mirror" in found.warnings[0]


def test_an_equal_asset_of_others_counts_and_stays_theirs() -> None:
    """It is present, and neither renamed nor labelled."""
    asset = an_asset(1, "a.zip", label="New")
    found = matched([asset], [an_asset(50, "a.zip")], ours=False)
    assert found.actions == []
    assert not found.present[1].created


def test_our_upload_in_a_release_of_others_is_ours() -> None:
    """What the ledger proves to be of this mirror is exchanged there too."""
    old, new, copy = an_asset(1, "a.zip"), an_asset(2, "a.zip", 20), an_asset(50, "a.zip")
    (action,) = matched([new], [copy], an_entry(old, copy), ours=False).actions
    assert isinstance(action, ReplaceAsset)


@pytest.mark.parametrize(
    ("name", "ours", "deleted"),
    [("a.zip", True, True), ("a.zip", False, True), ("x.zip", True, True), ("x.zip", False, False)],
)
def test_the_rest_of_a_broken_upload_goes(name: str, ours: bool, deleted: bool) -> None:
    """In releases of ours all of it, in others' what stands in the way."""
    asset, rest = an_asset(1, "a.zip"), an_asset(50, name, 0, state="starter")
    found = matched([asset], [rest], ours=ours)
    assert found.leftovers == ([DeleteAsset(rest)] if deleted else [])
    assert found.actions == [UploadAsset(asset)]


@pytest.mark.parametrize(("label", "deleted"), [("ä.txt", True), ("b.zip", False)])
def test_a_broken_upload_is_known_by_its_label(label: str, deleted: bool) -> None:
    """In a release of others, where the server had changed its name to what nobody could guess."""
    rest = an_asset(50, "ae.txt", 0, label=label, state="starter")
    found = matched([an_asset(1, "ä.txt"), an_asset(2, "b.zip")], [rest], ours=False)
    assert found.leftovers == ([DeleteAsset(rest)] if deleted else [])


def test_a_broken_upload_does_not_hide_a_copy() -> None:
    """A complete asset under its label is found beside a broken one of the same name."""
    asset, rest = an_asset(1, "a b.zip"), an_asset(49, "a b.zip", 0, state="starter")
    copy = an_asset(50, "a.b.zip", label="a b.zip")
    found = matched([asset], [rest, copy])
    assert found.present[1].target_id == 50
    assert found.leftovers == [DeleteAsset(rest)]


OLD, NEW = an_asset(1, "a.zip", 10), an_asset(2, "a.zip", 20)
COPY = an_asset(50, "a.zip", 10)
TEMPORARY = an_asset(51, temporary_name(NEW), 20)
DONE = an_asset(51, "a.zip", 20)


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize(
    ("here", "old", "temporary"),
    [
        ([COPY], COPY, None),
        ([COPY, TEMPORARY], COPY, TEMPORARY),
        ([TEMPORARY], None, TEMPORARY),
    ],
)
def test_an_exchange_goes_on_where_it_was_cut_off(
    here: list[Asset],
    old: Asset | None,
    temporary: Asset | None,
    recorded: bool,
) -> None:
    """What was uploaded already is not sent again, and what is there is not missed."""
    found = matched([NEW], here, *([an_entry(OLD, COPY)] if recorded else []))
    assert found.actions == [ReplaceAsset(NEW, old, "a.zip", temporary_name(NEW), temporary)]
    assert found.leftovers == []


def test_an_exchange_that_was_finished_is_recognised() -> None:
    """The new asset under its final name needs nothing, though nothing was recorded."""
    found = matched([NEW], [DONE], an_entry(OLD, COPY))
    assert found.actions == []
    assert found.present[2].target_id == 51


def test_an_exchange_between_assets_of_one_size_is_finished() -> None:
    """Where nothing tells old from new, the temporary says that an exchange had begun."""
    copy, temporary = an_asset(50, "a.zip", 20), TEMPORARY
    (action,) = matched([NEW], [copy, temporary]).actions
    assert action == ReplaceAsset(NEW, copy, "a.zip", temporary_name(NEW), temporary)


@pytest.mark.parametrize(
    "rest",
    [
        an_asset(51, temporary_name(NEW), 0, state="starter"),
        an_asset(51, temporary_name(NEW), 19),
        an_asset(51, temporary_name(an_asset(7, "x.zip"))),
    ],
)
def test_a_temporary_of_no_use_goes(rest: Asset) -> None:
    """Broken, wrong or of an asset that is no more: it is deleted."""
    found = matched([NEW], [COPY, rest], an_entry(OLD, COPY))
    assert found.leftovers == [DeleteAsset(rest)]
    (action,) = found.actions
    assert isinstance(action, ReplaceAsset)
    assert action.temporary is None


def test_names_that_a_server_may_make_one_of_collide() -> None:
    """The first goes at once, the others wait for it."""
    assets = [an_asset(1, "a b"), an_asset(2, "a~b"), an_asset(3, "A.B"), an_asset(4, "c")]
    collides = [a.collides for a in matched(assets, []).actions if isinstance(a, UploadAsset)]
    assert collides == [False, True, True, False]


@pytest.mark.parametrize(
    ("name", "guess"),
    [("a.zip", "a.zip"), ("a b.zip", "a.b.zip"), ("..a~~b..", "a.b"), ("a+b_c-d", "a+b_c-d")],
)
def test_a_guess_of_a_server_s_renaming(name: str, guess: str) -> None:
    """Special characters become one period, periods at the ends go; guessed twice it stays."""
    assert guessed_name(name) == guess
    assert guessed_name(guess) == guess


def test_temporaries_are_known_by_name() -> None:
    """Also after the server renamed them."""
    name = temporary_name(an_asset(1, "a b.zip"))
    assert is_temporary(name)
    assert is_temporary(guessed_name(name))
    assert not is_temporary("release-mirror-1.0.zip")


def test_another_asset_has_other_facts() -> None:
    """Whatever changes of an asset is another try."""
    asset = an_asset(1, "a.zip")
    others = [
        replace(asset, id=2),
        replace(asset, size=11),
        replace(asset, sha256=A),
        replace(asset, updated_at=NOW),
        replace(asset, label="x"),
    ]
    assert len({asset_facts(item) for item in [asset, *others]}) == 6
    assert asset_facts(replace(asset)) == asset_facts(asset)


def test_a_thousand_unknown_copies_are_matched_at_once() -> None:
    """Without a ledger the largest release takes no noticeable time."""
    source = [an_asset(n, f"a b {n}", n) for n in range(1, 1001)]
    target = [an_asset(5000 + n, f"a.b.{n}", n) for n in range(1, 1001)]
    started = time.perf_counter()
    assert len(matched(source, target).present) == 1000
    assert time.perf_counter() - started < 5
