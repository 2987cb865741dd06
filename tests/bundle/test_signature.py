"""Signing the index of a bundle, and refusing one that nobody signed who may."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from mirror.bundle.directory import BundleDirectory
from mirror.bundle.signature import AllowedSigners, SigningKey
from mirror.errors import BundleError, ConfigError
from support.air_gap import AirGap
from support.world import only

if TYPE_CHECKING:
    from pathlib import Path

SIGNER = "bundle@example.com"

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None,
    reason="ssh-keygen (Debian: openssh-client) is not installed",
)


def make_key(path: Path, *options: str) -> str:
    """A new key; its line in ``allowed_signers``."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    kind, key = path.with_suffix(".pub").read_text().split()[:2]
    return " ".join([SIGNER, *options, kind, key]) + "\n"


def output_of(*command: str, cwd: Path | None = None) -> str:
    return subprocess.run(command, cwd=cwd, check=True, stdout=-1, text=True).stdout


@pytest.fixture
def gap(tmp_path: Path) -> AirGap:
    """A gap with a key on the connected side, and who may sign on the other."""
    gap = AirGap(tmp_path)
    (tmp_path / "allowed").write_text(make_key(tmp_path / "key"))
    gap.target_keys = f'sign_with = "file:{tmp_path / "key"}"\n'
    gap.source_keys = f'allowed_signers = "{tmp_path / "allowed"}"\n'
    return gap


def seed(gap: AirGap) -> None:
    gap.source.add_repository("octo/tool")
    gap.source.add_release("octo/tool", "v1", assets={"a": b"a"})


async def test_what_was_signed_is_read(gap: AirGap) -> None:
    """A bundle that somebody who may has signed is read without a warning."""
    async with gap:
        seed(gap)
        await gap.write()
        read = await gap.read()
        assert (read.status, only(read).warnings) == ("ok", ())


async def test_openssh_verifies_the_signature(gap: AirGap, tmp_path: Path) -> None:
    """The commands of the format's page verify the signature, and each index has its own."""
    async with gap:
        seed(gap)
        for tag in ("v2", "v3"):
            await gap.write()
            script = (
                "hex=$(sha256sum < index.json | cut -d ' ' -f 1)\n"
                f"signer=$(ssh-keygen -Y find-principals -s signatures/$hex.sig -f {tmp_path}/allowed"
                " | head -n 1)\n"
                f'ssh-keygen -Y verify -n release-mirror-bundle -I "$signer" -f {tmp_path}/allowed'
                " -s signatures/$hex.sig < index.json\n"
            )
            said = await asyncio.to_thread(output_of, "sh", "-ec", script, cwd=gap.bundle)
            assert f"signature for {SIGNER}" in said
            gap.source.add_release("octo/tool", tag, assets={"a": b"a"})
        assert len(list((gap.bundle / "signatures").iterdir())) == 2  # the predecessor's, too


async def test_a_tampered_index_is_not_called_unsigned(gap: AirGap) -> None:
    """Where other indexes are signed, one without a signature was changed, or lost its own."""
    async with gap:
        seed(gap)
        await gap.write()
        index = gap.bundle / "index.json"
        index.write_bytes(index.read_bytes().replace(b"mirrors/tool", b"mirrors/tooI"))
        (changed,) = only(await gap.read()).failures
        assert "no signature in" in changed.error
        assert "it was changed after signing, or its signature is missing" in changed.error
        assert changed.kind == "credential"
        assert "bring the bundle again" in changed.advice
        for signature in (gap.bundle / "signatures").iterdir():
            signature.unlink()
        (unsigned,) = only(await gap.read()).failures
        assert "it is not signed" in unsigned.error
        assert unsigned.advice == "set sign_with where the bundle is written"


@pytest.mark.parametrize("case", ["missing", "link", "other key", "other bytes", "expired", "use"])
async def test_anything_else_is_refused(gap: AirGap, tmp_path: Path, case: str) -> None:
    """A missing or wrong signature is refused before anything is read; the failure says why."""
    async with gap:
        seed(gap)
        await gap.write()
        (signature,) = (gap.bundle / "signatures").iterdir()
        if case == "missing":
            signature.unlink()
        elif case == "link":
            signature.rename(tmp_path / "elsewhere")
            signature.symlink_to(tmp_path / "elsewhere")
        elif case == "other key":
            (tmp_path / "allowed").write_text(make_key(tmp_path / "other"))
        elif case == "other bytes":
            index = gap.bundle / "index.json"
            index.write_bytes(index.read_bytes().replace(b"mirrors/tool", b"mirrors/tooI"))
        else:
            option = 'valid-before="20250101"' if case == "expired" else 'namespaces="git"'
            words = (tmp_path / "allowed").read_text().split()
            (tmp_path / "allowed").write_text(" ".join([words[0], option, *words[1:]]) + "\n")
        shutil.rmtree(gap.bundle / "blobs")  # it is not missed
        read = await gap.read()
        (failure,) = only(read).failures
        assert failure.kind == "credential"
        assert "the index of the bundle is refused" in failure.error
        assert not gap.isolated.names


CONTENT = b"an index"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A private key, its public key, and that of somebody else."""
    place = tmp_path_factory.mktemp("keys")
    ours, theirs = (make_key(place / name).split(maxsplit=1)[1].strip() for name in ("a", "b"))
    return place / "a", ours, theirs


LINES = {
    "a pattern": ("*@example.com KEY", "*@example.com"),
    "several": ("a@example.com,*@example.org KEY", "a@example.com"),
    "an exception": ("!a@example.com,*@example.com KEY", "*@example.com"),
    "comments": ("# who may sign\n\n  a@b KEY", "a@b"),
    "a time": ('a@b valid-after="20200101",valid-before="20991231" KEY', "a@b"),
    "too early": ('a@b valid-after="20990101" KEY', "key is not yet valid"),
    "too late": ('a@b valid-before="20200101120000Z" KEY', "key has expired"),
    "no time": ('a@b valid-before="soon" KEY', 'invalid "valid-before" time'),
    "its purpose": ('a@b namespaces="file,release-mirror-*" KEY', "a@b"),
    "another purpose": (
        'a@b namespaces="file" KEY',
        "not permitted for use in signature namespace",
    ),
    "every other purpose": ('a@b namespaces="!release-mirror-bundle,*" KEY', "not permitted"),
    "a new line for an expired key": ('a@b valid-before="20200101" KEY\nc@d KEY', "c@d"),
    "the key before": ("a@b OTHER\na@b KEY", "a@b"),
    "an authority that certified nothing": ("a@b cert-authority KEY", "No principal matched"),
    "another key": ("a@b OTHER", "No principal matched"),
    "no name": ("KEY", "missing key"),
    "nobody": ("", "No principal matched"),
}


@pytest.mark.parametrize("case", LINES)
async def test_who_may_sign_is_as_openssh_defines_it(
    case: str, keys: tuple[Path, str, str], tmp_path: Path
) -> None:
    """Principals, times and namespaces of ``allowed_signers``; the failure says why one is refused."""
    private, ours, theirs = keys
    lines, expected = LINES[case]
    allowed = tmp_path / "allowed"
    allowed.write_text(lines.replace("KEY", ours).replace("OTHER", theirs) + "\n")
    signature = await SigningKey(private.read_text).sign(CONTENT)
    verified = AllowedSigners(allowed).verify_content(CONTENT, signature)
    if "@" in expected:
        assert await verified == expected
        return
    with pytest.raises(BundleError, match="the index of the bundle is refused") as caught:
        await verified
    assert expected in str(caught.value)
    assert caught.value.kind == "credential"


async def test_a_signature_for_another_purpose(keys: tuple[Path, str, str], tmp_path: Path) -> None:
    """What an allowed key signed as a file, or for other bytes, is no signature of a bundle."""
    (tmp_path / "allowed").write_text(f"a@b {keys[1]}\n")
    (tmp_path / "index").write_bytes(CONTENT)
    output_of(
        "ssh-keygen", "-Y", "sign", "-q", "-n", "file", "-f", str(keys[0]), str(tmp_path / "index")
    )
    signers = AllowedSigners(tmp_path / "allowed")
    with pytest.raises(BundleError, match="namespace does not match"):
        await signers.verify_content(CONTENT, (tmp_path / "index.sig").read_bytes())
    good = await SigningKey(keys[0].read_text).sign(CONTENT)
    with pytest.raises(BundleError, match="incorrect signature"):
        await signers.verify_content(b"another index", good)
    for broken in (b"", b"text", good[:100]):
        with pytest.raises(BundleError, match="Couldn't parse signature"):
            await signers.verify_content(CONTENT, broken)


async def test_a_refused_bundle_is_one_failure(gap: AirGap) -> None:
    """It is told once, however many mirrors need the bundle."""
    gap.carried = "".join(f'[[mirrors]]\nsource = "mirrors/{n}"\n' for n in ("a", "b", "c"))
    async with gap:
        seed(gap)
        await gap.write()
        for signature in (gap.bundle / "signatures").iterdir():
            signature.unlink()
        read = await gap.read()
        assert read.totals()["failures"] == 1
        assert read.status == "failed"


async def test_unsigned_bundles_are_warned_of(gap: AirGap) -> None:
    """Without ``allowed_signers`` every report says that signatures are not checked."""
    gap.source_keys = ""
    async with gap:
        seed(gap)
        await gap.write()
        for _ in range(2):
            (warning,) = only(await gap.read()).warnings
            assert "the signature of the bundle" in warning


async def test_a_key_that_cannot_sign_changes_nothing(gap: AirGap, tmp_path: Path) -> None:
    """The index before stays in force, the failure says why, and the next pass commits the rest."""
    async with gap:
        seed(gap)
        await gap.write()
        before = (gap.bundle / "index.json").read_bytes()
        key = (tmp_path / "key").read_text()
        (tmp_path / "key").write_text("not a key\n")
        gap.source.add_release("octo/tool", "v2", assets={"a": b"b"})
        (failure,) = only(await gap.write()).failures
        assert (failure.kind, failure.hint) == ("credential", "bundle-key")
        assert (gap.bundle / "index.json").read_bytes() == before
        (tmp_path / "key").write_text(key)
        assert (await gap.write()).status == "unchanged"
        assert "mirrors/tool:v2" in (gap.bundle / "index.json").read_text()
        assert (await gap.read()).status == "ok"


async def test_without_ssh_keygen_it_is_said_what_is_missing(
    gap: AirGap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundle stays as it was; the next pass with the program signs it."""
    async with gap:
        seed(gap)
        with monkeypatch.context() as without:
            without.setenv("PATH", str(tmp_path))
            (failure,) = only(await gap.write()).failures
        assert (failure.kind, failure.hint) == ("policy", "install-ssh-keygen")
        assert not (gap.bundle / "index.json").exists()
        await gap.write()
        assert (await gap.read()).status == "ok"


async def test_a_key_in_the_agent(
    gap: AirGap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``sign_with`` may be a public key whose private key is in the agent."""
    said = output_of("ssh-agent", "-a", str(tmp_path / "agent"))  # it goes into the background
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    try:
        output_of("ssh-add", "-q", str(tmp_path / "key"))
        (tmp_path / "key").unlink()
        (tmp_path / "key.pub").chmod(0o600)
        gap.target_keys = f'sign_with = "file:{tmp_path / "key.pub"}"\n'
        async with gap:
            seed(gap)
            assert (await gap.write()).status == "ok"
            assert (await gap.read()).status == "ok"
    finally:
        (number,) = re.findall(r"SSH_AGENT_PID=(\d+)", said)
        os.kill(int(number), signal.SIGTERM)


async def test_who_may_sign_must_be_readable(gap: AirGap) -> None:
    """A list of signers that cannot be read is a mistake of the configuration."""
    gap.source_keys = 'allowed_signers = "/nowhere/allowed"\n'
    async with gap:
        with pytest.raises(ConfigError, match=r"allowed_signers.*cannot be read"):
            await gap.read()


@pytest.mark.parametrize("case", ["removed", "expired"])
async def test_a_revoked_key_signs_nothing_any_more(gap: AirGap, tmp_path: Path, case: str) -> None:
    """What a removed or expired key signed is refused by sync, unpack and `bundle verify` alike.

    Nothing changes then. What another listed key signs afterwards is taken.
    """
    allowed, gap.brought = tmp_path / "allowed", tmp_path / "brought"
    old, new = allowed.read_text(), make_key(tmp_path / "new")
    who, *key = old.split()
    revoked = {"removed": "", "expired": " ".join([who, 'valid-before="20250101"', *key]) + "\n"}
    signers = AllowedSigners(allowed)
    async with gap:
        seed(gap)
        await gap.write()
        assert (await gap.deliver(signers=signers))[1].complete
        assert (await gap.read()).status == "ok"
        allowed.write_text(revoked[case] + new)
        gap.source.add_release("octo/tool", "v2", assets={"a": b"b"})
        await gap.write()
        before = (gap.brought / "index.json").read_bytes()
        (problem,) = (await gap.deliver(signers=signers))[1].problems
        assert "is refused" in problem
        assert (gap.brought / "index.json").read_bytes() == before
        (failure,) = only(await gap.read(full=True)).failures
        assert failure.kind == "credential"
        with pytest.raises(BundleError, match="is refused"):
            await BundleDirectory(gap.brought, signers).contents()

        gap.target_keys = f'sign_with = "file:{tmp_path / "new"}"\n'
        gap.source.add_release("octo/tool", "v3", assets={"a": b"c"})
        await gap.write()
        assert (await gap.deliver(signers=signers))[1].complete
        assert (await gap.read()).status == "ok"
        assert len(gap.isolated.releases("mirrors/tool")) == 3
