"""Look whether an asset's bytes arrive: one byte of one asset, from the host that stores it.

Assets come from a storage host that the API names. A firewall may block it, and a proxy may answer
in its place with a page of its own and status 200: hence what arrives is held against the asset.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mirror.check.check_results import CheckResult, failure
from mirror.core.text.wording import size
from mirror.errors import MirrorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mirror.core.domain.release import Asset, RepoRef
    from mirror.github import GitHubClient

_RANGE = re.compile(r"bytes 0-0/(?P<total>[0-9]{1,19}|\*)", re.IGNORECASE)
_DOCUMENTS = frozenset({"text/html", "application/xhtml+xml", "application/json"})


async def check_download(client: GitHubClient, repo: RepoRef, asset: Asset) -> CheckResult:
    """Read the first byte of an asset.

    Args:
        client: Of the source.
        repo: Where the asset is.
        asset: One that is uploaded and not empty.
    """
    path = f"repos/{repo}/releases/assets/{asset.id}"
    place, fault = "", "an empty answer"
    try:
        async with client.open_stream(path, {"Range": "bytes=0-0"}) as stream:
            place = urlsplit(stream.url).netloc
            async for chunk in stream.chunks:
                if chunk:
                    fault = fault_of(stream.status, stream.headers, asset)
                    break
    except MirrorError as error:
        return failure(client.name, "download", error)
    what = f"{asset.name} of {repo} ({size(asset.size)})"
    if not fault:
        detail = f"read one byte of {what} from {place}"
        return CheckResult(client.name, "download", "ok", detail)
    detail = (
        f"{place} sent {fault} instead of {what}; check that firewall and proxy let {place} through,"
        " and that no login page answers in its place"
    )
    return CheckResult(client.name, "download", "failed", detail)


def fault_of(status: int, headers: Mapping[str, str], asset: Asset) -> str:
    """What came instead of an asset whose first byte was asked for; empty if it is the asset.

    A host may ignore the range, and send all bytes with status 200. Source:
    https://www.rfc-editor.org/rfc/rfc9110#name-range-requests
    """
    content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    length = headers.get("Content-Length", "")
    if status == 206:
        found = _RANGE.match(headers.get("Content-Range", ""))
        right = found is not None and found["total"] in {"*", str(asset.size)}
        length = found["total"] if found else length
    else:
        own = content_type == asset.content_type.lower()
        unlikely = content_type in _DOCUMENTS and not own
        right = status == 200 and not unlikely and length in {"", str(asset.size)}
    if right:
        return ""
    told = f"{length} bytes" if length.isdecimal() else "a body of unknown length"
    return f"{told} of type {content_type[:40] or 'unknown'} (status {status})"
