"""What a host refuses of a push, and git's report of a push with these refusals in it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mirror.emulator.model.accounts import Token
    from mirror.emulator.model.repository import Repository

_FLUSH = b"0000"
_PAYLOAD, _PROGRESS = b"\x01", b"\x02"
_LARGEST = 60_000
_WITHOUT_SCOPE = (
    "refusing to allow a Personal Access Token to create or update workflow `{path}` without"
    " `workflow` scope"
)


def refusals(
    repository: Repository, token: Token | None, changes: Mapping[str, str | None]
) -> dict[str, tuple[str, str]]:
    """The refs that are refused: a reason for the ref, and lines for people.

    Args:
        repository: With the objects that were pushed.
        token: Who pushes.
        changes: Refs and their new objects; `None` for a deleted one.
    """
    head = repository.head()
    known = repository.workflows(head).items() if head else set()
    no_workflows = token is not None and token.scopes is not None and "workflow" not in token.scopes
    made: dict[str, tuple[str, str]] = {}
    for name, sha in changes.items():
        rule = next((r for r in repository.push_rules if fnmatchcase(name, r.refs)), None)
        if rule is not None:
            made[name] = (rule.reason, rule.message)
        elif sha is not None and no_workflows:
            fresh = repository.workflows(sha).items() - known
            if fresh:
                made[name] = (_WITHOUT_SCOPE.format(path=min(fresh)[0]), "")
    return made


def with_refusals(report: bytes, refused: Mapping[str, tuple[str, str]]) -> bytes:
    """Git's report of a push, with refusals instead of `ok`.

    Source: https://git-scm.com/docs/pack-protocol#_report_status
    """
    packets = list(_packets(report))
    payload = b"".join(data[1:] for data in packets if data[:1] == _PAYLOAD)
    lines = []
    for line in _packets(payload) if payload else packets:
        word, _, name = line.decode().strip().partition(" ")
        if word == "ok" and name in refused:
            lines.append(f"ng {name} {refused[name][0]}\n".encode())
        else:
            lines.append(line)
    inner = b"".join(map(_packet, lines)) + _FLUSH
    if not payload:
        return inner
    others = [data for data in packets if data[:1] != _PAYLOAD]
    messages = dict.fromkeys(message for _, message in refused.values())
    progress = [_PROGRESS + line.encode() + b"\n" for m in messages for line in m.splitlines()]
    pieces = [_PAYLOAD + inner[at : at + _LARGEST] for at in range(0, len(inner), _LARGEST)]
    return b"".join(map(_packet, [*others, *progress, *pieces])) + _FLUSH


def _packets(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + 4 <= len(data):
        length = int(data[at : at + 4], 16)
        if length > len(_FLUSH):
            yield data[at + 4 : at + length]
        at += max(length, len(_FLUSH))


def _packet(data: bytes) -> bytes:
    return f"{len(data) + 4:04x}".encode() + data
