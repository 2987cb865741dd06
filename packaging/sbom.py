"""Writes a CycloneDX bill of materials beside a package: what it is, and which packages it holds."""

from __future__ import annotations

import re
import zipfile
from datetime import UTC, datetime
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from mirror import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCKED = re.compile(r"(?m)^([a-z0-9-]+)==(\S+)(.*)$")


def write_sbom(path: Path, epoch: int, sha256: str, lock: Path, wheels: Path) -> None:
    """Write ``NAME.cdx.json`` for a package.

    Args:
        path: The package.
        epoch: Seconds since 1970: the document's date.
        sha256: The package's digest, which also makes the document's serial number.
        lock: Its locked dependencies.
        wheels: Where their wheels are; their licences are told if it exists.
    """
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"sha256:{sha256}"))
    bom.metadata.timestamp = datetime.fromtimestamp(epoch, UTC)
    root = Component(
        name="release-mirror",
        version=__version__,
        type=ComponentType.APPLICATION,
        bom_ref=path.name,
        purl=PackageURL("pypi", None, "release-mirror", __version__, {"file_name": path.name}),
        licenses=[LicenseFactory().make_from_string("Apache-2.0")],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
    )
    bom.metadata.component = root
    components = list(_components(lock, wheels))
    for component in components:
        bom.components.add(component)
    bom.register_dependency(root, components)
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    Path(f"{path}.cdx.json").write_text(text + "\n", "utf-8")


def _components(lock: Path, wheels: Path) -> Iterator[Component]:
    licences = _licences(wheels)
    for name, version, marker in _LOCKED.findall(lock.read_text("utf-8")):
        if "win32" in marker:
            continue
        told = licences.get(name)
        yield Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            bom_ref=f"{name}=={version}",
            purl=PackageURL("pypi", None, name, version),
            licenses=[LicenseFactory().make_from_string(told)] if told else [],
        )


def _licences(wheels: Path) -> dict[str, str]:
    found = {}
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
            headers = HeaderParser().parsestr(archive.read(name).decode())
        text = headers.get("License-Expression") or headers.get("License") or ""
        if text and "\n" not in text and len(text) <= 80:
            found[wheel.name.split("-")[0].lower().replace("_", "-").replace(".", "-")] = text
    return found
