"""The ``git`` program: run without a shell, without anybody's settings, and never to wait for ever.

Settings could come from the environment, the system's and a person's files, and from a repository
that our directory happens to lie in. Each command is told its repository instead of looking for one,
works in an empty directory of its own, and inherits nothing that git reads.

What a command line, the environment or a configuration file holds can be read by others on the
same machine; a credential is in none of them. It stands in a file of git's own credential store,
in a directory that nobody else can enter and that is gone when the command is.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import ssl
import tempfile
from base64 import b64encode
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from mirror.errors import GitError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from mirror.core.domain.release import RepoRef

LOGIN = "x-access-token"
"""The user name beside a token: hosts take any for a personal one, and this for an App's.

Source: https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app
"""

PRIVATE = "private-"
HOME = "home"
GRACE = 5.0
"""Seconds for git to clean up after itself when it is stopped."""

LARGEST_OUTPUT = 256 * 1024 * 1024
KEPT_ERRORS = 32 * 1024
_CHUNK = 64 * 1024

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where systems keep the authorities that they trust."""

_PASSED_ON = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")

_LEGACY = (
    "badTimezone",
    "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail",
    "missingNameBeforeEmail",
    "zeroPaddedFilemode",
    "zeroPaddedDate",
    "badDateOverflow",
    "duplicateEntries",
)
"""What old programs wrote into commits and trees of many a repository, and which harms nobody."""

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.askPass=",
    "core.fsmonitor=false",
    "core.sharedRepository=0600",  # what is written is ours alone, whatever the umask
    "credential.helper=",
    "credential.interactive=false",
    "fetch.recurseSubmodules=false",
    "gc.autoDetach=false",
    "http.followRedirects=false",
    "http.sslVerify=true",
    "maintenance.autoDetach=false",
    "maintenance.auto=false",
    "protocol.allow=never",
    "protocol.version=2",
    "push.followTags=false",
    "push.gpgSign=false",
    "push.recurseSubmodules=no",
    "submodule.recurse=false",
    "transfer.bundleURI=false",
    "transfer.credentialsInUrl=die",
    "transfer.fsckObjects=true",
    "fetch.fsckObjects=true",
    *(f"fetch.fsck.{name}=ignore" for name in _LEGACY),
)


@dataclass(frozen=True, slots=True)
class GitRemote:
    """A host, as git is to reach it.

    Attributes:
        name: As configured, for errors.
        url: Its web address; repositories are below it.
        authorization: The ``Authorization`` of a request about a repository, as it is now; its
            last word is the token. ``None`` for none.
        ca_file: Certificates (PEM) that are trusted in addition to the system's.
        proxy: Its address, perhaps with user and password; empty for none.
        stall_timeout: Seconds without a byte moved.
        response_timeout: Seconds that the host may take for what it was sent.
        count_retry: Counts a command that is repeated.
        packed: Reads the history from files instead: there is no host; ``None`` where there is one.
    """

    name: str
    url: str
    authorization: Callable[[RepoRef], Awaitable[str | None]]
    ca_file: Path | None = None
    proxy: str = ""
    stall_timeout: float = 60.0
    response_timeout: float = 900.0
    count_retry: Callable[[], object] = lambda: None
    packed: Callable[[RepoRef], Awaitable[PackedHistory]] | None = None


class PackedHistory(NamedTuple):
    """The history of tags in files, for a repository that git cannot reach.

    Attributes:
        tags: What each tag points to, and the commit behind that.
        files: Git bundles, each needing those before it.
    """

    tags: Mapping[str, tuple[str, str]]
    files: Sequence[Path]


@dataclass(frozen=True, slots=True)
class Place:
    """A repository at a host."""

    remote: GitRemote
    repo: RepoRef

    @property
    def url(self) -> str:
        """Its address for git; nobody's name and no secret in it."""
        return f"{self.remote.url.rstrip('/')}/{self.repo}.git"


@dataclass(frozen=True, slots=True)
class Access:
    """What one command needs to reach one host.

    Attributes:
        settings: For its command line.
        directory: Private, and gone after the command.
        secrets: What no text may hold.
    """

    settings: tuple[str, ...]
    directory: Path
    secrets: tuple[str, ...]


@dataclass(slots=True)
class Finished:
    """What a command left behind; ``status`` is negative for a signal.

    Attributes:
        stalled: It was ended because nothing came from it any more.
    """

    status: int = 0
    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)
    stalled: bool = False
    access: Access | None = None

    @property
    def errors(self) -> str:
        """What it said, without secrets."""
        text = self.err.decode(errors="replace")
        for secret in self.access.secrets if self.access else ():
            text = text.replace(secret, "[hidden]")
        return text


class GitProgram:
    """Runs git.

    Args:
        directory: Of this program's own: private directories are made in it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()  # git works elsewhere

    def sweep(self) -> None:
        """Remove what a killed run left; nobody else may be running git in this directory."""
        for path in self._directory.glob(f"{PRIVATE}*"):
            shutil.rmtree(path, ignore_errors=True)

    async def local(self, *arguments: str, quiet: float, repository: Path) -> Finished:
        """Run a command that reaches no host.

        Args:
            arguments: The command.
            quiet: Seconds without a sign of life after which it is ended.
            repository: What the command is about; it need not exist yet.

        Raises:
            GitError: There is no git.
        """
        with self._private() as directory:
            return await self._run((), arguments, directory, repository, quiet, b"", Finished())

    async def reach(
        self,
        place: Place,
        *arguments: str,
        quiet: float,
        repository: Path | None = None,
        silence: float = 0.0,
        given: bytes = b"",
    ) -> Finished:
        """Run a command that reaches one repository, and can reach nothing else.

        Args:
            place: Where to.
            arguments: The command.
            quiet: Seconds without a sign of life after which it is ended.
            repository: The copy that the command reads or writes; ``None`` for none.
            silence: Seconds without a byte over the network after which it gives up; the host's
                ``stall_timeout`` unless given.
            given: Its standard input.

        Raises:
            GitError: There is no git.
            GitHubError: The credential cannot be had.
        """
        header = await place.remote.authorization(place.repo)
        token = header.rpartition(" ")[2] if header else ""
        with self._private() as directory:
            access = _access(place, token, directory, silence or place.remote.stall_timeout)
            # Where no repository is named, git would take the one that it finds itself in.
            repository = repository or directory / "none"
            finished = Finished(access=access)
            return await self._run(
                access.settings, arguments, directory, repository, quiet, given, finished
            )

    @contextmanager
    def _private(self) -> Iterator[Path]:
        """A directory for one command, with an empty one in it to work in."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix=PRIVATE, dir=self._directory))
        try:
            (directory / HOME).mkdir(mode=0o700)
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    async def _run(
        self,
        settings: Sequence[str],
        arguments: Sequence[str],
        directory: Path,
        repository: Path,
        quiet: float,
        given: bytes,
        finished: Finished,
    ) -> Finished:
        program = shutil.which("git")
        if program is None:
            raise GitError(
                'tags = "push" needs the git program, which is not on the PATH', hint="install-git"
            )
        options = [word for setting in (*_SETTINGS, *settings) for word in ("-c", setting)]
        home = directory / HOME
        process = await asyncio.create_subprocess_exec(
            program,
            *options,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=home,
            env=_environment(home, repository),
            start_new_session=True,
        )
        try:
            await _talk(process, given, finished, quiet)
        finally:
            await _end(process)
        finished.status = process.returncode or 0
        return finished


def _environment(home: Path, repository: Path) -> dict[str, str]:
    """Nothing of anybody's settings, and above all none of this program's secrets."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return passed | {
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(home.parent),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_DIR": str(repository),
        "GIT_TERMINAL_PROMPT": "0",
        "HOME": str(home),
        "LC_ALL": "C",
        "XDG_CONFIG_HOME": str(home),
    }


def _access(place: Place, token: str, directory: Path, silence: float) -> Access:
    remote = place.remote
    parts = urlsplit(place.url)
    origin = f"{parts.scheme}://{parts.netloc}"
    stored: list[str] = []
    settings = [
        f"protocol.{parts.scheme}.allow=always",
        "http.lowSpeedLimit=1",
        f"http.lowSpeedTime={max(1, round(silence))}",
    ]
    helper = f"store --file={shlex.quote(str(directory / 'credentials'))}"
    if token:
        path = quote(parts.path)
        stored.append(f"{parts.scheme}://{LOGIN}:{quote(token, safe='')}@{parts.netloc}{path}")
        settings += [f"credential.{origin}.helper={helper}"]
        settings += [f"credential.{origin}.useHttpPath=true"]
    proxy, gate, password = _proxy(remote.proxy)
    settings.append(f"http.proxy={proxy}")
    if gate:
        stored.append(gate)
        settings.append(f"credential.{_without_user(proxy)}.helper={helper}")
    if remote.ca_file is not None:
        bundle = directory / "authorities.pem"
        bundle.write_bytes(_authorities(remote.ca_file))
        settings.append(f"http.sslCAInfo={bundle}")
    if stored:
        path_ = directory / "credentials"
        path_.touch(mode=0o600)
        path_.write_text("".join(f"{line}\n" for line in stored))
    login = b64encode(f"{LOGIN}:{token}".encode()).decode() if token else ""
    known = (token, quote(token, safe=""), login, password, quote(password, safe=""))
    secrets = [secret for secret in known if secret]
    return Access(tuple(settings), directory, tuple(dict.fromkeys(secrets)))


def _proxy(address: str) -> tuple[str, str, str]:
    """A proxy's address without its password, what the store is to hold of it, and the password."""
    if not address:
        return "", "", ""
    parts = urlsplit(address if "://" in address else f"http://{address}")
    user, _, place = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    if not user:
        return urlunsplit((parts.scheme, place, "", "", "")), "", ""
    shown = urlunsplit((parts.scheme, f"{name}@{place}", "", "", ""))
    secret = unquote(password)
    return shown, f"{parts.scheme}://{name}:{quote(secret, safe='')}@{place}", secret


def _without_user(address: str) -> str:
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))


def _authorities(ca_file: Path) -> bytes:
    """The system's authorities and one's own: git takes one file alone.

    Raises:
        GitError: One's own cannot be read.
    """
    paths = ssl.get_default_verify_paths()
    known = [os.environ.get("SSL_CERT_FILE"), paths.cafile, paths.openssl_cafile, *_BUNDLES]
    system = b""
    for name in known:
        with suppress(OSError):
            if name:
                system = Path(name).read_bytes()
                break
    try:
        return system + b"\n" + ca_file.read_bytes()
    except OSError as error:
        raise GitError(f"ca_file: {ca_file} cannot be read: {error.strerror}") from error


async def _talk(
    process: asyncio.subprocess.Process, given: bytes, finished: Finished, quiet: float
) -> None:
    """Hear a command to its end, or until nothing has come from it for too long."""
    loop = asyncio.get_running_loop()

    async def hear(stream: asyncio.StreamReader | None, kept: bytearray, most: int) -> None:
        while stream and (chunk := await stream.read(_CHUNK)):
            if not bound.expired():
                bound.reschedule(loop.time() + quiet)
            kept += chunk
            if stream is process.stderr:
                del kept[:-most]  # progress, most of it
            elif len(kept) > most:
                raise GitError("git said more than can be meant")

    async def tell() -> None:
        if process.stdin is None:
            return
        # It may have ended already: then there is nobody to tell, and its status says why. uvloop
        # calls that a RuntimeError.
        with suppress(ConnectionError, RuntimeError):
            process.stdin.write(given)
            await process.stdin.drain()
        with suppress(RuntimeError):
            process.stdin.close()

    try:
        async with asyncio.timeout(quiet) as bound:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(tell())
                    group.create_task(hear(process.stdout, finished.out, LARGEST_OUTPUT))
                    group.create_task(hear(process.stderr, finished.err, KEPT_ERRORS))
            except* GitError as errors:
                raise errors.exceptions[0] from None
            await process.wait()
    except TimeoutError:
        finished.stalled = True


async def _end(process: asyncio.subprocess.Process) -> None:
    """Leave no process of a command behind, whatever happened."""
    if process.returncode is None:
        try:
            _signal(process, signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(GRACE):
                    await process.wait()
        finally:
            _signal(process, signal.SIGKILL)
    await process.communicate()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """To the whole group: git has children that do its work."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
