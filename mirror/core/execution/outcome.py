"""What became of an action, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mirror.core.domain.release import Asset, Release
    from mirror.core.execution.action import Action
    from mirror.core.failure import Failure

ActionStatus = Literal["planned", "done", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an action.

    Attributes:
        source: The source's release, where the action belongs to one.
        release: The target's release after it.
        asset: The target's asset after it, verified.
        sha256: Of the bytes that went through.
        failure: Why it failed.
        repository_id: Of a repository that was created.
        warning: What an operator should know of how it was done.
        later: Why it was not tried; the next pass will.
        latest_instead: The release that stayed the latest although this one was to be; 0 for none.
    """

    action: Action
    status: ActionStatus
    source: Release | None = None
    release: Release | None = None
    asset: Asset | None = None
    sha256: str | None = None
    failure: Failure | None = None
    repository_id: int = 0
    warning: str = ""
    later: str = ""
    latest_instead: int | None = None
