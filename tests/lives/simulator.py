"""A GitHub host in memory, which knows the REST API's rules for releases and nothing of a mirror.

It shares no line with the program or with its emulator, so that a mistake in one cannot hide a
mistake in the other. People act on it through the same methods as the API does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
"""Second 0 of every simulated clock."""

MIRROR, PEOPLE = "mirror", "people"

FULL_PAGE = 100
"""Items of a page that a client asks for; smaller ones are this host's own idea."""
"""Who writes: the program under test, or anybody else."""

_TRANSLITERATED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "é": "e"})
_SPECIAL = re.compile(r"[^A-Za-z0-9._+-]+")


def _dots(name: str) -> str:
    return re.sub(r"\.{2,}", ".", _SPECIAL.sub(".", name)).strip(".")


NAMINGS: dict[str, Callable[[str], str]] = {
    "kept": lambda name: name,
    "dots": _dots,
    "transliterated": lambda name: _dots(name.translate(_TRANSLITERATED)),
    "dashes": lambda name: _SPECIAL.sub("-", name),
    "dropped": lambda name: _SPECIAL.sub("", name),
}
"""What a server makes of the name of an asset."""


@dataclass
class Rules:
    """How one host behaves.

    Attributes:
        digests: Assets have a ``digest``.
        naming: What becomes of a name that is uploaded; a key of :data:`NAMINGS`.
        renaming: What becomes of a name that an asset is given later.
        lag: Seconds by which lists are behind.
        lags_whole: Changes and deletions are late in lists, too, and not only what is new.
        page: The most items of a page.
        limit: The most assets of a release.
        writers: Who may write, and sees drafts.
    """

    digests: bool = True
    naming: str = "dots"
    renaming: str = "dots"
    lag: float = 0.0
    lags_whole: bool = False
    page: int = 100
    limit: int = 1000
    writers: frozenset[str] = frozenset({MIRROR, PEOPLE})


@dataclass
class Asset:
    """An asset; the bytes behind an id never change."""

    id: int
    name: str
    data: bytes
    by: str
    created: float
    updated: float
    label: str = ""
    state: str = "uploaded"
    content_type: str = "application/octet-stream"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass
class Release:
    """A release; ``committed`` is the date of its tag's commit."""

    id: int
    tag: str
    by: str
    created: float
    committed: float
    name: str = ""
    body: str = ""
    draft: bool = False
    prerelease: bool = False
    published: float | None = None
    latest: str = "true"
    assets: dict[int, Asset] = field(default_factory=dict)

    def named(self, name: str) -> Asset | None:
        """The asset of a name."""
        return next((asset for asset in self.assets.values() if asset.name == name), None)


class Change(NamedTuple):
    """Something that was done.

    Attributes:
        kind: upload, asset, delete-asset, create, release, delete-release or publish.
    """

    by: str
    kind: str
    release: Release
    asset: Asset | None = None


class Refused(Exception):
    """The server understood, and will not."""

    def __init__(
        self, status: int, message: str, resource: str = "", code: str = "", **error: str
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        more = {"message": error.pop("detail")} if "detail" in error else {}
        self.errors = [{"resource": resource, "code": code, **error, **more}] if code else []


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes = b""


def json_answer(status: int, data: object, headers: Mapping[str, str] | None = None) -> Answer:
    kind = {"Content-Type": "application/json; charset=utf-8"}
    return Answer(status, {**kind, **(headers or {})}, json.dumps(data).encode())


class Host:
    """One host with one repository of interest.

    Args:
        url: Its web address.
        repo: ``OWNER/NAME``.
        clock: Seconds since :data:`START`.
        first_id: Ids count up from here, so that those of two hosts are never equal.
    """

    def __init__(
        self, url: str, repo: str, rules: Rules, clock: Callable[[], float], first_id: int
    ) -> None:
        self.url = url
        self.repo = repo
        self.rules = rules
        self.exists = False
        self.releases: dict[int, Release] = {}
        self.tags: dict[str, str] = {}
        self.commits: dict[str, float] = {}
        self.branch: str | None = None
        self.files: dict[str, str] = {}
        self.description = ""
        self.actions = True
        self.watchers: list[Callable[[Change], None]] = []
        self.now = clock
        self._next = first_id
        self._repository_id = first_id + 900_000
        self._states: list[tuple[float, list[Release]]] = []

    # -- what anybody may do ----------------------------------------------------------------------

    def found(self, description: str = "") -> None:
        """Make the repository, empty."""
        self.exists = True
        self.description = description

    def commit(self, text: str, date: float) -> str:
        """Make a commit; the same text and date give the same one."""
        sha = hashlib.sha1(f"{text}{date}".encode(), usedforsecurity=False).hexdigest()
        self.commits[sha] = date
        return sha

    def push_tag(self, tag: str, sha: str, date: float) -> None:
        """A tag with its commit arrives by git."""
        self.commits[sha] = date
        self.tags[tag] = sha
        self.branch = self.branch or sha

    def create(self, by: str, tag: str, **fields: Any) -> Release:
        """Create a release.

        Raises:
            Refused: A published release of the tag is there, or the repository is empty.
        """
        if self.branch is None:
            raise Refused(422, "Validation Failed", resource="Release", code="custom",
                          detail="Repository is empty.")  # fmt: skip
        now = self.now()
        draft = bool(fields.get("draft"))
        if not draft:
            self._free_tag(tag, 0)
        release = Release(self._id(), tag, by, now, now, draft=draft)
        release.name = fields.get("name") or ""
        release.body = fields.get("body") or ""
        release.prerelease = bool(fields.get("prerelease"))
        release.latest = str(fields.get("make_latest") or "true")
        self.releases[release.id] = release
        if not draft:
            self._publish(release)
        self._tell(Change(by, "create" if draft else "publish", release))
        return release

    def edit(self, by: str, number: int, **fields: Any) -> Release:
        """Change a release; a draft whose tag is not named may lose it."""
        release = self.release(number)
        publishes = release.draft and fields.get("draft") is False
        tag = fields.get("tag_name", release.tag)
        if release.draft and "tag_name" not in fields and "draft" not in fields:
            tag = f"untagged-{hashlib.sha256(str(self._id()).encode()).hexdigest()[:20]}"
        if publishes or (not release.draft and tag != release.tag):
            self._free_tag(tag, release.id)
        prerelease = fields.get("prerelease", release.prerelease)
        stays_draft = release.draft and not publishes
        if fields.get("make_latest") == "true" and (stays_draft or prerelease):
            raise Refused(422, "Latest release cannot be draft or prerelease")
        release.tag = tag
        release.name = fields.get("name", release.name) or ""
        release.body = fields.get("body", release.body) or ""
        release.prerelease = bool(prerelease)
        if latest := fields.get("make_latest"):
            release.latest = str(latest)
            if latest == "true":
                self._only_latest(release)
        if publishes:
            release.draft = False
            self._publish(release)
        self._tell(Change(by, "publish" if publishes else "release", release))
        return release

    def delete(self, by: str, number: int) -> None:
        """Delete a release; its tag stays."""
        release = self.release(number)
        del self.releases[number]
        self._tell(Change(by, "delete-release", release))

    def upload(self, by: str, number: int, name: str, data: bytes, label: str = "") -> Asset:
        """Attach a file.

        Raises:
            Refused: Its name is taken, it is empty, or the release is full.
        """
        release = self.release(number)
        if not data:
            raise Refused(400, "Bad Content-Length: 0")
        called = NAMINGS[self.rules.naming](name) or "default"
        if release.named(called):
            raise Refused(422, "Validation Failed", resource="ReleaseAsset", code="already_exists",
                          field="name")  # fmt: skip
        if len(release.assets) >= self.rules.limit:
            raise Refused(422, "Validation Failed", resource="ReleaseAsset", code="custom",
                          field="file_count",
                          detail=f"file_count limited to {self.rules.limit} assets per release")  # fmt: skip
        now = self.now()
        asset = Asset(self._id(), called, data, by, now, now, label)
        release.assets[asset.id] = asset
        self._tell(Change(by, "upload", release, asset))
        return asset

    def break_upload(self, by: str, number: int, name: str) -> None:
        """An upload breaks off: what it leaves has the name and none of the bytes."""
        release = self.releases.get(number)
        called = NAMINGS[self.rules.naming](name) or "default"
        if release and not release.named(called) and len(release.assets) < self.rules.limit:
            now = self.now()
            asset = Asset(self._id(), called, b"", by, now, now, state="starter")
            release.assets[asset.id] = asset
            self._tell(Change(by, "upload", release, asset))

    def edit_asset(
        self, by: str, number: int, name: str | None = None, label: str | None = None
    ) -> Asset:
        """Rename or relabel an asset.

        Raises:
            Refused: Another asset of the release has the name.
        """
        release, asset = self.asset(number)
        if name is not None:
            called = NAMINGS[self.rules.renaming](name) or "default"
            other = release.named(called)
            if other and other is not asset:
                raise Refused(422, "Validation Failed", resource="ReleaseAsset",
                              code="already_exists", field="name")  # fmt: skip
            asset.name = called
        if label is not None:
            asset.label = label
        asset.updated = self.now()
        self._tell(Change(by, "asset", release, asset))
        return asset

    def delete_asset(self, by: str, number: int) -> None:
        """Delete an asset."""
        release, asset = self.asset(number)
        del release.assets[number]
        self._tell(Change(by, "delete-asset", release, asset))

    # -- what anybody may see ---------------------------------------------------------------------

    def release(self, number: int) -> Release:
        """A release by its id."""
        found = self.releases.get(number)
        if found is None:
            raise Refused(404, "Not Found")
        return found

    def asset(self, number: int) -> tuple[Release, Asset]:
        """An asset by its id, and its release."""
        for release in self.releases.values():
            if number in release.assets:
                return release, release.assets[number]
        raise Refused(404, "Not Found")

    def published(self, tag: str) -> Release | None:
        """The published release of a tag."""
        found = (r for r in self.releases.values() if r.tag == tag and not r.draft)
        return next(found, None)

    def latest(self) -> Release | None:
        """What the host calls the latest release."""
        full = [r for r in self.releases.values() if not (r.draft or r.prerelease)]
        marked = [r for r in full if r.latest == "chosen"]
        if marked:
            return marked[0]
        unmarked = [r for r in full if r.latest != "false"] or full
        return max(unmarked, key=lambda r: (r.committed, r.id), default=None)

    # -- inside -----------------------------------------------------------------------------------

    def _id(self) -> int:
        self._next += 1
        return self._next

    def _free_tag(self, tag: str, number: int) -> None:
        other = self.published(tag)
        if other and other.id != number:
            raise Refused(422, "Validation Failed", resource="Release", code="already_exists",
                          field="tag_name")  # fmt: skip

    def _publish(self, release: Release) -> None:
        release.published = self.now()
        if release.tag not in self.tags and self.branch:
            self.tags[release.tag] = self.branch
        release.committed = self.commits.get(self.tags.get(release.tag, ""), release.created)
        if release.latest == "true" and not release.prerelease:
            self._only_latest(release)

    def _only_latest(self, release: Release) -> None:
        for other in self.releases.values():
            if other.latest == "chosen":
                other.latest = "legacy"
        release.latest = "chosen"

    def _tell(self, change: Change) -> None:
        if self.rules.lag and self.rules.lags_whole:
            self._states.append((self.now(), [_copy(r) for r in self.releases.values()]))
        for watcher in self.watchers:
            watcher(change)

    def listed(self) -> list[Release]:
        """All releases as the lists show them, which may be behind."""
        lag = self.rules.lag
        if not lag:
            return list(self.releases.values())
        moment = self.now() - lag
        if self.rules.lags_whole:
            while len(self._states) > 1 and self._states[1][0] <= moment:
                self._states.pop(0)
            shown = self._states and self._states[0][0] <= moment
            return self._states[0][1] if shown else []
        seen = [_copy(r) for r in self.releases.values() if r.created <= moment]
        for release in seen:
            release.assets = {a.id: a for a in release.assets.values() if a.created <= moment}
        return seen

    # -- the REST API -----------------------------------------------------------------------------

    def handle(
        self,
        who: str,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
    ) -> Answer:
        """Answer one request."""
        try:
            answer = self._route(who, method, path, query, headers, body)
        except Refused as error:
            answer = json_answer(
                error.status, {"message": error.message, "errors": error.errors} if error.errors
                else {"message": error.message},
            )  # fmt: skip
        answer.headers["X-GitHub-Enterprise-Version"] = "3.17.2"
        if method == "GET" and answer.status == 200 and "ETag" not in answer.headers:
            etag = f'W/"{hashlib.sha256(answer.body).hexdigest()}"'
            if headers.get("If-None-Match") == etag:
                same = {"ETag": etag, "X-GitHub-Enterprise-Version": "3.17.2"}
                # Without pages of the size that was asked for, nothing would tell of a next one.
                if self.rules.page < FULL_PAGE and "Link" in answer.headers:
                    same["Link"] = answer.headers["Link"]
                return Answer(304, same)
            answer.headers["ETag"] = etag
        return answer

    def _route(
        self,
        who: str,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
    ) -> Answer:
        uploads = path.startswith("/api/uploads/")
        parts = [unquote(part) for part in path.split("/")[3:]]
        if parts == ["meta"]:
            return json_answer(200, {"installed_version": "3.17.2"})
        if parts in (["user"], ["users", self.repo.split("/")[0]]):
            return json_answer(200, {"login": who if parts == ["user"] else parts[1]})
        if method == "POST" and parts == ["orgs", self.repo.split("/")[0], "repos"]:
            return self._create_repository(json.loads(body))
        if "/".join(parts[1:3]) != self.repo or not self.exists:
            raise Refused(404, "Not Found")
        if method != "GET" and who not in self.rules.writers:
            raise Refused(404, "Not Found")
        rest = parts[3:]
        if not rest:
            return json_answer(200, self._repository())
        if rest[0] == "releases":
            return self._releases(who, method, path, rest[1:], query, headers, body, uploads)
        return self._git(method, rest, body)

    def _repository(self) -> dict[str, Any]:
        return {
            "id": self._repository_id,
            "full_name": self.repo,
            "private": True,
            "fork": False,
            "archived": False,
            "default_branch": "main",
            "html_url": f"{self.url}/{self.repo}",
            "description": self.description,
        }

    def _create_repository(self, fields: dict[str, Any]) -> Answer:
        if self.exists:
            raise Refused(422, "Repository creation failed.", resource="Repository",
                          code="custom", field="name",
                          detail="name already exists on this account")  # fmt: skip
        self.found(fields.get("description") or "")
        return json_answer(201, self._repository())

    def _git(self, method: str, rest: list[str], body: bytes) -> Answer:  # noqa: C901, PLR0911 - a table of routes
        match (method, *rest):
            case ("PUT", "actions", "permissions"):
                self.actions = bool(json.loads(body)["enabled"])
                return Answer(204, {})
            case ("GET", "actions", "permissions"):
                return json_answer(200, {"enabled": self.actions})
            case ("GET", "contents", *path):
                return self._file("/".join(path))
            case ("PUT", "contents", *path):
                return self._write_file("/".join(path), json.loads(body))
            case ("GET", "tags"):
                tags = [{"name": n, "commit": {"sha": s}} for n, s in sorted(self.tags.items())]
                return json_answer(200, tags)
        if self.branch is None:
            raise Refused(409, "Git Repository is empty.")
        match (method, *rest):
            case ("GET", "git", "ref", "heads", "main"):
                return self._ref("refs/heads/main", self.branch)
            case ("GET", "git", "ref", "tags", *name) if "/".join(name) in self.tags:
                return self._ref(f"refs/tags/{'/'.join(name)}", self.tags["/".join(name)])
            case ("GET", "git", "commits", sha) if sha in self.commits:
                return json_answer(200, {"sha": sha, "tree": {"sha": "0" * 40}})
            case ("POST", "git", "commits"):
                fields = json.loads(body)
                date = datetime.fromisoformat(fields["author"]["date"])
                sha = self.commit(fields["message"], (date - START).total_seconds())
                return json_answer(201, {"sha": sha, "tree": {"sha": "0" * 40}})
            case ("POST", "git", "refs"):
                return self._make_ref(json.loads(body))
        raise Refused(404, "Not Found")

    def _ref(self, ref: str, sha: str) -> Answer:
        return json_answer(200, {"ref": ref, "object": {"type": "commit", "sha": sha}})

    def _make_ref(self, fields: dict[str, str]) -> Answer:
        tag = fields["ref"].removeprefix("refs/tags/")
        if tag in self.tags:
            raise Refused(422, "Reference already exists")
        if fields["sha"] not in self.commits:
            raise Refused(422, "Object does not exist")
        self.tags[tag] = fields["sha"]
        return json_answer(
            201, {"ref": fields["ref"], "object": {"type": "commit", "sha": fields["sha"]}}
        )

    def _file(self, path: str) -> Answer:
        if path not in self.files:
            raise Refused(404, "Not Found")
        return json_answer(200, {"content": base64.b64encode(self.files[path].encode()).decode()})

    def _write_file(self, path: str, fields: dict[str, str]) -> Answer:
        if path in self.files:
            raise Refused(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
        self.files[path] = base64.b64decode(fields["content"]).decode()
        sha = self.commit(fields["message"], self.now())
        self.branch = sha
        return json_answer(201, {"commit": {"sha": sha, "tree": {"sha": "0" * 40}}})

    def _releases(  # noqa: C901, PLR0911 - a table of routes
        self,
        who: str,
        method: str,
        path: str,
        rest: list[str],
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
        uploads: bool,
    ) -> Answer:
        match (method, *rest):
            case ("GET",):
                shown = [r for r in self.listed() if who in self.rules.writers or not r.draft]
                shown.sort(key=lambda r: (r.created, r.id), reverse=True)
                return self._page(path, query, [self._release_json(r) for r in shown])
            case ("POST",):
                fields = json.loads(body)
                release = self.create(who, fields.pop("tag_name"), **fields)
                return json_answer(201, self._release_json(release))
            case ("GET", "latest"):
                latest = self.latest()
                if latest is None:
                    raise Refused(404, "Not Found")
                return json_answer(200, self._release_json(latest))
            case (_, "assets", number):
                return self._asset_request(who, method, int(number), headers, body)
            case ("GET", number, "assets"):
                self._visible(who, int(number))
                listed = {r.id: r for r in self.listed()}.get(int(number))
                assets = listed.assets.values() if listed else ()
                return self._page(path, query, [self._asset_json(a) for a in assets])
            case ("POST", number, "assets") if uploads:
                name, label = query["name"], query.get("label", "")
                asset = self.upload(who, int(number), name, body, label)
                asset.content_type = headers.get("Content-Type", asset.content_type)
                return json_answer(201, self._asset_json(asset))
            case ("GET", number):
                return json_answer(200, self._release_json(self._visible(who, int(number))))
            case ("PATCH", number):
                changed = self.edit(who, int(number), **json.loads(body))
                return json_answer(200, self._release_json(changed))
            case ("DELETE", number):
                self.delete(who, int(number))
                return Answer(204, {})
        raise Refused(404, "Not Found")

    def _visible(self, who: str, number: int) -> Release:
        release = self.release(number)
        if release.draft and who not in self.rules.writers:
            raise Refused(404, "Not Found")
        return release

    def _asset_request(
        self, who: str, method: str, number: int, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        if method == "PATCH":
            fields = json.loads(body)
            changed = self.edit_asset(who, number, fields.get("name"), fields.get("label"))
            return json_answer(200, self._asset_json(changed))
        if method == "DELETE":
            self.delete_asset(who, number)
            return Answer(204, {})
        _, asset = self.asset(number)
        if headers.get("Accept") != "application/octet-stream":
            return json_answer(200, self._asset_json(asset))
        if asset.state != "uploaded":
            raise Refused(404, "Not Found")
        told = {"Content-Type": asset.content_type, "ETag": f'"{asset.id}"'}
        start = re.fullmatch(r"bytes=(\d+)-", headers.get("Range", ""))
        if start and 0 < int(start[1]) < len(asset.data):
            first, size = int(start[1]), len(asset.data)
            told["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
            told["Content-Length"] = str(size - first)
            return Answer(206, told, asset.data[first:])
        told["Content-Length"] = str(len(asset.data))
        return Answer(200, told, asset.data)

    def _page(self, path: str, query: Mapping[str, str], items: list[Any]) -> Answer:
        size = min(int(query.get("per_page", "30")), self.rules.page)
        page = int(query.get("page", "1"))
        shown = items[(page - 1) * size : page * size]
        headers = {}
        if page * size < len(items):
            wanted = query.get("per_page", "30")
            address = f"{self.url}{path}?per_page={wanted}&page={page + 1}"
            headers["Link"] = f'<{address}>; rel="next"'
        return json_answer(200, shown, headers)

    def _release_json(self, release: Release) -> dict[str, Any]:
        address = f"{self.url}/api/v3/repos/{self.repo}/releases/{release.id}"
        return {
            "id": release.id,
            "url": address,
            "tag_name": release.tag,
            "target_commitish": "main",
            "name": release.name or None,
            "body": release.body or None,
            "draft": release.draft,
            "prerelease": release.prerelease,
            "created_at": iso(release.committed),
            "published_at": None if release.published is None else iso(release.published),
            "author": {"login": release.by},
            "html_url": f"{self.url}/{self.repo}/releases/tag/{quote(release.tag)}",
            "upload_url": f"{self.url}/api/uploads/repos/{self.repo}/releases/{release.id}/assets"
            "{?name,label}",
            "assets": [self._asset_json(asset) for asset in release.assets.values()],
        }

    def _asset_json(self, asset: Asset) -> dict[str, Any]:
        told = {
            "id": asset.id,
            "name": asset.name,
            "label": asset.label or None,
            "state": asset.state,
            "content_type": asset.content_type,
            "size": len(asset.data),
            "created_at": iso(asset.created),
            "updated_at": iso(asset.updated),
            "uploader": {"login": asset.by},
        }
        if self.rules.digests:
            told["digest"] = f"sha256:{asset.sha256}" if asset.state == "uploaded" else None
        return told


def iso(seconds: float) -> str:
    """A moment as the API writes it: in whole seconds."""
    return _iso(int(seconds // 1))


@lru_cache(maxsize=4096)
def _iso(seconds: int) -> str:
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _copy(release: Release) -> Release:
    fields = {**vars(release), "assets": _copies(release.assets.values())}
    return Release(**fields)


def _copies(assets: Iterable[Asset]) -> dict[int, Asset]:
    return {asset.id: Asset(**vars(asset)) for asset in assets}
