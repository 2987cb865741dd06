"""Repositories, commits and refs of a host, as Python code sets them up and changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.emulator.model.account_host import AccountHost
from mirror.emulator.model.git_objects import BLOB_MODE, Identity
from mirror.emulator.model.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mirror.emulator.model.accounts import Account


class RepositoryHost(AccountHost):
    """A host whose repositories can be changed."""

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
        """Add a repository, with one commit unless `empty`; its owner is created if missing."""
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
        """Rename or transfer a repository; the old name redirects."""
        found = self.repository(full_name)
        owner, _, name = new.partition("/")
        del self.names[found.full_name.lower()]
        self.renamed[found.full_name.lower()] = found.id
        found.owner, found.name = self.account(owner), name
        self.names[new.lower()] = found.id
        self.renamed.pop(new.lower(), None)
        for release in found.releases.values():
            release.json = None
        self.changed(found)
        return found

    def delete_repository(self, full_name: str) -> None:
        """Delete a repository and everything in it."""
        found = self.repository(full_name)
        del self.names[found.full_name.lower()]
        del self.repositories[found.id]
        for release in found.releases.values():
            for asset in release.assets:
                self.assets.pop(asset.id, None)
        found.releases.clear()
        self.changed(found)

    def identity(self, account: Account, date: str | None = None) -> Identity:
        """An account as the author of a commit."""
        login = account.login
        return Identity(login, f"{login}@users.noreply.github.com", date or self.now())

    def add_commit(
        self,
        full_name: str,
        files: Mapping[str, str | bytes],
        message: str,
        *,
        date: str | None = None,
        branch: str | None = None,
    ) -> str:
        """Commit files to a branch; returns the SHA."""
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

    def move_tag(
        self,
        full_name: str,
        tag: str,
        sha: str | None = None,
        *,
        date: str | None = None,
        annotated: bool = False,
    ) -> str:
        """Create or move a tag, to a commit or to a new one of that date; returns the commit."""
        repository = self.repository(full_name)
        if sha is None:
            sha = self.add_commit(full_name, {"VERSION": f"{tag}\n"}, f"Release {tag}", date=date)
        target = sha
        if annotated:
            tagger = self.identity(repository.owner, date)
            target = repository.objects.tag(tag, sha, tagger, f"{tag}\n")
        self.set_ref(repository, f"refs/tags/{tag}", target)
        return sha

    def set_ref(self, repository: Repository, ref: str, sha: str) -> None:
        """Create or move a ref."""
        if ref not in repository.ref_ids:
            repository.ref_ids[ref] = (self.number(), self.clock())
        repository.refs[ref] = sha
        repository.pushed_at = self.now()
        self.changed(repository)

    def delete_ref(self, repository: Repository, ref: str) -> None:
        """Delete a ref; the published release of a deleted tag becomes a draft."""
        del repository.refs[ref]
        repository.ref_ids.pop(ref, None)
        orphan = repository.published(ref.removeprefix("refs/tags/"))
        if ref.startswith("refs/tags/") and orphan is not None:
            orphan.draft = True
        self.changed(repository, orphan)

    def run_workflows(self, repository: Repository, event: str, ref: str) -> None:
        """Record that an event started workflows, if Actions is enabled and the commit has any."""
        if repository.actions_enabled and repository.workflows(repository.refs[ref]):
            repository.runs.append(f"{event} {ref}")
