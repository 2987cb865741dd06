"""Git over HTTP, on the web origin: the true protocol, spoken by `git http-backend`.

Source: https://git-scm.com/docs/http-protocol and https://git-scm.com/docs/git-http-backend
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import signal
import tempfile
from contextlib import suppress
from email.parser import BytesHeaderParser
from http import HTTPStatus
from typing import TYPE_CHECKING

from mirror.emulator.access import allows, authenticate, permission_in
from mirror.emulator.errors import ApiError
from mirror.emulator.pushes import told, verdicts
from mirror.emulator.routing import Answer, Call, route

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.emulator.model import Repository, Token

REPOSITORY = "/{owner}/{repo}"
UPLOAD_PACK = "git-upload-pack"
RECEIVE_PACK = "git-receive-pack"
_LOGIN = {"WWW-Authenticate": 'Basic realm="GitHub"'}


class _Refused(Exception):
    """What is answered instead of git."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.answer = Answer(
            status, f"{text}\n".encode(), headers, content_type="text/plain; charset=utf-8"
        )


@route("GET", f"{REPOSITORY}/info/refs", "git-refs", origin="web")
async def git_refs(call: Call) -> Answer:
    """What there is, before a fetch or a push."""
    return await _served(call, call.request.query.get("service", ""), "info/refs")


@route("POST", f"{REPOSITORY}/{UPLOAD_PACK}", UPLOAD_PACK, origin="web")
async def git_upload_pack(call: Call) -> Answer:
    """A fetch."""
    return await _served(call, UPLOAD_PACK, UPLOAD_PACK)


@route("POST", f"{REPOSITORY}/{RECEIVE_PACK}", RECEIVE_PACK, origin="web")
async def git_receive_pack(call: Call) -> Answer:
    """A push."""
    return await _served(call, RECEIVE_PACK, RECEIVE_PACK)


async def _served(call: Call, service: str, path: str) -> Answer:
    body = await call.body()
    try:
        repository = _admitted(call, service)
    except _Refused as refused:
        return refused.answer
    copies = call.state.bare
    async with copies.lock(repository):
        directory = copies.update(repository)
        answer = await _run(call, directory, path, body)
        if path == RECEIVE_PACK and answer.status == HTTPStatus.OK:
            answer.body = _take(call, repository, answer.body)
    return answer


def _admitted(call: Call, service: str) -> Repository:
    """The repository, if the caller may do this with it.

    Raises:
        _Refused: In GitHub's words, which git shows to people.
    """
    state, owner = call.state, call.params["owner"]
    if service not in (UPLOAD_PACK, RECEIVE_PACK):
        raise _Refused(HTTPStatus.FORBIDDEN, "Please upgrade your git client.")
    try:
        call.token = _token(call)
    except ApiError:
        raise _Refused(HTTPStatus.UNAUTHORIZED, "Invalid username or password.", **_LOGIN) from None
    name = f"{owner}/{call.params['repo'].removesuffix('.git')}".lower()
    found = state.repositories.get(state.names.get(name) or state.renamed.get(name) or 0)
    level = permission_in(state, found, call.token) if found is not None else "none"
    if found is None or level == "none":
        if call.token is None:
            raise _Refused(HTTPStatus.UNAUTHORIZED, "Repository not found.", **_LOGIN)
        raise _Refused(HTTPStatus.NOT_FOUND, "Repository not found.")
    if found.full_name.lower() != name:
        below = call.target.split("/", 3)[3]
        place = f"{state.addresses.web}/{found.full_name}.git/{below}"
        raise _Refused(HTTPStatus.MOVED_PERMANENTLY, "Moved", Location=place)
    if service == RECEIVE_PACK:
        _may_push(found, call.token, may=allows(level, "write"))
    return found


def _may_push(found: Repository, token: Token | None, *, may: bool) -> None:
    if token is None:
        raise _Refused(HTTPStatus.UNAUTHORIZED, "No anonymous write access.", **_LOGIN)
    if not may:
        text = f"Permission to {found.full_name}.git denied to {token.account.login}."
        raise _Refused(HTTPStatus.FORBIDDEN, text)
    if found.archived:
        text = "This repository was archived so it is read-only."
        raise _Refused(HTTPStatus.FORBIDDEN, text)


def _token(call: Call) -> Token | None:
    """The token: as the password of any user, or as GitHub's API takes it."""
    header = call.record.authorization
    scheme, _, value = (header or "").partition(" ")
    if scheme.lower() == "basic":
        try:
            _, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            password = ""
        header = f"token {password}"
    return authenticate(call.state, header)


async def _run(call: Call, directory: Path, path: str, body: bytes) -> Answer:
    request = call.request
    known = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_PROJECT_ROOT": str(directory.parent),
        "HOME": str(directory.parent),
        "LC_ALL": "C",
        "PATH": os.environ.get("PATH", os.defpath),
        "PATH_INFO": f"/{directory.name}/{path}",
        "QUERY_STRING": call.record.query,
        "REMOTE_ADDR": request.remote or "",
        "REQUEST_METHOD": request.method,
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
    }
    if call.token is not None:
        known["REMOTE_USER"] = call.token.account.login
    with tempfile.TemporaryFile() as file:
        # Of a pipe that ends early, as when this host is killed, the program reads for ever.
        file.write(body)
        file.seek(0)
        process = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            stdin=file,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=known,
            start_new_session=True,
        )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # it has a child that does the work
            await process.communicate()
    return _parsed(out)


def _parsed(out: bytes) -> Answer:
    """The answer of a CGI program."""
    head, _, body = out.partition(b"\r\n\r\n")
    headers = {name: str(value) for name, value in BytesHeaderParser().parsebytes(head).items()}
    status = int(headers.pop("Status", "200").split()[0])
    content_type = headers.pop("Content-Type", None)
    return Answer(status, body, headers, content_type=content_type)


def _take(call: Call, repository: Repository, report: bytes) -> bytes:
    """Bring what was pushed into the host, but for what it refuses; returns what the client is told."""
    state, copies = call.state, call.state.bare
    before, after = dict(repository.refs), copies.pushed_refs(repository)
    for kind, data in copies.pushed_objects(repository):
        repository.objects.add(kind, data)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    refused = verdicts(repository, call.token, {name: after.get(name) for name in changed})
    for name in sorted(changed - refused.keys()):
        if name in after:
            state.set_ref(repository, name, after[name])
            state.started(repository, "push", name)
        else:
            state.delete_ref(repository, name)
    copies.changed(repository)
    return told(report, refused) if refused else report
