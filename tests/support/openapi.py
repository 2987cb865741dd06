"""GitHub's own OpenAPI descriptions, and what requests and answers violate in them.

The descriptions are those of the npm package `@octokit/openapi` (MIT), reduced to the operations in
`OPERATIONS` and to what a validator reads, so that tests need no network. To update them, or after
adding an operation: ``.venv/bin/python tests/support/openapi.py`` (needs npm).
"""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from openapi_schema_validator import OAS30Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mirror.emulator import Answer, GitHubState, RequestRecord

Document = dict[str, Any]
DIRECTORY = Path(__file__).with_name("openapi_descriptions")
SOURCES = {
    "ghes-3.4": "10.0.0",
    "ghes-3.19": "23.0.2",
    "api.github.com": "23.0.2",
}
"""Description → version of `@octokit/openapi` that holds it: the oldest GHES that release-mirror supports
and that any version of the package describes, the newest one, and github.com."""

_REPO = "/repos/{owner}/{repo}"
_RELEASE = f"{_REPO}/releases/{{release_id}}"
_ASSET = f"{_REPO}/releases/assets/{{asset_id}}"
_GIT = f"{_REPO}/git"
OPERATIONS = {
    "/": "get",
    "/app": "get",
    "/app/installations": "get",
    "/app/installations/{installation_id}": "get",
    "/app/installations/{installation_id}/access_tokens": "post",
    "/meta": "get",
    "/orgs/{org}": "get",
    "/orgs/{org}/installation": "get",
    "/orgs/{org}/repos": "get post",
    "/rate_limit": "get",
    "/user": "get",
    "/user/repos": "get post",
    "/users/{username}": "get",
    "/users/{username}/installation": "get",
    "/users/{username}/repos": "get",
    _REPO: "get patch delete",
    f"{_REPO}/actions/permissions": "get put",
    f"{_REPO}/commits/{{ref}}": "get",
    f"{_REPO}/contents/{{path}}": "get put",
    f"{_REPO}/immutable-releases": "get put delete",
    f"{_REPO}/installation": "get",
    f"{_REPO}/releases": "get post",
    f"{_REPO}/releases/latest": "get",
    f"{_REPO}/releases/tags/{{tag}}": "get",
    _RELEASE: "get patch delete",
    f"{_RELEASE}/assets": "get post",
    _ASSET: "get patch delete",
    f"{_REPO}/tags": "get",
    f"{_REPO}/tarball/{{ref}}": "get",
    f"{_REPO}/zipball/{{ref}}": "get",
    f"{_GIT}/blobs": "post",
    f"{_GIT}/blobs/{{file_sha}}": "get",
    f"{_GIT}/commits": "post",
    f"{_GIT}/commits/{{commit_sha}}": "get",
    f"{_GIT}/matching-refs/{{ref}}": "get",
    f"{_GIT}/ref/{{ref}}": "get",
    f"{_GIT}/refs": "post",
    f"{_GIT}/refs/{{ref}}": "patch delete",
    f"{_GIT}/tags": "post",
    f"{_GIT}/tags/{{tag_sha}}": "get",
    f"{_GIT}/trees": "post",
    f"{_GIT}/trees/{{tree_sha}}": "get",
}
"""Path → methods of the operations that release-mirror uses, and of those beside them."""

_BY_NUMBER = (
    (re.compile(r"^/repositories/\d+"), "/repos/owner/repo"),
    (re.compile(r"^/organizations/\d+"), "/orgs/org"),
    (re.compile(r"^/user/\d+"), "/users/user"),
)
"""Forms of addresses that GitHub puts into `Link` and `Location`; no description has them.

Source: https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
"""

_URI = "urn:description"
_ERROR = "#/components/schemas/basic-error"


def host_options(name: str) -> Document:
    """What an emulated host needs to be the one that is described."""
    kind, _, version = name.partition("-")
    return {"kind": kind, "version": version} if version else {"kind": "github"}


class Description:
    """A description, and how requests and answers violate it.

    Attributes:
        violations: What was found, in sentences.
        seen: Method and path of each operation that was used, with the status of its answer.
    """

    def __init__(self, name: str) -> None:
        self._document: Document = json.loads((DIRECTORY / f"{name}.json").read_text())
        self._paths: dict[str, Document] = self._document["paths"]
        self._correct()
        resource = DRAFT4.create_resource(self._document)
        self._registry = Registry[Any]().with_resource(_URI, resource)
        # Literal segments come before parameters.
        templates = sorted(self._paths, key=lambda path: path.count("{"))
        self._templates = [(_pattern(path), path) for path in templates]
        self.violations: list[str] = []
        self.seen: set[tuple[str, str, int]] = set()

    def watch(self, state: GitHubState) -> None:
        """Check every request to the API of a host, and every answer."""

        def check(record: RequestRecord, answer: Answer) -> None:
            if record.origin in ("api", "uploads"):
                base = getattr(state.addresses, record.origin)
                path = record.path.removeprefix(URL(base).raw_path.rstrip("/"))
                request = f"{record.method} {path}{'?' * bool(record.query)}{record.query}"
                found = dict.fromkeys(self._check(path, record, answer))
                self.violations += [f"{request}: {answer.status}: {one}" for one in found]

        state.tamper = check

    def _correct(self) -> None:
        """Mend what the description itself has wrong."""
        states = self._document["components"]["schemas"]["release-asset"]["properties"]["state"]
        states["enum"].append("starter")  # in the prose alone: "Upload a release asset"
        answer = self._paths["/app/installations"]["get"]["responses"]["200"]
        listed = self._resolved(answer["content"]["application/json"]["schema"]["items"])
        account = listed["properties"]["account"]
        if "allOf" in account:
            account["anyOf"] = account.pop("allOf")  # a user or an enterprise, not both in one

    def unused(self) -> set[tuple[str, str]]:
        """Method and path of the operations that no request has used."""
        known = {(method, path) for path, methods in self._paths.items() for method in methods}
        return known - {(method, path) for method, path, _ in self.seen}

    def _check(self, path: str, record: RequestRecord, answer: Answer) -> Iterator[str]:
        for form, named in _BY_NUMBER:
            path = form.sub(named, path)
        method = record.method.lower().replace("head", "get")
        operations = (t for pattern, t in self._templates if pattern.fullmatch(path))
        template = next((t for t in operations if method in self._paths[t]), None)
        if template is None:
            yield "no such operation"
            return
        self.seen.add((method, template, answer.status))
        operation = self._paths[template][method]
        yield from self._query(operation, record.query)
        yield from self._body(operation, record.document)
        yield from self._answer(operation, record.method, answer)

    def _query(self, operation: Document, query: str) -> Iterator[str]:
        declared = [self._resolved(parameter) for parameter in operation.get("parameters", ())]
        known = {entry["name"]: entry for entry in declared if entry["in"] == "query"}
        given = dict(parse_qsl(query, keep_blank_values=True))
        for name, entry in known.items():
            if entry.get("required") and name not in given:
                yield f"the parameter {name} is missing"
        for name, text in given.items():
            if name not in known:
                yield f"the parameter {name} is unknown"
                continue
            schema = self._resolved(known[name]["schema"])
            plain = schema.get("type") in ("integer", "boolean", "number")
            yield from self._errors(schema, json.loads(text) if plain else text, name)

    def _body(self, operation: Document, document: Document | None) -> Iterator[str]:
        if document is None:
            return
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            yield "a JSON body is unknown"
            return
        schema = content["application/json"]["schema"]
        yield from self._errors(schema, document, "the request")
        for name in document.keys() - self._properties(schema):
            yield f"the request's {name} is unknown"

    def _answer(self, operation: Document, method: str, answer: Answer) -> Iterator[str]:
        """Statuses of errors are not described completely; their bodies have one form."""
        status = str(int(answer.status))
        told = self._resolved(operation["responses"].get(status, {}))
        if status not in operation["responses"] and answer.status < 300:
            yield "the status is unknown"
        if method == "HEAD" or answer.content is not None or not answer.body:
            return
        document = json.loads(answer.body)
        if "application/json" in told.get("content", {}):
            schema = told["content"]["application/json"]["schema"]
            yield from self._errors(schema, document, "the answer")
        elif status.startswith("4"):
            yield from self._errors({"$ref": _ERROR}, document, "the error")
        elif status.startswith("2"):
            yield "the answer should be empty"

    def _resolved(self, thing: Document) -> Document:
        while "$ref" in thing:
            found: Any = self._document
            for part in thing["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            thing = found
        return thing

    def _properties(self, schema: Document) -> set[str]:
        schema = self._resolved(schema)
        inner = [s for key in ("anyOf", "allOf") for s in schema.get(key, ())]
        return set(schema.get("properties", ())).union(*map(self._properties, inner))

    def _errors(self, schema: Document, value: Any, what: str) -> Iterator[str]:
        validator = OAS30Validator(
            _absolute(schema),
            registry=self._registry,
            format_checker=OAS30Validator.FORMAT_CHECKER,
        )
        for error in validator.iter_errors(value):
            yield f"{what}: {error.json_path}: {error.message[-200:]}"


def _pattern(path: str) -> re.Pattern[str]:
    """What the paths of a template look like; GitHub lets some parameters hold slashes."""
    wide = ("ref", "path")
    made = re.sub(
        r"\{(\w+)\}", lambda found: ".+" if found[1] in wide else "[^/]+", path.replace(".", r"\.")
    )
    return re.compile(made)


def _absolute(value: Any) -> Any:
    """A schema outside of the description whose references lead into it."""
    if isinstance(value, dict):
        made = {key: _absolute(inner) for key, inner in value.items()}
        if str(made.get("$ref", "")).startswith("#"):
            made["$ref"] = _URI + made["$ref"]
        return made
    return [_absolute(inner) for inner in value] if isinstance(value, list) else value


# -- reducing a description ------------------------------------------------------------------------

_UNREAD = {
    "discriminator",
    "description",
    "summary",
    "example",
    "examples",
    "externalDocs",
    "tags",
    "title",
    "servers",
}


def _stripped(value: Any, *, names: bool = False) -> Any:
    """Without what no validator reads; `names`: the keys are names of properties."""
    if isinstance(value, dict):
        # Alternatives overlap, and which one applies is told by a discriminator.
        return {
            key.replace("oneOf", "anyOf"): _stripped(inner, names=key == "properties" and not names)
            for key, inner in value.items()
            if names or not (key in _UNREAD or key.startswith("x-"))
        }
    return [_stripped(inner) for inner in value] if isinstance(value, list) else value


def _references(value: Any) -> Iterator[str]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict) and isinstance(value.get("$ref"), str):
        yield value["$ref"]
    for one in inner:
        yield from _references(one)


def reduced(whole: Document) -> Document:
    """The operations in `OPERATIONS` with all that they refer to."""
    paths = {
        path: {
            method: _stripped(whole["paths"][path][method])
            for method in methods.split()
            if method in whole["paths"][path]
        }
        for path, methods in OPERATIONS.items()
        if path in whole["paths"]
    }
    components: Document = {}
    left = [*_references(paths), _ERROR]
    for reference in left:
        _, _, kind, name = reference.split("/")
        if name not in components.setdefault(kind, {}):
            components[kind][name] = _stripped(whole["components"][kind][name])
            left += _references(components[kind][name])
    info = {key: whole["info"][key] for key in ("title", "version", "license")}
    return {"openapi": whole["openapi"], "info": info, "paths": paths, "components": components}


def main() -> None:
    """Fetch the packages and write the reduced descriptions."""
    with tempfile.TemporaryDirectory() as directory:
        for name, version in SOURCES.items():
            packed = Path(directory, f"octokit-openapi-{version}.tgz")
            if not packed.exists():
                package = f"@octokit/openapi@{version}"
                subprocess.run(["npm", "pack", "--silent", package], cwd=directory, check=True)
            with tarfile.open(packed) as archive:
                file = archive.extractfile(f"package/generated/{name}.json")
                assert file is not None
                whole = json.load(file)
            text = json.dumps(reduced(whole), separators=(",", ":"), sort_keys=True)
            (DIRECTORY / f"{name}.json").write_text(f"{text}\n")


if __name__ == "__main__":
    main()
