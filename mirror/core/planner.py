"""(source, target, ledger, policy) → plan: the one place that decides what is done."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mirror.core.action import (
    AssetAction,
    CreateRelease,
    CreateRepository,
    CreateTag,
    DeleteAsset,
    DeleteRelease,
    Obstacle,
    Plan,
    PublishRelease,
    ReleaseWork,
    ReplaceAsset,
    UpdateRelease,
    UploadAsset,
)
from mirror.core.body import (
    description,
    marker,
    placeholder_message,
    readme,
    render_body,
    same_text,
    with_marker,
)
from mirror.core.copies import Copies
from mirror.core.ledger import AssetEntry, ReleaseEntry
from mirror.core.matching import Matched, asset_facts, is_temporary, match_assets
from mirror.core.release import fingerprint
from mirror.core.report import iso
from mirror.core.selection import Wanted, select

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mirror.core.capabilities import Capabilities
    from mirror.core.ledger import Ledger
    from mirror.core.policy import Policy
    from mirror.core.release import Asset, Release, Snapshot

PENDING = timedelta(hours=1)
"""An asset that is not uploaded at the source for longer than this is no upload in progress."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a plan depends on besides the two snapshots.

    Attributes:
        source_url: The source host's web address.
        source_address: The source repository's web address.
        retry: Try again what is quarantined.
    """

    source_url: str
    source_address: str
    now: datetime
    capabilities: Capabilities
    retry: bool = False


def plan(
    source: Snapshot,
    target: Snapshot | None,
    ledger: Ledger,
    policy: Policy,
    circumstances: Circumstances,
) -> Plan:
    """Decide what brings the target up to the source.

    Args:
        source: What the source says now, with the commits of :func:`tags_needed`.
        target: What the target says now, likewise; ``None`` where the repository does not exist.
        ledger: What was recorded.
        policy: What the operator wants.
        circumstances: All else.
    """
    return _Planner(source, target, ledger, policy, circumstances).plan()


def tags_needed(
    source: Snapshot,
    target: Snapshot | None,
    ledger: Ledger,
    policy: Policy,
    source_url: str,
) -> frozenset[str]:
    """Tags whose commits a plan depends on: those of releases that are to be published."""
    copies = Copies(source, target, ledger, source_url)
    needed = set()
    for wanted in select(source.releases, policy.selection):
        copy = copies.of(wanted.release)
        moved = copy is not None and not copy.draft and copy.tag != wanted.release.tag
        if not wanted.release.draft and (copy is None or copy.draft or moved):
            needed.add(wanted.release.tag)
    return frozenset(needed)


@dataclass(slots=True)
class _Draft:
    """A plan while it grows."""

    releases: list[ReleaseWork] = field(default_factory=list)
    learned: list[ReleaseEntry] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    placeholders: int = 0


class _Planner:
    def __init__(
        self,
        source: Snapshot,
        target: Snapshot | None,
        ledger: Ledger,
        policy: Policy,
        circumstances: Circumstances,
    ) -> None:
        self._source = source
        self._target = target
        self._ledger = ledger
        self._policy = policy
        self._about = circumstances
        self._copies = Copies(source, target, ledger, circumstances.source_url)
        self._draft = _Draft()

    def plan(self) -> Plan:
        wanted = select(self._source.releases, self._policy.selection)
        if obstacle := self._closed(wanted):
            return Plan(obstacles=(obstacle,))
        selected = {item.release.id for item in wanted}
        for rank, item in enumerate(wanted):
            self._release(rank, item, selected)
        self._orphans()
        draft = self._draft
        if not self._source.complete:
            draft.warnings.append(
                "the source's list of releases is not complete; what it shows was mirrored"
            )
        if draft.placeholders:
            draft.warnings.append(
                f"{draft.placeholders} tag(s) stand at placeholder commits, because the target"
                " does not have the source's commits"
            )
        create = None
        # Made by a run that was cut off before the first commit; another's is left as it is.
        begun = self._target and self._target.repository.empty and self._target.created_by_mirror
        if (self._target is None or begun) and any(
            work.create or work.tag for work in draft.releases
        ):
            address = self._about.source_address
            create = CreateRepository(
                self._policy.visibility, description(address), readme(address)
            )
        return Plan(
            repository=create,
            releases=tuple(draft.releases),
            learned=tuple(draft.learned),
            obstacles=tuple(draft.obstacles),
            warnings=tuple(dict.fromkeys(draft.warnings)),
        )

    def _closed(self, wanted: tuple[Wanted, ...]) -> Obstacle | None:
        """What stops the whole mirror."""
        if self._target is None and wanted and not self._policy.create_repository:
            return Obstacle(
                f"the target repository {self._ledger.target} does not exist, and"
                " create_repository = false: create it, or allow it",
                action="create-repository",
            )
        if self._target and self._target.repository.archived:
            return Obstacle(
                f"the target repository {self._ledger.target} is archived, hence read-only:"
                " unarchive it, or disable this mirror",
                action="update-release",
                final=True,
                facts="archived",
            )
        return None

    def _release(self, rank: int, wanted: Wanted, selected: set[int]) -> None:
        release = wanted.release
        copy = self._copies.of(release)
        strays = self._copies.strays(release, copy)
        facts = fingerprint([release])
        if obstacle := self._quarantined(release, None, facts):
            self._draft.obstacles.append(obstacle)
            return
        if obstacle := self._hidden(release, copy):
            self._draft.obstacles.append(obstacle)
            return
        entry = self._copies.entry(release, copy)
        ours = (entry.created if entry else False) or (copy is not None and copy.draft)
        if copy and not copy.draft and not ours and self._policy.existing == "skip":
            self._draft.warnings.append(
                f'release {release.tag} exists at the target and is not of this mirror; skipped (existing = "skip")'
            )
            return
        tag, obstacle = self._tag(release, copy)
        if obstacle:
            self._draft.obstacles.append(obstacle)
            return
        assets, held = self._takeable(wanted)
        matched = match_assets(
            assets,
            release.assets,
            copy.assets if copy else (),
            entry.assets if entry else {},
            ours=ours or copy is None,
            follow=self._policy.on_change == "follow",
        )
        self._draft.warnings.extend(f"{release.tag}: {text}" for text in matched.warnings)
        self._frozen(release, copy, matched)
        held |= self._crowded(release, copy, matched)
        held |= self._settle_quarantine(release, matched)
        followed = self._learn(wanted, copy, entry, matched, ours=ours)
        work = ReleaseWork(
            rank=rank,
            source=release,
            target=copy,
            tag=tag,
            create=self._create(release) if copy is None else None,
            leftovers=(*strays, *matched.leftovers),
            assets=tuple(matched.actions),
            finish=self._finish(release, copy, selected, followed=followed, held=held),
            publish_incomplete=self._policy.incomplete == "publish",
            present=tuple(matched.present.values()),
        )
        if work.actions():
            self._draft.releases.append(work)
            self._draft.placeholders += bool(tag and tag.commit is None)

    def _tag(
        self, release: Release, copy: Release | None
    ) -> tuple[CreateTag | None, Obstacle | None]:
        """What the tag needs before the release can be published; an obstacle where it waits."""
        if release.draft or (copy and not copy.draft and copy.tag == release.tag):
            return None, None
        here = self._target.tags.get(release.tag) if self._target else None
        commit = self._source.tags.get(release.tag)
        if self._policy.tags == "require":
            return None, self._required_tag(release, here, commit)
        if here:
            return None, None
        known = self._target is not None and commit in self._target.commits
        if not known and self._target is not None and not self._target.created_by_mirror:
            return None, self._waiting(
                release,
                "create-tag",
                f"waits: the target has neither the tag {release.tag} nor its commit"
                f" {commit or '(unknown)'}; push the tag to the target",
            )
        message = placeholder_message(self._about.source_address, release.tag, commit)
        date = release.created_at or release.published_at or self._about.now
        return CreateTag(release.tag, commit if known else None, message, date), None

    def _required_tag(
        self, release: Release, here: str | None, commit: str | None
    ) -> Obstacle | None:
        if here is None:
            text = f'waits: the target lacks the tag {release.tag} (tags = "require"); push it to the target'
        elif commit and here != commit:
            text = (
                f"waits: the tag {release.tag} is at commit {here} at the target, at {commit} at"
                ' the source (tags = "require"); move it, or mirror the repository first'
            )
        else:
            return None
        return self._waiting(release, "create-tag", text)

    def _hidden(self, release: Release, copy: Release | None) -> Obstacle | None:
        """Where it cannot be told whether the target has a copy, none is made."""
        if copy is None and self._target and not self._target.complete:
            text = "waits: the target's list of releases is not complete; whether it has"
            return self._waiting(release, "create-release", f"{text} {release.tag} is not known")
        if (copy is None or copy.draft) and self._copies.taken(release):
            text = "waits: the target has the copy of another release under the tag"
            return self._waiting(release, "create-release", f"{text} {release.tag}")
        return None

    def _takeable(self, wanted: Wanted) -> tuple[list[Asset], bool]:
        """The wanted assets that the target can take, and whether the release is held back."""
        taken: list[Asset] = []
        held = False
        for asset in wanted.assets:
            if is_temporary(asset.name):
                continue  # the source is a mirror itself, and this the new half of an exchange
            if not asset.uploaded:
                held |= self._incomplete_source(wanted.release, asset)
            elif error := _untakeable(asset, self._about.capabilities):
                self._never(wanted.release, asset, error)
                held |= self._policy.incomplete == "hold"
            else:
                taken.append(asset)
        return taken, held

    def _crowded(self, release: Release, copy: Release | None, matched: Matched) -> bool:
        """Leave out uploads, the smallest ones, that the target's release has no room for."""
        limit = self._about.capabilities.max_assets
        if limit is None:
            return False
        room = limit - (len(copy.assets) if copy else 0) + len(matched.leftovers)
        uploads = [action for action in matched.actions if isinstance(action, UploadAsset)]
        excess = uploads[max(0, room) :]
        for action in excess:
            matched.actions.remove(action)
            error = f"the release has more assets than the target takes ({limit})"
            self._never(release, action.asset, error)
        return bool(excess) and self._policy.incomplete == "hold"

    def _incomplete_source(self, release: Release, asset: Asset) -> bool:
        since = asset.updated_at
        if since and self._about.now - since > PENDING:
            self._draft.warnings.append(
                f"{release.tag}: asset {asset.name} is not complete at the source (state"
                f" {asset.state}); left out until it is"
            )
            return False
        self._draft.obstacles.append(
            Obstacle(
                f"waits: the source is still uploading {asset.name}",
                action="upload-asset",
                release_id=release.id,
                asset_id=asset.id,
                release=release.tag,
                asset=asset.name,
            )
        )
        return True

    def _frozen(self, release: Release, copy: Release | None, matched: Matched) -> None:
        """An immutable release takes no assets: they can never arrive."""
        if not (copy and copy.immutable and not copy.draft):
            return
        for action in matched.actions:
            if isinstance(action, UploadAsset | ReplaceAsset):
                self._never(release, action.asset, "the target's release is immutable")
        matched.actions.clear()
        matched.leftovers.clear()

    def _settle_quarantine(self, release: Release, matched: Matched) -> bool:
        """Leave out what failed for good and is still the same."""
        kept: list[AssetAction] = []
        held = False
        for action in matched.actions:
            asset = None if isinstance(action, DeleteAsset) else action.asset
            obstacle = self._quarantined(release, asset, asset_facts(asset)) if asset else None
            if obstacle is None:
                kept.append(action)
                continue
            self._draft.obstacles.append(obstacle)
            if isinstance(action, UploadAsset | ReplaceAsset):
                held |= self._policy.incomplete == "hold"
        matched.actions = kept
        return held

    def _learn(
        self,
        wanted: Wanted,
        copy: Release | None,
        entry: ReleaseEntry | None,
        matched: Matched,
        *,
        ours: bool,
    ) -> bool:
        """Note what was found at the target; tell whether its text follows the source's."""
        if copy is None:
            return True
        release = wanted.release
        complete = not matched.actions and len(matched.present) == len(wanted.assets)
        equal = complete and not self._differences(release, copy)
        followed = ours or (entry.followed if entry else False) or equal
        followed = followed or self._policy.existing == "adopt"
        published = None
        if not copy.draft:
            published = (entry.published if entry else None) or iso(self._about.now)
        found: Mapping[int, AssetEntry] = {**(entry.assets if entry else {}), **matched.present}
        here = {asset.id for asset in copy.assets}
        here -= {found[key].target_id for key in matched.present}
        fresh = ReleaseEntry(
            source_id=release.id,
            target_id=copy.id,
            tag=release.tag,
            created=ours,
            followed=followed,
            published=published,
            assets={
                key: value
                for key, value in found.items()
                if key in matched.present or value.target_id in here
            },
        )
        if fresh != entry:
            self._draft.learned.append(fresh)
        return followed

    def _create(self, release: Release) -> CreateRelease:
        mark = marker(self._about.source_url, release)
        text = {**self._text(release), "draft": True}
        text["body"] = with_marker(text["body"], mark)
        return CreateRelease(text, mark)

    def _finish(
        self,
        release: Release,
        copy: Release | None,
        selected: set[int],
        *,
        followed: bool,
        held: bool,
    ) -> PublishRelease | UpdateRelease | None:
        if copy is None or copy.draft:
            if held or release.draft:
                return None
            latest = self._make_latest(release, selected)
            return PublishRelease({**self._text(release), "draft": False, **latest})
        changes = self._differences(release, copy) if followed else {}
        latest_here = self._target.latest if self._target else None
        shown = not changes.get("prerelease", copy.prerelease)
        if release.id == self._source.latest and latest_here != copy.id and shown:
            changes |= self._make_latest(release, selected)
        return UpdateRelease({"tag_name": copy.tag, **changes}) if changes else None

    def _differences(self, release: Release, copy: Release) -> dict[str, Any]:
        text = self._text(release)
        changes: dict[str, Any] = {}
        if copy.tag != release.tag:
            changes["tag_name"] = release.tag
        if copy.name.strip() != text["name"].strip():
            changes["name"] = text["name"]
        if not same_text(copy.body, text["body"]):
            changes["body"] = text["body"]
        if copy.prerelease != release.prerelease:
            changes["prerelease"] = release.prerelease
        return changes

    def _text(self, release: Release) -> dict[str, Any]:
        """The fields of a release that are the same at both ends."""
        body = render_body(
            release.body, mentions=self._policy.mentions, origin=release.html_url or "the source"
        )
        return {
            "tag_name": release.tag,
            "name": release.name,
            "body": body,
            "prerelease": release.prerelease,
        }

    def _make_latest(self, release: Release, selected: set[int]) -> dict[str, str]:
        """``make_latest`` of a request: true for the source's latest alone.

        It is never sent for a prerelease, which a host refuses ("Latest release cannot be draft or
        prerelease"). Where the source's latest is not wanted, the host decides by date and version.
        """
        if not self._about.capabilities.make_latest or release.prerelease:
            return {}
        if self._source.latest == release.id:
            return {"make_latest": "true"}
        return {"make_latest": "false" if self._source.latest in selected else "legacy"}

    def _orphans(self) -> None:
        """Drafts of ours whose release vanished from the source before they were published."""
        if not self._source.complete:
            return
        alive = {release.id for release in self._source.releases}
        for source_id, drafts in self._copies.drafts.items():
            if source_id not in alive:
                strays = tuple(DeleteRelease(draft) for draft in drafts)
                gone = replace(drafts[0], id=source_id)
                rank = len(self._source.releases)
                self._draft.releases.append(ReleaseWork(rank, gone, drafts[0], leftovers=strays))

    def _quarantined(self, release: Release, asset: Asset | None, facts: str) -> Obstacle | None:
        """The obstacle that was recorded, while it is not to be tried again."""
        known = self._ledger.quarantined.get((release.id, asset.id if asset else 0))
        if known is None or known.facts != facts or self._about.retry:
            return None
        return Obstacle(
            known.error,
            release_id=release.id,
            asset_id=asset.id if asset else 0,
            release=release.tag,
            asset=asset.name if asset else None,
            final=True,
            facts=facts,
        )

    def _never(self, release: Release, asset: Asset, error: str) -> None:
        self._draft.obstacles.append(
            Obstacle(
                error,
                action="upload-asset",
                release_id=release.id,
                asset_id=asset.id,
                release=release.tag,
                asset=asset.name,
                final=True,
                facts=asset_facts(asset),
            )
        )

    def _waiting(self, release: Release, action: str, text: str) -> Obstacle:
        return Obstacle(text, action=action, release_id=release.id, release=release.tag)


def _untakeable(asset: Asset, limits: Capabilities) -> str | None:
    """Why the target can never take an asset, or ``None``."""
    if asset.size == 0:
        return "it has 0 bytes, which no host takes; exclude it with assets.exclude"
    if limits.max_asset_size is not None and asset.size > limits.max_asset_size:
        return f"it has {asset.size} bytes; the target takes at most {limits.max_asset_size}"
    return None
