"""The machine and the program versions that results depend on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = {
    "curl": "curl",
    "gh": "gh",
    "nginx": "nginx",
    "xargs": "findutils",
    "bash": "bash",
    "ip": "iproute2",
    "openssl": "openssl",
    "tar": "tar",
}
"""Debian package of each program."""

LIBRARIES = ("aiohttp", "uvloop", "msgspec")


class Missing(Exception):
    """Something that a row requires is not there, or not permitted."""


def need(*programs: str) -> None:
    """Check that programs are installed.

    Raises:
        Missing: Some are not; the message says what to install.
    """
    missing = [program for program in programs if not find(program)]
    if missing:
        packages = " ".join(sorted({PACKAGES[program] for program in missing}))
        raise Missing(
            f"{', '.join(missing)} not found; install Debian's packages: apt-get install {packages}"
        )


def find(program: str) -> str | None:
    """Path of a program; servers may be outside a user's search path."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")


def facts() -> dict[str, Any]:
    """The machine and the versions, for a result."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(_memory() / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {name: _library(name) for name in LIBRARIES}
        | {name: _program(name) for name in ("curl", "nginx", "gh")},
        "load_before": round(os.getloadavg()[0], 2),
    }


def in_memory() -> Path:
    """A directory in memory, if the system has one."""
    shared = Path("/dev/shm")  # noqa: S108 - a mount point; we use a private directory in it
    return shared if shared.is_dir() and os.access(shared, os.W_OK) else Path(tempfile.gettempdir())


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _library(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _program(name: str) -> str:
    """The version a program reports."""
    path = find(name)
    if path is None:
        return ""
    flag = "-v" if name == "nginx" else "--version"
    done = subprocess.run([path, flag], capture_output=True, text=True, check=False, timeout=10)
    words = (done.stdout or done.stderr).replace("/", " ").split()
    return next((word for word in words if word[:1].isdigit()), "")


def python() -> str:
    """The Python interpreter."""
    return sys.executable
