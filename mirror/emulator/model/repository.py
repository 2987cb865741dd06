"""A repository: git objects and refs, releases and settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mirror.emulator.model.git_objects import Objects

if TYPE_CHECKING:
    from mirror.emulator.model.accounts import Account
    from mirror.emulator.model.release_records import Release

_WORKFLOWS = ".github/workflows"


@dataclass(frozen=True, slots=True)
class PushRule:
    """Refs that nobody may push.

    Attributes:
        refs: A pattern such as `refs/tags/v1*`.
        reason: What git reports for each ref.
        message: Lines for people.
    """

    refs: str
    reason: str = "push declined due to repository rule violations"
    message: str = "error: GH013: Repository rule violations found."


@dataclass(slots=True, eq=False)
class Repository:
    """A repository.

    Attributes:
        latest_id: The release that `make_latest` chose; `None` lets the dates decide.
        objects: Its git objects.
        ref_ids: Number and time under which each ref was made: which one is newer.
        burned_tags: Tags of deleted immutable releases, which are never used again.
        push_rules: What is refused of a push.
        runs: Workflows that a push or a publication started, as `push refs/tags/v1`.
    """

    id: int
    owner: Account
    name: str
    visibility: str
    created_at: str
    pushed_at: str
    archived: bool = False
    fork: bool = False
    default_branch: str = "main"
    description: str | None = None
    actions_enabled: bool = True
    immutable_releases: bool = False
    latest_id: int | None = None
    objects: Objects = field(default_factory=Objects)
    refs: dict[str, str] = field(default_factory=dict)
    ref_ids: dict[str, tuple[int, float]] = field(default_factory=dict)
    releases: dict[int, Release] = field(default_factory=dict)
    burned_tags: list[str] = field(default_factory=list)
    push_rules: list[PushRule] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        """`owner/name`."""
        return f"{self.owner.login}/{self.name}"

    @property
    def private(self) -> bool:
        """The API's `private`, which is true for an internal repository as well."""
        return self.visibility != "public"

    @property
    def empty(self) -> bool:
        """Whether it has no commit."""
        return not self.refs

    def head(self) -> str | None:
        """The commit of the default branch."""
        return self.refs.get(f"refs/heads/{self.default_branch}")

    def tag_commit(self, tag: str) -> str | None:
        """The commit of a tag, peeled."""
        sha = self.refs.get(f"refs/tags/{tag}")
        return self.objects.peel(sha) if sha else None

    def tag_date(self, tag: str) -> str | None:
        """The date of a tag's commit."""
        commit = self.tag_commit(tag)
        return self.objects.read_commit(commit).committer.date if commit else None

    def resolve(self, ref: str) -> str | None:
        """The commit of a branch, a tag, a full ref or a full SHA."""
        for name in (f"refs/heads/{ref}", f"refs/tags/{ref}", f"refs/{ref}", ref):
            if (sha := self.refs.get(name)) is not None:
                return self.objects.peel(sha)
        if ref == "HEAD":
            return self.head()
        return self.objects.peel(ref) if self.objects.kind(ref) else None

    def workflows(self, sha: str) -> dict[str, str]:
        """The workflow files of a commit, or of the commit that a tag leads to: path → blob."""
        commit = self.objects.peel(sha)
        root = self.objects.read_commit(commit).tree if commit else None
        entry = self.objects.find(root, _WORKFLOWS) if root else None
        if entry is None or entry.kind != "tree":
            return {}
        return {f"{_WORKFLOWS}/{path}": file.sha for path, file in self.objects.walk(entry.sha)}

    def published(self, tag: str) -> Release | None:
        """The published release of a tag."""
        return next((r for r in self.releases.values() if r.tag == tag and not r.draft), None)

    def latest(self, *, without: Release | None = None) -> Release | None:
        """What `/releases/latest` shows: the chosen one, else the newest by its tag's commit."""
        releases = (r for r in self.releases.values() if r is not without)
        candidates = [r for r in releases if not r.draft and not r.prerelease]
        chosen = [r for r in candidates if r.id == self.latest_id]
        return chosen[0] if chosen else max(candidates, key=lambda r: r.order, default=None)
