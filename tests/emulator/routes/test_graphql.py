"""The releases of a repository over GraphQL."""

from __future__ import annotations

from typing import Any

import pytest

LIST = """query List($endCursor: String, $name: String!, $owner: String!, $perPage: Int!) {
  repository(owner: $owner, name: $name) {
    page: releases(first: $perPage, orderBy: {field: CREATED_AT}, after: $endCursor) {
      nodes { tagName isDraft isLatest }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""
ONE = "query($name:String!){repository(name: $name){release(tagName: $tagName){databaseId,%s}}}"


async def ask(host: Any, query: str, **options: Any) -> Any:
    token = options.pop("token", "t0ken")
    variables = {"owner": "octo", "name": "tool", **options}
    url = f"{host.emulator.url}/api/graphql"
    body = {"query": query, "variables": variables}
    return await host.send("POST", url, json=body, token=token)


async def test_releases_in_pages(host: Any) -> None:
    """Pages follow the cursor; drafts are shown to those who may push alone; aliases are kept."""
    host.state.add_token("reader", login="r", permission="read")
    host.state.add_release("octo/tool", "v2", draft=True, date="2026-02-01T00:00:00Z")
    page = (await ask(host, LIST, perPage=1)).json["data"]["repository"]["page"]
    assert page["nodes"] == [{"tagName": "v2", "isDraft": True, "isLatest": False}]
    cursor = page["pageInfo"]["endCursor"]
    last = (await ask(host, LIST, perPage=1, endCursor=cursor)).json["data"]["repository"]["page"]
    assert last["nodes"] == [{"tagName": "v1.0.0", "isDraft": False, "isLatest": True}]
    assert (page["pageInfo"]["hasNextPage"], last["pageInfo"]["hasNextPage"]) == (True, False)
    public = (await ask(host, LIST, perPage=5, token="reader")).json["data"]["repository"]["page"]
    assert public["nodes"] == last["nodes"]


async def test_a_release_by_its_tag(host: Any) -> None:
    """A draft is found by its tag, too; what does not exist is null."""
    draft = await host.draft("v2")
    found = (await ask(host, ONE % "isDraft", tagName="v2")).json["data"]["repository"]
    assert found == {"release": {"databaseId": draft["id"], "isDraft": True}}
    gone = (await ask(host, ONE % "isDraft", tagName="v3")).json["data"]["repository"]
    assert gone == {"release": None}


async def test_refusals(host: Any) -> None:
    """A token is needed; a repository that may not be seen and an unknown field are errors."""
    assert (await ask(host, ONE % "name", token=None)).status == 401
    missing = (await ask(host, ONE % "name", name="gone", tagName="v1")).json
    assert missing["data"] == {"repository": None}
    assert missing["errors"][0]["type"] == "NOT_FOUND"
    wrong = (await ask(host, ONE % "colour", tagName="v1.0.0")).json
    assert wrong == {"errors": [{"message": "Field 'colour' doesn't exist"}]}


@pytest.mark.parametrize(
    "document",
    [{}, {"query": 7}, {"query": "{{"}, {"query": "{a:"}, {"query": "{repository}"},
     {"query": LIST, "variables": [1]},
     {"query": LIST, "variables": {"owner": "octo", "name": "tool", "perPage": "x", "endCursor": []}}],
)  # fmt: skip
async def test_nonsense(host: Any, document: Any) -> None:
    """Whatever is asked is answered with data or errors."""
    reply = await host.send("POST", f"{host.emulator.url}/api/graphql", json=document)
    assert reply.status == 200
    assert reply.json.keys() & {"data", "errors"}


async def test_fields_follow_the_version(start: Any) -> None:
    """Clients ask which fields there are: `immutable` exists where immutable releases do."""
    query = 'query F{Release: __type(name: "Release"){fields{name}}}'
    for version, expected in (("3.19", False), ("3.20", True)):
        answer = await ask(await start(version=version), query)
        names = {field["name"] for field in answer.json["data"]["Release"]["fields"]}
        assert ("immutable" in names) is expected
        assert {"tagName", "isDraft", "isLatest"} <= names
