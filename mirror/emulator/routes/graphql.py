"""The GraphQL API, as far as `gh release` uses it: the releases of a repository.

Fields are those of https://docs.github.com/en/graphql/reference/objects#release. Arguments are taken
from the query's variables, as `gh` sends them; those inside the query are ignored.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mirror.emulator.http.answer import Answer
from mirror.emulator.http.permissions import require_user
from mirror.emulator.http.request_body import json_object
from mirror.emulator.http.routing import Routes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mirror.emulator.documents.shared import Document
    from mirror.emulator.http.call import Call
    from mirror.emulator.model.release_records import Release
    from mirror.emulator.model.repository import Repository

_ARGUMENTS = re.compile(r"\([^()]*\)")
_WORD = re.compile(r"\w+|[{}:]")
_PAGE = 30
_FIELDS = {
    "createdAt": "created_at", "databaseId": "id", "description": "body", "immutable": "immutable",
    "isDraft": "draft", "isPrerelease": "prerelease", "name": "name", "publishedAt": "published_at",
    "tagName": "tag", "updatedAt": "updated_at",
}  # fmt: skip
"""Fields of `Release`, and what the model calls them; `isLatest` is known to its repository."""

routes = Routes("graphql")

Selection = dict[str, tuple[str, Any]]
"""Key of the answer → name of the field, and what is selected of its value."""


@routes.route("POST", "/", "graphql")
async def graphql(call: Call) -> Answer:
    """Answer a query about the releases of one repository, or about the fields of `Release`."""
    token = require_user(call.token)
    document = await json_object(call)
    variables = document.get("variables")
    given: Document = variables if isinstance(variables, dict) else {}
    words = iter(_WORD.findall(_ARGUMENTS.sub("", str(document.get("query", "")))))
    while next(words, "{") != "{":
        """Skip the name of the query."""
    state = call.state
    found = state.find(str(given.get("owner")), str(given.get("name")))
    visible = found is not None and state.permission(found, token) != "none"
    known = {
        "__type": {"fields": [{"name": name} for name in (*_fields(call), "isLatest")]},
        "repository": _repository(call, found, given) if found and visible else None,
    }
    wanted = _selection(words)
    try:
        answer: Document = {"data": _shown(wanted, known)}
    except KeyError as error:
        return Answer.json({"errors": [{"message": f"Field {error} doesn't exist"}]})
    if "repository" in wanted and known["repository"] is None:
        name = f"{given.get('owner')}/{given.get('name')}"
        message = f"Could not resolve to a Repository with the name '{name}'."
        answer["errors"] = [{"type": "NOT_FOUND", "path": ["repository"], "message": message}]
    return Answer.json(answer)


def _selection(words: Iterator[str]) -> Selection:
    """What is selected up to the closing brace."""
    made: Selection = {}
    key = ""
    for word in words:
        if word == "}":
            break
        if word == "{":
            made[key] = (made.get(key, ("", None))[0], _selection(words))
        elif word == ":":
            made[key] = (next(words, ""), None)
        else:
            key = word
            made[key] = (word, None)
    return made


def _shown(selection: Selection | None, value: Any) -> Any:
    """The selected part of a value.

    Raises:
        KeyError: A selected field does not exist.
    """
    if isinstance(value, list):
        return [_shown(selection, one) for one in value]
    if not isinstance(value, dict) or selection is None:
        return value
    return {key: _shown(below, value[name]) for key, (name, below) in selection.items()}


def _repository(call: Call, repository: Repository, given: Document) -> Document:
    state = call.state
    drafts = state.may_push(repository, call.token)
    found = [r for r in state.releases(repository.full_name) if drafts or not r.draft]
    named = [r for r in found if r.tag == given.get("tagName")]
    size = given["perPage"] if isinstance(given.get("perPage"), int) else _PAGE
    cursor = str(given.get("endCursor"))
    start = int(cursor) if cursor.isdecimal() else 0
    shown = [_release(call, repository, release) for release in found[start : start + size]]
    page = {"hasNextPage": start + size < len(found), "endCursor": str(start + size)}
    return {
        "release": _release(call, repository, named[0]) if named else None,
        "releases": {"nodes": shown, "totalCount": len(found), "pageInfo": page},
    }


def _fields(call: Call) -> list[str]:
    return [name for name in _FIELDS if name != "immutable" or call.state.has_immutable]


def _release(call: Call, repository: Repository, of: Release) -> Document:
    shown = {name: getattr(of, _FIELDS[name]) for name in _fields(call)}
    return {**shown, "isLatest": repository.latest() is of}
