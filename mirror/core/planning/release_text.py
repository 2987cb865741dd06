"""What a release says at the target: its title, its text, its flags, and whether it is the latest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mirror.core.execution.action import CreateRelease, PublishRelease, UpdateRelease
from mirror.core.text.body import marker, render_body, render_footer, same_text, with_marker

if TYPE_CHECKING:
    from collections.abc import Collection

    from mirror.core.domain.policy import Policy
    from mirror.core.domain.release import Release, Snapshot
    from mirror.core.planning.plan_context import PlanContext


class Texts:
    """The fields of the requests that make, publish and change the releases of a mirror.

    Args:
        selected: Ids of the source's releases that are wanted.
    """

    def __init__(
        self,
        source: Snapshot,
        target: Snapshot | None,
        policy: Policy,
        about: PlanContext,
        selected: Collection[int],
    ) -> None:
        self._latest = source.latest
        self._latest_here = target.latest if target else None
        self._policy = policy
        self._about = about
        self._selected = selected
        self._rendered: dict[int, dict[str, Any]] = {}

    def draft(self, release: Release) -> CreateRelease:
        """A draft with our marker."""
        mark = marker(self._about.source_url, release)
        text = {**self._text(release), "draft": True}
        text["body"] = with_marker(text["body"], mark)
        return CreateRelease(text, mark)

    def publication(self, release: Release) -> PublishRelease:
        """The end of a draft: its final text."""
        latest = self._make_latest(release)
        return PublishRelease({**self._text(release), "draft": False, **latest})

    def update(
        self, release: Release, copy: Release, *, followed: bool, instead: int | None = None
    ) -> UpdateRelease | None:
        """What a published copy needs; of one that is not followed only to be the latest.

        Args:
            release: The source's.
            copy: The target's.
            followed: Its text and flags are kept equal to the source's.
            instead: As for :meth:`never_latest`.
        """
        changes = self.differences(release, copy) if followed else {}
        shown = not changes.get("prerelease", copy.prerelease)
        if (
            self._lacks_latest(release, copy)
            and shown
            and not self.never_latest(release, copy, instead)
        ):
            changes |= self._make_latest(release)
        return UpdateRelease({"tag_name": copy.tag, **changes}) if changes else None

    def never_latest(self, release: Release, copy: Release, instead: int | None) -> bool:
        """Whether a copy is to be the latest release, and the target does not let it be.

        Args:
            release: The source's.
            copy: The target's.
            instead: The release that stayed the latest when this was asked for before (0 for none);
                ``None`` if it was not asked for, or heeded.
        """
        if not self._lacks_latest(release, copy):
            return False
        limits = self._about.capabilities
        by_date = limits.version is not None and not limits.make_latest
        return by_date or instead == (self._latest_here or 0)

    def _lacks_latest(self, release: Release, copy: Release) -> bool:
        return release.id == self._latest and copy.id != self._latest_here

    def differences(self, release: Release, copy: Release) -> dict[str, Any]:
        """The fields in which a copy differs from what it should say."""
        text = self._text(release)
        changes: dict[str, Any] = {}
        if copy.tag != release.tag and not copy.frozen:
            changes["tag_name"] = release.tag
        if copy.name.strip() != text["name"].strip():
            changes["name"] = text["name"]
        if not same_text(copy.body, text["body"]):
            changes["body"] = text["body"]
        if copy.prerelease != release.prerelease:
            changes["prerelease"] = release.prerelease
        return changes

    def _text(self, release: Release) -> dict[str, Any]:
        """The fields of a release that are the same at both ends, made once."""
        if release.id not in self._rendered:
            body = release.body
            if self._about.capabilities.rewritten_texts:
                body = render_body(
                    release.body,
                    mentions=self._policy.mentions,
                    origin=release.html_url or "the source",
                    footer=render_footer(self._policy.footer, release),
                )
            self._rendered[release.id] = {
                "tag_name": release.tag,
                "name": release.name,
                "body": body,
                "prerelease": release.prerelease,
            }
        return self._rendered[release.id]

    def _make_latest(self, release: Release) -> dict[str, str]:
        """``make_latest`` of a request: true for the source's latest alone.

        It is never sent for a prerelease, which a host refuses ("Latest release cannot be draft or
        prerelease"). Where the source's latest is not wanted, the host decides by date and version.
        """
        if not self._about.capabilities.make_latest or release.prerelease:
            return {}
        if self._latest == release.id:
            return {"make_latest": "true"}
        return {"make_latest": "false" if self._latest in self._selected else "legacy"}
