"""Debian's ``gh`` copying between two emulated hosts over TLS, with one process per download and upload."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from benchmarks.stage import certificates, nginx
from benchmarks.stage.processes import served, shell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measure import Sample

_NO_RELEASE = '{"data":{"repository":{"release":null}}}'


class Hub:
    """Two hosts, one of which has a release with assets.

    Attributes:
        assets: Number of assets.
    """

    def __init__(self, urls: dict[str, str], directory: Path, authority: Path, assets: int) -> None:
        self.assets = assets
        self._urls = urls
        self._directory = directory
        self._authority = authority
        self._runs = 0

    def copy(self, assets: int) -> Sample:
        """Copy all assets sequentially; the time is extrapolated to the requested number."""
        self._runs += 1
        tag = f"run{self._runs}"
        source, target = (
            self._urls[name].removeprefix("https://") for name in ("source", "target")
        )
        there = quote(str(self._directory))
        # Creating the release at the target first is not measured.
        script = "\n".join(
            f"gh release download v1 -R {source}/octo/tool -p asset-{number}.bin -D {there} --clobber"
            f" && mv {there}/asset-{number}.bin {there}/{tag}-{number}.bin"
            f" && gh release upload v1 {there}/{tag}-{number}.bin -R {target}/octo/tool || exit 1"
            for number in range(self.assets)
        )
        environ = {
            "GH_ENTERPRISE_TOKEN": "token",
            "GH_CONFIG_DIR": str(self._directory / "gh"),
            "GH_NO_UPDATE_NOTIFIER": "1",
            "GH_PROMPT_DISABLED": "1",
            "SSL_CERT_FILE": str(self._authority),
        }
        found = shell(script, environ)
        return {**found, "seconds": found["seconds"] * assets / self.assets}


@contextmanager
def hub(size: int, assets: int) -> Iterator[Hub]:
    """Start two emulators behind nginx, which adds TLS."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-gh-")))
        issued = certificates.make(directory)
        urls = {}
        for name, count in (("source", assets), ("target", 0)):
            release = {
                "tag": "v1",
                "assets": [{"name": f"asset-{n}.bin", "size": size} for n in range(count)],
            }
            seed = {
                "tokens": [{"token": "token", "login": "mirror", "admin": True}],
                "repositories": [{"name": "octo/tool", "releases": [release]}],
                # gh sends its token to every loopback address; a storage host rejects it.
                "options": {"direct_download": True},
            }
            path = directory / f"{name}.json"
            path.write_text(json.dumps(seed), encoding="ascii")
            emulator = stack.enter_context(served("benchmarks.stage.emulated", {"seed": str(path)}))
            # gh queries drafts over GraphQL, which the emulator lacks: answer that there are none.
            locations = (
                f"location = /api/graphql {{ default_type application/json; return 200 '{_NO_RELEASE}'; }}"
                f"location / {{ proxy_pass {emulator['url']}; proxy_set_header Host $http_host;"
                " proxy_http_version 1.1; }"
            )
            urls[name] = stack.enter_context(nginx.running(locations, issued))
        yield Hub(urls, directory, issued.authority, assets)
