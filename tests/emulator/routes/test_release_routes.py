"""Releases: lists, lookups, deletion."""

from __future__ import annotations

from typing import Any

R = "/repos/octo/tool/releases"


async def test_a_draft_is_not_found_by_its_tag(host: Any) -> None:
    """A draft is in the list and found by number, never by tag, and makes no git tag."""
    made = await host.draft("v2")
    assert (await host.get(f"{R}/tags/v2")).status == 404
    assert (await host.get(f"{R}/{made['id']}")).json["draft"] is True
    assert (await host.get("/repos/octo/tool/git/ref/tags/v2")).status == 404
    assert "untagged-" in made["html_url"]
    assert made["published_at"] is None


async def test_no_latest_is_404(host: Any) -> None:
    """A repository without a published release has no latest."""
    host.state.delete_release("octo/tool", "v1.0.0")
    assert (await host.get(f"{R}/latest")).status == 404


async def test_deleting_a_release_keeps_its_tag(host: Any) -> None:
    """The tag stays; deleting a tag turns its release into a draft that was once published."""
    made = (await host.get(f"{R}/tags/v1.0.0")).json
    assert (await host.send("DELETE", "/repos/octo/tool/git/refs/tags/v1.0.0")).status == 204
    orphan = (await host.get(f"{R}/{made['id']}")).json
    assert orphan["draft"] is True
    assert orphan["published_at"] is not None
    other = await host.send("POST", R, json={"tag_name": "v2"})
    assert (await host.send("DELETE", f"{R}/{other.json['id']}")).status == 204
    assert (await host.get("/repos/octo/tool/git/ref/tags/v2")).status == 200
    assert (await host.get(f"{R}/{other.json['id']}")).status == 404


async def test_a_list_has_pages(host: Any) -> None:
    """30 a page, 100 at most; links use numbers and stay on the origin; newest commit first."""
    for number in range(34):
        host.state.add_release("octo/tool", f"w{number}", date=f"2024-01-01T00:00:{number:02}Z")
    first = await host.get(R)
    assert len(first.json) == 30
    assert first.json[0]["tag_name"] == "v1.0.0"
    assert first.json[1]["tag_name"] == "w33"
    number = host.state.repository("octo/tool").id
    follow = f"{host.emulator.api_url}/repositories/{number}/releases?page=2"
    assert first.headers["Link"] == f'<{follow}>; rel="next", <{follow}>; rel="last"'
    second = await host.get(follow)
    assert len(second.json) == 5
    assert 'rel="prev"' in second.headers["Link"]
    assert 'rel="next"' not in second.headers["Link"]
    whole = await host.get(f"{R}?per_page=1000")
    assert len(whole.json) == 35
    assert "Link" not in whole.headers
    assert (await host.get(f"{R}?per_page=100&page=101")).status == 422


async def test_changes_show_at_once(host: Any) -> None:
    """What is rendered once is rendered anew after every kind of change."""
    seen = []

    async def look() -> None:
        seen.append((await host.get(R)).headers["ETag"])

    await look()
    state = host.state
    state.add_asset("octo/tool", "v1.0.0", "b", b"b")
    await look()
    state.replace_asset("octo/tool", "v1.0.0", "b", b"c")
    await look()
    state.edit_release("octo/tool", "v1.0.0", body="new")
    await look()
    state.delete_asset("octo/tool", "v1.0.0", "b")
    await look()
    state.rename_repository("octo/tool", "octo/other")
    seen.append((await host.get("/repos/octo/other/releases")).headers["ETag"])
    assert len(set(seen)) == len(seen)
