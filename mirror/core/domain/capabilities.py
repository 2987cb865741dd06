"""What a host of this kind and version can do."""

from __future__ import annotations

import re
from dataclasses import dataclass

GIB_2 = 2**31
"""The largest asset of github.com, inclusive: "size must be less than or equal to 2147483648"."""

BODY_LIMIT = 125_000
"""The longest text of a release, in characters: "body is too long (maximum is 125000 characters)"."""

TITLE_LIMIT = 255


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a host can do, and what it will never take.

    Attributes:
        version: Of a GitHub Enterprise Server; ``None`` on github.com and GHE.com.
        make_latest: It takes ``make_latest`` (GitHub Enterprise Server 3.8 and newer); before,
            the latest release follows from dates alone.
        immutable_releases: It may have releases that never change (GitHub Enterprise Server 3.20 and
            newer, github.com, GHE.com).
        max_asset_size: In bytes, inclusive; ``None`` where only the server knows.
        max_assets: Of one release; ``None`` where only the server knows.
        empty_assets: It takes assets of 0 bytes.
        tags: Its releases need repositories and tags, which have to be made.
        packed_history: It stores the history of tags as files, with ``tags = "push"``.
        rewritten_texts: People read releases there: mentions are escaped, a footer is added.
    """

    version: tuple[int, ...] | None = None
    make_latest: bool = True
    immutable_releases: bool = True
    max_asset_size: int | None = GIB_2
    max_assets: int | None = 1000
    empty_assets: bool = False
    tags: bool = True
    packed_history: bool = False
    rewritten_texts: bool = True

    @classmethod
    def of(cls, installed_version: str | None) -> Capabilities:
        """Derive them from what the server says of itself.

        Args:
            installed_version: ``installed_version`` of ``GET /meta`` or the header
                ``X-GitHub-Enterprise-Version`` (``3.10.4``, ``enterprise-server@3.10.4``);
                ``None`` for github.com and GHE.com, which have neither. A text without
                a version is a server of unknown, hence old, age.

        Source: GitHub's OpenAPI descriptions of GitHub Enterprise Server 3.0 to 3.19, the release
        notes of 3.20 to 3.22, and
        https://github.com/github/docs/blob/main/data/features/immutable-releases.yml
        """
        if installed_version is None:
            return cls()
        found = re.search(r"[0-9]{1,9}\.[0-9]{1,9}(?:\.[0-9]{1,9})?", installed_version)
        version = tuple(int(part) for part in found.group().split(".")) if found else (0,)
        return cls(
            version=version,
            make_latest=version >= (3, 8),
            immutable_releases=version >= (3, 20),
            max_asset_size=None,
            max_assets=None,
        )
