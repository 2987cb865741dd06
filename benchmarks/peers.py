"""What people use instead, as commands: ``curl`` into ``curl``, by the disk, one process an asset."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.stage.scene import Scene

# A length is sent from a pipe only where both other headers are taken out; else curl sends chunks.
_SEND = "-sSf -m 600 -o /dev/null -X POST -H Transfer-Encoding: -H Expect: -H Content-Type:application/octet-stream"


def trust(authority: Path | None) -> str:
    """Curl's option for an authority of our own."""
    return f"--cacert {quote(str(authority))}" if authority else ""


def download(url: str, authority: Path | None = None) -> str:
    """Read an address to standard output."""
    return f"curl -sSf {trust(authority)} {quote(url)}"


def upload(url: str, size: int, authority: Path | None = None) -> str:
    """Send standard input, as one body of known length."""
    return f"curl {_SEND} {trust(authority)} -H 'Content-Length: {size}' -T - {quote(url)}"


def piped(source: str, target: str, size: int, authority: Path | None = None) -> str:
    """``curl | curl``: hashes nothing, proves nothing."""
    return f"{download(source, authority)} | {upload(target, size, authority)}"


def hashed(source: str, target: str, size: int) -> str:
    """``curl | tee >(sha256sum) | curl``: the same work as ours."""
    # The hash has to be there, too, before it is done.
    return f"{{ {download(source)} | tee >(sha256sum >&3) | {upload(target, size)}; }} 3>&1 | cat >/dev/null"


def by_disk(source: str, target: str, file: Path) -> str:
    """``curl`` to a file, then ``curl`` from it."""
    name = quote(str(file))
    return f"{download(source)} -o {name} && curl {_SEND} -T {name} {quote(target)} && rm {name}"


def asset(scene: Scene, size: int, name: str) -> tuple[str, str]:
    """Where a peer reads and writes bytes: the same servers as the program, without their API."""
    return f"{scene.bytes_url}/{size}/{name}", f"{scene.sink_url}/count/{name}"
