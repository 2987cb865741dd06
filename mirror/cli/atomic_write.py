"""Replacing a file in one step, so that readers see either the old or the new content."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from mirror.errors import MirrorError


def write_atomically(file: Path, content: bytes) -> None:
    """Replace a file in one step; keeps its permissions, and creates a new file under the umask.

    Symbolic links are followed. What is not a regular file (a pipe, a device) is written to.

    Raises:
        MirrorError: It cannot be written; the old content is untouched.
    """
    try:
        _replace(Path(os.path.realpath(file)), content)
    except OSError as error:
        raise MirrorError(f"cannot write {file}: {error.strerror or error}") from error


def _replace(file: Path, content: bytes) -> None:
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        file.write_bytes(content)
        return
    aside = file.with_name(f".{file.name[:200]}.{secrets.token_hex(4)}.tmp")
    try:
        with aside.open("xb") as stream:
            stream.write(content)
            if mode is not None:
                os.fchmod(stream.fileno(), stat.S_IMODE(mode))
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(file)
    except BaseException:
        with suppress(FileNotFoundError):
            aside.unlink()
        raise
