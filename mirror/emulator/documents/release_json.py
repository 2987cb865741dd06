"""Releases, rendered once and kept until they change, and their assets."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from mirror.emulator.documents.account_json import account
from mirror.emulator.documents.shared import Document, dumps, node_id, repository_url, web_url
from mirror.emulator.model.release_records import UPLOADED

if TYPE_CHECKING:
    from mirror.emulator.model.emulated_host import Host
    from mirror.emulator.model.release_records import Asset, Release
    from mirror.emulator.model.repository import Repository


def _shown_tag(release: Release) -> str:
    return quote(release.untagged if release.draft else release.tag)


def asset_document(host: Host, of: Repository, release: Release, asset: Asset) -> Document:
    """An asset."""
    made: Document = {
        "url": f"{repository_url(host, of)}/releases/assets/{asset.id}",
        "id": asset.id,
        "node_id": node_id("ReleaseAsset", asset.id),
        "name": asset.name,
        "label": asset.label,
        "content_type": asset.content_type,
        "state": asset.state,
        "size": asset.size,
        "download_count": asset.download_count,
        "created_at": asset.created_at,
        "updated_at": asset.updated_at,
        "browser_download_url": f"{web_url(host, of)}/releases/download/"
        f"{_shown_tag(release)}/{quote(asset.name)}",
        "uploader": account(host, asset.uploader),
    }
    if host.digests:
        made["digest"] = f"sha256:{asset.sha256}" if asset.state == UPLOADED else None
    return made


def release_json(host: Host, of: Repository, release: Release) -> str:
    """A release with all its assets, rendered."""
    if release.json is None:
        release.json = dumps(release_document(host, of, release, release.assets))
    return release.json


def release_document(host: Host, of: Repository, release: Release, assets: list[Asset]) -> Document:
    """A release with these of its assets."""
    url, web = repository_url(host, of), web_url(host, of)
    here = f"{url}/releases/{release.id}"
    uploads = f"{host.addresses.uploads}/repos/{of.full_name}/releases/{release.id}"
    shown = _shown_tag(release)
    made: Document = {
        "url": here,
        "assets_url": f"{here}/assets",
        "upload_url": f"{uploads}/assets{{?name,label}}",
        "html_url": f"{web}/releases/tag/{shown}",
        "id": release.id,
        "node_id": node_id("Release", release.id),
        "tag_name": release.tag,
        "target_commitish": release.target_commitish,
        "name": release.name,
        "draft": release.draft,
        "prerelease": release.prerelease,
        "created_at": release.created_at,
        "published_at": release.published_at,
        "tarball_url": None if release.draft else f"{url}/tarball/{shown}",
        "zipball_url": None if release.draft else f"{url}/zipball/{shown}",
        "body": release.body,
        "author": account(host, release.author),
        "assets": [asset_document(host, of, release, asset) for asset in assets],
    }
    if host.has_immutable:
        made |= {"immutable": release.immutable, "updated_at": release.updated_at}
    return made
