"""A private certificate authority for the TLS rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files: the authority, and a server's chain with its key."""

    authority: Path
    server: Path

    def spec(self) -> dict[str, str]:
        """As JSON for a server's input."""
        return {"certificate": str(self.server)}


def make(directory: Path) -> Certificates:
    """Issue a certificate for loopback."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    made = Certificates(directory / "authority.pem", directory / "server.pem")
    authority.cert_pem.write_to_path(made.authority)
    issued.private_key_and_cert_chain_pem.write_to_path(made.server)
    return made
