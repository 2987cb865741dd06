"""Mirror releases and their assets to a GitHub Enterprise Server."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - pip checks this, but a checkout or a copied directory does not
    sys.exit(
        "release-mirror needs Python 3.11 or newer; this is Python"
        f" {sys.version_info[0]}.{sys.version_info[1]} ({sys.executable})"
    )

__version__ = "1.0.0"
