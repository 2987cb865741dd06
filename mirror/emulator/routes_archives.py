"""Source archives: made from the tree of a commit, behind a redirect, without a length."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from mirror.emulator.access import permission_in
from mirror.emulator.content import CHUNK
from mirror.emulator.errors import not_found
from mirror.emulator.git import seconds
from mirror.emulator.routing import Answer, Call, route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mirror.emulator.model import Repository

REPOSITORY = "/repos/{owner}/{repo}"
_TYPES = {"tar.gz": "application/x-gzip", "zip": "application/zip"}
_EARLIEST_ZIP = (1980, 1, 1, 0, 0, 0)
_EXECUTABLE = "100755"


def _redirect(call: Call, form: str) -> Answer:
    repository = call.repository()
    ref = call.params.get("ref", repository.default_branch)
    if repository.resolve(ref) is None:
        raise not_found()
    key = call.state.key.hex() if permission_in(call.state, repository, None) == "none" else ""
    query = f"?token={key}" if key else ""
    base = call.state.addresses.storage
    url = f"{base}/archive/{repository.full_name}/legacy.{form}/{quote(ref)}{query}"
    return Answer(HTTPStatus.FOUND, headers={"Location": url}, content_type="text/html")


@route("GET", f"{REPOSITORY}/tarball", "get-tarball")
@route("GET", f"{REPOSITORY}/tarball/{{ref*}}", "get-tarball")
async def get_tarball(call: Call) -> Answer:
    """Where the `.tar.gz` of a ref is."""
    return _redirect(call, "tar.gz")


@route("GET", f"{REPOSITORY}/zipball", "get-zipball")
@route("GET", f"{REPOSITORY}/zipball/{{ref*}}", "get-zipball")
async def get_zipball(call: Call) -> Answer:
    """Where the `.zip` of a ref is."""
    return _redirect(call, "zip")


@route("GET", "/archive/{owner}/{repo}/{form}/{ref*}", "archive-download", origin="storage")
async def archive_download(call: Call) -> Answer:
    """The archive; its length is not told."""
    state, form = call.state, call.params["form"].removeprefix("legacy.")
    number = state.names.get(f"{call.params['owner']}/{call.params['repo']}".lower())
    repository = state.repositories.get(number or 0)
    if repository is None or form not in _TYPES:
        raise not_found()
    hidden = permission_in(state, repository, None) == "none"
    if hidden and call.request.query.get("token") != state.key.hex():
        raise not_found()
    commit = repository.resolve(call.params["ref"])
    if commit is None:
        raise not_found()
    root = f"{repository.owner.login}-{repository.name}-{commit[:7]}"
    data = _tar(repository, commit, root) if form == "tar.gz" else _zip(repository, commit, root)
    headers = {"Content-Disposition": f"attachment; filename={root}.{form}"}
    return Answer(headers=headers, content_type=_TYPES[form], stream=_pieces(data))


def _pieces(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), CHUNK):
        yield data[at : at + CHUNK]


def _files(repository: Repository, commit: str) -> Iterator[tuple[str, bytes, bool]]:
    objects = repository.objects
    for path, entry in objects.walk(objects.read_commit(commit).tree):
        if entry.kind == "blob":
            yield path, objects.by_sha[entry.sha][1], entry.mode == _EXECUTABLE


def _tar(repository: Repository, commit: str, root: str) -> bytes:
    moment = seconds(repository.objects.read_commit(commit).committer.date)
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, data, executable in _files(repository, commit):
            entry = tarfile.TarInfo(f"{root}/{path}")
            entry.size, entry.mtime = len(data), moment
            entry.mode = 0o775 if executable else 0o664
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(made.getvalue(), mtime=0)


def _zip(repository: Repository, commit: str, root: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data, _ in _files(repository, commit):
            archive.writestr(zipfile.ZipInfo(f"{root}/{path}", _EARLIEST_ZIP), data)
    return made.getvalue()
