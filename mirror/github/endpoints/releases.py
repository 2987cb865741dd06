"""The REST endpoints that a mirror needs, from values of the domain to JSON and back.

Source: https://docs.github.com/rest and GitHub's OpenAPI descriptions of GitHub Enterprise Server.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import structlog

from mirror.concurrency import together
from mirror.core.domain.release import fingerprint
from mirror.core.host import Listing, OwnerListing
from mirror.core.retry import LAG, polling
from mirror.errors import (
    AuthError,
    BadAnswer,
    NotFound,
    ValidationFailed,
)
from mirror.github.answers import (
    ActionsPermissions,
    AssetAnswer,
    Commit,
    FileAnswer,
    FileCommit,
    Named,
    Reference,
    References,
    ReleaseAnswer,
    RepositoryAnswer,
    TagAnswer,
    User,
)
from mirror.github.endpoints.assets import AssetSink, AssetSource, open_archive
from mirror.github.pages import MOST_TAG_PAGES, PER_PAGE, PageReader, not_endless

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from mirror.core.domain.policy import Visibility
    from mirror.core.domain.release import Asset, Release, RepoRef, Repository
    from mirror.core.domain.source_archives import SourceArchive
    from mirror.core.host import Received, RepositoryWriter
    from mirror.core.ledger.document import PageProof
    from mirror.github.client import GitHubClient

T = TypeVar("T")

AUTHOR = "release-mirror"
AUTHOR_ADDRESS = "release-mirror@users.noreply.invalid"

SMALL_PAGE = 30
"""Releases per page for a host that times out on larger pages."""
_FEW_TAGS = 4
_DEEPEST_TAG = 5
_REFUSALS = (AuthError, NotFound, ValidationFailed)
"""The server refuses; a rate limit, also a 403, is not among them."""


log = structlog.get_logger(__name__)


class ReleaseStore:
    """Releases, assets and what belongs to them, at one host: reads and writes them.

    Every method raises a :class:`~mirror.errors.GitHubError` if the host refuses or is unreachable;
    the errors below are documented in addition.
    """

    def __init__(self, client: GitHubClient) -> None:
        self.client = client
        self._host = client.name
        self._releases = PageReader(client, "releases", ReleaseAnswer, fingerprint)
        self._assets = PageReader(client, "release assets", AssetAnswer, lambda _: "")
        self._repositories = PageReader(
            client, "repositories", RepositoryAnswer, _repositories_print
        )
        self._login: str | None = None
        self._login_known = False
        self._owners: dict[str, bool] = {}
        self._checking_owner = asyncio.Lock()

    # --- reading ---------------------------------------------------------------------------------

    async def list_releases(self, repo: RepoRef, proofs: Sequence[PageProof] = ()) -> Listing:
        """List all releases, including drafts if the token may write.

        Args:
            repo: The repository.
            proofs: ``Listing.pages`` of an earlier listing with the same credential. While they
                hold, the listing is only ``unchanged``, with one conditional request per page.

        Source: https://docs.github.com/rest/releases/releases ("List releases"); the list is cut
        after some thousands (https://github.com/Azure/azure-sdk-tools/issues/9395). A page that
        takes too long gets an error ("Timeouts" in
        https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api), so smaller
        pages are requested in the second half of the attempts.
        """
        address = self._address(f"repos/{repo}/releases?per_page=")
        pages = await self._releases.read(
            f"{address}{PER_PAGE}", proofs, easier=f"{address}{SMALL_PAGE}"
        )
        if pages.unchanged:
            return Listing((), pages.proofs, unchanged=True)
        releases = {release.id: release for release in pages.items}
        return Listing(
            releases=tuple([await self._with_all_assets(repo, r) for r in releases.values()]),
            pages=pages.proofs,
            complete=pages.complete,
            redirected_to=pages.redirected_to,
        )

    async def _with_all_assets(self, repo: RepoRef, release: Release) -> Release:
        """List the assets of a release whose embedded list may be cut at a page's size.

        Source: https://github.com/hub4j/github-api/issues/1750 (the API does not promise that all
        are embedded).
        """
        count = len(release.assets)
        if not (count >= 30 and (count % 30 == 0 or count % 100 == 0 or count >= 1000)):
            return release
        return replace(release, assets=await self.assets(repo, release.id))

    async def release(self, repo: RepoRef, number: int) -> Release:
        """Read a release, draft or not.

        Raises:
            NotFound: It is not there, or the token may not see it.
        """
        found = await self._get(f"repos/{repo}/releases/{number}", ReleaseAnswer)
        return await self._with_all_assets(repo, found.value())

    async def latest(self, repo: RepoRef) -> int | None:
        """The id of the host's latest release; ``None`` if there is none."""
        try:
            return (await self._get(f"repos/{repo}/releases/latest", ReleaseAnswer)).id
        except NotFound:
            return None

    async def assets(self, repo: RepoRef, release: int) -> tuple[Asset, ...]:
        """List all assets of a release, including incomplete ones."""
        path = f"repos/{repo}/releases/{release}/assets?per_page={PER_PAGE}"
        pages = await self._assets.read(self._address(path))
        if not pages.complete:
            raise BadAnswer(
                f"{self._host}: the assets of release {release} of {repo} are not listed to the end",
                host=self._host,
            )
        return tuple({asset.id: asset for asset in pages.items}.values())

    async def asset(self, repo: RepoRef, number: int) -> Asset | None:
        """Read an asset; ``None`` if it does not exist."""
        try:
            path = f"repos/{repo}/releases/assets/{number}"
            return (await self._get(path, AssetAnswer)).value()
        except NotFound:
            return None

    async def repository(self, repo: RepoRef) -> Repository:
        """Read a repository, under its current name if it was renamed; see :meth:`is_empty`.

        Raises:
            NotFound: It does not exist, or the token may not see it.
        """
        return (await self._get(f"repos/{repo}", RepositoryAnswer)).value()

    async def is_empty(self, repository: Repository) -> bool:
        """Whether a repository has no commit; its ``size`` is updated too late to tell.

        Source: https://docs.github.com/rest/git/refs ("409: Conflict" for an empty repository). Other
        servers that speak this API answer 404: the branch that every first commit makes is missing.
        """
        branch = quote(repository.default_branch or "main", safe="")
        try:
            await self.client.get(f"repos/{repository.ref}/git/ref/heads/{branch}")
        except NotFound:
            return True
        except ValidationFailed as error:
            if error.status != 409:
                raise
            return True
        return False

    async def owner_repositories(
        self, owner: str, proofs: Sequence[PageProof] = ()
    ) -> OwnerListing:
        """List the repositories of an organization, or else of a user, that the token may see.

        Args:
            owner: The organization's or the user's name.
            proofs: As for :meth:`list_releases`.

        Raises:
            NotFound: There is no such owner.
        """
        name = quote(owner, safe="")
        organization, user, own = (
            self._address(f"{path}per_page={PER_PAGE}")
            for path in (
                f"orgs/{name}/repos?type=all&",
                f"users/{name}/repos?type=owner&",
                "user/repos?affiliation=owner&",
            )
        )
        if proofs and proofs[0].url in {user, own}:
            organization = proofs[0].url
        try:
            pages = await self._repositories.read(organization, proofs)
        except NotFound:
            login = await self.login() or ""
            # A user's own private repositories are in no other list.
            first = own if login.casefold() == owner.casefold() else user
            pages = await self._repositories.read(first, proofs)
        found = {repository.id: repository for repository in pages.items}
        return OwnerListing(
            tuple(found.values()), pages.proofs, unchanged=pages.unchanged, complete=pages.complete
        )

    async def login(self) -> str | None:
        """The user of the token; ``None`` without a token, and for an installation of an App."""
        if not self._login_known and self.client.fingerprint != "anonymous":
            try:
                self._login = (await self._get("user", User)).login
            except (AuthError, NotFound) as error:
                if error.status == 401:
                    raise
                log.debug("github.no_user", host=self._host, error=str(error))
            self._login_known = True
        return self._login

    def read_asset(
        self, repo: RepoRef, asset: Asset, *, etag: str = "", repeated: bool = False
    ) -> AssetSource:
        """The bytes of an asset."""
        return AssetSource(self.client, repo, asset, etag=etag, repeated=repeated)

    def read_archive(
        self, repo: RepoRef, archive: SourceArchive, *, repeated: bool = False
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The archive of a tag."""
        return open_archive(self.client, repo, archive, repeated=repeated)

    # --- tags and commits ------------------------------------------------------------------------

    async def tags(self, repo: RepoRef, names: Collection[str]) -> dict[str, str]:
        """The commits of tags, peeled; a tag that is not there is left out.

        Few are looked up each by itself, more in the list of all tags.
        """
        wanted = set(names)
        try:
            if len(wanted) <= _FEW_TAGS:
                names = sorted(wanted)
                commits = await together(*(self._tag(repo, name) for name in names))
                return {name: sha for name, sha in zip(names, commits, strict=True) if sha}
            return await self._listed_tags(repo, wanted)
        except ValidationFailed as error:
            if error.status == 409:  # "Git Repository is empty."
                return {}
            raise

    async def _listed_tags(self, repo: RepoRef, wanted: set[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        first = self._address(f"repos/{repo}/tags?per_page={PER_PAGE}")
        address: str | None = first
        seen: set[str] = set()
        while address is not None and len(found) < len(wanted):
            not_endless("tags", self._host, address, seen, MOST_TAG_PAGES)
            answer = await self.client.get(address, shape=list[TagAnswer], about=first)
            found.update((t.name, t.commit.sha) for t in answer.data if t.name in wanted)
            address = answer.next
        return found

    async def _tag(self, repo: RepoRef, name: str) -> str | None:
        """One tag's commit.

        Old servers answer with a list of all references that begin so.

        Source: https://docs.github.com/rest/git/refs and https://docs.github.com/rest/git/tags
        """
        ref = await self._ref(repo, name)
        for _ in range(_DEEPEST_TAG):
            if ref is None:
                return None
            if ref.object.type != "tag":
                return ref.object.sha
            ref = await self._get(f"repos/{repo}/git/tags/{ref.object.sha}", Reference)
        return None

    async def _ref(self, repo: RepoRef, tag: str) -> Reference | None:
        """A tag's reference; ``None`` where there is no such tag."""
        path = f"repos/{repo}/git/ref/tags/{quote(tag, safe='')}"
        try:
            found: References = (await self.client.get(path, shape=References)).data
        except NotFound:
            return None
        if isinstance(found, Reference):
            return found
        return next((ref for ref in found if ref.ref == f"refs/tags/{tag}"), None)

    async def has_commit(self, repo: RepoRef, sha: str) -> bool:
        """Whether a commit (its full name) is in a repository."""
        try:
            await self.client.get(f"repos/{repo}/git/commits/{quote(sha, safe='')}")
        except NotFound:
            return False
        except ValidationFailed as error:
            if error.status in {409, 422}:  # empty; not the name of a commit
                return False
            raise
        return True

    async def head(self, repo: RepoRef, branch: str) -> tuple[str, str]:
        """The commit at the end of a branch, and its tree.

        Raises:
            NotFound: There is no such branch.
            ValidationFailed: The repository is empty (409).
        """
        path = f"repos/{repo}/git/ref/heads/{quote(branch, safe='')}"
        commit = (await self._get(path, Reference)).object.sha
        return commit, (await self._get(f"repos/{repo}/git/commits/{commit}", Commit)).tree.sha

    async def create_commit(
        self,
        repo: RepoRef,
        message: str,
        tree: str,
        parents: Sequence[str],
        date: datetime,
    ) -> str:
        """Create a commit that is on no branch yet; its name.

        Author and date are fixed, so that sending it twice creates the same commit.
        """
        person = {"name": AUTHOR, "email": AUTHOR_ADDRESS, "date": _iso(date)}
        body = {
            "message": message,
            "tree": tree,
            "parents": list(parents),
            "author": person,
            "committer": person,
        }
        path = f"repos/{repo}/git/commits"
        made: Named = (await self.client.post(path, body, repeatable=True, shape=Named)).data
        return made.sha

    async def create_tag(self, repo: RepoRef, tag: str, sha: str) -> None:
        """Create a lightweight tag; it may exist already at the same commit.

        Raises:
            ValidationFailed: The tag is at another commit, or a rule forbids it.
        """

        async def settle() -> Reference | None:
            ref = await self._ref(repo, tag)
            return ref if ref and ref.object.sha == sha else None

        body = {"ref": f"refs/tags/{tag}", "sha": sha}
        path = f"repos/{repo}/git/refs"
        try:
            await self.client.post(path, body, settle=settle, shape=Reference)
        except ValidationFailed as error:
            exists = error.reason in {"already-exists", "reference-exists"}
            if not exists or await self._tag(repo, tag) != sha:
                raise

    @property
    def repositories(self) -> RepositoryWriter:
        """A server's releases need repositories and tags."""
        return self

    # --- writing: repositories -------------------------------------------------------------------

    async def check_owner(self, owner: str) -> None:
        """See that an organization or user exists; each is asked for once.

        Whether the token may create repositories there only an attempt can tell.

        Source: https://docs.github.com/rest/users/users#get-a-user

        Raises:
            NotFound: There is no such account.
        """
        key = owner.casefold()
        async with self._checking_owner:
            if key not in self._owners:
                self._owners[key] = await self._owner_exists(owner)
        if not self._owners[key]:
            raise NotFound(
                f"{self._host}: there is no organization or user {owner}",
                host=self._host,
                status=404,
                hint="create-owner",
            )

    async def _owner_exists(self, owner: str) -> bool:
        try:
            await self.client.get(f"users/{quote(owner, safe='')}")
        except NotFound:
            return False
        except AuthError as error:  # a credential that may not see it says nothing of it
            if error.status == 401:
                raise
        return True

    async def create_repository(
        self, repo: RepoRef, visibility: Visibility, description: str
    ) -> Repository:
        """Create an empty repository for an organization, or for the token's own user.

        Raises:
            NotFound: There is no such owner, or the token may not create repositories there.
        """
        body = {
            "name": repo.name,
            "description": description,
            "private": visibility != "public",
        }

        async def settle() -> RepositoryAnswer | None:
            try:
                return await self._get(f"repos/{repo}", RepositoryAnswer)
            except NotFound:
                return None

        async def create(path: str, body: Mapping[str, object]) -> Repository:
            answer = await self.client.post(path, body, settle=settle, shape=RepositoryAnswer)
            made: RepositoryAnswer = answer.data
            return replace(made.value(), empty=True)

        organization = f"orgs/{quote(repo.owner, safe='')}/repos"
        try:
            await self.check_owner(repo.owner)  # as a plan does, which counts its requests
            try:
                return await create(organization, {**body, "visibility": visibility})
            except NotFound:
                # Nearly always an organization; the user's own repositories have another endpoint.
                if (await self.login() or "").casefold() != repo.owner.casefold():
                    raise
                return await create("user/repos", body)
        except (NotFound, AuthError) as error:
            if error.status == 401:
                raise
            raise type(error)(
                f"{self._host}: the repository {repo} cannot be created: the owner {repo.owner}"
                f" does not exist, or the token may not create repositories there ({error})",
                host=error.host,
                status=error.status,
                request_id=error.request_id,
                hint=error.hint or "create-owner",
            ) from None

    async def disable_actions(self, repo: RepoRef) -> bool:
        """Turn GitHub Actions off; whether the server allowed it.

        Source: https://docs.github.com/rest/actions/permissions (409 where the owner decides)
        """
        try:
            await self.client.put(f"repos/{repo}/actions/permissions", {"enabled": False})
        except _REFUSALS as error:
            if error.status in {403, 404, 409}:
                return False
            raise
        return True

    async def actions_enabled(self, repo: RepoRef) -> bool | None:
        """Whether GitHub Actions is on; ``None`` if the server does not say."""
        try:
            path = f"repos/{repo}/actions/permissions"
            return (await self._get(path, ActionsPermissions)).enabled
        except _REFUSALS as error:
            if error.status in {403, 404, 409}:
                return None
            raise

    async def first_commit(
        self, repo: RepoRef, path: str, text: str, message: str
    ) -> tuple[str, str]:
        """Create a file in an empty repository, and with it the default branch; commit and tree.

        Source: https://docs.github.com/rest/repos/contents ("Create or update file contents")
        """
        body = {"message": message, "content": base64.b64encode(text.encode()).decode()}
        try:
            answer = await self.client.put(
                f"repos/{repo}/contents/{quote(path)}", body, shape=FileCommit
            )
        except ValidationFailed:
            # Repeated after a lost response, it is refused because the file exists now.
            if await self.read_file(repo, path) != text:
                raise
            branch = (await self.repository(repo)).default_branch
            return await self.head(repo, branch)
        commit: Commit = answer.data.commit
        return commit.sha, commit.tree.sha

    async def read_file(self, repo: RepoRef, path: str) -> str | None:
        """Read a text file of the default branch; ``None`` if it does not exist."""
        try:
            return (await self._get(f"repos/{repo}/contents/{quote(path)}", FileAnswer)).content
        except NotFound:
            return None

    # --- writing: releases and assets ------------------------------------------------------------

    async def create_release(
        self, repo: RepoRef, fields: Mapping[str, object], marker: str
    ) -> Release:
        """Create a draft.

        One tag may have several drafts, so after a lost response the marker is searched for, for
        half a minute: a new draft appears in the list with a delay.

        Args:
            repo: The repository.
            fields: ``tag_name`` and others of the API; ``draft`` is set.
            marker: A text in ``fields["body"]`` that is unique in the repository.

        Source: https://docs.github.com/rest/releases/releases ("Create a release") and
        https://github.com/thiscallnet/Xtra/issues/167 (the list lags).
        """
        body = {**_release_fields(fields), "draft": True}

        async def settle() -> ReleaseAnswer | None:
            look = partial(self._draft, repo, str(fields["tag_name"]), marker)
            return await polling(look, lambda found: found is not None, LAG, self.client.clock)

        path = f"repos/{repo}/releases"
        answer = await self.client.post(path, body, settle=settle, shape=ReleaseAnswer)
        made: ReleaseAnswer = answer.data
        return made.value()

    async def _draft(self, repo: RepoRef, tag: str, marker: str) -> ReleaseAnswer | None:
        address: str | None = f"repos/{repo}/releases?per_page={PER_PAGE}"
        while address is not None:
            answer = await self.client.get(address, shape=list[ReleaseAnswer])
            releases: list[ReleaseAnswer] = answer.data
            for release in releases:
                if release.draft and release.tag_name == tag and marker in (release.body or ""):
                    return release
            address = answer.next
        return None

    async def update_release(
        self, repo: RepoRef, number: int, fields: Mapping[str, object]
    ) -> Release:
        """Change a release. Always include ``tag_name``: a draft may lose its tag without it.

        Source: https://docs.github.com/rest/releases/releases ("Update a release")
        """
        path = f"repos/{repo}/releases/{number}"
        answer = await self.client.patch(path, _release_fields(fields), shape=ReleaseAnswer)
        changed: ReleaseAnswer = answer.data
        return changed.value()

    async def delete_release(self, repo: RepoRef, number: int) -> None:
        """Delete a release; its tag stays.

        Raises:
            NotFound: It did not exist.
        """
        await self.client.delete(f"repos/{repo}/releases/{number}")

    async def update_asset(
        self, repo: RepoRef, number: int, *, name: str | None = None, label: str | None = None
    ) -> Asset:
        """Rename an asset, or change its label; the host may choose another name, see the result."""
        fields = {
            key: value for key, value in {"name": name, "label": label}.items() if value is not None
        }
        path = f"repos/{repo}/releases/assets/{number}"
        changed: AssetAnswer = (await self.client.patch(path, fields, shape=AssetAnswer)).data
        return changed.value()

    async def delete_asset(self, repo: RepoRef, number: int) -> None:
        """Delete an asset.

        Raises:
            NotFound: It did not exist.
        """
        await self.client.delete(f"repos/{repo}/releases/assets/{number}")

    def write_asset(
        self,
        repo: RepoRef,
        release: Release,
        asset: Asset,
        name: str,
        label: str,
        *,
        repeated: bool = False,
    ) -> AssetSink:
        """A place for a new asset of a release, which knows where that is."""
        del repo
        return AssetSink(
            self.client, release.upload_url, name, label, asset.content_type, repeated=repeated
        )

    async def receive(self, repo: RepoRef, received: Received) -> None:
        """A server's releases say all that there is to know."""

    # ---------------------------------------------------------------------------------------------

    def _address(self, path: str) -> str:
        return self.client.address(path)

    async def _get(self, path: str, shape: type[T]) -> T:
        found: T = (await self.client.get(path, shape=shape)).data
        return found


def _release_fields(fields: Mapping[str, object]) -> dict[str, object]:
    """The API expects ``make_latest`` as a string, not as a boolean.

    Source: https://docs.github.com/rest/releases/releases ("Can be one of: true, false, legacy")
    """
    latest = fields.get("make_latest")
    if isinstance(latest, bool):
        return {**fields, "make_latest": "true" if latest else "false"}
    return dict(fields)


def _repositories_print(repositories: Iterable[Repository]) -> str:
    facts = [[str(r.ref), r.id, r.private, r.fork, r.archived] for r in repositories]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _iso(date: datetime) -> str:
    return date.strftime("%Y-%m-%dT%H:%M:%SZ")
