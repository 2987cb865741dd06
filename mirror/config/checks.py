"""Checks across several keys, after each value has been validated."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from mirror.config.host_urls import is_loopback
from mirror.config.lines import label
from mirror.config.messages import alternatives, must_be_set, quote
from mirror.config.model import Host
from mirror.config.repository_names import SOURCE_NAME_PATTERN, is_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mirror.config.lines import Path
    from mirror.config.model import ConfiguredMirror, Mirror


class Sink(Protocol):
    """Receives a mistake and the path of its key."""

    def __call__(self, path: Path, message: str) -> None:
        """Record a mistake."""


_OF_BUNDLES = ("bundle", "sign_with", "allowed_signers")


def check_kind(path: Path, table: object, add: Sink) -> None:
    """Reject a host that is neither a server nor a bundle, and keys of the one with the other."""
    if not isinstance(table, dict):
        return
    if "bundle" in table:
        for name in table.keys() & Host.model_fields.keys() - set(_OF_BUNDLES):
            add((*path, name), "does not go with bundle; remove one of them")
        return
    if "url" not in table:
        add((*path, "url"), must_be_set(Host.model_fields["url"]))
    for name in _OF_BUNDLES[1:]:
        if name in table:
            add((*path, name), "goes only with bundle")


def check_bundles(hosts: Mapping[str, Host], add: Sink) -> None:
    """Reject a source that is the target's bundle."""
    target = hosts["target"].bundle if "target" in hosts else None
    for name, host in hosts.items():
        same = host.bundle and target and host.bundle.resolve() == target.resolve()
        if name != "target" and same:
            add(("sources", name, "bundle"), "is the target's bundle; choose another directory")


def check_credential(path: Path, table: object, add: Sink) -> None:
    """Reject a target without a token or an App."""
    credentials = {"token", "app", "bundle"}
    if path == ("target",) and isinstance(table, dict) and not table.keys() & credentials:
        add(
            (*path, "token"),
            'must be set, for example "env:MIRROR_TARGET_TOKEN": the target requires authentication',
        )


def check_plaintext(path: Path, host: Host, add: Sink) -> None:
    """Reject sending a credential over an unencrypted connection."""
    if host.allow_plaintext or not (host.token or host.app):
        return
    for name in ("url", "api_url", "upload_origin"):
        address = getattr(host, name)
        if address and address.startswith("http://") and not is_loopback(address):
            add(
                (*path, name),
                "the token would be sent unencrypted over http://; use https:// or set"
                " allow_plaintext = true",
            )


def check_exclusive(path: Path, table: object, keys: tuple[str, str], add: Sink) -> None:
    """Reject two keys that exclude each other."""
    if isinstance(table, dict) and keys[0] in table and keys[1] in table:
        add((*path, keys[1]), f"set {keys[0]} or {keys[1]}, not both")


def check_pattern_keys(path: Path, mirror: Mirror, add: Sink) -> None:
    """Reject keys that apply only to patterns in a mirror of one repository."""
    if is_pattern(mirror.source):
        return
    owner = mirror.source.partition("/")[0]
    for name in ("forks", "archived"):
        if name in mirror.model_fields_set:
            add(
                (*path, name),
                f"applies only to patterns such as {quote(owner + '/*')};"
                f" {quote(mirror.source)} is a single repository",
            )


def check_from(path: Path, given: object, names: Sequence[str], add: Sink) -> None:
    """Check that the source of a mirror exists."""
    known = alternatives([quote(name) for name in names]) if names else ""
    if isinstance(given, str) and given not in names:
        add(
            (*path, "from"),
            f"unknown source {quote(given)}; "
            + (f"configured: {known}" if names else f"add a [sources.{given}] table"),
        )
    elif given is None and len(names) != 1:
        add(
            (*path, "from"),
            f"must be set, because there is more than one source: {known}"
            if names
            else "no source is configured; add a [sources.NAME] table",
        )


def check_targets(
    mirrors: Mapping[int, ConfiguredMirror], hosts: Mapping[str, Host], add: Sink
) -> None:
    """Reject mirrors whose target is their source, and two mirrors with one target.

    Patterns are compared again when they have been expanded.
    """
    taken: dict[str, int] = {}
    for position, mirror in mirrors.items():
        path = ("mirrors", position, "target")
        if not mirror.settings.enabled:
            continue
        name = "{repo}" if mirror.is_pattern else mirror.repository
        target = mirror.target_of(mirror.owner, name)
        if _same_host(hosts, mirror.from_name) and _is(target, f"{mirror.owner}/{name}"):
            add(path, f"{quote(target)} is the source itself; choose another repository")
        if mirror.is_pattern:
            continue
        first = taken.setdefault(target.lower(), position)
        if first != position:
            add(path, _clash(target, mirror, mirrors[first], first))


def _clash(target: str, mirror: ConfiguredMirror, other: ConfiguredMirror, position: int) -> str:
    name = label(("mirrors", position), {position: other.source})
    if _is(mirror.source, other.source) and mirror.from_name == other.from_name:
        return f"{name} already mirrors {quote(mirror.source)} to {quote(target)}"
    return (
        f"two sources cannot share a target: {quote(target)} is the target of"
        f" {quote(mirror.source)} here and of {quote(other.source)} in {name}"
    )


def _is(one: str, other: str) -> bool:
    return one.lower() == other.lower()


def _same_host(hosts: Mapping[str, Host], name: str) -> bool:
    if name not in hosts or "target" not in hosts:
        return False
    if not hosts[name].url:
        return False  # check_bundles tells
    return urlsplit(hosts[name].url).netloc == urlsplit(hosts["target"].url).netloc


def check_names(names: Sequence[str], add: Sink) -> None:
    """Check the names of sources, which appear in reports and patterns."""
    seen: dict[str, str] = {}
    for name in names:
        if not re.fullmatch(SOURCE_NAME_PATTERN, name):
            add(
                ("sources", name),
                "may contain only letters, digits, hyphens and underscores",
            )
        if name.lower() == "target":
            add(("sources", name), "is reserved for the target; choose another name")
        other = seen.setdefault(name.lower(), name)
        if other != name:
            add(("sources", name), f"differs from {quote(other)} only in case; choose another name")
