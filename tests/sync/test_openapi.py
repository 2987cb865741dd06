"""What a sync sends and is answered, held against GitHub's own OpenAPI descriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from faults.stories import STORIES, Story
from mirror.emulator import GitHubState
from support.openapi import SOURCES, Description, host_options

if TYPE_CHECKING:
    from pathlib import Path


# git, which pushes tags, sends nothing to the API.
@pytest.mark.parametrize("story", [s for s in STORIES if not s.git], ids=lambda story: story.name)
@pytest.mark.parametrize("name", SOURCES)
async def test_nothing_violates_githubs_description(
    name: str, story: Story, tmp_path: Path
) -> None:
    """Every request of a sync, and every answer, is as GitHub describes it."""
    world, description = story.world(tmp_path), Description(name)
    options = {"clock": world.time, **host_options(name)}
    world.source = GitHubState(**options, **story.source)
    world.target = GitHubState(**options)
    description.watch(world.source)
    description.watch(world.target)
    async with world:
        await story.prepare(world)
        await world.sync(full=story.full)
    assert description.violations == []
    assert description.seen
