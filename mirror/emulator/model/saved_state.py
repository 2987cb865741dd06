"""A host saved to disk: one JSON document, and the bytes of assets in files of their own."""

from __future__ import annotations

import asyncio
import json
import os
from base64 import b64decode, b64encode
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from mirror.emulator.model.accounts import Account, Token
from mirror.emulator.model.content import DiscardedContent, FileContent, Generated, MemoryContent
from mirror.emulator.model.git_objects import Objects
from mirror.emulator.model.release_records import Asset, Release
from mirror.emulator.model.repository import PushRule, Repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mirror.emulator.model.state import GitHubState

FORMAT = 2
DELAY = 0.5
"""Seconds from a change to its save, which later changes join."""

_CLASS = "$"
_CLASSES = (Asset, DiscardedContent, Generated, Objects, PushRule, Release, Repository, Token)
_TRANSIENT = {"arriving", "json"}


def _attributes(thing: Any) -> dict[str, Any]:
    """A dataclass as an object that names its class."""
    saved = (f.name for f in fields(thing) if f.name not in _TRANSIENT)
    return {_CLASS: type(thing).__name__, **{name: getattr(thing, name) for name in saved}}


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
        self._makers: dict[str, Callable[..., Any]] = {
            **{made.__name__: made for made in _CLASSES},
            "Account": self._account,
            "bytes": b64decode,
            "file": lambda size, sha256: FileContent(directory / "assets" / sha256, size, sha256),
            "reference": lambda login: state.accounts[login],
        }

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
        state = self._state
        document = {
            "format": FORMAT,
            "key": state.key,
            "last_id": state.last_id,
            "accounts": [_attributes(account) for account in state.accounts.values()],
            "tokens": list(state.tokens.values()),
            "repositories": list(state.repositories.values()),
            "renamed": state.renamed,
        }
        partial = self.path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            json.dump(document, file, default=self._encoded)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)

    def _encoded(self, thing: Any) -> Any:
        """What JSON cannot hold as it is; accounts are written once and referred to by login."""
        if isinstance(thing, bytes):
            return {_CLASS: "bytes", "s": b64encode(thing).decode()}
        if isinstance(thing, Account):
            return {_CLASS: "reference", "login": thing.login.lower()}
        if isinstance(thing, MemoryContent | FileContent):
            self._state.contents.keep(thing)
            return {_CLASS: "file", "size": thing.size, "sha256": thing.sha256}
        return _attributes(thing)

    def load(self) -> None:
        """Read what was saved, if anything.

        Raises:
            ValueError: It was written by another version.
        """
        if not self.path.exists():
            return
        text, state = self.path.read_text(encoding="utf-8"), self._state
        document = json.loads(text, object_hook=self._decoded)
        if document["format"] != FORMAT:
            raise ValueError(f"{self.path} has format {document['format']}, not {FORMAT}")
        state.key = document["key"]
        state.last_id = max(document["last_id"], state.last_id)
        state.renamed.update(document["renamed"])
        state.tokens |= {token.value: token for token in document["tokens"]}
        for repository in document["repositories"]:
            repository.releases = {one.id: one for one in repository.releases.values()}
            state.repositories[repository.id] = repository
            state.names[repository.full_name.lower()] = repository.id
            for release in repository.releases.values():
                for asset in release.assets:
                    state.assets[asset.id] = (repository, release, asset)

    def _account(self, **attributes: Any) -> Account:
        made = Account(**attributes)
        return self._state.accounts.setdefault(made.login.lower(), made)

    def _decoded(self, entry: dict[str, Any]) -> Any:
        """What an object of the document stands for; accounts come first in it."""
        name = entry.pop(_CLASS, None)
        return entry if name is None else self._makers[name](**entry)
