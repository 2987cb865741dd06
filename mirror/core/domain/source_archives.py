"""Source archives as assets: what a host makes of a tag's tree when it is asked to.

They are no assets at the source: it gives them no id, no length and no digest, and their bytes
may be others each time. Hence each gets an id of ours, below 0, and the copy that arrived once
stays, whatever its bytes are.

Source: https://docs.github.com/rest/repos/contents ("Download a repository archive") and
https://docs.github.com/repositories/working-with-files/using-files/downloading-source-code-archives
("Stability of source code archives").
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from mirror.core.domain.release import Asset

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mirror.core.domain.release import Release, RepoRef
    from mirror.core.domain.selection import Selection, Wanted

ArchiveForm = Literal["tarball", "zipball"]

_FORMS: tuple[tuple[ArchiveForm, str, str], ...] = (
    ("tarball", "tar.gz", "application/gzip"),
    ("zipball", "zip", "application/zip"),
)


@dataclass(frozen=True, slots=True)
class SourceArchive(Asset):
    """The archive of a tag, to be attached to its release; its size is 0 until it was fetched.

    Attributes:
        tag: What it is made of.
        form: What the API calls it.
    """

    tag: str = ""
    form: ArchiveForm = "tarball"


def is_archive(asset_id: int) -> bool:
    """Whether an id is that of an archive: a host's own are above 0."""
    return asset_id < 0


def archives_of(release: Release, repository: RepoRef) -> tuple[SourceArchive, ...]:
    """The archives of a release; none under the name of an asset that the release has itself.

    A draft has none: its tag need not be there.
    """
    if release.draft:
        return ()
    taken = {asset.name.casefold() for asset in release.assets}
    stem = f"{repository.name}-{release.tag.replace('/', '-')}"
    return tuple(
        SourceArchive(
            id=-(len(_FORMS) * release.id + place),
            name=f"{stem}.{ending}",
            size=0,
            content_type=content_type,
            tag=release.tag,
            form=form,
        )
        for place, (form, ending, content_type) in enumerate(_FORMS)
        if f"{stem}.{ending}".casefold() not in taken
    )


def with_archives(
    wanted: Iterable[Wanted], repository: RepoRef, selection: Selection
) -> tuple[Wanted, ...]:
    """Add the archives to the wanted assets, where the settings ask for them."""
    if not selection.source_archives:
        return tuple(wanted)
    limit = selection.asset_latest
    return tuple(
        replace(item, assets=(*item.assets, *archives_of(item.release, repository)))
        if limit is None or rank < limit
        else item
        for rank, item in enumerate(wanted)
    )
