"""`init`: a file to start from, and what to do next."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from mirror.cli.commands.init import STARTER
from mirror.config import load_config

if TYPE_CHECKING:
    from pathlib import Path


def init(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": ""}
    return subprocess.run(
        [sys.executable, "-m", "mirror", *arguments],
        capture_output=True,
        text=True,
        env=environ,
        check=False,
    )


def test_it_writes_a_configuration_where_the_other_commands_find_it(tmp_path: Path) -> None:
    """The file is valid; a second call overwrites nothing."""
    file = tmp_path / ".config/release-mirror/config.toml"
    missing = init(tmp_path, "status")
    assert "release-mirror init" in missing.stderr
    first = init(tmp_path, "init")
    assert (first.returncode, first.stderr) == (0, "")
    assert str(file) in first.stdout
    assert "release-mirror check" in first.stdout
    assert len(load_config(file, {}).mirrors) == 1
    file.write_text("mine")
    second = init(tmp_path, "init")
    assert (second.returncode, second.stdout, file.read_text()) == (2, "", "mine")
    assert "never overwrites" in second.stderr
    other = tmp_path / "a directory" / "b.toml"
    named = init(tmp_path, "init", str(other))
    assert named.returncode == 0
    assert f"check --config '{other}'" in named.stdout
    assert init(tmp_path, "init", "/proc/none/x.toml").returncode == 1


def test_what_its_comments_show_is_valid(tmp_path: Path) -> None:
    """Whoever removes the number signs gets a configuration that works."""
    file = tmp_path / "config.toml"
    file.write_text(re.sub(r"(?m)^# (?=\[\[|\w+ = )", "", STARTER))
    config = load_config(file, {})
    assert len(config.mirrors) == 2
    assert config.sources["github"].token
    assert config.target.ca_file
