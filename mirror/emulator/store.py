"""The state on disk: one JSON document, and the bytes of assets in files of their own."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from typing import TYPE_CHECKING, Any

from mirror.emulator.content import (
    Content,
    DiscardedContent,
    FileContent,
    Generated,
)
from mirror.emulator.model import Account, Asset, Release, Repository, Token

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.emulator.state import GitHubState

FORMAT = 1
DEBOUNCE = 0.5
"""Seconds between a change and its save, in which other changes join."""

Document = dict[str, Any]
_REPOSITORY = (
    "id", "name", "visibility", "created_at", "pushed_at", "archived", "fork", "default_branch",
    "description", "actions_enabled", "immutable_releases", "latest_id", "refs", "ref_ids",
)  # fmt: skip
_RELEASE = (
    "id", "tag", "target_commitish", "name", "body", "draft", "prerelease", "created_at",
    "published_at", "updated_at", "untagged", "created", "immutable",
)  # fmt: skip
_ASSET = (
    "id", "name", "label", "content_type", "state", "created_at", "updated_at", "created",
    "download_count", "late",
)  # fmt: skip
_ACCOUNT = ("id", "login", "type", "created_at")
_TOKEN = (
    "value",
    "admin",
    "permission",
    "repositories",
    "owners",
    "scopes",
    "expires",
    "expires_at",
)


def _picked(thing: object, names: tuple[str, ...]) -> Document:
    return {name: getattr(thing, name) for name in names}


class Store:
    """Saves a state in a directory, and loads it.

    Args:
        state: The host.
        directory: `state.json`, and `assets/` with files named by their SHA-256.
    """

    def __init__(self, state: GitHubState, directory: Path) -> None:
        self._state = state
        self._directory = directory
        self._timer: asyncio.TimerHandle | None = None
        self._watching = False
        state.contents.use(directory / "assets")

    @property
    def path(self) -> Path:
        """The document."""
        return self._directory / "state.json"

    def watch(self) -> None:
        """Save a moment after each change from now on."""
        self._watching = True
        self._state.change_listeners.append(self._changed)

    def close(self) -> None:
        """Save for the last time."""
        if self._timer is not None:
            self._timer.cancel()
        if self._watching:
            self._state.change_listeners.remove(self._changed)
        self.save()

    def _changed(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DEBOUNCE, self.save)

    def save(self) -> None:
        """Write everything; a crash in the middle leaves the old document."""
        self._timer = None
        partial = self.path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            json.dump(self._document(), file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)

    def load(self) -> bool:
        """Read what was saved; false when there is nothing.

        Raises:
            ValueError: It was written by a later version.
        """
        if not self.path.exists():
            return False
        document = json.loads(self.path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"{self.path} has format {document['format']}, not {FORMAT}")
        state = self._state
        state.key = bytes.fromhex(document["key"])
        for entry in document["accounts"]:
            state.accounts[entry["login"].lower()] = Account(**entry)
        for entry in document["tokens"]:
            account = state.accounts[entry.pop("account")]
            state.tokens[entry["value"]] = Token(account=account, **entry)
        for entry in document["repositories"]:
            self._load_repository(entry)
        state.renamed.update(document["renamed"])
        state.last_id = max(document["last_id"], state.last_id)
        return True

    # Writing

    def _document(self) -> Document:
        state = self._state
        return {
            "format": FORMAT,
            "key": state.key.hex(),
            "last_id": state.last_id,
            "accounts": [_picked(account, _ACCOUNT) for account in state.accounts.values()],
            "tokens": [
                {**_picked(token, _TOKEN), "account": token.account.login.lower()}
                for token in state.tokens.values()
            ],
            "repositories": [self._repository(r) for r in state.repositories.values()],
            "renamed": state.renamed,
        }

    def _repository(self, of: Repository) -> Document:
        return {
            **_picked(of, _REPOSITORY),
            "owner": of.owner.login.lower(),
            "burned_tags": sorted(of.burned_tags),
            "objects": {
                sha: [kind, base64.b64encode(data).decode()]
                for sha, (kind, data) in of.objects.by_sha.items()
            },
            "releases": [
                {
                    **_picked(release, _RELEASE),
                    "author": release.author.login.lower(),
                    "assets": [
                        {
                            **_picked(asset, _ASSET),
                            "uploader": asset.uploader.login.lower(),
                            "content": self._content(asset.content),
                        }
                        for asset in release.assets
                    ],
                }
                for release in of.releases.values()
            ],
        }

    def _content(self, content: Content) -> Document:
        if isinstance(content, Generated):
            return {"seed": content.seed, "size": content.size}
        known = {"sha256": content.sha256, "size": content.size}
        if isinstance(content, DiscardedContent):
            return {**known, "discarded": True}
        self._state.contents.keep(content)
        return known

    # Reading

    def _load_repository(self, entry: Document) -> None:
        state = self._state
        owner = state.accounts[entry["owner"]]
        made = Repository(owner=owner, **{name: entry[name] for name in _REPOSITORY})
        made.ref_ids = {ref: (number, when) for ref, (number, when) in entry["ref_ids"].items()}
        made.burned_tags = set(entry["burned_tags"])
        for sha, (kind, data) in entry["objects"].items():
            made.objects.by_sha[sha] = (kind, base64.b64decode(data))
        state.repositories[made.id] = made
        state.names[made.full_name.lower()] = made.id
        for release_entry in entry["releases"]:
            release = Release(
                author=state.accounts[release_entry["author"]],
                **{name: release_entry[name] for name in _RELEASE},
            )
            made.releases[release.id] = release
            for asset_entry in release_entry["assets"]:
                asset = Asset(
                    uploader=state.accounts[asset_entry["uploader"]],
                    content=self._loaded(asset_entry["content"]),
                    **{name: asset_entry[name] for name in _ASSET},
                )
                release.assets.append(asset)
                state.assets[asset.id] = (made, release, asset)

    def _loaded(self, entry: Document) -> Content:
        if "seed" in entry:
            return Generated(seed=entry["seed"], size=entry["size"])
        if entry.get("discarded"):
            return DiscardedContent(entry["size"], entry["sha256"])
        path = self._state.contents.directory / entry["sha256"]
        return FileContent(path, entry["size"], entry["sha256"])
