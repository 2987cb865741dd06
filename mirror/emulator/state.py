"""What an emulated host holds, and how whoever drives it from Python sets it up and changes it.

What a client may do over HTTP is in `releases` and in the routes.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirror.emulator.content import Content, MemoryContent
from mirror.emulator.git import BLOB_MODE, Identity
from mirror.emulator.host import Host
from mirror.emulator.invariants import Change
from mirror.emulator.model import UPLOADED, Account, Asset, Release, Repository
from mirror.emulator.pushes import workflows

if TYPE_CHECKING:
    from collections.abc import Mapping

Bytes = bytes | str | Content
"""What the bytes of an asset may be given as; text is UTF-8."""


@dataclass(frozen=True, slots=True)
class AssetSpec:
    """An asset with more than bytes."""

    data: Bytes
    content_type: str = "application/octet-stream"
    label: str | None = None
    state: str = UPLOADED


class GitHubState(Host):
    """Everything an emulated host knows; the options are those of `Host`."""

    # Repositories

    def add_repository(
        self,
        full_name: str,
        *,
        private: bool = False,
        visibility: str | None = None,
        archived: bool = False,
        fork: bool = False,
        empty: bool = False,
        default_branch: str = "main",
        description: str | None = None,
        immutable_releases: bool = False,
        date: str | None = None,
    ) -> Repository:
        """A repository, with one commit unless it shall be `empty`; its owner is made as well."""
        owner, _, name = full_name.partition("/")
        if full_name.lower() in self.names:
            raise ValueError(f"{full_name} exists")
        made = Repository(
            self.number(),
            self.account(owner),
            name,
            visibility or ("private" if private else "public"),
            self.now(),
            self.now(),
            archived=archived,
            fork=fork,
            default_branch=default_branch,
            description=description,
            immutable_releases=immutable_releases,
        )
        self.repositories[made.id] = made
        self.names[full_name.lower()] = made.id
        self.renamed.pop(full_name.lower(), None)
        for tag, assets in self.promised.pop(full_name.lower(), {}).items():
            self.invariants.expect(made, tag, assets)
        if not empty:
            self.add_commit(full_name, {"README.md": f"# {name}\n"}, "Initial commit", date=date)
        self.changed(made)
        return made

    def rename_repository(self, full_name: str, new: str) -> Repository:
        """Give a repository another name, and perhaps owner; the old name redirects."""
        found = self.repository(full_name)
        owner, _, name = new.partition("/")
        del self.names[found.full_name.lower()]
        self.renamed[found.full_name.lower()] = found.id
        found.owner, found.name = self.account(owner), name
        self.names[new.lower()] = found.id
        self.renamed.pop(new.lower(), None)
        for release in found.releases.values():
            release.json = None
            for asset in release.assets:
                asset.json = None
        self.changed(found)
        return found

    def delete_repository(self, full_name: str) -> None:
        """Remove a repository and all in it."""
        found = self.repository(full_name)
        del self.names[found.full_name.lower()]
        del self.repositories[found.id]
        for release in found.releases.values():
            for asset in release.assets:
                self.assets.pop(asset.id, None)
        found.releases.clear()
        self.changed(found)

    def add_commit(
        self,
        full_name: str,
        files: Mapping[str, str | bytes],
        message: str,
        *,
        date: str | None = None,
        branch: str | None = None,
    ) -> str:
        """A commit on a branch that sets files; returns its SHA."""
        repository = self.repository(full_name)
        ref = f"refs/heads/{branch or repository.default_branch}"
        parent = repository.refs.get(ref) or repository.head()
        objects = repository.objects
        tree = objects.read_commit(parent).tree if parent else objects.tree([])
        for path, data in files.items():
            blob = objects.blob(data.encode() if isinstance(data, str) else data)
            tree = objects.put(tree, path, BLOB_MODE, blob)
        identity = self.identity(repository.owner, date)
        sha = objects.commit(tree, (parent,) if parent else (), identity, message)
        self.set_ref(repository, ref, sha)
        return sha

    def identity(self, account: Account, date: str | None = None) -> Identity:
        """An account as the author of a commit."""
        login = account.login
        return Identity(login, f"{login}@users.noreply.github.com", date or self.now())

    def set_ref(self, repository: Repository, ref: str, sha: str) -> None:
        """Make a ref, or move it."""
        if ref not in repository.ref_ids:
            repository.ref_ids[ref] = (self.number(), self.clock())
        repository.refs[ref] = sha
        repository.pushed_at = self.now()
        self.changed(repository)

    def started(self, repository: Repository, event: str, ref: str) -> None:
        """Something happened that GitHub Actions runs workflows for, if it is on and has any."""
        if repository.actions_enabled and workflows(repository, repository.refs[ref]):
            repository.runs.append(f"{event} {ref}")

    def delete_ref(self, repository: Repository, ref: str) -> None:
        """Remove a ref; the published release of a tag that goes becomes a draft."""
        del repository.refs[ref]
        repository.ref_ids.pop(ref, None)
        orphan = repository.published(ref.removeprefix("refs/tags/"))
        if ref.startswith("refs/tags/") and orphan is not None:
            orphan.draft = True
            self.refresh(orphan)
        self.changed(repository, orphan)

    def move_tag(
        self,
        full_name: str,
        tag: str,
        sha: str | None = None,
        *,
        date: str | None = None,
        annotated: bool = False,
    ) -> str:
        """Make a tag or move it: to a commit, or to a new one of that date; returns the commit."""
        repository = self.repository(full_name)
        if sha is None:
            sha = self.add_commit(full_name, {"VERSION": f"{tag}\n"}, f"Release {tag}", date=date)
        target = sha
        if annotated:
            tagger = self.identity(repository.owner, date)
            target = repository.objects.tag(tag, sha, tagger, f"{tag}\n")
        self.set_ref(repository, f"refs/tags/{tag}", target)
        return sha

    # Releases and assets

    def releases(self, full_name: str) -> list[Release]:
        """The releases of a repository, drafts too, in the order of the API: newest first."""
        found = self.repository(full_name).releases.values()
        return sorted(found, key=lambda release: release.order, reverse=True)

    def release(self, full_name: str, tag: str | int) -> Release:
        """A release by its number, or by its tag: the published one, else the newest draft.

        Raises:
            KeyError: There is none.
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
        """A release with its assets, seen at once as a whole.

        Args:
            full_name: The repository.
            tag: Its tag; where there is none yet, a commit of that `date` is made and tagged (for
                a draft it is not).
            name: Its title.
            body: Its text.
            draft: Not published.
            prerelease: Not production-ready.
            date: The date of the commit, and of publication unless `published_at` is given.
            published_at: When it was published.
            latest: Choose it as the latest; `None` and `False` leave that to the dates.
            annotated: Make an annotated tag.
            author: Who made it; the owner unless given.
            assets: Names and bytes; names are taken as they are.
        """
        repository = self.repository(full_name)
        if not draft and repository.tag_commit(tag) is None:
            self.move_tag(full_name, tag, date=date, annotated=annotated)
        moment = date or self.now()
        commit = repository.tag_commit(tag)
        made = self.new_release(
            tag=tag,
            target_commitish=repository.default_branch,
            name=name,
            body=body,
            draft=draft,
            prerelease=prerelease,
            created_at=repository.objects.read_commit(commit).committer.date if commit else moment,
            author=self.account(author, "User") if author else repository.owner,
        )
        made.published_at = None if draft else published_at or moment
        made.immutable = repository.immutable_releases and not draft
        repository.releases[made.id] = made
        for asset_name, data in (assets or {}).items():
            spec = data if isinstance(data, AssetSpec) else AssetSpec(data)
            asset = self.attach(
                repository,
                made,
                asset_name,
                _content(spec.data),
                spec.content_type,
                label=spec.label,
                state=spec.state,
            )
            # What is set up on purpose as not uploaded breaks no promise.
            asset.late = spec.state != UPLOADED
        if latest:
            repository.latest_id = made.id
        self.changed(repository, made)
        return made

    def new_release(
        self,
        *,
        tag: str,
        target_commitish: str,
        name: str | None,
        body: str | None,
        draft: bool,
        prerelease: bool,
        created_at: str,
        author: Account,
    ) -> Release:
        """A release that is in no repository yet."""
        number, untagged = self.number(), f"untagged-{secrets.token_hex(10)}"
        return Release(
            number,
            tag,
            target_commitish,
            name,
            body,
            draft,
            prerelease,
            created_at,
            None,
            self.now(),
            author,
            untagged,
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
        """Change a release; what is `None` stays."""
        repository, found = self.repository(full_name), self.release(full_name, tag)
        found.name = found.name if name is None else name
        found.body = found.body if body is None else body
        found.prerelease = found.prerelease if prerelease is None else prerelease
        if draft is False and found.draft:
            if repository.tag_commit(found.tag) is None:
                self.move_tag(full_name, found.tag)
            found.published_at = self.now()
        found.draft = found.draft if draft is None else draft
        if latest is not None:
            repository.latest_id = found.id if latest else None
        found.updated_at = self.now()
        self.refresh(found)
        self.changed(repository, found)
        return found

    def delete_release(self, full_name: str, tag: str | int, *, delete_tag: bool = False) -> None:
        """Remove a release; its tag stays unless asked for."""
        repository, found = self.repository(full_name), self.release(full_name, tag)
        self.remove_release(repository, found)
        if delete_tag:
            self.delete_ref(repository, f"refs/tags/{found.tag}")

    def remove_release(self, repository: Repository, release: Release) -> None:
        """Remove a release with its assets."""
        del repository.releases[release.id]
        for asset in release.assets:
            self.assets.pop(asset.id, None)
        if release.immutable:
            repository.burned_tags.add(release.tag)
        if repository.latest_id == release.id:
            repository.latest_id = None
        self.changed(repository, release)

    def refresh(self, release: Release) -> None:
        """Addresses of a release's assets changed with its tag or its state."""
        release.json = None
        for asset in release.assets:
            asset.json = None

    def attach(
        self,
        repository: Repository,
        release: Release,
        name: str,
        content: Content,
        content_type: str,
        *,
        label: str | None = None,
        state: str = UPLOADED,
        uploader: Account | None = None,
    ) -> Asset:
        """Put an asset into a release; whoever calls says that the release changed."""
        moment = self.now()
        made = Asset(
            self.number(),
            name,
            label,
            content_type,
            state,
            content,
            uploader or release.author,
            moment,
            moment,
            created=self.clock(),
        )
        release.assets.append(made)
        self.assets[made.id] = (repository, release, made)
        return made

    def detach(self, release: Release, asset: Asset) -> None:
        """Take an asset out of a release; whoever calls says that the release changed."""
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
        made = self.attach(
            repository, release, name, _content(data), content_type, label=label, state=state
        )
        self.changed(repository, release)
        return made

    def replace_asset(self, full_name: str, tag: str | int, name: str, data: Bytes) -> Asset:
        """Other bytes under the same name, as rolling releases have them: the number is new."""
        repository, release = self.repository(full_name), self.release(full_name, tag)
        old = self.asset(full_name, tag, name)
        self.detach(release, old)
        made = self.attach(
            repository, release, name, _content(data), old.content_type, label=old.label
        )
        self.changed(repository, release)
        return made

    def delete_asset(self, full_name: str, tag: str | int, name: str) -> None:
        """Remove an asset."""
        repository, release = self.repository(full_name), self.release(full_name, tag)
        self.detach(release, self.asset(full_name, tag, name))
        self.changed(repository, release, Change("asset-deleted", name))

    def asset(self, full_name: str, tag: str | int, name: str) -> Asset:
        """An asset by its name.

        Raises:
            KeyError: There is none.
        """
        found = self.release(full_name, tag).asset(name)
        if found is None:
            raise KeyError(f"{full_name} {tag} has no asset {name}")
        return found


def _content(data: Bytes) -> Content:
    if isinstance(data, str):
        return MemoryContent(data.encode())
    return MemoryContent(data) if isinstance(data, bytes) else data
