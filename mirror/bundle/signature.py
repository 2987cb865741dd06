"""Signs and verifies the index of a bundle with OpenSSH's ``ssh-keygen``.

Keys may be files, in an agent or on a security key, and ``allowed_signers`` has principals and
validity, all as OpenSSH defines them.

Source: ``-Y sign``, ``-Y find-principals``, ``-Y verify`` and ALLOWED SIGNERS in
https://man.openbsd.org/ssh-keygen.1; the format is PROTOCOL.sshsig of OpenSSH.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mirror.bundle.layout import LARGEST_SIGNATURE
from mirror.errors import BundleError, truncate

if TYPE_CHECKING:
    from collections.abc import Callable

    from mirror.errors import Hint

NAMESPACE = "release-mirror-bundle"
"""What a signature is for: one that was made for anything else is wrong."""

TIMEOUT = 120.0
"""Seconds until ``ssh-keygen`` is given up: somebody may have to touch a security key."""

_MOST_PRINCIPALS = 8


class SigningKey:
    """Signs.

    Args:
        read: Reads the key as it is now: a private key, or a public one whose private key is in
            the agent.
    """

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read

    async def sign(self, content: bytes) -> bytes:
        """The signature of some bytes.

        Raises:
            BundleError: ``ssh-keygen`` cannot sign with this key.
        """
        with tempfile.TemporaryDirectory(dir=_memory()) as directory:
            key = Path(directory, "key")
            descriptor = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(
                    self._read().rstrip("\n") + "\n"
                )  # a key without its last line end is none
            arguments = ("-Y", "sign", "-q", "-n", NAMESPACE, "-f", str(key))
            status, signature, said = await _run(arguments, content)
        if status or not signature.startswith(b"-----BEGIN SSH SIGNATURE-----"):
            raise BundleError(
                f"the bundle cannot be signed: {said}", kind="credential", hint="bundle-key"
            )
        return signature


class AllowedSigners:
    """Verifies.

    Args:
        file: Lists who may sign.
        what: What they sign, for errors.
    """

    def __init__(self, file: Path, what: str = "the index of the bundle") -> None:
        self._file = file
        self._what = what

    async def verify(self, content: bytes, signature: Path) -> str:
        """See that somebody who may signed some bytes; who it was.

        Raises:
            BundleError: The signature is missing or wrong, or of a key that may not sign (now).
        """
        try:
            facts = await asyncio.to_thread(signature.lstat)
        except FileNotFoundError:
            if any(signature.parent.glob("*.sig")):
                text = (
                    f"no signature in {signature.parent} matches it: it was changed after signing"
                )
                text += ", or its signature is missing"
                raise self._refused(text, hint="signature-mismatch") from None
            raise self._refused("it is not signed", hint="sign-bundle") from None
        except OSError as error:
            raise self._refused(f"its signature cannot be read: {error.strerror}") from None
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > LARGEST_SIGNATURE:
            raise self._refused("its signature is not a file of a signature's size")
        where = ("-f", str(self._file), "-s", str(signature))
        status, found, said = await _run(("-Y", "find-principals", *where), b"")
        if status:
            raise self._refused(f"no allowed signer has signed it ({said})")
        principals = found.decode(errors="replace").splitlines()
        named = [principal for principal in principals if not principal.startswith("!")]
        for principal in named[:_MOST_PRINCIPALS]:
            check = ("-Y", "verify", "-n", NAMESPACE, "-I", principal, *where)
            status, _, said = await _run(check, content)
            if not status:
                return principal
        raise self._refused(f"its signature is wrong ({said})")

    async def verify_content(self, content: bytes, signature: bytes | None) -> str:
        """The same with a signature that is in no file; ``None`` for none.

        Raises:
            BundleError: As :meth:`verify`.
        """
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory, "signature")
            if signature is not None:
                await asyncio.to_thread(file.write_bytes, signature)
            return await self.verify(content, file)

    def _refused(self, reason: str, *, hint: Hint = "allowed-signers") -> BundleError:
        return BundleError(f"{self._what} is refused: {reason}", kind="credential", hint=hint)


async def _run(arguments: tuple[str, ...], content: bytes) -> tuple[int, bytes, str]:
    """Run ``ssh-keygen``; its exit status, its output, and what it complained of."""
    program = shutil.which("ssh-keygen")
    if program is None:
        raise BundleError(
            "signed bundles need the program ssh-keygen, which is not on the PATH",
            kind="policy",
            hint="install-ssh-keygen",
        )
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # no terminal: it would ask for a passphrase there
    )
    try:
        async with asyncio.timeout(TIMEOUT):
            output, complaint = await process.communicate(content)
    except TimeoutError:
        raise BundleError(
            f"ssh-keygen did not finish in {TIMEOUT:g} s", kind="unavailable"
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = " ".join(complaint.decode(errors="replace").split())
    return process.returncode or 0, output, truncate(said, 200) or "no reason given"


def _memory() -> str | None:
    """A directory that is not on a disk, for a key; ``None`` for the usual one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a private directory is made in it
