"""The alternatives as shell commands: ``curl`` piped into ``curl``, through disk, one process per asset."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.stage.scene import Scene

# curl sends a length for piped input only without these two headers; otherwise it sends chunks.
_SEND = "-sSf -m 600 -o /dev/null -X POST -H Transfer-Encoding: -H Expect: -H Content-Type:application/octet-stream"


def trust(authority: Path | None) -> str:
    """The ``curl`` option for our certificate authority."""
    return f"--cacert {quote(str(authority))}" if authority else ""


def download(url: str, authority: Path | None = None) -> str:
    """Download a URL to standard output."""
    return f"curl -sSf {trust(authority)} {quote(url)}"


def upload(url: str, size: int, authority: Path | None = None) -> str:
    """Upload standard input as a body of known length."""
    return f"curl {_SEND} {trust(authority)} -H 'Content-Length: {size}' -T - {quote(url)}"


def piped(source: str, target: str, size: int, authority: Path | None = None) -> str:
    """``curl | curl``: neither hashes nor verifies."""
    return f"{download(source, authority)} | {upload(target, size, authority)}"


def hashed(source: str, target: str, size: int) -> str:
    """``curl | tee >(sha256sum) | curl``: the same work as release-mirror."""
    # Wait for the hash as well.
    return f"{{ {download(source)} | tee >(sha256sum >&3) | {upload(target, size)}; }} 3>&1 | cat >/dev/null"


def by_disk(source: str, target: str, file: Path) -> str:
    """``curl`` to a file, then ``curl`` from it."""
    name = quote(str(file))
    return f"{download(source)} -o {name} && curl {_SEND} -T {name} {quote(target)} && rm {name}"


def asset(scene: Scene, size: int, name: str) -> tuple[str, str]:
    """URLs a peer downloads from and uploads to: the servers release-mirror uses, without their API."""
    return f"{scene.bytes_url}/{size}/{name}", f"{scene.sink_url}/count/{name}"
