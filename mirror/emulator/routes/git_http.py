"""Git over HTTP, on the web origin, served by `git http-backend`.

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

from mirror.emulator.http.answer import Answer, ApiError, forbidden, not_found, unauthorized
from mirror.emulator.http.authentication import authenticate
from mirror.emulator.http.request_body import read
from mirror.emulator.http.routing import Routes
from mirror.emulator.model.accounts import allows
from mirror.emulator.model.git_directory import PRIVATE
from mirror.emulator.routes.push_report import refusals, with_refusals

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.emulator.http.call import Call
    from mirror.emulator.model.accounts import Token
    from mirror.emulator.model.git_directory import GitDirectory
    from mirror.emulator.model.repository import Repository

REPOSITORY = "/{owner}/{repo}"
UPLOAD_PACK = "git-upload-pack"
RECEIVE_PACK = "git-receive-pack"
_LOGIN = {"WWW-Authenticate": 'Basic realm="GitHub"'}
routes = Routes("web")


@routes.route("GET", f"{REPOSITORY}/info/refs", "git-refs")
@routes.route("POST", f"{REPOSITORY}/{UPLOAD_PACK}", UPLOAD_PACK)
@routes.route("POST", f"{REPOSITORY}/{RECEIVE_PACK}", RECEIVE_PACK)
async def serve_git(call: Call) -> Answer:
    """The refs before a fetch or a push, a fetch, or a push."""
    advertising = call.route == "git-refs"
    service = call.request.query.get("service", "") if advertising else call.route
    body = await read(call)
    try:
        repository = _repository(call, service)
    except ApiError as error:
        text, kind = f"{error.message}\n".encode(), "text/plain; charset=utf-8"
        return Answer(error.status, text, error.headers, content_type=kind)
    directory = call.state.git_directories.of(repository)
    async with directory.lock:
        directory.update(repository)
        path = "info/refs" if advertising else service
        answer = await _run(call, directory.path, path, body)
        if path == RECEIVE_PACK and answer.status == HTTPStatus.OK:
            answer.body = _accept(call, repository, directory, answer.body)
    return answer


def _repository(call: Call, service: str) -> Repository:
    """The repository of the path, if the caller may do this with it.

    Raises:
        ApiError: With GitHub's message, which git shows to people.
    """
    state, owner = call.state, call.params["owner"]
    if service not in (UPLOAD_PACK, RECEIVE_PACK):
        raise forbidden("Please upgrade your git client.")
    try:
        call.token = _authenticate(call)
    except ApiError:
        raise unauthorized("Invalid username or password.", _LOGIN) from None
    name = f"{owner}/{call.params['repo'].removesuffix('.git')}".lower()
    found = state.repositories.get(state.names.get(name) or state.renamed.get(name) or 0)
    level = state.permission(found, call.token) if found is not None else "none"
    if found is None or level == "none":
        if call.token is None:
            raise unauthorized("Repository not found.", _LOGIN)
        raise not_found("Repository not found.")
    if found.full_name.lower() != name:
        below = call.target.split("/", 3)[3]
        url = f"{state.addresses.web}/{found.full_name}.git/{below}"
        raise ApiError(HTTPStatus.MOVED_PERMANENTLY, "Moved", headers={"Location": url})
    if service == RECEIVE_PACK:
        _require_push(found, call.token, allowed=allows(level, "write"))
    return found


def _require_push(repository: Repository, token: Token | None, *, allowed: bool) -> None:
    if token is None:
        raise unauthorized("No anonymous write access.", _LOGIN)
    if not allowed:
        raise forbidden(
            f"Permission to {repository.full_name}.git denied to {token.account.login}."
        )
    if repository.archived:
        raise forbidden("This repository was archived so it is read-only.")


def _authenticate(call: Call) -> Token | None:
    """The token, given as the password of any user, or as to the API."""
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
    environment = {
        **PRIVATE,
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_PROJECT_ROOT": str(directory.parent),
        "HOME": str(directory.parent),
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
        environment["REMOTE_USER"] = call.token.account.login
    with tempfile.TemporaryFile() as file:
        # From a pipe that ends early, as when this host is killed, the program would read for ever.
        file.write(body)
        file.seek(0)
        process = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            stdin=file,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its child does the work
            await process.communicate()
    head, _, answered = out.partition(b"\r\n\r\n")
    headers = {name: str(value) for name, value in BytesHeaderParser().parsebytes(head).items()}
    status = int(headers.pop("Status", "200").split()[0])
    kind = headers.pop("Content-Type", None)
    return Answer(status, answered, headers, content_type=kind)


def _accept(call: Call, repository: Repository, directory: GitDirectory, report: bytes) -> bytes:
    """Bring what was pushed into the host, except what it refuses; returns the client's report."""
    state = call.state
    before, after = dict(repository.refs), directory.pushed_refs()
    for kind, data in directory.pushed_objects():
        repository.objects.add(kind, data)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    refused = refusals(repository, call.token, {name: after.get(name) for name in changed})
    for name in sorted(changed - refused.keys()):
        if name in after:
            state.set_ref(repository, name, after[name])
            state.run_workflows(repository, "push", name)
        else:
            state.delete_ref(repository, name)
    return with_refusals(report, refused) if refused else report
