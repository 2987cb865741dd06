"""How a host behaves: its kind and version, and what tests may turn on and off."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal["ghes", "github"]
API_VERSIONS = ("2026-03-10", "2022-11-28")
_MAX_ASSET = 1 << 31
_DIGESTS = (3, 17)
_IMMUTABLE = (3, 20)
_MAKE_LATEST = (3, 8)
_API_VERSIONS = (3, 9)
_SECOND_API_VERSION = (3, 21)


def _parsed(version: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", version)
    if not found:
        raise ValueError(f"{version!r} is no version of GitHub Enterprise Server, such as 3.17")
    return int(found[1]), int(found[2])


@dataclass(kw_only=True, eq=False)
class HostOptions:
    """Options of a host; each may be changed later.

    Attributes:
        kind: `ghes` (API below `/api/v3`, uploads below `/api/uploads`) or `github` (API at the
            root of its origin, uploads at another).
        version: The version of GHES; becomes empty for `github`, which has none.
        digests: Whether assets show their SHA-256; `None` follows kind and version.
        direct_download: Answer a download with the bytes (200) instead of a 302 to storage.
        ignore_range: Answer a `Range` with everything, as some servers do.
        exact_signatures: Refuse a storage address that a client quoted anew (`%2F` as `/`), as some
            storage hosts do; otherwise the signature covers the decoded address.
        storage_lifetime: Seconds for which a storage address is valid.
        max_assets: Maximum assets of a release; 0 is no limit, `None` is 1000 on `github` only.
        max_asset_size: Maximum size of an asset in bytes.
        upload_rate: Bytes a second at which uploads are read; 0 is unlimited.
        rate_limit: Requests an hour for a token; 0 turns the limits off, `None` is 5000 on
            `github` and off on `ghes`.
        anonymous_rate_limit: The same without a token.
        points_per_minute: In any 60 seconds: a read costs 1, any other request 5; 0 is no limit.
        creations_per_minute, creations_per_hour: Requests that create content; 0 is no limit.
        isolated_uploads: GHES with subdomain isolation: uploads have an origin of their own.
        private_mode: GHES in private mode: every request needs a token.
        branch_for_releases: Refuse releases of a repository that has tags but no branch as empty.
        discard: Keep only size and digest of uploads larger than `discard_above` bytes.
        discard_above: See `discard`.
        renames_on_patch: Give an asset that a client renames a name of the server's own.
        first_id: The first number that is given out; `None` differs by kind, so that numbers of
            one host are not mistaken for the other's.
        clock: Seconds since the epoch, for every timestamp, limit and expiry.
    """

    kind: Kind = "ghes"
    version: str = "3.17"
    digests: bool | None = None
    direct_download: bool = False
    ignore_range: bool = False
    exact_signatures: bool = True
    storage_lifetime: float = 300.0
    max_assets: int | None = None
    max_asset_size: int = _MAX_ASSET
    upload_rate: int = 0
    rate_limit: int | None = None
    anonymous_rate_limit: int = 60
    points_per_minute: int = 0
    creations_per_minute: int = 0
    creations_per_hour: int = 0
    isolated_uploads: bool = False
    private_mode: bool = False
    branch_for_releases: bool = False
    discard: bool = False
    discard_above: int = 0
    renames_on_patch: bool = False
    first_id: int | None = None
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        """Resolve what follows kind and version.

        Raises:
            ValueError: The kind or the version does not exist.
        """
        if self.kind not in ("ghes", "github"):
            raise ValueError(f"{self.kind!r} is no kind of host: ghes or github")
        public = self.kind == "github"
        release = (99, 0) if public else _parsed(self.version)
        if self.digests is None:
            self.digests = release >= _DIGESTS
        if self.max_assets is None:
            self.max_assets = 1000 if public else 0
        if self.rate_limit is None:
            self.rate_limit = 5000 if public else 0
        if self.first_id is None:
            self.first_id = 100_000_001 if public else 1001
        self.has_immutable = release >= _IMMUTABLE
        self.has_make_latest = release >= _MAKE_LATEST
        versions = API_VERSIONS if release >= _SECOND_API_VERSION else API_VERSIONS[1:]
        self.api_versions = versions if release >= _API_VERSIONS else ()
        if public:
            self.version = ""
