"""Source archives: made by `git archive`, behind a redirect, without a length."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from mirror.emulator.http.answer import Answer, not_found
from mirror.emulator.http.routing import Routes
from mirror.emulator.routes.repository_routes import REPOSITORY
from mirror.emulator.routes.web_routes import WEB_REPOSITORY, public_repository

if TYPE_CHECKING:
    from mirror.emulator.http.call import Call
    from mirror.emulator.model.repository import Repository

_ARCHIVE = re.compile(r"(.+)\.(tar\.gz|zip)")
_VERSION = re.compile(r"v(?=\d)")
_TYPES = {"tar.gz": "application/x-gzip", "zip": "application/zip"}
routes = Routes()


@routes.route("GET", f"{REPOSITORY}/tarball", "get-tarball")
@routes.route("GET", f"{REPOSITORY}/tarball/{{ref*}}", "get-tarball")
@routes.route("GET", f"{REPOSITORY}/zipball", "get-zipball")
@routes.route("GET", f"{REPOSITORY}/zipball/{{ref*}}", "get-zipball")
async def get_archive(call: Call) -> Answer:
    """Redirect to the archive of a ref."""
    state, repository = call.state, call.repository()
    ref = call.params.get("ref", repository.default_branch)
    form = "legacy.tar.gz" if call.route == "get-tarball" else "legacy.zip"
    query = f"?token={state.key.hex()}" if state.permission(repository, None) == "none" else ""
    return _redirect(call, repository, form, ref, query)


@routes.route("GET", f"{WEB_REPOSITORY}/archive/{{file*}}", "web-archive", origin="web")
async def web_archive(call: Call) -> Answer:
    """The same for people: `archive/refs/tags/v1.tar.gz`, or without `refs/tags/`."""
    found = _ARCHIVE.fullmatch(call.params["file"])
    if found is None:
        raise not_found()
    ref, form = found.groups()
    return _redirect(call, public_repository(call), form, ref)


def _redirect(call: Call, repository: Repository, form: str, ref: str, query: str = "") -> Answer:
    if repository.resolve(ref) is None:
        raise not_found()
    path = f"{repository.full_name}/{form}/{quote(ref)}{query}"
    return Answer.redirect(f"{call.state.addresses.storage}/{path}")


@routes.route("GET", "/{owner}/{repo}/{form}/{ref*}", "archive-download", origin="storage")
async def archive_download(call: Call) -> Answer:
    """The archive, whose length is not announced."""
    state, ref = call.state, call.params["ref"]
    form = call.params["form"].removeprefix("legacy.")
    repository = state.find(call.params["owner"], call.params["repo"])
    commit = repository.resolve(ref) if repository is not None else None
    if repository is None or commit is None or form not in _TYPES:
        raise not_found()
    hidden = state.permission(repository, None) == "none"
    if hidden and call.request.query.get("token") != state.key.hex():
        raise not_found()
    if form == call.params["form"]:
        name = ref.removeprefix("refs/heads/").removeprefix("refs/tags/").replace("/", "-")
        root = f"{repository.name}-{_VERSION.sub('', name, count=1)}"
    else:
        root = f"{repository.owner.login}-{repository.name}-{commit[:7]}"
    directory = state.git_directories.of(repository)
    async with directory.lock:
        directory.update(repository)
        data = directory.archive(commit, form, root)
    headers = {"Content-Disposition": f"attachment; filename={root}.{form}"}
    return Answer(headers=headers, content_type=_TYPES[form], stream=iter([data]))
