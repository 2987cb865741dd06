"""`emulator` as a user runs it."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import sys
from typing import TYPE_CHECKING

import aiohttp
import pytest
import trustme

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path, Path]:
    """PEM files of a private authority, of a certificate and of its key."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    files = tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem"
    for file, pem in zip(
        files,
        (authority.cert_pem, issued.cert_chain_pems[0], issued.private_key_pem),
        strict=True,
    ):
        pem.write_to_path(file)
    return files


async def test_emulator(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> None:
    """One JSON line says where it is, as soon as it answers over TLS; a signal ends it well."""
    ca, cert, key = map(str, certificate)
    seed = tmp_path / "seed.json"
    seed.write_text('{"repositories": [{"name": "a/b", "releases": [{"tag": "v1"}]}]}')
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mirror", "emulator", "--kind", "github", "--seed", str(seed)),
        *("--tls-cert", cert, "--tls-key", key),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        addresses = json.loads(await process.stdout.readline())
        for name in ("url", "api_url", "upload_url", "storage_url"):
            assert addresses[name].startswith("https://")
        trust = ssl.create_default_context(cafile=ca)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{addresses['api_url']}/repos/a/b/releases", ssl=trust) as answer,
        ):
            assert [release["tag_name"] for release in await answer.json()] == ["v1"]
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
        assert process.returncode == 0, err
        assert out == b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--tls-cert {cert}", "--tls-cert and --tls-key go together"),
        ("--tls-cert /gone.pem --tls-key {key}", "/gone.pem: cannot be read"),
        ("--tls-cert {key} --tls-key {cert}", "are not a certificate and its private key in PEM"),
        ("--port 1025 --web-port 1026", "a GHES serves web and API at one port"),
        ("--ghes-version three", "'three' is no version of GitHub Enterprise Server"),
    ],
)
async def test_mistaken_options(
    certificate: tuple[Path, Path, Path], options: str, message: str
) -> None:
    """A mistake exits 2 with one sentence that names it."""
    _, cert, key = certificate
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mirror", "emulator"),
        *options.format(cert=cert, key=key).split(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert message in err.decode()
    assert err.count(b"\n") == 1
