"""What holds for every plan, whatever source, target, policy and history."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.core.domain.asset_names import forms, guessed_name, is_temporary, temporary_name
from mirror.core.domain.capabilities import Capabilities
from mirror.core.domain.policy import Policy
from mirror.core.domain.release import Asset, Release, Repository, Snapshot
from mirror.core.domain.selection import Selection, select
from mirror.core.execution.action import (
    DeleteAsset,
    DeleteRelease,
    Plan,
    RenameAsset,
    ReplaceAsset,
    UpdateAsset,
    UploadAsset,
)
from mirror.core.ledger.document import Ledger
from mirror.core.planning.planner import plan
from mirror.core.text.body import marked_release, marker, with_marker
from support.model import Target, World, content_of, transliterated
from support.values import (
    NOW,
    SOURCE_URL,
    TARGET,
    a_ledger,
    a_release,
    a_source,
    about,
    commit_of,
    digest_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mirror.core.execution.action import Action
    from support.model import Rename


def law(test: Callable[[World], None]) -> Callable[[], None]:
    """Hold a law against many histories; its dice throw what else it needs.

    Throws are even, so that every feature is as likely in the first example as in the last.
    """

    @settings(deadline=None, max_examples=EXAMPLES)
    @given(seed=st.integers(0, 2**64 - 1))
    def run(seed: int) -> None:
        test(history(Random(seed)))  # noqa: S311

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    return run


EXAMPLES = 250
NAMES = ["a.tar.gz", "a b.zip", "a.b.zip", "ä.txt", "e", "f.sig", "g"]
RENAMES: list[Rename] = [str, guessed_name, transliterated]
TAGS = ["v1", "v2", "nightly", "cli/v3"]


def assets(dice: Random, number: int, name: str, *, digests: bool) -> Asset:
    pending = dice.choice([False] * 9 + [True])
    old = dice.random() < 0.5
    return Asset(
        number,
        name,
        0 if pending else dice.choice([1, 2, 1, 2, 3, 0]),
        state="starter" if pending else "uploaded",
        label=dice.choice(["", "", "A label", name]),
        sha256=digest_of(f"content of {number}") if digests and not pending else None,
        updated_at=NOW - timedelta(days=1) if old else NOW - timedelta(minutes=5),
    )


def releases(dice: Random, number: int, tag: str, *, digests: bool) -> Release:
    names = dice.sample(NAMES, dice.randint(1, 4))
    made = [
        assets(dice, number * 100 + place, name, digests=digests)
        for place, name in enumerate(names)
    ]
    body = dice.choice(["", "Thanks to @someone", "a\r\nb", "`@code`"])
    return a_release(
        number,
        tag,
        *made,
        body=body,
        prerelease=(dice.random() < 0.5),
        draft=dice.choice([False] * 5 + [True]),
    )


def sources(dice: Random, *, digests: bool) -> Snapshot:
    tags = dice.sample(TAGS, dice.randint(1, 3))
    made = [releases(dice, place + 1, tag, digests=digests) for place, tag in enumerate(tags)]
    return a_source(*made)


def policies(dice: Random) -> Policy:
    selection = Selection(
        drafts=(dice.random() < 0.5),
        prereleases=dice.choice([True, True, False]),
        latest=dice.choice([None, None, 1]),
        asset_exclude=dice.choice([(), (), ("e",)]),
    )
    return Policy(
        selection,
        incomplete=dice.choice(["publish", "hold"]),
        tags="require" if dice.random() < 0.15 else "create",
        existing=dice.choice(["complete", "complete", "adopt", "skip"]),
        on_change=dice.choice(["follow", "follow", "keep"]),
        create_repository=dice.choice([True] * 7 + [False]),
    )


def worlds(dice: Random) -> World:
    """A mirror that has never run, whose target may hold the work of other hands."""
    digests = dice.random() < 0.5
    source = sources(dice, digests=digests)
    make_latest = dice.random() < 0.5
    target = Target(
        rename=dice.choice(RENAMES),
        digests=(dice.random() < 0.5),
        make_latest=make_latest,
    )
    if dice.choice([True, True, False]):
        target.repository = Repository(TARGET, 2000, default_branch="main")
        target.created = dice.choice([True, True, False])
        target.commits = {commit_of(tag) for tag in dice.sample(TAGS, dice.randint(0, len(TAGS)))}
        for tag in dice.sample(TAGS, dice.randint(0, len(TAGS))):
            target.tags[tag] = commit_of(tag)
        others(dice, source, target)
    capabilities = Capabilities(
        make_latest=make_latest,
        max_asset_size=dice.choice([None, None, 2]),
        max_assets=dice.choice([None, None, 4, 2]),
    )
    circumstances = replace(about(), capabilities=capabilities)
    return World(source, target, a_ledger(), policies(dice), circumstances, dice)


def others(dice: Random, source: Snapshot, target: Target) -> None:
    """Other hands made releases and drafts, some of them of a tag of the source."""
    for release in source.releases:
        match dice.choice(["nothing", "equal", "other", "other", "draft"]):
            case "equal":
                target.add_release(replace(release, draft=False))
            case "other":
                made = releases(dice, 50 + release.id, release.tag, digests=False)
                target.add_release(replace(made, draft=False))
            case "draft":
                target.add_release(replace(release, draft=True))
            case _:
                pass


def changes(dice: Random, source: Snapshot, start: int) -> Snapshot:
    """Something happens at the source."""
    kind = dice.choice(
        [
            "text",
            "asset",
            "same bytes",
            "rename",
            "label",
            "drop",
            "add",
            "again",
            "gone",
            "new",
        ]
    )
    if kind == "new" or not source.releases:
        free = [tag for tag in TAGS if tag not in {r.tag for r in source.releases}]
        if not free:
            return source
        made = releases(dice, start, free[0], digests=(dice.random() < 0.5))
        return _with(source, (*source.releases, made))
    place = dice.randint(0, len(source.releases) - 1)
    release = source.releases[place]
    rest = (*source.releases[:place], *source.releases[place + 1 :])
    if kind == "gone":
        return _with(source, rest)
    return _with(source, (*rest, _changed(dice, release, kind, start)))


def _changed(dice: Random, release: Release, kind: str, start: int) -> Release:
    if kind == "again":
        renumbered = [replace(a, id=start * 100 + n) for n, a in enumerate(release.assets)]
        return replace(release, id=start, assets=tuple(renumbered))
    if kind == "text":
        return replace(release, body="Another text", prerelease=not release.prerelease)
    free = [name for name in NAMES if name not in {a.name for a in release.assets}]
    if kind == "add":
        made = assets(dice, start * 100, free[0], digests=False)
        return replace(release, assets=(*release.assets, made))
    if not release.assets:
        return release
    first, *others = release.assets
    match kind:
        case "asset":
            digest = digest_of(f"content of {start * 100}") if first.sha256 else None
            size = dice.choice([first.size, 3])
            first = replace(first, id=start * 100, sha256=digest, size=size)
        case "same bytes":
            first = replace(first, id=start * 100) if first.sha256 else first
        case "rename":
            first = replace(first, name=free[-1])
        case "label":
            first = replace(first, label="Another label")
        case _:
            return replace(release, assets=tuple(others))
    return replace(release, assets=(*others, first))


def _with(source: Snapshot, made: tuple[Release, ...]) -> Snapshot:
    return a_source(*made, tags={**source.tags, **{r.tag: commit_of(r.tag) for r in made}})


def history(dice: Random) -> World:
    """A mirror that has run, after which something happened at its source and its target."""
    world = worlds(dice)
    for round_ in range(dice.randint(0, 2)):
        world.sync()
        for step in range(dice.randint(0, 2)):
            world.source = changes(dice, world.source, 100 + 10 * round_ + step)
        meddled = dice.random() < 0.5
        if meddled and world.target.releases:
            meddle(dice, world)
    return world


def meddle(dice: Random, world: World) -> None:
    """Other hands, or an earlier life of this program, did something at the target."""
    target = world.target
    release = dice.choice(list(target.releases.values()))
    source = next((r for r in world.source.releases if r.tag == release.tag), None)
    match dice.choice(["unpublish", "delete", "asset", "draft", "rest", "temporary"]):
        case "unpublish" if not release.draft:  # what a host does when the tag is deleted
            target.releases[release.id] = replace(release, draft=True, published_at=None)
            target.others.add(release.id)
            target.latest = None if target.latest == release.id else target.latest
        case "delete":
            del target.releases[release.id]
            target.latest = None if target.latest == release.id else target.latest
        case "asset" if not is_taken(release, "theirs.bin"):
            made = Asset(target.new_id(), "theirs.bin", 1)
            target.others.add(made.id)
            _put(target, release, made, "theirs")
        case "draft" if source:  # a creation whose answer was lost
            body = with_marker(source.body, marker(SOURCE_URL, source))
            number = target.new_id()
            target.releases[number] = replace(
                source, id=number, body=body, draft=True, published_at=None, assets=()
            )
        case "rest" if source and source.assets and release.id not in target.others:
            name = target.rename(source.assets[0].name)
            if not is_taken(release, name):
                made = Asset(target.new_id(), name, 0, state="starter")
                _put(target, release, made, "")
        case "temporary" if source and source.assets and release.id not in target.others:
            asset = source.assets[0]
            name = target.rename(temporary_name(asset))
            if not is_taken(release, name):
                made = Asset(target.new_id(), name, asset.size, sha256=asset.sha256)
                _put(target, release, made, content_of(asset))
        case _:
            pass


def is_taken(release: Release, name: str) -> bool:
    return any(asset.name == name for asset in release.assets)


def _put(target: Target, release: Release, asset: Asset, content: str) -> None:
    target.contents[asset.id] = content
    target.releases[release.id] = replace(release, assets=(*release.assets, asset))


# -- helpers ---------------------------------------------------------------------------------------


def facts_of(work: Plan) -> list[tuple[Any, ...]]:
    """What a plan says of what cannot be done."""
    return sorted((o.release_id, o.asset_id, o.error, o.final, o.facts) for o in work.obstacles)


def essence(action: Action) -> str:
    """An action without the order of what a release holds."""
    if isinstance(action, DeleteRelease):
        return f"delete-release {action.target.id}"
    return repr(action)


def unordered(work: Plan) -> object:
    return (
        work.repository,
        sorted(
            (
                item.rank,
                item.source.id,
                item.target.id if item.target else 0,
                sorted(map(essence, item.actions())),
                sorted(map(repr, item.present)),
            )
            for item in work.releases
        ),
        facts_of(work),
        sorted(work.warnings),
    )


def asset_actions(work: Plan) -> Iterable[tuple[Release | None, Action]]:
    for item in work.releases:
        for action in (*item.leftovers, *item.assets):
            yield item.target, action


def takeable(world: World, asset: Asset) -> bool:
    limit = world.about.capabilities.max_asset_size
    return asset.uploaded and asset.size > 0 and (limit is None or asset.size <= limit)


# -- the laws --------------------------------------------------------------------------------------


@law
def test_a_plan_that_was_carried_out_leaves_nothing_to_plan(world: World) -> None:
    """After a session, another plan holds no action, and a third says exactly the same."""
    world.sync()
    second = world.sync()
    assert second.actions() == []
    third = world.plan()
    assert replace(third, learned=()) == replace(second, learned=())
    assert third.learned == ()


@law
def test_what_a_plan_could_not_do_is_told_again(world: World) -> None:
    """Obstacles stay obstacles until something changes, be it for another reason."""
    first = {(item.release_id, item.asset_id, item.final) for item in world.sync().obstacles}
    second = {(item.release_id, item.asset_id, item.final) for item in world.plan().obstacles}
    assert first <= second


@law
def test_order_does_not_matter(world: World) -> None:
    """Hosts list releases and assets in any order; the plan is the same set of actions."""

    def shuffled(snapshot: Snapshot | None) -> Snapshot | None:
        if snapshot is None:
            return None
        made = [
            replace(r, assets=tuple(world.dice.sample(r.assets, len(r.assets))))
            for r in world.dice.sample(snapshot.releases, len(snapshot.releases))
        ]
        return replace(snapshot, releases=tuple(made))

    seen = world.seen()
    one = plan(world.source, seen, world.ledger, world.policy, world.about)
    source = shuffled(world.source)
    assert source
    two = plan(source, shuffled(seen), world.ledger, world.policy, world.about)
    assert unordered(one) == unordered(two)


@law
def test_nothing_is_deleted_but_what_this_program_left_behind(world: World) -> None:
    """Only drafts with our marker, what is in them, broken uploads and temporaries are deleted."""
    for target, action in asset_actions(world.plan()):
        if isinstance(action, DeleteRelease):
            assert action.target.draft
            assert marked_release(action.target.body, SOURCE_URL) is not None
            assert action.target.id not in world.target.others
        if isinstance(action, DeleteAsset):
            useless = not action.target.uploaded or is_temporary(action.target.name)
            assert useless or (target is not None and target.draft)


@law
def test_a_draft_of_others_is_never_touched(world: World) -> None:
    """No action has a draft without our marker as its release or as its object."""
    for item in world.plan().releases:
        if item.target and item.target.draft:
            assert marked_release(item.target.body, SOURCE_URL) is not None
        for leftover in item.leftovers:
            assert leftover.target.id not in world.target.others or isinstance(
                leftover, DeleteAsset
            )


@law
def test_what_others_made_is_not_changed(world: World) -> None:
    """An asset of others in a release of others is never renamed, labelled or replaced.

    Only what is recorded as equal to the source's, in a release that is followed, follows it.
    """
    made = world.target.others
    follows = {
        asset.target_id
        for entry in world.ledger.releases.values()
        if entry.followed
        for asset in entry.assets.values()
    }
    for release, action in asset_actions(world.plan()):
        if release is None or release.id not in made:
            continue
        if isinstance(action, ReplaceAsset):
            assert action.old.id not in made or action.old.id in follows
        if isinstance(action, RenameAsset | UpdateAsset):
            assert action.target.id not in made or action.target.id in follows


@law
def test_the_target_ends_with_all_that_can_be_had(world: World) -> None:
    """Every wanted asset is at the target, or an obstacle or a warning names it."""
    world.sync()
    work = world.sync()
    obstacles = {(o.release_id, o.asset_id) for o in work.obstacles}
    copies = {r.tag: r for r in world.target.releases.values() if not r.draft}
    drafts = {
        marked_release(r.body, SOURCE_URL): r for r in world.target.releases.values() if r.draft
    }
    for wanted in select(world.source.releases, world.policy.selection):
        release = wanted.release
        if {(0, 0), (release.id, 0)} & obstacles or f"release {release.tag} exists" in str(
            work.warnings
        ):
            continue
        copy = copies.get(release.tag) or drafts[release.id]
        named = str([text for text in work.warnings if text.startswith(f"{release.tag}: ")])
        held = release.draft or any(number == release.id for number, _ in obstacles)
        assert not copy.draft or held
        contents = {world.target.contents[a.id]: a for a in copy.assets}
        for asset in wanted.assets:
            if takeable(world, asset) and (release.id, asset.id) not in obstacles:
                found = contents.get(content_of(asset))
                # One of others with this name and size passes, where no digest tells otherwise.
                known = world.target.others & {a.id for a in copy.assets}
                assert (found and found.uploaded) or f"asset {asset.name} " in named or known


@law
def test_the_latest_release_is_the_source_s(world: World) -> None:
    """Where the source's latest release is at the target, it is the target's latest."""
    if not world.target.make_latest:
        return
    world.sync()
    work = world.plan()
    wanted = select(world.source.releases, world.policy.selection)
    latest = next((w.release for w in wanted if w.release.id == world.source.latest), None)
    if latest is None or "exists at the target and is not of this mirror" in str(work.warnings):
        return
    published = {r.tag: r for r in world.target.releases.values() if not r.draft}
    blocked = {(0, 0), (latest.id, 0)} & {(o.release_id, o.asset_id) for o in work.obstacles}
    copy = published.get(latest.tag)
    if copy and not copy.prerelease and not blocked:
        assert world.target.latest == copy.id


@law
def test_losing_the_ledger_costs_no_upload(world: World) -> None:
    """Without the ledger nothing that is there is sent again, but what a draft may hold."""
    world.sync()
    kept = world.sync()
    settled = {(o.release_id, o.asset_id) for o in kept.obstacles}
    lost = replace_ledger(world)
    for item in lost.plan().releases:
        if item.target is None or item.target.draft:
            continue
        for action in item.assets:
            if isinstance(action, UploadAsset) and action.collides:
                continue  # whether the server takes it is learnt again
            if isinstance(action, UploadAsset | ReplaceAsset):
                # A name taken by another asset is learnt again.
                # One of others that was renamed at the source keeps its name.
                entries = world.ledger.releases[item.source.id].assets.values()
                asset = action.asset
                others = {other.name for other in item.source.assets if other.id != asset.id}
                known = any(
                    (not entry.created and asset.id == entry.source_id)
                    or (not entry.created and asset.name == entry.source_name)
                    # Neither its name nor its label is known to be this asset's.
                    or (entry.target_name not in forms(asset.name) and asset.label)
                    # It bears the name of another asset of the source: whose it is cannot be told.
                    or (entry.source_id == asset.id and entry.target_name in others)
                    for entry in entries
                )
                assert (item.source.id, action.asset.id) in settled or known


def replace_ledger(world: World) -> World:
    lost = world.copy()
    lost.ledger = Ledger(world.ledger.source, world.ledger.target, world.ledger.target_url)
    return lost


@law
def test_a_session_that_dies_is_finished_by_the_next(world: World) -> None:
    """Wherever a session is cut off, the next one ends where an undisturbed one would have.

    With every asset once, complete and under its name, and with no draft or temporary more.
    """
    limit = world.about.capabilities.max_assets
    if limit and any(len(held.assets) > limit for held in world.target.releases.values()):
        return  # no server holds more than it takes
    undisturbed = world.copy()
    undisturbed.sync()
    world.target.broken_upload = world.dice.random() < 0.5
    world.sync_cut(world.dice.randint(0, 20), recorded=world.dice.random() < 0.5)
    world.sync()
    assert world.target.state() == undisturbed.target.state()
    assert world.plan().actions() == []


@law
def test_a_marker_of_ours_is_all_that_makes_a_draft_ours(world: World) -> None:
    """A draft with the marker of another host is a draft of others."""
    if not (world.target.repository and world.source.releases):
        return
    release = world.dice.choice(world.source.releases)
    foreign = f"<!-- release-mirror 0123456789ab/{release.id} -->"
    made = world.target.add_release(replace(release, draft=True, body=with_marker("x", foreign)))
    before = world.target.releases[made.id]
    world.sync()
    assert world.target.releases[made.id] == before


def test_a_rename_onto_an_asset_of_others_loses_nothing_and_ends() -> None:
    """An asset that takes the name of another's equally large one keeps its copy, and is told of.

    The name and the size once were enough to take theirs for the copy and to delete ours.
    """
    asset = Asset(201, "f.sig", 3, label="f.sig")
    release = a_release(2, "v2", asset)
    target = Target(repository=Repository(TARGET, 2000, default_branch="main"), created=True)
    target.add_release(replace(release, assets=(Asset(1, "g", 3),)))
    policy = Policy(existing="adopt")
    world = World(a_source(release), target, a_ledger(), policy, about(), Random(0))  # noqa: S311
    world.sync()
    world.source = a_source(replace(release, assets=(replace(asset, name="g"),)))
    before = target.state()
    for _ in range(2):
        work = world.sync()
        assert work.actions() == []
        assert ["still called f.sig" in text for text in work.warnings] == [True]
    assert target.state() == before
