"""Writes into a wheel or a source distribution which commit it was built from: ``mirror/BUILD``."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    """Adds the file for the time of a build; a source distribution has it already."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file, if this is a checkout."""
        del build_data
        self._file = Path(self.root, "mirror", "BUILD")
        self._added = version != "editable" and Path(self.root, ".git").exists()
        if self._added:
            self._file.write_text(f"{self._commit()}\n", "utf-8")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove it: a checkout changes, and the file would not."""
        del version, build_data, artifact_path
        if self._added:
            self._file.unlink(missing_ok=True)

    def _commit(self) -> str:
        git = (
            "git",
            "-C",
            self.root,
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
            "--exclude=*",
        )
        try:
            done = subprocess.run(git, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
        except FileNotFoundError:
            return ""
        return done.stdout.strip()
