"""Settings: from the configuration file and the environment to values that are ready to use."""

from typing import Any

from mirror.config.load import find_config_file, load_config
from mirror.config.model import Config
from mirror.config.secrets import SecretRef, Secrets, resolve_secrets

__all__ = [
    "Config",
    "SecretRef",
    "Secrets",
    "find_config_file",
    "load_config",
    "resolve_secrets",
    "schema",
]


def schema() -> dict[str, Any]:
    """Give the JSON Schema of the configuration file, as it is typed."""
    from mirror.config.document import schema as make  # noqa: PLC0415 - one command needs it

    return make()
