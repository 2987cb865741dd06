"""Which asset of the target is the copy of which asset of the source, and what each needs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from mirror.core.domain.asset_names import guessed_name, is_temporary, may_become, temporary_name
from mirror.core.domain.release import ABSENT, UNREADABLE, asset_fingerprint
from mirror.core.execution.action import (
    DeleteAsset,
    RenameAsset,
    ReplaceAsset,
    UpdateAsset,
    UploadAsset,
)
from mirror.core.planning.asset_identity import Copies
from mirror.core.planning.asset_matching import Matched, Taken, match_assets
from mirror.core.text.timestamps import iso
from support.values import NOW, an_asset, an_entry, digest_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mirror.core.domain.release import Asset
    from mirror.core.ledger.document import AssetEntry

A, B = digest_of("a"), digest_of("b")


def matched(
    source: Sequence[Asset],
    target: Sequence[Asset],
    *entries: AssetEntry,
    follow: bool = True,
    wanted: Sequence[Asset] | None = None,
    **about: Any,
) -> Matched:
    """Match in a published release, unless ``draft`` says otherwise."""
    copies = Copies(target, {entry.target_id: entry for entry in entries}, **about)
    return match_assets(source if wanted is None else wanted, source, copies, follow=follow)


def upload(asset: Asset, **facts: Any) -> UploadAsset:
    """Into a published release: it begins under a temporary name."""
    return UploadAsset(asset, temporary_name=temporary_name(asset), **facts)


OLD, NEW = an_asset(1, "a.zip"), an_asset(2, "a.zip")
COPY, THEIRS = an_asset(50, "a.zip"), an_asset(60, "a.zip")
HALF = replace(COPY, state="starter", size=0)
LOST = replace(COPY, state=ABSENT)
RECORD = an_entry(OLD, COPY, sha256=A)
MOVED = replace(OLD, name="b.zip")


# -- the table of the module's docstring -----------------------------------------------------------


@pytest.mark.parametrize(
    ("asset", "here", "entries", "about", "actions"),
    [
        pytest.param(OLD, COPY, [RECORD], {}, [], id="record, right name"),
        pytest.param(
            replace(OLD, sha256=A), replace(COPY, sha256=A), [], {}, [], id="digest, right name"
        ),
        pytest.param(
            MOVED,
            COPY,
            [RECORD],
            {},
            [RenameAsset(MOVED, COPY, "b.zip", "")],
            id="record, wrong name",
        ),
        pytest.param(
            replace(OLD, sha256=A),
            an_asset(50, temporary_name(OLD), sha256=A),
            [],
            {},
            [
                RenameAsset(
                    replace(OLD, sha256=A),
                    an_asset(50, temporary_name(OLD), sha256=A),
                    "a.zip",
                    "",
                )
            ],
            id="digest, ours, wrong name",
        ),
        pytest.param(
            replace(OLD, sha256=A),
            an_asset(50, "theirs.zip", sha256=A),
            [],
            {},
            [upload(replace(OLD, sha256=A))],
            id="digest, others', wrong name",
        ),
        pytest.param(OLD, COPY, [], {"assume": True}, [], id="name and size, nothing recorded"),
        pytest.param(OLD, None, [], {}, [upload(OLD)], id="nothing, free"),
        pytest.param(OLD, None, [], {"draft": True}, [UploadAsset(OLD)], id="nothing, in a draft"),
        pytest.param(
            NEW,
            COPY,
            [RECORD],
            {},
            [ReplaceAsset(NEW, COPY, "a.zip", temporary_name(NEW))],
            id="nothing, of a former copy",
        ),
        pytest.param(
            OLD,
            replace(COPY, sha256=B),
            [RECORD],
            {},
            [ReplaceAsset(OLD, replace(COPY, sha256=B), "a.zip", temporary_name(OLD))],
            id="of ours, bytes contradict",
        ),
        pytest.param(
            OLD,
            COPY,
            [an_entry(OLD, COPY, sha256=A, proof="refuted")],
            {},
            [ReplaceAsset(OLD, COPY, "a.zip", temporary_name(OLD))],
            id="of ours, bytes were read and differ",
        ),
        pytest.param(
            OLD,
            LOST,
            [],
            {},
            [ReplaceAsset(OLD, LOST, "a.zip", temporary_name(OLD))],
            id="of ours, bytes were lost",
        ),
        pytest.param(
            OLD,
            LOST,
            [RECORD],
            {},
            [ReplaceAsset(OLD, LOST, "a.zip", temporary_name(OLD))],
            id="of ours, bytes were lost, recorded",
        ),
        pytest.param(OLD, THEIRS, [], {}, [], id="of others"),
    ],
)
def test_the_table(
    asset: Asset,
    here: Asset | None,
    entries: list[AssetEntry],
    about: dict[str, Any],
    actions: list[object],
) -> None:
    """Each row of the table in the module's docstring."""
    found = matched([asset], [here] if here else [], *entries, **about)
    assert found.actions == actions
    assert found.leftovers == []
    others = here is THEIRS
    assert [item.holder for item in found.taken] == ([THEIRS] if others else [])


def test_what_cannot_be_read_is_not_ours_by_that() -> None:
    """Bytes at a server that cannot be read to their end say nothing of who put them there."""
    theirs = replace(THEIRS, state=UNREADABLE)
    found = matched([OLD], [theirs], assume=True)
    assert found.actions == []
    assert [item.holder for item in found.taken] == [theirs]


def test_what_is_about_to_move_is_waited_for() -> None:
    """A new asset under the name of one that was renamed arrives before that gives its name up."""
    found = matched([MOVED, NEW], [COPY], RECORD)
    assert found.actions == [upload(NEW, after=(50,)), RenameAsset(MOVED, COPY, "b.zip", "")]


# -- who it is -------------------------------------------------------------------------------------


def test_an_id_that_was_given_again_is_no_copy() -> None:
    """A restored host gives ids a second time: another date, or another size and name, tells."""
    copy = replace(COPY, created_at=NOW)
    entry = an_entry(OLD, copy, target_created_at=iso(NOW))
    assert matched([OLD], [copy], entry).actions == []
    later = replace(copy, name="theirs.zip", created_at=NOW + timedelta(days=1))
    found = matched([OLD], [later], entry)
    assert found.actions == [upload(OLD)]
    assert found.records == {}
    other = replace(copy, name="theirs.zip", size=99)
    assert matched([OLD], [other], entry).actions == [upload(OLD)]
    renamed = replace(copy, name="renamed.zip")
    assert matched([OLD], [renamed], entry).actions == [RenameAsset(OLD, renamed, "a.zip", "")]


def test_an_older_record_knows_its_copy_by_its_name() -> None:
    """It has no date; under any other name it proves nothing."""
    assert matched([OLD], [COPY], RECORD).actions == []
    stranger = replace(COPY, name="theirs.zip")
    assert matched([OLD], [stranger], RECORD).actions == [upload(OLD)]


@pytest.mark.parametrize("size", [10, 99])
def test_an_equal_name_proves_nothing(size: int) -> None:
    """Somebody else's asset under a wanted name is left alone and told, however large it is."""
    theirs = replace(THEIRS, size=size)
    found = matched([OLD], [theirs])
    assert (found.actions, found.leftovers) == ([], [])
    assert found.taken == [Taken(OLD, theirs)]


def test_an_equal_label_proves_nothing() -> None:
    """An approval that people labelled as the source's file is no copy of it."""
    approval = an_asset(60, "approval.txt", label="a.zip")
    found = matched([OLD], [approval])
    assert (found.actions, found.taken) == ([upload(OLD)], [])


def test_what_is_in_a_draft_of_ours_is_ours() -> None:
    """What nothing proves is deleted and sent again; what is not wanted goes."""
    found = matched([OLD], [THEIRS, an_asset(61, "x")], draft=True)
    assert found.leftovers == [DeleteAsset(THEIRS), DeleteAsset(an_asset(61, "x"))]
    assert found.actions == [UploadAsset(OLD)]
    known = replace(OLD, sha256=A), replace(THEIRS, sha256=A)
    assert matched([known[0]], [known[1]], draft=True).leftovers == []


def test_an_upload_in_place_is_ours_by_its_name() -> None:
    """It was announced in the ledger; what was there before that run began is others'."""
    here = replace(THEIRS, created_at=NOW)
    found = matched([OLD], [here], in_place=("a.zip",), since=iso(NOW))
    assert found.actions == [ReplaceAsset(OLD, here, "a.zip", temporary_name(OLD))]
    later = iso(NOW + timedelta(hours=1))
    for since in (later, ""):
        assert matched([OLD], [here], in_place=("a.zip",), since=since).taken == [Taken(OLD, here)]


def test_a_record_is_kept_while_its_copy_is_there() -> None:
    """Also of a former copy that no name of the source needs any more."""
    other = an_asset(7, "z.zip")
    found = matched([other], [COPY, an_asset(70, "z.zip")], RECORD)
    assert found.records[50] == RECORD
    assert (found.actions, found.leftovers) == ([], [])
    assert matched([other], [], RECORD).records == {}


def test_a_new_id_with_the_same_digest_is_no_replacement() -> None:
    """The same bytes under a new id are recorded, and nothing moves."""
    old, new = (an_asset(n, "a.zip", sha256=A) for n in (1, 2))
    found = matched([new], [COPY], an_entry(old, COPY, sha256=A))
    assert (found.actions, found.warnings) == ([], [])
    assert found.present[2].target_id == 50


@pytest.mark.parametrize(
    ("sent", "source", "target", "proof"),
    [
        (A, None, None, "sent"),
        (A, None, A, "bytes"),
        (None, A, A, "bytes"),
        (None, A, None, "assumed"),
        (None, None, A, "assumed"),
    ],
)
def test_a_proof_is_of_what_was_compared(
    sent: str | None, source: str | None, target: str | None, proof: str
) -> None:
    """A look at both sides raises it; what the target says alone is not learnt as the truth."""
    asset, copy = replace(OLD, sha256=source), replace(COPY, sha256=target)
    entry = matched([asset], [copy], an_entry(OLD, COPY, sha256=sent)).present[1]
    assert entry.proof == proof
    assert entry.sha256 == (None if proof == "assumed" else A)


# -- what changed at the source --------------------------------------------------------------------


@pytest.mark.parametrize(("one", "other"), [(None, None), (A, B), (None, B)])
def test_a_replaced_asset_is_exchanged(one: str | None, other: str | None) -> None:
    """A new id under an old name is another asset, also of the same size, and is warned of."""
    old, new = replace(OLD, sha256=one), replace(NEW, sha256=other)
    found = matched([new], [COPY], an_entry(old, COPY))
    assert found.actions == [ReplaceAsset(new, COPY, "a.zip", temporary_name(new))]
    assert "replaced at the source" in found.news[0]


@pytest.mark.parametrize("same_id", [True, False])
def test_the_first_copy_may_be_kept(same_id: bool) -> None:
    """With ``on_change = "keep"`` the old bytes stay, and every pass warns."""
    old = replace(OLD, sha256=A)
    new = an_asset(1 if same_id else 2, "a.zip", sha256=B)
    copy = replace(COPY, sha256=A)
    entry = an_entry(old, copy)
    for _ in range(3):
        found = matched([new], [copy], entry, follow=False)
        assert found.actions == []
        assert found.warnings == ["asset a.zip was replaced at the source; the first copy was kept"]
        (entry,) = found.present.values()
    assert matched([new], [copy], entry).actions != []


def test_a_first_copy_that_people_renamed_gets_its_name_back() -> None:
    """What is kept is kept under its name."""
    copy = replace(COPY, name="x.zip", created_at=NOW)
    entry = an_entry(OLD, COPY, target_created_at=iso(NOW))
    found = matched([NEW], [copy], entry, follow=False)
    assert found.actions == [RenameAsset(NEW, copy, "a.zip", "")]


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("draft", [True, False])
def test_names_that_go_round_move_no_bytes(count: int, draft: bool) -> None:
    """One copy steps aside; each other takes a name that is free by then."""
    names = [f"{number}.zip" for number in range(count)]
    before = [an_asset(number, name) for number, name in enumerate(names, 1)]
    copies = [an_asset(50 + number, name) for number, name in enumerate(names, 1)]
    entries = [an_entry(asset, copy) for asset, copy in zip(before, copies, strict=True)]
    turned = [an_asset(n, name) for n, name in enumerate((*names[1:], names[0]), 1)]
    found = matched(turned, copies, *entries, draft=draft)
    assert {type(action) for action in found.actions} == {RenameAsset}
    assert len(found.actions) == count + 1
    assert applied(found, copies) == {asset.name: 50 + asset.id for asset in turned}
    kept = matched(turned, copies, *entries, follow=False)
    assert applied(kept, copies) == {asset.name: 50 + asset.id for asset in turned}


def test_a_rotation_goes_on_wherever_it_was_cut_off() -> None:
    """Whatever prefix of its steps was done, noted or not, the rest follows from what is there."""
    names = ["a", "b", "c"]
    copies = [an_asset(50 + n, name, created_at=NOW) for n, name in enumerate(names)]
    entries = [
        an_entry(an_asset(n + 1, name), copies[n], target_created_at=iso(NOW))
        for n, name in enumerate(names)
    ]
    turned = [an_asset(1, "b"), an_asset(2, "c"), an_asset(3, "a")]
    steps = matched(turned, copies, *entries).actions
    for done in range(len(steps) + 1):
        here = {copy.id: copy for copy in copies}
        for step in steps[:done]:
            assert isinstance(step, RenameAsset)
            here[step.target.id] = replace(here[step.target.id], name=step.target_name)
        rest = matched(turned, [*here.values()], *entries)
        assert applied(rest, [*here.values()]) == {"b": 50, "c": 51, "a": 52}


def test_a_chain_of_renames_begins_at_its_end() -> None:
    """Whose new name is free goes first."""
    copies = [an_asset(50, "a"), an_asset(51, "b")]
    entries = [an_entry(an_asset(1, "a"), copies[0]), an_entry(an_asset(2, "b"), copies[1])]
    after = [an_asset(1, "b"), an_asset(2, "c")]
    assert matched(after, copies, *entries).actions == [
        RenameAsset(after[1], copies[1], "c", ""),
        RenameAsset(after[0], copies[0], "b", "", after=(51,)),
    ]


def test_a_chain_that_ends_at_a_file_of_others() -> None:
    """Who cannot have its name goes where somebody else needs the one that it has."""
    copies = [an_asset(50, "a"), an_asset(51, "b"), an_asset(60, "c")]
    entries = [an_entry(an_asset(1, "a"), copies[0]), an_entry(an_asset(2, "b"), copies[1])]
    after = [an_asset(1, "b"), an_asset(2, "c")]
    found = matched(after, copies, *entries)
    assert found.taken == [Taken(after[1], copies[2], "b")]
    assert found.actions == [
        ReplaceAsset(after[0], copies[1], "b", temporary_name(after[0]), copies[0])
    ]
    assert found.present.keys() == {1}


def test_a_name_that_a_server_changed_is_exchanged_too() -> None:
    """What it made of a name before it will make of it again: that copy is the name's holder."""
    first, second = an_asset(1, "ä.txt"), an_asset(2, "b.zip")
    ae, b = an_asset(50, "ae.txt", label="ä.txt"), an_asset(60, "b.zip")
    turned = [an_asset(1, "b.zip"), an_asset(2, "ä.txt")]
    found = matched(turned, [ae, b], an_entry(first, ae), an_entry(second, b))
    assert [type(action) for action in found.actions] == [RenameAsset] * 3


@pytest.mark.parametrize(
    ("entry", "label"),
    [({"new_name": "h(1).zip"}, "Linux"), ({}, "h(1).zip")],
    ids=["announced", "older ledger"],
)
@pytest.mark.parametrize("moves", [True, False], ids=["moves", "new"])
def test_a_copy_whose_renaming_was_not_answered_has_the_name(
    entry: dict[str, str], label: str, moves: bool
) -> None:
    """The server made "h1.zip" of it: what the source calls so since then replaces that copy."""
    copy = an_asset(50, "h1.zip", label=label, created_at=NOW)
    record = an_entry(OLD, COPY, target_created_at=iso(NOW), **entry)
    other, there = an_asset(3, "c.zip"), an_asset(70, "c.zip")
    wanted = replace(other if moves else NEW, name="h(1).zip")
    (action,) = matched([wanted], [copy, there], record, an_entry(other, there)).actions
    assert isinstance(action, ReplaceAsset)
    assert (action.old, action.target_name) == (copy, "h1.zip")
    assert action.temporary == (there if moves else None)


def test_a_renaming_that_may_have_been_done_is_done_again() -> None:
    """People called the copy what the server might have made of the new name: it is asked."""
    copy = an_asset(50, "f.g.zip", created_at=NOW)
    record = an_entry(OLD, COPY, target_created_at=iso(NOW), new_name="f g.zip")
    asset = replace(OLD, name="f g.zip")
    assert matched([asset], [copy], record).actions == [
        RenameAsset(asset, copy, "f g.zip", "f g.zip")
    ]


def test_a_name_that_people_gave_a_copy_is_not_passed_on() -> None:
    """People renamed a copy, and its asset is replaced: the new one gets what the server makes."""
    asset, newer = an_asset(1, "f g.bin"), an_asset(2, "f g.bin")
    copy = an_asset(50, "f-g.bin", label="f g.bin", created_at=NOW)
    entry = an_entry(asset, copy, target_created_at=iso(NOW))
    (action,) = matched([newer], [replace(copy, name="f.g.bin")], entry).actions
    assert isinstance(action, ReplaceAsset)
    assert action.target_name == "f-g.bin"


@pytest.mark.parametrize("follow", [True, False])
def test_a_former_copy_is_not_deleted_on_a_guess(follow: bool) -> None:
    """Not every server makes "a.b.zip" of "a b.zip": the copy of the one stays, the other is tried."""
    gone, new = an_asset(1, "a.b.zip"), an_asset(2, "a b.zip")
    copy = an_asset(50, "a.b.zip")
    found = matched([new], [copy], an_entry(gone, copy), follow=follow)
    assert (found.actions, found.leftovers, found.warnings) == ([upload(new)], [], [])


def test_a_server_keeps_a_plain_name() -> None:
    """A copy that never got its new name still has its old one, however alike they look."""
    copy = an_asset(50, "ba.zip", created_at=NOW)
    gone = an_asset(1, "ba.zip")
    record = an_entry(gone, copy, target_created_at=iso(NOW), new_name="a.zip")
    assert matched([NEW], [copy], record).actions == [upload(NEW)]


def test_a_rename_brings_its_label() -> None:
    """The source's own, or the name that the server is about to change, or none."""
    for asset, label in (
        (MOVED, ""),
        (replace(MOVED, label="Linux"), "Linux"),
        (replace(MOVED, name="b c.zip"), "b c.zip"),
    ):
        (action,) = matched([asset], [replace(COPY, label="old")], RECORD).actions
        assert isinstance(action, RenameAsset)
        assert action.label == label


def test_a_label_follows() -> None:
    """A label that changed is changed; it may be emptied."""
    copy = replace(COPY, label="Old")
    for label in ("New", ""):
        asset = replace(OLD, label=label)
        assert matched([asset], [copy], RECORD).actions == [UpdateAsset(asset, copy, label)]


@pytest.mark.parametrize("label", ["a b.zip", ""])
def test_a_renaming_server_is_followed(label: str) -> None:
    """A copy that the server renamed keeps its name, and its label tells the original one."""
    asset, copy = an_asset(1, "a b.zip"), an_asset(50, "a.b.zip", label=label)
    actions = matched([asset], [copy], an_entry(asset, copy)).actions
    assert actions == ([] if label else [UpdateAsset(asset, copy, "a b.zip")])


# -- without a ledger ------------------------------------------------------------------------------


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
    """By name, or by a label that tells an unlikely name, with size: nothing is sent twice."""
    found = matched([an_asset(1, name)], [copy], assume=True)
    assert (found.actions, found.taken) == ([], [])
    assert found.present[1].target_id == 50
    assert (found.present[1].created, found.present[1].proof) == (False, "assumed")


def test_a_label_tells_a_copy_whose_name_nobody_could_guess() -> None:
    """A label of the source's own, with size and digest, where no other asset could be meant."""
    asset = an_asset(1, "ä.zip", label="Linux", sha256=A)
    copy = an_asset(50, "ae.zip", label="Linux")
    assert matched([asset], [copy], assume=True).present[1].target_id == 50
    assert matched([asset], [replace(copy, sha256=B)], assume=True).present == {}
    assert matched([asset], [replace(copy, size=9)], assume=True).present == {}
    two = [asset, an_asset(2, "ö.zip", label="Linux")]
    assert matched(two, [copy], assume=True).present == {}


def test_the_name_of_a_copy_that_its_label_tells_is_known() -> None:
    """After a lost ledger: names that are exchanged later are, in an order that can be done."""
    first, second = an_asset(1, "ä.zip", label="Linux", sha256=A), an_asset(2, "b.zip", sha256=B)
    here = [an_asset(50, "ae.zip", label="Linux", sha256=A), an_asset(60, "b.zip", sha256=B)]
    records = matched([first, second], here, assume=True).present.values()
    swapped = [replace(first, name="b.zip"), replace(second, name="ä.zip")]
    found = matched(swapped, here, *records, followed=True)
    assert [type(action) for action in found.actions] == [RenameAsset] * 3


def test_no_copy_is_taken_for_another_s() -> None:
    """Of two names that the server makes one of, the copy's label tells whose it is."""
    spaced, dotted = an_asset(1, "a b.zip", 20), an_asset(2, "a.b.zip", 10)
    mine = an_asset(50, "a.b.zip", 20, label="a b.zip")
    assert matched([spaced], [mine], assume=True).present.keys() == {1}
    theirs = an_asset(51, "a.b.zip", 10)
    found = matched([spaced, dotted], [theirs], assume=True)
    assert found.present.keys() == {2}
    assert found.actions == [upload(spaced)]


def test_an_asset_that_is_not_wanted_keeps_its_copy() -> None:
    """A copy of a source asset that filters leave out is not taken for a wanted one's."""
    spaced, dotted = an_asset(1, "a b.zip", 10), an_asset(2, "a.b.zip", 10)
    copy = an_asset(50, "a.b.zip", 10)
    found = matched([spaced, dotted], [copy], wanted=[spaced], assume=True)
    assert found.actions == [upload(spaced)]


def test_what_is_followed_is_replaced_whoever_made_it() -> None:
    """What once equalled the source's is kept equal; what was only beside it is left alone."""
    entry = an_entry(OLD, COPY, created=False)
    assert isinstance(matched([NEW], [COPY], entry, followed=True).actions[0], ReplaceAsset)
    assert matched([NEW], [COPY], entry).taken == [Taken(NEW, COPY)]
    assert matched([NEW], [COPY], followed=True).taken == [Taken(NEW, COPY)]


# -- what is left behind ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rest", "about", "deleted"),
    [
        (HALF, {"draft": True}, True),
        (HALF, {}, False),
        (replace(HALF, name=temporary_name(OLD)), {}, True),
        (replace(COPY, name=temporary_name(OLD)), {}, True),
        (replace(HALF, name="x.zip"), {}, False),
    ],
)
def test_the_rest_of_a_broken_upload_goes(
    rest: Asset, about: dict[str, Any], deleted: bool
) -> None:
    """All of it in a draft of ours; elsewhere what has a temporary name of ours."""
    found = matched([OLD], [rest], **about)
    assert found.leftovers == ([DeleteAsset(rest)] if deleted else [])
    assert bool(found.taken) == (rest.name == "a.zip" and not deleted)


@pytest.mark.parametrize("old", [COPY, None])
def test_an_exchange_goes_on_where_it_was_cut_off(old: Asset | None) -> None:
    """What was uploaded and recorded is not sent again, and only its name is missing."""
    fresh = an_asset(51, temporary_name(NEW))
    entries = [RECORD, an_entry(NEW, fresh)]
    found = matched([NEW], [fresh, *([old] if old else [])], *entries)
    if old:
        assert found.actions == [ReplaceAsset(NEW, old, "a.zip", temporary_name(NEW), fresh)]
    else:
        assert found.actions == [RenameAsset(NEW, fresh, "a.zip", "")]
    assert found.leftovers == []


def test_a_temporary_that_nothing_proves_is_sent_again() -> None:
    """Its name tells what it was to hold, not what it holds."""
    fresh = an_asset(51, temporary_name(NEW))
    found = matched([NEW], [COPY, fresh], RECORD)
    assert found.leftovers == [DeleteAsset(fresh)]
    assert found.actions == [ReplaceAsset(NEW, COPY, "a.zip", temporary_name(NEW))]


def test_a_temporary_whose_asset_is_gone_goes() -> None:
    """It was found by its digest and has no name to get back: nobody is to find it there."""
    asset = replace(OLD, sha256=A)
    fresh = an_asset(51, temporary_name(asset), sha256=A)
    (entry,) = matched([asset], [fresh]).present.values()
    assert matched([NEW], [fresh], entry).leftovers == [DeleteAsset(fresh)]
    assert matched([], [fresh], entry).actions == [
        RenameAsset(replace(OLD, updated_at=None), fresh, "a.zip", "")
    ]


def test_a_temporary_that_nothing_records_gets_no_name_that_is_not_wanted() -> None:
    """Without a record nobody could tell later that it is ours: it is deleted."""
    asset = replace(OLD, sha256=A)
    fresh = an_asset(51, temporary_name(asset), sha256=A)
    found = matched([asset], [fresh], wanted=[])
    assert (found.actions, found.leftovers) == ([], [DeleteAsset(fresh)])


def test_an_exchange_that_is_not_wanted_any_more_goes() -> None:
    """It was cut off, and now the first copy is kept: what was to replace it is deleted."""
    newest = an_asset(3, "a.zip")
    fresh = an_asset(51, temporary_name(NEW))
    found = matched([newest], [COPY, fresh], RECORD, an_entry(NEW, fresh), follow=False)
    assert (found.actions, found.leftovers) == ([], [DeleteAsset(fresh)])
    assert found.present[3].target_id == 50


def test_a_former_copy_under_a_temporary_name_gets_its_own_back() -> None:
    """It stepped aside for a rename; then its asset vanished, and the settings keep its copy."""
    aside = replace(COPY, name=temporary_name(OLD))
    found = matched([], [aside], RECORD)
    (action,) = found.actions
    assert isinstance(action, RenameAsset)
    assert (action.target, action.target_name) == (aside, "a.zip")
    assert matched([NEW], [aside], RECORD).leftovers == [DeleteAsset(aside)]


# -- names -----------------------------------------------------------------------------------------


def applied(found: Matched, here: Sequence[Asset]) -> dict[str, int]:
    """What has which name after renames alone; no name is ever given twice."""
    held = {copy.name: copy.id for copy in here}
    for leftover in found.leftovers:
        del held[leftover.target.name]
    for action in found.actions:
        assert isinstance(action, RenameAsset)
        (name,) = (name for name, number in held.items() if number == action.target.id)
        assert action.target_name not in held
        held[action.target_name] = held.pop(name)
    return held


def test_names_that_a_server_may_make_one_of_collide() -> None:
    """In a draft the first goes at once, the others wait for it; elsewhere names come later."""
    assets = [an_asset(1, "a b"), an_asset(2, "a~b"), an_asset(3, "A.B"), an_asset(4, "c")]
    uploads = [a for a in matched(assets, [], draft=True).actions if isinstance(a, UploadAsset)]
    assert [a.collides for a in uploads] == [False, True, True, False]
    assert not any(action.temporary_name for action in uploads)
    assert matched(assets, []).actions == [upload(asset) for asset in assets]


@pytest.mark.parametrize(
    ("name", "guess"),
    [("a.zip", "a.zip"), ("a b.zip", "a.b.zip"), ("..a~~b..", "a.b"), ("a+b_c-d", "a+b_c-d")],
)
def test_a_guess_of_a_server_s_renaming(name: str, guess: str) -> None:
    """Special characters become one period, periods at the ends go; guessed twice it stays."""
    assert guessed_name(name) == guess
    assert guessed_name(guess) == guess


@pytest.mark.parametrize(
    ("name", "made", "possible"),
    [
        ("größe.txt", "groesse.txt", True),
        ("größe.txt", "gre.txt", True),
        ("a b.zip", "a-b.zip", True),
        ("f g.bin", "a.bin", False),
    ],
)
def test_what_a_server_may_make_of_a_name(name: str, made: str, possible: bool) -> None:
    """All that every server keeps is still there, in its order."""
    assert may_become(name, made) == possible


@pytest.mark.parametrize("asset", [an_asset(1, "a b.zip"), an_asset(-3, "x.zip", sha256=A)])
def test_temporaries_are_known_by_name(asset: Asset) -> None:
    """Also after the server renamed them; they tell whose bytes they hold."""
    name = temporary_name(asset)
    assert is_temporary(name)
    assert is_temporary(guessed_name(name))
    assert str(asset.id) in name
    assert (A in name) == (asset.sha256 == A)
    assert len(temporary_name(replace(asset, name="x" * 300))) < 200
    assert not is_temporary("release-mirror-1.0.zip")


def test_another_asset_has_another_fingerprint() -> None:
    """Whatever changes of an asset is another try; so is another release to be a part of."""
    asset = an_asset(1, "a.zip")
    others = [
        replace(asset, id=2),
        replace(asset, size=11),
        replace(asset, sha256=A),
        replace(asset, updated_at=NOW),
        replace(asset, label="x"),
    ]
    assert len({asset_fingerprint(item) for item in [asset, *others]}) == 6
    assert asset_fingerprint(replace(asset)) == asset_fingerprint(asset)
    assert asset_fingerprint(asset, "one") != asset_fingerprint(asset, "other")


class Counted(str):
    """A text that counts how often it is looked at."""

    __slots__ = ()
    looks: ClassVar[Counter[str]] = Counter()

    def __eq__(self, other: object) -> bool:
        Counted.looks["eq"] += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


@pytest.mark.parametrize("label", ["", "one label"])
def test_a_thousand_copies_are_matched_in_a_time_of_their_number(label: str) -> None:
    """Without a ledger, and with equal labels: ten times as many take some ten times the looks."""

    def looks(count: int) -> int:
        source = [
            an_asset(n, f"a b {n}", n, label=Counted(label) if label else "")
            for n in range(1, count + 1)
        ]
        target = [
            an_asset(5000 + n, Counted(f"a.b.{n}"), n, label=label) for n in range(1, count + 1)
        ]
        Counted.looks.clear()
        assert len(matched(source, target, assume=True).present) == count
        return Counted.looks["eq"]

    assert looks(1000) < 20 * looks(100) + 1000
