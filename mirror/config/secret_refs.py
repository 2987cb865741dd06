"""References to secrets in the configuration file: ``env:NAME``, ``file:PATH``, ``credential:NAME``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

from mirror.config.messages import kind

SECRET_PATTERN = "^(env|file|credential):.+$"  # noqa: S105 - the form of a reference
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_CREDENTIAL = re.compile("[A-Za-z0-9_.@-]+")
_TOKEN = re.compile("gh[a-z]_[A-Za-z0-9]{8}|github_pat_|v1\\.[0-9a-f]{8}|[0-9a-f]{40}")
_FORMS = '"env:NAME", "file:PATH" or "credential:NAME"'
Kind = Literal["env", "file", "credential"]


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where a secret is kept; never the secret itself.

    Attributes:
        kind: ``env`` (an environment variable), ``file``, or ``credential`` (a file in systemd's
            ``$CREDENTIALS_DIRECTORY``).
        name: The variable, the path or the credential's name.
    """

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    @classmethod
    def parse(cls, value: object) -> SecretRef:
        """Parse ``env:NAME``, ``file:PATH`` or ``credential:NAME``.

        Raises:
            ValueError: It is none of these. The message does not repeat the value, which may be a
                secret that was put into the file.
        """
        if not isinstance(value, str):
            raise ValueError(f"must be {_FORMS}, not {kind(value)}")  # noqa: TRY004 - pydantic
        scheme, colon, name = value.partition(":")
        if not colon or scheme not in {"env", "file", "credential"}:
            raise ValueError(f"must be {_FORMS}; literal secrets are not allowed (value not shown)")
        if _TOKEN.match(name):
            raise ValueError(
                f"must be {_FORMS}; the text after {scheme}: looks like a token (value not shown)"
            )
        if scheme == "env" and not _VARIABLE.fullmatch(name):
            raise ValueError("must be the name of an environment variable after env: (not shown)")
        if scheme == "file" and (not name or "\0" in name):
            raise ValueError("must be a path after file:")
        if scheme == "credential" and (not _CREDENTIAL.fullmatch(name) or name in {".", ".."}):
            raise ValueError("must be the name of a credential after credential: (not shown)")
        return cls(cast("Kind", scheme), name)
