"""What people do between two passes: at the source, at the target, in the settings.

Each event takes its choices from dice of its own, so that one can be left out without changing the
others. One that is not possible does nothing.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from lives.adapter import TEMPORARY
from lives.simulator import MIRROR, PEOPLE, Asset, Refused, Release

if TYPE_CHECKING:
    from collections.abc import Callable

    from lives.life import World
    from lives.settings import Settings

NAMES = ("a.bin", "b.bin", "c.bin", "d.bin", "e.bin")
ODD_NAMES = ("f g.bin", "größe.txt", "f.g.bin", "h(1).bin", "été.txt")
"""Names that servers change; two of them become the same at some."""


class Event(NamedTuple):
    """One thing that people do, and the seed of its choices."""

    kind: str
    seed: int


def _name(dice: random.Random) -> str:
    return dice.choice(NAMES if dice.random() < 0.8 else ODD_NAMES)


def _label(dice: random.Random) -> str:
    roll = dice.random()
    return "" if roll < 0.75 else dice.choice(NAMES) if roll < 0.85 else dice.choice(("one", "two"))


def _bytes(world: World, dice: random.Random, size: int = 0) -> bytes:
    """Bytes that were never there before; equal sizes are common."""
    world.written += 1
    unit = f"{world.written:08d}".encode()
    return unit * (size // 8 or dice.choice((1, 1, 1, 2, 3)))


def _source_release(world: World, dice: random.Random) -> Release | None:
    found = list(world.source.releases.values())
    return dice.choice(found) if found else None


def _source_assets(
    world: World, dice: random.Random, least: int = 1
) -> tuple[Release, list[Asset]] | None:
    """A release with so many assets, which come in any order."""
    rich = [r for r in world.source.releases.values() if len(r.assets) >= least]
    if not rich:
        return None
    release = dice.choice(rich)
    assets = list(release.assets.values())
    dice.shuffle(assets)
    return release, assets


# -- at the source ------------------------------------------------------------------------------


def _new_release(world: World, dice: random.Random, tag: str, *, draft: bool) -> str:
    source = world.source
    sha = source.commit(f"{tag} {world.source.releases.keys()}", world.now())
    if tag not in source.tags:
        source.push_tag(tag, sha, world.now())
        if world.tags_are_pushed:
            world.target.push_tag(tag, sha, world.now())
    release = source.create(
        PEOPLE,
        tag,
        draft=True,
        name=f"Release {tag}",
        body=dice.choice(("", "What is new", "What is new\nand more")),
        prerelease=dice.random() < 0.15,
    )
    for _ in range(dice.randint(1, 5)):
        name = _name(dice)
        if not release.named(name):
            source.upload(PEOPLE, release.id, name, _bytes(world, dice), _label(dice))
    if not draft:
        source.edit(PEOPLE, release.id, tag_name=tag, draft=False)
    names = ", ".join(f"{a.name}#{a.id}" for a in release.assets.values())
    return f"{'draft' if draft else 'release'} {tag} #{release.id} with {names}"


def publish(world: World, dice: random.Random) -> str | None:
    world.versions += 1
    return _new_release(world, dice, f"v{world.versions}", draft=False)


def draft(world: World, dice: random.Random) -> str | None:
    world.versions += 1
    return _new_release(world, dice, f"v{world.versions}", draft=True)


def publish_draft(world: World, dice: random.Random) -> str | None:
    drafts = [r for r in world.source.releases.values() if r.draft]
    if not drafts:
        return None
    release = dice.choice(drafts)
    world.source.edit(PEOPLE, release.id, tag_name=release.tag, draft=False)
    return f"draft {release.tag} is published"


def recreate(world: World, dice: random.Random) -> str | None:
    release = _source_release(world, dice)
    if release is None or release.draft:
        return None
    world.source.delete(PEOPLE, release.id)
    return "again: " + _new_release(world, dice, release.tag, draft=False)


def delete_release(world: World, dice: random.Random) -> str | None:
    release = _source_release(world, dice)
    if release is None or len(world.source.releases) < 2:
        return None
    world.source.delete(PEOPLE, release.id)
    return f"release {release.tag} is deleted"


def edit_text(world: World, dice: random.Random) -> str | None:
    release = _source_release(world, dice)
    if release is None:
        return None
    fields = dice.choice(({"body": f"text {dice.random()}"}, {"name": f"title {dice.random()}"}))
    world.source.edit(PEOPLE, release.id, tag_name=release.tag, **fields)
    return f"{release.tag} says {fields}"


def add_asset(world: World, dice: random.Random) -> str | None:
    release, name = _source_release(world, dice), _name(dice)
    if release is None or release.named(name):
        return None
    asset = world.source.upload(PEOPLE, release.id, name, _bytes(world, dice), _label(dice))
    return f"{release.tag}: new {name}#{asset.id}"


def _replace(world: World, dice: random.Random, *, equal: bool) -> str | None:
    found = _source_assets(world, dice)
    if found is None:
        return None
    release, (old, *_) = found
    data = old.data if equal else _bytes(world, dice, len(old.data))
    world.source.delete_asset(PEOPLE, old.id)
    new = world.source.upload(PEOPLE, release.id, old.name, data, old.label)
    how = "equal bytes" if equal else "other bytes of equal size"
    return f"{release.tag}: {old.name}#{old.id} is replaced by {how}, #{new.id}"


def replace_asset(world: World, dice: random.Random) -> str | None:
    return _replace(world, dice, equal=False)


def replace_equal(world: World, dice: random.Random) -> str | None:
    return _replace(world, dice, equal=True)


def _give_names(world: World, assets: list[Asset], names: list[str]) -> None:
    """Give assets names, also each other's."""
    for asset in assets:
        world.source.edit_asset(PEOPLE, asset.id, name=f"on-its-way-{asset.id}")
    for asset, name in zip(assets, names, strict=True):
        world.source.edit_asset(PEOPLE, asset.id, name=name)


def rotate(world: World, dice: random.Random) -> str | None:
    """Two, three or four assets take each other's names in a circle."""
    count = dice.choice((2, 2, 3, 4))
    found = _source_assets(world, dice, count)
    if found is None:
        return None
    release, assets = found[0], found[1][:count]
    before = [asset.name for asset in assets]
    after = [*before[1:], before[0]]
    _give_names(world, assets, after)
    told = ", ".join(
        f"{old}#{a.id} -> {new}" for a, old, new in zip(assets, before, after, strict=True)
    )
    return f"{release.tag}: names go round: {told}"


def rename(world: World, dice: random.Random) -> str | None:
    found, name = _source_assets(world, dice), _name(dice)
    if found is None or found[0].named(name):
        return None
    release, (asset, *_) = found
    old, label = asset.name, _label(dice) if dice.random() < 0.3 else None
    world.source.edit_asset(PEOPLE, asset.id, name=name, label=label)
    told = "" if label is None else f" and labelled {label!r}"
    return f"{release.tag}: {old}#{asset.id} is renamed to {name}{told}"


def rename_onto_freed(world: World, dice: random.Random) -> str | None:
    """One is deleted or renamed, and another one takes its name."""
    found, free = _source_assets(world, dice, 2), _name(dice)
    if found is None:
        return None
    release, (first, second, *_) = found
    name, old = first.name, second.name
    if dice.random() < 0.5 or release.named(free):
        world.source.delete_asset(PEOPLE, first.id)
        told = f"{name}#{first.id} is deleted"
    else:
        world.source.edit_asset(PEOPLE, first.id, name=free)
        told = f"{name}#{first.id} is renamed to {free}"
    world.source.edit_asset(PEOPLE, second.id, name=name)
    if dice.random() < 0.3:
        new = world.source.upload(PEOPLE, release.id, old, _bytes(world, dice, len(second.data)))
        told += f", {old}#{new.id} is new"
    return f"{release.tag}: {told}, {old}#{second.id} takes its name"


def relabel(world: World, dice: random.Random) -> str | None:
    found, label = _source_assets(world, dice), _label(dice)
    if found is None:
        return None
    release, (asset, *_) = found
    world.source.edit_asset(PEOPLE, asset.id, label=label)
    return f"{release.tag}: {asset.name}#{asset.id} is labelled {label!r}"


def delete_asset(world: World, dice: random.Random) -> str | None:
    found = _source_assets(world, dice)
    if found is None:
        return None
    release, (asset, *_) = found
    world.source.delete_asset(PEOPLE, asset.id)
    return f"{release.tag}: {asset.name}#{asset.id} is deleted"


# -- at the target, by other people ---------------------------------------------------------------


def _target_release(world: World, dice: random.Random) -> Release | None:
    found = list(world.target.releases.values())
    return dice.choice(found) if found else None


def _copies(world: World) -> list[tuple[Release, Asset]]:
    return [
        (release, asset)
        for release in world.target.releases.values()
        for asset in release.assets.values()
        if asset.by == MIRROR
    ]


def attach(world: World, dice: random.Random) -> str | None:
    """A file of theirs: its name, label or bytes may be those of an asset of the source."""
    release = _target_release(world, dice)
    if release is None:
        return None
    sources = [r for r in world.source.releases.values() if r.tag == release.tag]
    assets = [asset for r in sources for asset in r.assets.values()]
    like = dice.choice(assets) if assets and dice.random() < 0.6 else None
    name = like.name if like and dice.random() < 0.4 else _name(dice)
    label = like.name if like and dice.random() < 0.3 else ""
    if like and dice.random() < 0.3:
        label = like.label
    data = (
        like.data
        if like and dice.random() < 0.3
        else _bytes(world, dice, len(like.data) if like else 0)
    )
    try:
        asset = world.target.upload(PEOPLE, release.id, name, data, label)
    except Refused:
        return None
    same = f" with the bytes of {like.name}#{like.id}" if like and like.data == data else ""
    return f"{release.tag}: they attach {asset.name}#{asset.id} labelled {label!r}{same}"


def _on_copy(world: World, dice: random.Random) -> tuple[Release, Asset] | None:
    found = _copies(world)
    return dice.choice(found) if found else None


def delete_copy(world: World, dice: random.Random) -> str | None:
    found = _on_copy(world, dice)
    if found is None:
        return None
    release, asset = found
    world.target.delete_asset(PEOPLE, asset.id)
    return f"{release.tag}: they delete our {asset.name}#{asset.id}"


def replace_copy(world: World, dice: random.Random) -> str | None:
    """Theirs stands in for ours, under its name and of its size."""
    found = _on_copy(world, dice)
    if found is None or not found[1].data or found[1].name.startswith(TEMPORARY):
        return None  # nobody gives a file of theirs such a name
    release, asset = found
    world.target.delete_asset(PEOPLE, asset.id)
    data = _bytes(world, dice, len(asset.data))
    new = world.target.upload(PEOPLE, release.id, asset.name, data, asset.label)
    return f"{release.tag}: they replace our {asset.name}#{asset.id} by their own #{new.id}"


def rename_copy(world: World, dice: random.Random) -> str | None:
    found, name = _on_copy(world, dice), _name(dice)
    if found is None:
        return None
    release, asset = found
    old = asset.name
    try:
        world.target.edit_asset(PEOPLE, asset.id, name=name)
    except Refused:
        return None
    return f"{release.tag}: they rename our {old}#{asset.id} to {asset.name}"


def relabel_copy(world: World, dice: random.Random) -> str | None:
    found, label = _on_copy(world, dice), dice.choice(("", "theirs", dice.choice(NAMES)))
    if found is None:
        return None
    release, asset = found
    world.target.edit_asset(PEOPLE, asset.id, label=label)
    return f"{release.tag}: they label our {asset.name}#{asset.id} {label!r}"


def _ours(world: World, dice: random.Random) -> Release | None:
    found = [r for r in world.target.releases.values() if r.by == MIRROR and not r.draft]
    return dice.choice(found) if found else None


def delete_our_release(world: World, dice: random.Random) -> str | None:
    release = _ours(world, dice)
    if release is None:
        return None
    world.target.delete(PEOPLE, release.id)
    return f"they delete our release {release.tag}"


def edit_our_text(world: World, dice: random.Random) -> str | None:
    release = _ours(world, dice)
    if release is None:
        return None
    world.target.edit(PEOPLE, release.id, tag_name=release.tag, body="their words")
    return f"they edit the text of our {release.tag}"


def their_release(world: World, dice: random.Random) -> str | None:
    """A release or a draft of theirs, under a tag that the source has or will have."""
    target = world.target
    tag = f"v{dice.randint(1, world.versions + 2)}"
    as_draft = dice.random() < 0.4
    if target.branch is None or (target.published(tag) and not as_draft):
        return None
    release = target.create(PEOPLE, tag, draft=True, name=f"Release {tag}", body="of theirs")
    original = world.source.published(tag)
    same = original is not None and dice.random() < 0.3
    if original and same:
        target.edit(
            PEOPLE, release.id, tag_name=tag, name=original.name, body=original.body,
            prerelease=original.prerelease,
        )  # fmt: skip
        for asset in original.assets.values():
            target.upload(PEOPLE, release.id, asset.name, asset.data, asset.label) if not (
                release.named(asset.name)
            ) else None
    else:
        for name in {_name(dice): 1, _name(dice): 1}:
            try:
                target.upload(PEOPLE, release.id, name, _bytes(world, dice))
            except Refused:
                continue
    if not as_draft:
        target.edit(PEOPLE, release.id, tag_name=tag, draft=False, make_latest="false")
    what = "draft" if as_draft else "release"
    return f"they make a {what} {tag} #{release.id}{' like the source' if same else ''}"


def delete_theirs(world: World, dice: random.Random) -> str | None:
    theirs = [
        (release, asset)
        for release in world.target.releases.values()
        for asset in release.assets.values()
        if asset.by == PEOPLE
    ]
    if not theirs:
        return None
    release, asset = dice.choice(theirs)
    world.target.delete_asset(PEOPLE, asset.id)
    return f"{release.tag}: they delete their {asset.name}#{asset.id}"


# -- in the settings ------------------------------------------------------------------------------


def change_settings(world: World, dice: random.Random) -> str | None:
    """One setting changes, or what was changed before is taken back."""
    if world.past_settings and dice.random() < 0.4:
        new = dice.choice(world.past_settings)
    else:
        new = any_change(world.settings, dice)
    world.past_settings.append(world.settings)
    world.settings = new
    return f"settings: {new}"


def any_change(old: Settings, dice: random.Random) -> Settings:
    """Other settings."""
    changes: tuple[dict[str, Any], ...] = (
        {"asset_exclude": dice.choice(((), (dice.choice(NAMES),)))},
        {"asset_include": dice.choice(((), ("*.bin",), ("[a-c]*",)))},
        {"latest": dice.choice((None, 1, 2))},
        {"on_delete": dice.choice(("keep", "delete"))},
        {"on_deselect": dice.choice(("keep", "delete"))},
        {"on_change": dice.choice(("follow", "keep"))},
        {"existing": dice.choice(("complete", "adopt", "skip"))},
    )
    return replace(old, **dice.choice(changes))


def deselect(world: World, dice: random.Random) -> str | None:
    """From now on some assets are not wanted, and their copies are deleted."""
    names = tuple(dice.sample(NAMES, 2))
    world.past_settings.append(world.settings)
    world.settings = replace(world.settings, asset_exclude=names, on_deselect="delete")
    return f"settings: {world.settings}"


def take_back(world: World, dice: random.Random) -> str | None:
    """The settings are as they were before."""
    del dice
    if not world.past_settings:
        return None
    world.settings = world.past_settings.pop()
    return f"settings, back: {world.settings}"


def follow_deletions(world: World, dice: random.Random) -> str | None:
    """What the source deletes is deleted at the target, too."""
    del dice
    world.past_settings.append(world.settings)
    world.settings = replace(world.settings, on_delete="delete")
    return f"settings: {world.settings}"


EVENTS: dict[str, tuple[int, Callable[[World, random.Random], str | None]]] = {
    "publish": (10, publish),
    "draft": (2, draft),
    "publish-draft": (3, publish_draft),
    "recreate": (3, recreate),
    "delete-release": (2, delete_release),
    "edit-text": (2, edit_text),
    "add-asset": (5, add_asset),
    "replace": (9, replace_asset),
    "replace-equal": (3, replace_equal),
    "rotate": (9, rotate),
    "rename": (5, rename),
    "rename-onto-freed": (5, rename_onto_freed),
    "relabel": (2, relabel),
    "delete-asset": (4, delete_asset),
    "attach": (5, attach),
    "delete-copy": (2, delete_copy),
    "replace-copy": (2, replace_copy),
    "rename-copy": (3, rename_copy),
    "relabel-copy": (1, relabel_copy),
    "delete-our-release": (1, delete_our_release),
    "edit-our-text": (1, edit_our_text),
    "their-release": (3, their_release),
    "delete-theirs": (2, delete_theirs),
    "settings": (7, change_settings),
    "deselect": (0, deselect),
    "take-back": (0, take_back),
    "follow-deletions": (0, follow_deletions),
}
"""Each event with how often it is drawn; those with 0 belong to a longer story."""

MEDDLING = ("attach", "delete-copy", "rename-copy", "replace-copy", "relabel-copy")
"""What people do at the target in the middle of a pass."""


def happen(world: World, event: Event) -> str | None:
    """Let an event happen; what was done, in words, or ``None`` where it was not possible."""
    try:
        return EVENTS[event.kind][1](world, random.Random(event.seed))  # noqa: S311 - dice
    except Refused as error:
        return f"{event.kind} is refused: {error.message}"  # people see an error, and give up


def draw(dice: random.Random) -> Event:
    """Any event."""
    kinds = list(EVENTS)
    kind = dice.choices(kinds, [weight for weight, _ in EVENTS.values()])[0]
    return Event(kind, dice.getrandbits(40))
