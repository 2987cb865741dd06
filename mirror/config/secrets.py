"""Reading secrets from the environment, files and systemd credentials. No message repeats one."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from mirror.config.lines import label
from mirror.config.messages import quote
from mirror.config.model import host_path
from mirror.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from mirror.config.lines import Lines
    from mirror.config.model import Config, Host, SecretUse
    from mirror.config.secret_refs import SecretRef

_LARGEST_SECRET = 64 * 1024


class SecretResolver:
    """Reads secrets when they are needed, so that a renewed secret is found.

    Args:
        environ: The environment, for ``env:`` and ``$CREDENTIALS_DIRECTORY``.
        base_directory: The directory that relative ``file:`` paths are relative to.
    """

    def __init__(self, environ: Mapping[str, str], base_directory: Path) -> None:
        self._environ = environ
        self._base_directory = base_directory
        self._warnings: dict[str, None] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Files whose permissions are too open, each once."""
        return tuple(self._warnings)

    def read(self, ref: SecretRef, *, multiline: bool = False) -> str:
        """Read a secret, without the trailing line break.

        Args:
            ref: The reference to it.
            multiline: Allow line breaks within it (a private key).

        Raises:
            ConfigError: It is missing, unreadable or empty, or cannot be sent in a header.
        """
        try:
            return _checked(self._raw(ref), multiline=multiline)
        except _Unusable as error:
            raise ConfigError(str(ref), [Problem("", str(error))]) from None

    def _raw(self, ref: SecretRef) -> str:
        if ref.kind == "env":
            if ref.name not in self._environ:
                raise _Unusable(f"the environment variable {ref.name} is not set")
            return self._environ[ref.name]
        if ref.kind == "file":
            return self._read_file(self._path(ref.name), managed=False)
        directory = self._environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise _Unusable(
                f"the credential {ref.name} cannot be read: $CREDENTIALS_DIRECTORY is not set"
                " (systemd sets it for the service; in a shell: export"
                " CREDENTIALS_DIRECTORY=/etc/credstore)"
            )
        return self._read_file(Path(directory, ref.name), managed=True)

    def _read_file(self, path: Path, *, managed: bool) -> str:
        shown = quote(str(path))
        try:
            with path.open("rb") as file:
                # Check the open file, so that the file checked is the file read.
                exposed = _exposed(path, os.fstat(file.fileno()), managed=managed)
                if exposed and not _normal(path, exposed):
                    raise _Unusable(
                        f"the file {shown} can be {_words(exposed)}; restrict it to its owner"
                        " (chmod 600), or to root and the service's group (mode 0640)"
                    )
                data = file.read(_LARGEST_SECRET + 1)
        except FileNotFoundError:
            raise _Unusable(f"the file {shown} does not exist") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "invalid path"
            raise _Unusable(f"the file {shown} cannot be read: {reason}") from None
        if exposed:
            self._warnings[
                f"the secret {shown} can be {_words(exposed)}, as is common in containers; if other"
                " programs run there, restrict its mode (Kubernetes: defaultMode: 0400)"
            ] = None
        if len(data) > _LARGEST_SECRET:
            raise _Unusable(f"the file {shown} is too large to be a secret")
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise _Unusable(f"the file {shown} is not text") from None

    def _path(self, name: str) -> Path:
        try:
            return self._base_directory / Path(name).expanduser()
        except RuntimeError:
            raise _Unusable(f"the home directory of {quote(name)} cannot be found") from None


class Secrets:
    """The secrets of a configuration, read once; its representation shows none."""

    def __init__(self, resolver: SecretResolver, values: Mapping[SecretRef, str]) -> None:
        self._resolver = resolver
        self._values = dict(values)

    def __getitem__(self, ref: SecretRef) -> str:
        return self._values[ref]

    def get(self, ref: SecretRef | None) -> str | None:
        """The secret of a reference; ``None`` for no reference or one that was not read."""
        return None if ref is None else self._values.get(ref)

    def reread(self, ref: SecretRef) -> str:
        """Read a secret again: after a 401 it may have been renewed.

        Raises:
            ConfigError: It can no longer be read; the previous value is kept.
        """
        multiline = "\n" in self._values.get(ref, "")
        self._values[ref] = self._resolver.read(ref, multiline=multiline)
        return self._values[ref]

    def current(self, ref: SecretRef) -> str:
        """The secret as it is now; as it was, where it can no longer be read."""
        try:
            return self.reread(ref)
        except ConfigError:
            return self[ref]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Files whose permissions are too open."""
        return self._resolver.warnings

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Secrets: {len(self)} read>"


def resolve_secrets(
    config: Config, environ: Mapping[str, str], *, only: Collection[str] | None = None
) -> Secrets:
    """Read the secrets that a configuration refers to, and check that each ``ca_file`` is usable.

    Args:
        config: The configuration.
        environ: The environment.
        only: The top-level tables whose secrets are needed, such as ``{"target", "sources"}``;
            default: all.

    Raises:
        ConfigError: Some cannot be read, or a ``ca_file`` cannot; it lists each with its key.
    """
    uses = [use for use in config.secrets() if only is None or use.path[0] in only]
    hosts = config.hosts if only is None or {"target", "sources"} & set(only) else {}
    secrets, problems = read_secrets(uses, hosts, config.lines, config.file, environ)
    if problems:
        raise ConfigError(str(config.file), sorted(problems, key=lambda problem: problem.line or 0))
    return secrets


def read_secrets(
    uses: Iterable[SecretUse],
    hosts: Mapping[str, Host],
    lines: Lines,
    file: Path,
    environ: Mapping[str, str],
) -> tuple[Secrets, list[Problem]]:
    """Read the secrets that are referred to, and check that each ``ca_file`` is usable.

    Args:
        uses: The references.
        hosts: By name; the target's is ``target``.
        lines: Of the configuration file.
        file: The configuration file, which ``file:`` paths are relative to.
        environ: The environment.

    Returns:
        What could be read, and a problem for each reference and ``ca_file`` that could not.
    """
    resolver = SecretResolver(environ, file.absolute().parent)
    values: dict[SecretRef, str] = {}
    problems = [*_unusable_certificates(hosts, lines), *_unreadable_signers(hosts, lines)]
    for use in uses:
        try:
            values[use.ref] = resolver.read(use.ref, multiline=use.multiline)
        except ConfigError as error:
            shown = quote(str(use.ref))
            problems += [
                Problem(use.key, f"{shown}: {found.message}", use.line) for found in error.problems
            ]
    return Secrets(resolver, values), problems


def _unusable_certificates(hosts: Mapping[str, Host], lines: Lines) -> Iterator[Problem]:
    for name, host in hosts.items():
        if host.ca_file is None:
            continue
        import ssl  # noqa: PLC0415 - start-up time; few files name one

        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=host.ca_file)
        except OSError as error:  # ssl.SSLError is one
            reason = (
                "holds no certificates in PEM format"
                if isinstance(error, ssl.SSLError)
                else f"cannot be read: {error.strerror}"
            )
            path = (*host_path(name), "ca_file")
            message = f"the file {quote(str(host.ca_file))} {reason}"
            yield Problem(label(path), message, lines.find(path))


def _unreadable_signers(hosts: Mapping[str, Host], lines: Lines) -> Iterator[Problem]:
    for name, host in hosts.items():
        if host.allowed_signers is None:
            continue
        try:
            host.allowed_signers.open("rb").close()
        except OSError as error:
            path = (*host_path(name), "allowed_signers")
            file = quote(str(host.allowed_signers))
            message = f"the file {file} cannot be read: {error.strerror}"
            yield Problem(label(path), message, lines.find(path))


class _Unusable(Exception):
    """A secret that cannot be used."""


def _exposed(path: Path, facts: os.stat_result, *, managed: bool) -> int:
    """The mode bits that let others than the owner read or write an open file.

    Args:
        path: The path it was opened by.
        facts: The status of the open file.
        managed: It is a systemd credential, which the service reads through an access control
            list: the group bits are only the mask of that list.
    """
    others = stat.S_IMODE(facts.st_mode) & 0o077
    if managed or (facts.st_uid == 0 and others & 0o070 == stat.S_IRGRP):
        others &= 0o007  # root's file, readable by a group: common for services
    if not others or not stat.S_ISREG(facts.st_mode):
        return 0  # devices and pipes
    try:
        directory = path.resolve().parent.stat().st_mode
    except OSError:
        return others
    # Users that cannot enter the directory cannot open the file.
    return others & (
        (0o070 if directory & stat.S_IXGRP else 0) | (0o007 if directory & stat.S_IXOTH else 0)
    )


def _normal(path: Path, exposed: int) -> bool:
    """Whether this is a read-only mount that is usual in a container."""
    mounted = path.is_relative_to("/run/secrets") or path.is_relative_to("/var/run/secrets")
    # Kubernetes replaces all files of a volume at once through this link.
    return not exposed & 0o022 and (mounted or (path.parent / "..data").is_symlink())


def _words(exposed: int) -> str:
    who = "anybody" if exposed & 0o007 else "its group"
    return f"{'written' if exposed & 0o022 else 'read'} by {who}"


def _checked(text: str, *, multiline: bool) -> str:
    secret = text.rstrip("\r\n")
    if not secret.strip():
        raise _Unusable("the secret is empty")
    if not multiline and ("\n" in secret or "\r" in secret):
        raise _Unusable("the secret has more than one line")
    if not multiline and secret != secret.strip():
        raise _Unusable("the secret starts or ends with white space")
    line = secret.replace("\n", "").replace("\r", "") if multiline else secret
    if any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or ord(c) > 0xFF for c in line):
        raise _Unusable("the secret contains characters that are not allowed in HTTP headers")
    return secret
