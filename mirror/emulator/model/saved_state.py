"""A host saved to disk: one JSON document, and the bytes of assets in files of their own."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from mirror.emulator.model.accounts import Account, Token
from mirror.emulator.model.content import Content, DiscardedContent, FileContent, Generated
from mirror.emulator.model.release_records import Asset, Release
from mirror.emulator.model.repository import Repository

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.emulator.model.state import GitHubState

FORMAT = 1
DELAY = 0.5
"""Seconds from a change to its save, which later changes join."""

Document = dict[str, Any]
_SEPARATE = {
    "account", "arriving", "assets", "author", "burned_tags", "content", "json", "objects", "owner",
    "push_rules", "releases", "runs", "uploader",
}  # fmt: skip
"""Attributes that are saved in another form, or not at all."""


def _plain(thing: Account | Token | Repository | Release | Asset) -> Document:
    """The attributes that are saved as they are."""
    return {f.name: getattr(thing, f.name) for f in fields(thing) if f.name not in _SEPARATE}


def _without(entry: Document) -> Document:
    return {name: value for name, value in entry.items() if name not in _SEPARATE}


class SavedState:
    """Saves a host to a directory, and loads it.

    Args:
        state: The host.
        directory: Holds `state.json`, and `assets/` with files named by their SHA-256.
    """

    def __init__(self, state: GitHubState, directory: Path) -> None:
        self._state = state
        self._timer: asyncio.TimerHandle | None = None
        self._watching = False
        self.path = directory / "state.json"
        state.contents.use(directory / "assets")

    def watch(self) -> None:
        """Save shortly after each change from now on."""
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
            self._timer = asyncio.get_running_loop().call_later(DELAY, self.save)

    def save(self) -> None:
        """Write everything; a crash leaves the previous document."""
        self._timer = None
        partial = self.path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            json.dump(self._document(), file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)

    def load(self) -> None:
        """Read what was saved, if anything.

        Raises:
            ValueError: It was written by another version.
        """
        if not self.path.exists():
            return
        document = json.loads(self.path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"{self.path} has format {document['format']}, not {FORMAT}")
        state = self._state
        state.key = bytes.fromhex(document["key"])
        for entry in document["accounts"]:
            state.accounts[entry["login"].lower()] = Account(**entry)
        for entry in document["tokens"]:
            account = state.accounts[entry["account"]]
            state.tokens[entry["value"]] = Token(account=account, **_without(entry))
        for entry in document["repositories"]:
            self._load_repository(entry)
        state.renamed.update(document["renamed"])
        state.last_id = max(document["last_id"], state.last_id)

    # Writing

    def _document(self) -> Document:
        state = self._state
        return {
            "format": FORMAT,
            "key": state.key.hex(),
            "last_id": state.last_id,
            "accounts": [_plain(account) for account in state.accounts.values()],
            "tokens": [
                {**_plain(token), "account": token.account.login.lower()}
                for token in state.tokens.values()
            ],
            "repositories": [self._repository(r) for r in state.repositories.values()],
            "renamed": state.renamed,
        }

    def _repository(self, of: Repository) -> Document:
        return {
            **_plain(of),
            "owner": of.owner.login.lower(),
            "burned_tags": sorted(of.burned_tags),
            "objects": {
                sha: [kind, base64.b64encode(data).decode()]
                for sha, (kind, data) in of.objects.by_sha.items()
            },
            "releases": [
                {
                    **_plain(release),
                    "author": release.author.login.lower(),
                    "assets": [
                        {
                            **_plain(asset),
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
        made = Repository(owner=state.accounts[entry["owner"]], **_without(entry))
        made.ref_ids = {ref: (number, when) for ref, (number, when) in entry["ref_ids"].items()}
        made.burned_tags = set(entry["burned_tags"])
        for sha, (kind, data) in entry["objects"].items():
            made.objects.by_sha[sha] = (kind, base64.b64decode(data))
        state.repositories[made.id] = made
        state.names[made.full_name.lower()] = made.id
        for part in entry["releases"]:
            release = Release(author=state.accounts[part["author"]], **_without(part))
            made.releases[release.id] = release
            for file in part["assets"]:
                content = self._loaded_content(file["content"])
                uploader = state.accounts[file["uploader"]]
                asset = Asset(content=content, uploader=uploader, **_without(file))
                release.assets.append(asset)
                state.assets[asset.id] = (made, release, asset)

    def _loaded_content(self, entry: Document) -> Content:
        if "seed" in entry:
            return Generated(seed=entry["seed"], size=entry["size"])
        if entry.get("discarded"):
            return DiscardedContent(entry["size"], entry["sha256"])
        path = self._state.contents.directory / entry["sha256"]
        return FileContent(path, entry["size"], entry["sha256"])
