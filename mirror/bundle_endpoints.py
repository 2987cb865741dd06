"""Bundles that take the place of hosts, from their settings.

It is not in ``app``, so that configurations without a bundle load nothing of bundles.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from mirror.bundle.directory import BundleDirectory
from mirror.bundle.reader import BundleReader
from mirror.bundle.signature import AllowedSigners, SigningKey
from mirror.bundle.writable_directory import WritableDirectory
from mirror.bundle.writer import BundleWriter
from mirror.git.program import PackedHistory
from mirror.git.tag_pusher import GitRemote
from mirror.storage.files import Files
from mirror.sync.context import Endpoint, TargetEndpoint

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.config import Secrets
    from mirror.config.model import Host
    from mirror.core.clock import Clock
    from mirror.core.domain.release import RepoRef

_UNCHECKED = (
    "the signature of the bundle {} is not checked: set allowed_signers, so that only what was"
    " signed is believed"
)


def writable_bundle(
    host: Host, secrets: Secrets, clock: Clock, before: WritableDirectory | None
) -> WritableDirectory:
    """The bundle that is written to; the one before, while the same directory is configured."""
    path = _path(host)
    key = None
    if host.sign_with:
        key = SigningKey(partial(secrets.current, host.sign_with))
    if before and before.path == path:
        before.key = key
        return before
    return WritableDirectory(path, Files(), clock, key)


def bundle_endpoint(
    name: str, host: Host, target: WritableDirectory | None, clock: Clock
) -> Endpoint:
    """A bundle in the place of a host.

    Args:
        name: Of the host.
        host: Its settings.
        target: The bundle that is written to, if any is.
        clock: The time.
    """
    path = _path(host)
    about: dict[str, Any] = {
        "name": name,
        "url": f"bundle:{path}",
        "credential": "bundle",
        "counted": False,
    }
    if name == "target" and target:
        writer = BundleWriter(name, target, clock)
        return TargetEndpoint(api_url=writer.client.api_url, store=writer, **about)
    signers = AllowedSigners(host.allowed_signers) if host.allowed_signers else None
    reader = BundleReader(name, BundleDirectory(path, signers), clock)
    warnings = () if signers else (_UNCHECKED.format(path),)

    async def packed(repo: RepoRef) -> PackedHistory:
        return PackedHistory(*await reader.history(repo))

    async def nobody(repo: RepoRef) -> None:
        del repo

    git = GitRemote(name, "", nobody, packed=packed)
    return Endpoint(
        api_url=reader.client.api_url, store=reader, warnings=warnings, git=git, **about
    )


def _path(host: Host) -> Path:
    assert host.bundle is not None  # noqa: S101 - the caller looked
    return host.bundle
