from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from mirror.config import Config, load_config
from mirror.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HOSTS = """\
[target]
url = "https://ghe.example.com"
token = "env:TARGET"
[sources.github]
url = "https://github.com"
"""

MIRROR = """
[[mirrors]]
source = "some/thing"
from = "github"
target = "mirrors/some-thing"
"""
"""Added where a test has no mirror: a file without any is wrong."""

SOURCE = """
[sources.github]
url = "https://github.com"
"""
"""Added where a test has no source: a mirror needs one."""


Load = Callable[..., Config]
Wrong = Callable[..., list[Problem]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a text as a configuration file; the hosts come before it."""

    def load(text: str, *, hosts: str = HOSTS, environ: Mapping[str, str] | None = None) -> Config:
        file = tmp_path / "config.toml"
        whole = hosts + text
        if "sources" not in whole:
            whole += SOURCE
        file.write_text(whole if "mirrors" in text else whole + MIRROR)
        return load_config(file, environ if environ is not None else {"HOME": "/home/me"})

    return load


@pytest.fixture
def wrong(load: Load) -> Wrong:
    """Load a text that is wrong and give its problems."""

    def wrong(text: str, *, hosts: str = HOSTS) -> list[Problem]:
        with pytest.raises(ConfigError) as caught:
            load(text, hosts=hosts)
        assert all(problem.message for problem in caught.value.problems)
        return list(caught.value.problems)

    return wrong
