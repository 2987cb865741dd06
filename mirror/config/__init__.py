"""Settings: from the configuration file and the environment to parsed values."""

from mirror.config.load import find_config_file, load_config, load_config_and_secrets
from mirror.config.model import Config
from mirror.config.secret_refs import SecretRef
from mirror.config.secrets import Secrets, resolve_secrets

__all__ = [
    "Config",
    "SecretRef",
    "Secrets",
    "find_config_file",
    "load_config",
    "load_config_and_secrets",
    "resolve_secrets",
]
