"""Creating, changing and publishing releases over HTTP, and what GitHub refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mirror.emulator.http.answer import Item, invalid, item, unprocessable
from mirror.emulator.model.git_objects import valid_ref

if TYPE_CHECKING:
    from mirror.emulator.model.accounts import Account
    from mirror.emulator.model.release_records import Release
    from mirror.emulator.model.repository import Repository
    from mirror.emulator.model.state import GitHubState

LONGEST_BODY = 125_000
_SHA = re.compile(r"[0-9a-f]{40}")
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "tag_name": ((str,), "a string"),
    "target_commitish": ((str,), "a string"),
    "name": ((str, type(None)), "a string or null"),
    "body": ((str, type(None)), "a string or null"),
    "draft": ((bool,), "a boolean"),
    "prerelease": ((bool,), "a boolean"),
    "make_latest": ((str, bool), "a string"),
}
_INVALID_TAG = item("Release", "custom", "tag_name", "tag_name is not a valid tag")
_INVALID_COMMITISH = item("Release", "invalid", "target_commitish")
_WITHOUT_TAG = item("Release", "custom", None, "Published releases must have a valid tag")
_BURNED = item("Release", "custom", "tag_name", "tag_name was used by an immutable release")


def _checked(state: GitHubState, document: dict[str, Any]) -> dict[str, Any]:
    """The known keys of a request, their types checked; unknown ones are ignored."""
    known = {key: value for key, value in document.items() if key in _TYPES}
    if not state.has_make_latest:
        known.pop("make_latest", None)
    for key, value in known.items():
        types, words = _TYPES[key]
        if not isinstance(value, types):
            shown = "null" if value is None else repr(value)
            raise unprocessable(
                f"Invalid request.\n\nFor 'properties/{key}', {shown} is not {words}."
            )
    latest = str(known.get("make_latest", "legacy")).lower()
    if latest not in ("true", "false", "legacy"):
        raise unprocessable(
            f'Invalid request.\n\n{latest} is not a member of ["true", "false", "legacy"].'
        )
    return known


def _body_errors(document: dict[str, Any]) -> list[Item]:
    if len(document.get("body") or "") <= LONGEST_BODY:
        return []
    message = f"body is too long (maximum is {LONGEST_BODY} characters)"
    return [item("Release", "custom", "body", message)]


def create(
    state: GitHubState, repository: Repository, author: Account, document: dict[str, Any]
) -> Release:
    """Create a draft or a published release.

    Raises:
        ApiError: 422, with GitHub's message.
    """
    asked = _checked(state, document)
    if not asked.get("tag_name"):
        raise invalid(item("Release", "missing_field", "tag_name"))
    if repository.empty or (state.branch_for_releases and repository.head() is None):
        raise invalid(item("Release", "custom", None, "Repository is empty."))
    made = state.new_release(repository, asked["tag_name"], author)
    if asked.setdefault("draft", False):
        asked.pop("make_latest", None)  # accepted and lost: it counts on publication
    _apply(state, repository, made, asked, asked["tag_name"])
    return made


def update(
    state: GitHubState, repository: Repository, release: Release, document: dict[str, Any]
) -> None:
    """Change a release; keys that are missing change nothing.

    A draft that stays a draft and whose change does not name its tag gets `untagged-…` instead.
    Publishing keeps the tag: `gh release create` sends nothing but `{"draft": false}`.

    Source: https://github.com/jdx/communique/issues/241 and `publishRelease` of
    https://github.com/cli/cli/blob/trunk/pkg/cmd/release/create/http.go

    Raises:
        ApiError: 422; nothing was changed.
    """
    asked = _checked(state, document)
    stays_draft = release.draft and asked.get("draft", True)
    tag = asked.get("tag_name") or (release.untagged if stays_draft else release.tag)
    if release.immutable and (tag != release.tag or asked.get("draft", False)):
        raise invalid(item("Release", "custom", "tag_name", "tag_name cannot be changed"))
    _apply(state, repository, release, asked, tag)


def _apply(
    state: GitHubState, repository: Repository, release: Release, asked: dict[str, Any], tag: str
) -> None:
    commitish = asked.get("target_commitish") or release.target_commitish
    draft = asked.get("draft", release.draft)
    prerelease = asked.get("prerelease", release.prerelease)
    new = release.id not in repository.releases
    publishing, moved = release.draft and not draft, release.tag != tag
    errors = _body_errors(asked)
    if new or moved or publishing:
        errors += _tag_errors(repository, release, tag, commitish, public=not draft)
    if errors:
        raise invalid(*errors)
    if str(asked.get("make_latest", "")).lower() == "true" and (draft or prerelease):
        message = "Latest release cannot be draft or prerelease"
        raise invalid(item("Release", "custom", None, message))
    release.tag, release.target_commitish = tag, commitish
    release.name = asked.get("name", release.name)
    release.body = asked.get("body", release.body)
    release.prerelease = prerelease
    if not draft and (moved or publishing):
        _ensure_tag(state, repository, release)
    release.draft = draft
    if publishing:
        release.published_at = state.now()
        release.immutable = repository.immutable_releases
        if (ref := f"refs/tags/{tag}") in repository.refs:
            state.run_workflows(repository, "release", ref)
    if state.has_make_latest:
        default = "true" if publishing else ""
        _choose_latest(repository, release, str(asked.get("make_latest", default)).lower())
    release.updated_at = state.now()
    repository.releases[release.id] = release
    state.changed(repository, release)


def _tag_errors(
    repository: Repository, release: Release, tag: str, commitish: str, *, public: bool
) -> list[Item]:
    """What is wrong with tag and commit; only a published release needs them to exist."""
    if not valid_ref(tag):
        return [_INVALID_TAG, *([_WITHOUT_TAG] if public else [])]
    if public:
        other = repository.published(tag)
        if other is not None and other is not release:
            return [item("Release", "already_exists", "tag_name")]
        if tag in repository.burned_tags:
            return [_BURNED, _WITHOUT_TAG]
    if repository.tag_commit(tag) is None and _commit(repository, commitish) is None:
        return [_INVALID_COMMITISH, *([_INVALID_TAG, _WITHOUT_TAG] if public else [])]
    return []


def _commit(repository: Repository, commitish: str) -> str | None:
    """The commit of a branch or a full SHA; a short SHA, a tag or `HEAD` is none."""
    sha = repository.refs.get(f"refs/heads/{commitish}")
    if sha is None and _SHA.fullmatch(commitish):
        sha = commitish
    return repository.objects.peel(sha) if sha and repository.objects.kind(sha) else None


def _ensure_tag(state: GitHubState, repository: Repository, release: Release) -> None:
    """Create a lightweight tag for a release that is published without one."""
    commit = _commit(repository, release.target_commitish)
    if repository.tag_commit(release.tag) is None and commit is not None:
        state.set_ref(repository, f"refs/tags/{release.tag}", commit)
    release.created_at = repository.tag_date(release.tag) or release.created_at


def _choose_latest(repository: Repository, release: Release, choice: str) -> None:
    """Apply `make_latest`: "true", "false" or "legacy"; anything else changes nothing."""
    if choice == "true" and not release.draft and not release.prerelease:
        repository.latest_id = release.id
    elif choice == "legacy" or (choice == "false" and repository.latest_id == release.id):
        repository.latest_id = None
    elif choice == "false" and repository.latest_id is None:
        # The former latest stays the latest, whatever the date of this one.
        former = repository.latest(without=release)
        repository.latest_id = former.id if former is not None else None
