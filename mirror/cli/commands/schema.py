"""``schema``: the JSON Schema of the configuration file."""

from __future__ import annotations

import json

from mirror.cli import exit_status
from mirror.cli.output import print_text
from mirror.config.reference import schema as schema_of_the_file


def schema() -> int:
    r"""Print the JSON Schema of the configuration file, for editors.

    \b
    Example:
      release-mirror schema > config.schema.json
    """
    print_text(json.dumps(schema_of_the_file(), indent=2) + "\n")
    return exit_status.OK
