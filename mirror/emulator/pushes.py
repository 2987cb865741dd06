"""What a host refuses of a push, and how it says so in git's own protocol."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mirror.emulator.model import Repository, Token

WORKFLOWS = ".github/workflows"
_FLUSH = b"0000"
_PAYLOAD, _PROGRESS = b"\x01", b"\x02"
_LARGEST = 60_000
_WITHOUT_SCOPE = (
    "refusing to allow a Personal Access Token to create or update workflow `{path}` without"
    " `workflow` scope"
)


def workflows(repository: Repository, ref: str) -> dict[str, str]:
    """The workflow files of the commit that a ref's object is, or leads to: path → blob."""
    objects = repository.objects
    commit = objects.peel(ref)
    entry = objects.find(objects.read_commit(commit).tree, WORKFLOWS) if commit else None
    if entry is None or entry.kind != "tree":
        return {}
    return {f"{WORKFLOWS}/{path}": below.sha for path, below in objects.walk(entry.sha)}


def verdicts(
    repository: Repository, token: Token | None, changes: Mapping[str, str | None]
) -> dict[str, tuple[str, str]]:
    """Refs that are refused: why, in a few words for the ref, and in lines for people.

    Args:
        repository: With the objects that were pushed.
        token: Who pushes.
        changes: Refs and their new objects; `None` for one that goes.
    """
    head = repository.head()
    known = set(workflows(repository, head).items()) if head else set()
    made: dict[str, tuple[str, str]] = {}
    for name, sha in changes.items():
        rule = next((r for r in repository.push_rules if fnmatchcase(name, r.refs)), None)
        if rule is not None:
            made[name] = (rule.reason, rule.message)
        elif sha is not None and token is not None and not _may_bring_workflows(token):
            fresh = [path for path, blob in workflows(repository, sha).items()
                     if (path, blob) not in known]  # fmt: skip
            if fresh:
                made[name] = (_WITHOUT_SCOPE.format(path=min(fresh)), "")
    return made


def _may_bring_workflows(token: Token) -> bool:
    return token.scopes is None or "workflow" in token.scopes


def told(report: bytes, refused: Mapping[str, tuple[str, str]]) -> bytes:
    """What git said of a push, with refusals instead of `ok`."""
    payload = b"".join(data[1:] for data in _packets(report) if data[:1] == _PAYLOAD)
    others = [data for data in _packets(report) if data[:1] != _PAYLOAD]
    banded = bool(payload)
    lines = []
    for line in _packets(payload if banded else report):
        word, _, name = line.decode().strip().partition(" ")
        if word == "ok" and name in refused:
            lines.append(f"ng {name} {refused[name][0]}\n".encode())
        else:
            lines.append(line)
    inner = b"".join(map(_packet, lines)) + _FLUSH
    if not banded:
        return inner
    messages = dict.fromkeys(message for _, message in refused.values() if message)
    spoken = [_PROGRESS + line.encode() + b"\n" for m in messages for line in m.splitlines()]
    pieces = [inner[at : at + _LARGEST] for at in range(0, len(inner), _LARGEST)]
    packets = [*others, *spoken, *(_PAYLOAD + piece for piece in pieces)]
    return b"".join(map(_packet, packets)) + _FLUSH


def _packets(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + 4 <= len(data):
        length = int(data[at : at + 4], 16)
        if length > len(_FLUSH):
            yield data[at + 4 : at + length]
        at += max(length, len(_FLUSH))


def _packet(data: bytes) -> bytes:
    return f"{len(data) + 4:04x}".encode() + data
