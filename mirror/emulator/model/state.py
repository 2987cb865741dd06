"""A whole host: what `RepositoryHost` has, with releases and assets to set up and change.

What clients may change over HTTP, and what is refused, is in `routes`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirror.emulator.model.content import Content, MemoryContent
from mirror.emulator.model.invariants import Change
from mirror.emulator.model.release_records import UPLOADED, Asset, Release
from mirror.emulator.model.repository_host import RepositoryHost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mirror.emulator.model.accounts import Account
    from mirror.emulator.model.repository import Repository

Bytes = bytes | str | Content
"""The bytes of an asset; text is encoded as UTF-8."""


@dataclass(frozen=True, slots=True)
class AssetSpec:
    """An asset with more than bytes."""

    data: Bytes
    content_type: str = "application/octet-stream"
    label: str | None = None
    state: str = UPLOADED


class GitHubState(RepositoryHost):
    """Everything an emulated host holds; the options are those of `HostOptions`."""

    def releases(self, full_name: str) -> list[Release]:
        """The releases of a repository, drafts included, newest first as in the API."""
        found = self.repository(full_name).releases.values()
        return sorted(found, key=lambda release: release.order, reverse=True)

    def release(self, full_name: str, tag: str | int) -> Release:
        """A release by its number, or by its tag: the published one, else the newest draft.

        Raises:
            KeyError: It does not exist.
        """
        repository = self.repository(full_name)
        if isinstance(tag, int):
            return repository.releases[tag]
        found = [r for r in repository.releases.values() if r.tag == tag]
        if not found:
            raise KeyError(f"{full_name} has no release {tag}")
        return max(found, key=lambda release: (not release.draft, release.id))

    def add_release(
        self,
        full_name: str,
        tag: str,
        *,
        name: str | None = None,
        body: str | None = None,
        draft: bool = False,
        prerelease: bool = False,
        date: str | None = None,
        published_at: str | None = None,
        latest: bool | None = None,
        annotated: bool = False,
        author: str | None = None,
        assets: Mapping[str, Bytes | AssetSpec] | None = None,
    ) -> Release:
        """Add a release with its assets, visible at once as a whole.

        Args:
            full_name: The repository.
            tag: Its tag; if it does not exist and this is no draft, a commit of that `date` is
                made and tagged.
            name: Its title.
            body: Its text.
            draft: Not published.
            prerelease: Not production-ready.
            date: The date of the commit, and of publication unless `published_at` is given.
            published_at: When it was published.
            latest: Choose it as the latest; `None` and `False` leave that to the dates.
            annotated: Create an annotated tag.
            author: Login of its author; by default the owner.
            assets: Names, taken as they are, and bytes.
        """
        repository = self.repository(full_name)
        if not draft and repository.tag_commit(tag) is None:
            self.move_tag(full_name, tag, date=date, annotated=annotated)
        moment = date or self.now()
        maker = self.account(author, "User") if author else repository.owner
        made = self.new_release(repository, tag, maker, moment)
        made.name, made.body, made.draft, made.prerelease = name, body, draft, prerelease
        made.published_at = None if draft else published_at or moment
        made.immutable = repository.immutable_releases and not draft
        repository.releases[made.id] = made
        for asset_name, data in (assets or {}).items():
            spec = data if isinstance(data, AssetSpec) else AssetSpec(data)
            asset = self.attach(repository, made, asset_name, spec)
            # An asset that is deliberately set up as not uploaded violates nothing.
            asset.late = spec.state != UPLOADED
        if latest:
            repository.latest_id = made.id
        self.changed(repository, made)
        return made

    def new_release(
        self, repository: Repository, tag: str, author: Account, date: str | None = None
    ) -> Release:
        """A draft that is not in its repository yet, dated by its tag's commit, else `date`."""
        return Release(
            self.number(),
            tag,
            repository.default_branch,
            created_at=repository.tag_date(tag) or date or self.now(),
            updated_at=self.now(),
            author=author,
            untagged=f"untagged-{secrets.token_hex(10)}",
            created=self.clock(),
        )

    def edit_release(
        self,
        full_name: str,
        tag: str | int,
        *,
        name: str | None = None,
        body: str | None = None,
        draft: bool | None = None,
        prerelease: bool | None = None,
        latest: bool | None = None,
    ) -> Release:
        """Change a release; `None` leaves a value as it is."""
        repository, found = self.repository(full_name), self.release(full_name, tag)
        for key, value in (("name", name), ("body", body), ("prerelease", prerelease)):
            if value is not None:
                setattr(found, key, value)
        if draft is False and found.draft:
            if repository.tag_commit(found.tag) is None:
                self.move_tag(full_name, found.tag)
            found.published_at = self.now()
        found.draft = found.draft if draft is None else draft
        if latest is not None:
            repository.latest_id = found.id if latest else None
        found.updated_at = self.now()
        self.changed(repository, found)
        return found

    def delete_release(self, full_name: str, tag: str | int, *, delete_tag: bool = False) -> None:
        """Delete a release, and its tag only if asked for."""
        repository, found = self.repository(full_name), self.release(full_name, tag)
        self.remove_release(repository, found)
        if delete_tag:
            self.delete_ref(repository, f"refs/tags/{found.tag}")

    def remove_release(self, repository: Repository, release: Release) -> None:
        """Delete a release with its assets; the tag of an immutable one is never used again."""
        del repository.releases[release.id]
        for asset in release.assets:
            self.assets.pop(asset.id, None)
        if release.immutable:
            repository.burned_tags.append(release.tag)
        if repository.latest_id == release.id:
            repository.latest_id = None
        self.changed(repository, release)

    def attach(
        self,
        repository: Repository,
        release: Release,
        name: str,
        spec: AssetSpec,
        uploader: Account | None = None,
    ) -> Asset:
        """Put an asset into a release; the caller reports the change."""
        moment, data = self.now(), spec.data
        data = data.encode() if isinstance(data, str) else data
        made = Asset(
            self.number(),
            name,
            spec.label,
            spec.content_type,
            spec.state,
            MemoryContent(data) if isinstance(data, bytes) else data,
            uploader or release.author,
            moment,
            moment,
            created=self.clock(),
        )
        release.assets.append(made)
        self.assets[made.id] = (repository, release, made)
        return made

    def detach(self, release: Release, asset: Asset) -> None:
        """Take an asset out of a release; the caller reports the change."""
        release.assets.remove(asset)
        self.assets.pop(asset.id, None)

    def add_asset(
        self,
        full_name: str,
        tag: str | int,
        name: str,
        data: Bytes,
        *,
        content_type: str = "application/octet-stream",
        label: str | None = None,
        state: str = UPLOADED,
    ) -> Asset:
        """Add an asset under exactly this name."""
        repository, release = self.repository(full_name), self.release(full_name, tag)
        spec = AssetSpec(data, content_type, label, state)
        made = self.attach(repository, release, name, spec)
        self.changed(repository, release)
        return made

    def replace_asset(self, full_name: str, tag: str | int, name: str, data: Bytes) -> Asset:
        """Replace the bytes under a name, as rolling releases do; the asset gets a new number."""
        repository, release = self.repository(full_name), self.release(full_name, tag)
        old = self.asset(full_name, tag, name)
        self.detach(release, old)
        spec = AssetSpec(data, old.content_type, old.label)
        made = self.attach(repository, release, name, spec)
        self.changed(repository, release)
        return made

    def delete_asset(self, full_name: str, tag: str | int, name: str) -> None:
        """Delete an asset."""
        repository, release = self.repository(full_name), self.release(full_name, tag)
        self.detach(release, self.asset(full_name, tag, name))
        self.changed(repository, release, Change("asset-deleted", name))

    def asset(self, full_name: str, tag: str | int, name: str) -> Asset:
        """An asset by its name.

        Raises:
            KeyError: It does not exist.
        """
        found = self.release(full_name, tag).asset(name)
        if found is None:
            raise KeyError(f"{full_name} {tag} has no asset {name}")
        return found
