"""What is decided, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mirror.core.domain.asset_names import temporary_name
from mirror.core.domain.policy import Policy
from mirror.core.domain.release import RepoRef, Repository, Snapshot, asset_fingerprint, fingerprint
from mirror.core.domain.selection import Selection
from mirror.core.execution.action import (
    CreateRelease,
    CreateTag,
    DeleteAsset,
    DeleteRelease,
    Plan,
    PublishRelease,
    ReplaceAsset,
    UpdateRelease,
    UploadAsset,
)
from mirror.core.ledger.document import QuarantineEntry
from mirror.core.planning.planner import PENDING, tags_needed
from mirror.core.text.body import marker, with_marker
from mirror.core.text.timestamps import iso
from support.values import (
    NOW,
    SOURCE,
    SOURCE_URL,
    TARGET,
    a_ledger,
    a_record,
    a_release,
    a_source,
    a_target,
    about,
    an_asset,
    an_entry,
    commit_of,
    planned,
)

if TYPE_CHECKING:
    from mirror.core.domain.release import Asset, Release
    from mirror.core.ledger.document import Ledger


def names(work: Plan) -> list[str]:
    return [action.name for _, action in work.actions()]


def errors(work: Plan) -> list[str]:
    return [obstacle.error for obstacle in work.obstacles]


def fields(work: Plan) -> dict[str, Any]:
    """The fields that the one release ends with."""
    (item,) = work.releases
    assert item.finish
    return dict(item.finish.fields)


def a_copy(release: Release, *assets: Asset, **facts: Any) -> Release:
    """What the target shows of a release that was mirrored."""
    return replace(release, id=7000 + release.id, assets=assets, **facts)


def a_draft(release: Release, number: int, *assets: Asset) -> Release:
    """A draft of ours."""
    body = with_marker(release.body, marker(SOURCE_URL, release))
    return replace(release, id=number, draft=True, published_at=None, body=body, assets=assets)


def quarantined(release: Release, asset: Asset | None) -> Ledger:
    ledger = a_ledger()
    entry = QuarantineEntry(
        release_id=release.id,
        asset_id=asset.id if asset else 0,
        facts=asset_fingerprint(asset) if asset else fingerprint([release]),
        error="422 will not have it",
        since=iso(NOW),
        release=release.tag,
        kind="too-large",
    )
    ledger.quarantined[entry.release_id, entry.asset_id] = entry
    return ledger


BIG, SMALL = an_asset(11, "big.tar.gz", 100), an_asset(12, "small.txt", 1)
V1 = a_release(1, "v1", SMALL, BIG)
V2 = a_release(2, "v2")
COPIES = (an_asset(71, "big.tar.gz", 100), an_asset(72, "small.txt", 1))
COPY = a_copy(V1, *COPIES)
RECORD = a_record(V1, COPY, an_entry(BIG, COPIES[0]), an_entry(SMALL, COPIES[1]))


# -- new releases ----------------------------------------------------------------------------------


def test_a_new_release_is_a_draft_until_its_assets_are_there() -> None:
    """Tag, draft with our marker, uploads the largest first, then one publication."""
    (item,) = planned(a_source(V1), a_target()).releases
    tag, create, big, small, publish = item.actions()
    assert isinstance(tag, CreateTag)
    assert isinstance(create, CreateRelease)
    assert create.fields["draft"] is True
    assert create.fields["body"].endswith(create.mark)
    assert (big, small) == (UploadAsset(BIG), UploadAsset(SMALL))
    assert publish == PublishRelease(
        {
            "tag_name": "v1",
            "name": "Release v1",
            "body": "Text of v1",
            "prerelease": False,
            "draft": False,
            "make_latest": "true",
        }
    )


def test_the_newest_release_comes_first() -> None:
    """Ranks count from 0, the newest first."""
    work = planned(a_source(V1, V2), a_target())
    assert [(item.rank, item.source.tag) for item in work.releases] == [(0, "v2"), (1, "v1")]


def test_a_repository_that_is_missing_is_made_first() -> None:
    """With the visibility of the settings, and placeholders for its tags."""
    work = planned(a_source(V1), None, visibility="internal")
    assert names(work)[:3] == ["create-repository", "create-tag", "create-release"]
    assert work.repository
    assert work.repository.visibility == "internal"
    assert f"{SOURCE_URL}/{SOURCE}" in work.repository.readme
    assert "placeholder" in work.notes[0]


def test_no_repository_is_made_for_nothing() -> None:
    """Without a release to put into it, none is made."""
    assert planned(a_source(), None) == Plan()
    assert planned(a_source(V1), None, selection=Selection(latest=0)) == Plan()


def test_a_repository_may_have_to_be_made_by_hand() -> None:
    """``create_repository = false`` waits, and only where there is something to mirror."""
    work = planned(a_source(V1), None, create_repository=False)
    assert names(work) == []
    assert "create_repository = false" in errors(work)[0]
    assert not work.obstacles[0].final
    assert planned(a_source(), None, create_repository=False) == Plan()


@pytest.mark.parametrize("ours", [True, False])
def test_an_empty_repository_of_ours_gets_its_first_commit(ours: bool) -> None:
    """A creation that was cut off is finished; another's empty repository is left as it is."""
    repository = Repository(TARGET, 2000, empty=True)
    work = planned(a_source(V1), a_target(repository=repository, created_by_mirror=ours))
    assert (work.repository is not None) is ours
    assert ("create-release" in names(work)) is ours


def test_an_archived_repository_stops_its_mirror() -> None:
    """It is read-only until somebody acts."""
    target = a_target(repository=Repository(TARGET, 2000, archived=True))
    work = planned(a_source(V1, V2), target)
    assert names(work) == []
    (obstacle,) = work.obstacles
    assert (obstacle.state, obstacle.kind) == ("blocked", "archived")


def test_a_draft_of_the_source_stays_a_draft() -> None:
    """Where drafts are wanted they are mirrored without a tag, and not published."""
    draft = replace(V1, draft=True, published_at=None)
    selection = Selection(drafts=True)
    work = planned(a_source(draft), a_target(), selection=selection)
    assert names(work) == ["create-release", "upload-asset", "upload-asset"]
    copy = a_draft(draft, 70, *COPIES)
    ledger = a_ledger(a_record(draft, copy, *RECORD.assets.values()))
    assert names(planned(a_source(draft), a_target(copy), ledger, selection=selection)) == []
    target = a_target(copy, tags={"v1": "x"})
    assert names(planned(a_source(V1), target, ledger)) == ["publish-release"]


# -- copies of ours --------------------------------------------------------------------------------


def test_an_unchanged_release_needs_nothing() -> None:
    """What the ledger and the target agree on is neither work nor news."""
    assert planned(a_source(V1), a_target(COPY, latest=COPY.id), a_ledger(RECORD)) == Plan()


def test_a_draft_of_ours_is_finished() -> None:
    """What the ledger proves is not sent again; what is missing is, and it is published."""
    draft = a_draft(V1, 70, COPIES[0])
    ledger = a_ledger(a_record(V1, draft, RECORD.assets[71]))
    work = planned(a_source(V1), a_target(draft), ledger)
    assert names(work) == ["create-tag", "upload-asset", "publish-release"]
    assert [entry.target_id for entry in work.releases[0].present] == [71]


def test_what_nothing_proves_in_a_draft_of_ours_is_sent_again() -> None:
    """Name and size tell nothing of the bytes: the source may have replaced them meanwhile."""
    draft = a_draft(V1, 70, COPIES[0])
    work = planned(a_source(V1), a_target(draft))
    assert work.releases[0].leftovers == (DeleteAsset(COPIES[0]),)
    assert work.releases[0].assets == (UploadAsset(BIG), UploadAsset(SMALL))
    assert work.learned[0].created


def test_of_several_drafts_of_ours_the_fullest_is_kept() -> None:
    """The others are deleted."""
    drafts = [a_draft(V1, 70), a_draft(V1, 75, COPIES[0]), a_draft(V1, 76)]
    (item,) = planned(a_source(V1), a_target(*drafts)).releases
    assert item.target == drafts[1]
    assert item.leftovers[:2] == (DeleteRelease(drafts[0]), DeleteRelease(drafts[2]))


def test_a_draft_beside_a_published_copy_goes() -> None:
    """Nothing of a draft is needed any more once its release is published."""
    draft = a_draft(V1, 75)
    work = planned(a_source(V1), a_target(COPY, draft, latest=COPY.id), a_ledger(RECORD))
    assert work.releases[0].actions() == (DeleteRelease(draft),)


def test_a_recorded_draft_makes_way_for_a_published_release_of_its_tag() -> None:
    """Where others published it meanwhile, theirs is the copy: no second one can be published."""
    draft = a_draft(V1, 75, COPIES[0])
    record = a_record(V1, draft)
    theirs = replace(COPY, body="Their own words", assets=COPIES[:1])
    work = planned(a_source(V1), a_target(theirs, draft, latest=COPY.id), a_ledger(record))
    assert [action.name for action in work.releases[0].actions()] == [
        "delete-release",
        "upload-asset",
    ]
    assert work.releases[0].target == theirs


def test_an_orphaned_draft_of_ours_goes() -> None:
    """Its release vanished at the source before it was published; only a whole list says so."""
    draft = a_draft(V1, 75)
    assert names(planned(a_source(), a_target(draft))) == ["delete-release"]
    assert names(planned(a_source(complete=False), a_target(draft))) == []


@pytest.mark.parametrize("body", ["", "x", "<!-- release-mirror 0123456789ab/1 -->"])
def test_a_draft_of_others_is_not_seen(body: str) -> None:
    """A draft without our marker is no copy; beside it a release is made."""
    other = replace(V1, id=75, draft=True, published_at=None, body=body)
    work = planned(a_source(V1), a_target(other))
    assert work.releases[0].target is None
    assert "create-release" in names(work)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "Another"}, {"tag_name": "v1", "name": "Another"}),
        ({"body": "Hi @alice"}, {"tag_name": "v1", "body": "Hi @&#8203;alice"}),
        ({"prerelease": True}, {"tag_name": "v1", "prerelease": True}),
        ({"tag": "v1.0"}, {"tag_name": "v1.0"}),
    ],
)
def test_what_changed_of_a_release_is_changed(
    change: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Only what differs is written, always with the tag."""
    source = a_source(replace(V1, **change))
    target = a_target(COPY, latest=COPY.id, tags={"v1.0": "x"})
    (item,) = planned(source, target, a_ledger(RECORD)).releases
    assert item.actions() == (UpdateRelease(expected),)


@pytest.mark.parametrize("body", ["Text of v1\n", "Text of v1\r\n", "Text of v1  "])
def test_line_ends_are_no_change(body: str) -> None:
    """What hosts do to the end of a text is no reason to write."""
    target = a_target(replace(COPY, body=body), latest=COPY.id)
    assert planned(a_source(V1), target, a_ledger(RECORD)) == Plan()


def test_a_replaced_asset_is_exchanged_in_place() -> None:
    """A published release keeps its text while an asset is exchanged."""
    new = an_asset(13, "small.txt", 1)
    source = a_source(replace(V1, assets=(BIG, new)))
    work = planned(source, a_target(COPY, latest=COPY.id), a_ledger(RECORD))
    (item,) = work.releases
    assert item.actions() == (ReplaceAsset(new, COPIES[1], "small.txt", temporary_name(new), None),)
    assert "replaced at the source" in work.news[0]


def test_what_vanished_at_the_source_stays() -> None:
    """Nothing published is deleted."""
    source = a_source(replace(V2, assets=()), latest=None)
    both = a_target(COPY, a_copy(V2))
    assert names(planned(source, both, a_ledger(RECORD, a_record(V2, a_copy(V2))))) == []
    fewer = a_source(replace(V1, assets=(BIG,)))
    assert names(planned(fewer, a_target(COPY, latest=COPY.id), a_ledger(RECORD))) == []


def test_a_release_that_was_made_again_keeps_its_copy() -> None:
    """Deleted and made again under its tag it has new ids; the copy is still ours."""
    again = replace(V1, id=9, body="New", assets=(replace(BIG, id=91), replace(SMALL, id=92)))
    work = planned(a_source(again), a_target(COPY, latest=COPY.id), a_ledger(RECORD))
    assert names(work) == ["replace-asset", "replace-asset", "update-release"]
    assert work.learned[0].created
    assert (work.learned[0].source_id, work.learned[0].target_id) == (9, COPY.id)


def test_a_copy_of_a_living_release_is_not_taken_by_another() -> None:
    """Where a tag moved on to another release, that one waits for the copy to follow."""
    moved, new = replace(V1, tag="v1.0"), a_release(3, "v1")
    target = a_target(COPY, tags={"v1": "x", "v1.0": "y"}, latest=COPY.id)
    work = planned(a_source(moved, new, latest=None), target, a_ledger(RECORD))
    assert names(work) == ["update-release"]
    assert errors(work) == ["waiting: the target has the copy of another release under the tag v1"]


def test_a_copy_that_is_gone_is_made_again() -> None:
    """The target is the truth: what was recorded of a release that is not there is void."""
    work = planned(a_source(V1), a_target(), a_ledger(RECORD))
    assert "create-release" in names(work)


def test_a_list_that_is_not_complete_proves_nothing() -> None:
    """What the target does not show may be there; the source's list is mirrored as it is."""
    work = planned(a_source(V1), a_target(complete=False))
    assert names(work) == []
    assert "incomplete" in errors(work)[0]
    work = planned(a_source(V1, complete=False), a_target())
    assert "create-release" in names(work)
    assert "not complete" in work.warnings[0]


# -- releases of others ----------------------------------------------------------------------------

OTHERS = a_copy(V1, COPIES[0], body="Their text")


def test_a_release_of_others_is_completed() -> None:
    """What is missing is added; text and assets stay as they are."""
    work = planned(a_source(V1), a_target(OTHERS, latest=OTHERS.id), existing="complete")
    upload = UploadAsset(SMALL, temporary_name=temporary_name(SMALL))
    assert [a for _, a in work.actions()] == [upload]
    (entry,) = work.learned
    assert (entry.created, entry.followed, entry.assets[71].created) == (False, False, False)


def test_a_release_of_others_may_be_adopted() -> None:
    """Then its text follows, its assets stay."""
    differing = replace(OTHERS, assets=(replace(COPIES[0], size=99),))
    target = a_target(differing, latest=OTHERS.id)
    work = planned(a_source(V1), target, existing="adopt")
    assert names(work) == ["upload-asset", "update-release"]
    assert fields(work) == {"tag_name": "v1", "body": "Text of v1"}
    assert "this mirror did not create" in work.warnings[0]


def test_a_release_of_others_may_be_skipped() -> None:
    """With a warning, and no failure."""
    work = planned(a_source(V1), a_target(OTHERS), existing="skip")
    assert names(work) == errors(work) == []
    assert "skipped" in work.warnings[0]
    assert names(planned(a_source(V1), a_target(COPY), a_ledger(RECORD), existing="skip")) != []


def test_a_release_of_others_that_is_equal_is_followed() -> None:
    """From then on its text follows the source's."""
    target = a_target(COPY, latest=COPY.id)
    (entry,) = planned(a_source(V1), target).learned
    assert (entry.created, entry.followed) == (False, True)
    changed = a_source(replace(V1, body="New"))
    assert names(planned(changed, target, a_ledger(entry))) == ["update-release"]


def test_a_release_of_others_is_the_copy_by_its_tag_alone() -> None:
    """Once the tag is another, a release of its own is made; theirs is left as it is."""
    target = a_target(OTHERS, tags={"v1.0": "x"})
    ledger = a_ledger(a_record(V1, OTHERS, created=False, followed=False))
    work = planned(a_source(replace(V1, tag="v1.0")), target, ledger)
    assert work.releases[0].target is None


# -- latest ----------------------------------------------------------------------------------------


def test_only_the_source_s_latest_is_made_latest() -> None:
    """All others say no; a prerelease says nothing, which a host would refuse."""
    pre = a_release(3, "v3-rc", prerelease=True)
    work = planned(a_source(V1, V2, pre, latest=1), a_target())
    sent = {i.source.tag: i.finish.fields.get("make_latest") for i in work.releases if i.finish}
    assert sent == {"v1": "true", "v2": "false", "v3-rc": None}


def test_where_the_latest_is_not_wanted_the_host_decides() -> None:
    """By date and version."""
    work = planned(a_source(V1, V2), a_target(), selection=Selection(include=("v1",)))
    assert fields(work)["make_latest"] == "legacy"


def test_latest_follows() -> None:
    """A change of nothing but latest is one update of the release that becomes it."""
    copies = (COPY, a_copy(V2))
    ledger = a_ledger(RECORD, a_record(V2, copies[1]))
    work = planned(a_source(V1, V2, latest=1), a_target(*copies, latest=copies[1].id), ledger)
    assert fields(work) == {"tag_name": "v1", "make_latest": "true"}


def test_an_old_server_is_not_asked_for_latest() -> None:
    """A server before 3.8 does not know ``make_latest``."""
    old = about(version=(3, 7), make_latest=False)
    assert "make_latest" not in fields(planned(a_source(V1), a_target(), circumstances=old))
    work = planned(a_source(V1), a_target(COPY), a_ledger(RECORD), circumstances=old)
    assert replace(work, notes=()) == Plan()
    assert "the target decides by itself" in work.notes[0]


def test_what_shows_as_a_prerelease_is_not_made_latest() -> None:
    """A host refuses it; a release of others keeps its flags."""
    theirs = replace(OTHERS, prerelease=True)
    assert "update-release" not in names(planned(a_source(V1), a_target(theirs)))
    ours = a_target(replace(COPY, prerelease=True))
    expected = {"tag_name": "v1", "prerelease": False, "make_latest": "true"}
    assert fields(planned(a_source(V1), ours, a_ledger(RECORD))) == expected


# -- tags ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "commit"),
    [
        ({"tags": {"v1": "elsewhere"}}, "there"),
        ({"commits": frozenset({commit_of("v1")})}, commit_of("v1")),
        ({"commits": frozenset({commit_of("v1")}), "created_by_mirror": False}, commit_of("v1")),
        ({}, None),
    ],
)
def test_where_a_tag_comes_from(facts: dict[str, Any], commit: str | None) -> None:
    """The target's own, else the same commit, else a placeholder in a repository of ours."""
    (item,) = planned(a_source(V1), a_target(**facts)).releases
    if commit == "there":
        assert item.tag is None
    else:
        assert item.tag
        assert (item.tag.tag, item.tag.commit) == ("v1", commit)


def test_a_placeholder_names_what_it_stands_for() -> None:
    """Source, tag and commit, at the date of the source's commit."""
    work = planned(a_source(V1), a_target())
    tag = work.releases[0].tag
    assert isinstance(tag, CreateTag)
    assert tag.date == V1.created_at
    assert all(t in tag.message for t in (f"{SOURCE_URL}/{SOURCE}", "v1", commit_of("v1")))
    assert "placeholder" in work.notes[0]


def test_no_placeholder_in_a_repository_of_others() -> None:
    """There the release waits for the tag, and nothing of it is begun."""
    work = planned(a_source(V1), a_target(created_by_mirror=False))
    assert names(work) == []
    assert "v1" in errors(work)[0]
    assert work.obstacles[0].kind == "tag-missing"
    assert work.obstacles[0].state == "waiting"
    assert not work.obstacles[0].final


@pytest.mark.parametrize(
    ("tags", "waits"),
    [({}, True), ({"v1": "other"}, True), ({"v1": commit_of("v1")}, False)],
)
def test_a_tag_may_be_required(tags: dict[str, str], waits: bool) -> None:
    """``tags = "require"``: the tag has to be there, at the same commit."""
    work = planned(a_source(V1), a_target(tags=tags), tags="require")
    assert bool(work.obstacles) is waits
    assert ("publish-release" in names(work)) is not waits
    assert "create-tag" not in names(work)


def test_only_tags_that_decide_something_are_asked_for() -> None:
    """Those of releases that are to be published, or that have another tag now."""
    target = a_target(COPY, a_copy(V2))
    ledger = a_ledger(RECORD, a_record(V2, a_copy(V2)))
    draft = a_release(4, "v4", draft=True)
    source = a_source(V1, replace(V2, tag="v2.0"), a_release(3, "v3"), draft)
    policy = Policy(Selection(drafts=True))
    assert tags_needed(source, target, ledger, policy, SOURCE_URL) == {"v2.0", "v3"}
    assert tags_needed(source, None, a_ledger(), policy, SOURCE_URL) == {"v1", "v2.0", "v3"}


# -- what cannot be --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asset", "limits", "word"),
    [
        (an_asset(13, "empty", 0), {}, "0 bytes"),
        (an_asset(13, "huge", 101), {"max_asset_size": 100}, "at most 100"),
        (an_asset(13, "third", 1), {"max_assets": 2}, "more assets"),
    ],
)
@pytest.mark.parametrize("incomplete", ["publish", "hold"])
def test_what_can_never_arrive(
    asset: Asset, limits: dict[str, Any], word: str, incomplete: str
) -> None:
    """It is named for good, and holds its release back only where that is asked for."""
    source = a_source(replace(V1, assets=(*V1.assets, asset)))
    work = planned(source, a_target(), circumstances=about(**limits), incomplete=incomplete)
    (obstacle,) = work.obstacles
    assert word in obstacle.error
    assert (obstacle.final, obstacle.asset_id, obstacle.facts) == (
        True,
        13,
        asset_fingerprint(asset),
    )
    assert names(work).count("upload-asset") == 2
    assert ("publish-release" in names(work)) is (incomplete == "publish")
    assert work.releases[0].publish_incomplete is (incomplete == "publish")


def test_limits_are_inclusive_and_copies_count_once() -> None:
    """A full release stays in sync, also where the server renamed its assets."""
    spaced = an_asset(11, "a b", 100)
    source = a_source(replace(V1, assets=(spaced, SMALL)))
    copy = a_copy(V1, an_asset(71, "a.b", 100, label="a b"), COPIES[1])
    limits = about(max_assets=2, max_asset_size=100)
    record = a_record(V1, copy, an_entry(spaced, copy.assets[0]), RECORD.assets[72])
    target = a_target(copy, latest=copy.id)
    assert planned(source, target, a_ledger(record), circumstances=limits) == Plan()


def test_assets_of_others_take_room() -> None:
    """What was added at the target counts against the limit."""
    copy = a_copy(V1, an_asset(79, "theirs"), COPIES[0])
    work = planned(a_source(V1), a_target(copy), circumstances=about(max_assets=2))
    assert "upload-asset" not in names(work)
    assert "more assets" in errors(work)[0]


@pytest.mark.parametrize(
    ("age", "waits"),
    [(timedelta(minutes=1), True), (PENDING, True), (PENDING + timedelta(seconds=1), False)],
)
def test_an_upload_in_progress_at_the_source(age: timedelta, waits: bool) -> None:
    """The release waits for it; one that never ends is left out with a warning."""
    pending = an_asset(13, "late.zip", 0, state="starter", updated_at=NOW - age)
    work = planned(a_source(replace(V1, assets=(BIG, pending))), a_target())
    assert names(work).count("upload-asset") == 1
    assert ("publish-release" in names(work)) is not waits
    if waits:
        assert not work.obstacles[0].final
        assert work.obstacles[0].asset == "late.zip"
    else:
        assert "late.zip is not complete" in work.warnings[0]


def test_the_half_of_an_exchange_at_the_source_is_no_asset() -> None:
    """A source that is a mirror itself shows temporaries for a moment."""
    half = an_asset(13, temporary_name(BIG), 100)
    work = planned(a_source(replace(V1, assets=(half,))), a_target())
    assert "upload-asset" not in names(work)
    assert errors(work) == []


def test_an_immutable_release_takes_no_assets() -> None:
    """What is missing there is named for good; its text still follows."""
    copy = replace(COPY, assets=(COPIES[0],), immutable=True, body="Old")
    ledger = a_ledger(a_record(V1, copy, RECORD.assets[71]))
    work = planned(a_source(V1), a_target(copy, latest=copy.id), ledger)
    assert names(work) == ["update-release"]
    assert "immutable" in errors(work)[0]
    assert work.obstacles[0].final


def test_a_bundle_only_stores_that_a_source_is_immutable() -> None:
    """Its own copies can change: what is missing is stored, what is deselected is deleted."""
    copy = replace(COPY, assets=(COPIES[0],), immutable=True)
    ledger = a_ledger(a_record(V1, copy, RECORD.assets[71]))
    bundle = about(immutable_releases=False)
    work = planned(a_source(V1), a_target(copy), ledger, circumstances=bundle)
    assert "upload-asset" in names(work)
    assert errors(work) == []


# -- quarantine ------------------------------------------------------------------------------------


@pytest.mark.parametrize("asset", [SMALL, None])
def test_what_failed_for_good_is_not_tried_again(asset: Asset | None) -> None:
    """It stays in every plan as it was recorded; without its asset a release goes on."""
    work = planned(a_source(V1), a_target(), quarantined(V1, asset))
    (obstacle,) = work.obstacles
    assert (obstacle.error, obstacle.final) == ("422 will not have it", True)
    uploads = [a.asset for _, a in work.actions() if isinstance(a, UploadAsset)]
    assert uploads == ([BIG] if asset else [])
    assert ("publish-release" in names(work)) is (asset is not None)


def test_what_failed_for_good_may_hold_its_release() -> None:
    """``incomplete = "hold"``."""
    work = planned(a_source(V1), a_target(), quarantined(V1, SMALL), incomplete="hold")
    assert "publish-release" not in names(work)


@pytest.mark.parametrize("asset", [SMALL, None])
def test_what_failed_for_good_is_tried_when_it_is_asked_for(asset: Asset | None) -> None:
    """At an audit, and with ``--full``."""
    ledger = quarantined(V1, asset)
    work = planned(a_source(V1), a_target(), ledger, circumstances=about(retry=True))
    assert names(work).count("upload-asset") == 2
    assert errors(work) == []


@pytest.mark.parametrize("asset", [SMALL, None])
def test_what_failed_for_good_is_tried_when_it_changed(asset: Asset | None) -> None:
    """Another size or date is another try."""
    changed = replace(V1, assets=(BIG, replace(SMALL, updated_at=NOW)))
    work = planned(a_source(changed), a_target(), quarantined(V1, asset))
    assert names(work).count("upload-asset") == 2
    assert errors(work) == []


def test_a_rename_that_failed_for_good_is_not_tried_again() -> None:
    """All that is done to an asset is settled by its quarantine."""
    renamed = replace(SMALL, name="tiny.txt")
    source = replace(V1, assets=(BIG, renamed))
    ledger = quarantined(source, renamed)
    ledger.releases[1] = RECORD
    work = planned(a_source(source), a_target(COPY, latest=COPY.id), ledger)
    assert names(work) == []
    assert errors(work) == ["422 will not have it"]


def test_leftovers_in_a_copy_go_first() -> None:
    """The rest of a broken upload is deleted before its asset is sent again."""
    rest = an_asset(79, "small.txt", 0, state="starter")
    draft = a_draft(V1, 70, COPIES[0], rest)
    ledger = a_ledger(a_record(V1, draft, RECORD.assets[71]))
    (item,) = planned(a_source(V1), a_target(draft), ledger).releases
    assert item.leftovers == (DeleteAsset(rest),)
    assert item.assets == (UploadAsset(SMALL),)


def test_owner_and_name_are_values() -> None:
    """Two spellings of one repository have one key; what is no name is refused."""
    assert RepoRef.parse("CLI/Cli").key == RepoRef.parse("cli/cli").key
    for text in ("cli", "cli/", "/cli", "a/b/c", "cli/..", "cli/.", "a b/c", ""):
        with pytest.raises(ValueError, match="not a repository"):
            RepoRef.parse(text)


def test_a_snapshot_is_empty_by_default() -> None:
    """A repository without releases plans nothing."""
    empty = Snapshot(Repository(SOURCE, 1))
    assert planned(empty, a_target()) == Plan()
