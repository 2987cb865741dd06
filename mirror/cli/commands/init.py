"""``init``: write a starter configuration."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from mirror.cli import exit_status
from mirror.cli.output import print_text
from mirror.config.load import user_file
from mirror.core.text.sanitise import clean
from mirror.errors import MirrorError, UsageError

STARTER = """\
# Configuration of release-mirror. `release-mirror check` validates this file and tests the hosts.
#
# Every key, with its default: docs/reference/configuration.md. For completion in an editor:
# release-mirror schema > config.schema.json
#
# Secrets are references, never literal values: "env:NAME" (an environment variable), "file:PATH"
# (mode 0600), or "credential:NAME" (a systemd credential).


# The host that releases are written to: a GitHub Enterprise Server, GHE.com or github.com.
[target]
url = "https://ghe.example.com"

# A token that may create repositories and releases: a classic one with the scope "repo", or a
# fine-grained one with "Contents" and "Administration" read and write.
token = "env:MIRROR_TARGET_TOKEN"

# Certificates to trust besides the system's (PEM), if your server uses an authority of your own.
# ca_file = "/etc/ssl/certs/company-ca.pem"


# A host that releases are read from. Public repositories need no token, but without one github.com
# allows 60 requests an hour.
[sources.github]
url = "https://github.com"
# token = "env:MIRROR_GITHUB_TOKEN"


# What to mirror: one table for each repository, or for a pattern of them.
[[mirrors]]
source = "cli/cli"
target = "mirrors/cli"
releases = { latest = 3 }                  # the newest 3; without this line, all of them
# assets = { include = ["*linux_amd64*"] }

# [[mirrors]]
# source = "hashicorp/*"
# target = "mirrors/{owner}-{repo}"
# releases = { latest = 1, prereleases = false }


# release-mirror daemon: how often it looks for new releases, and where its status page is.
[daemon]
interval = "15m"
listen = "127.0.0.1:8321"
"""


def init(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="File to write. Default: release-mirror/config.toml in $XDG_CONFIG_HOME"
            " (~/.config).",
            show_default=False,
        ),
    ] = None,
) -> int:
    r"""Write a commented starter configuration, and say what to do next.

    Never overwrites a file.

    \b
    Examples:
      release-mirror init
      release-mirror init mirror.toml
    """
    default = user_file(os.environ)
    path = file or default
    _create(path)
    option = "" if path == default else f" --config {shlex.quote(str(path))}"
    print_text(
        f"Wrote {clean(path)}. Next:\n\n"
        "  1. Edit it: the address of your server, and what to mirror.\n"
        "  2. Set MIRROR_TARGET_TOKEN to a token of your server.\n"
        f"  3. release-mirror check{clean(option)}     test the hosts and the token\n"
        f"  4. release-mirror plan{clean(option)}      show what would be mirrored\n"
        f"  5. release-mirror sync{clean(option)}      mirror it\n"
    )
    return exit_status.OK


def _create(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(STARTER)
    except FileExistsError:
        raise UsageError(f"{path} exists; init never overwrites a file") from None
    except OSError as error:
        raise MirrorError(f"cannot write {path}: {error.strerror or error}") from error
