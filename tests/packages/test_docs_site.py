"""The documentation as a site: complete, without broken links, and independent of any network."""

from __future__ import annotations

import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docs_site
import pytest
from docs_site import BrokenLink, indented, relink
from playwright.async_api import async_playwright, expect

if TYPE_CHECKING:
    from collections.abc import Iterator

CHROMIUM = Path("/usr/bin/chromium")
SITE = docs_site.TOP / "build" / "site"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Build the site, and serve it on loopback."""
    assert docs_site.main() == 0
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.xdist_group("docs-site")
@pytest.mark.skipif(not CHROMIUM.exists(), reason="chromium is not installed")
async def test_the_site_builds_and_finds_a_page_without_network(address: str) -> None:
    """Strict mode finds nothing; the search finds a setting; nothing is loaded from elsewhere."""
    elsewhere: list[str] = []
    messages: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page()
        page.on("request", lambda request: elsewhere.append(request.url))
        page.on("console", lambda message: messages.append(message.text))
        for width in (1920, 1280, 390):
            await page.set_viewport_size({"width": width, "height": 900})
            await page.goto(f"{address}/reference/failures.html")
            wider = "document.documentElement.scrollWidth > innerWidth"
            assert not await page.evaluate(wider), width
        await page.set_viewport_size({"width": 1280, "height": 900})
        await page.goto(f"{address}/index.html")
        await page.get_by_role("button", name="Search").click()
        await page.keyboard.type("max_deletes")
        await expect(page.get_by_text("Failures by kind").last).to_be_visible()
        await browser.close()
    assert [url for url in elsewhere if not url.startswith((address, "data:", "blob:"))] == []
    assert messages == []


def test_a_link_to_nothing_is_told(tmp_path: Path) -> None:
    """A link to a file that is not there ends the build, with the page and the link."""
    with pytest.raises(BrokenLink, match=r"docs/a\.md: no file \.\./gone\.toml"):
        relink("[x](../gone.toml)", "docs/a.md", {"docs/a.md": "a.md"}, tmp_path, tmp_path)
    with pytest.raises(BrokenLink):
        relink("[x](../../etc/passwd)", "docs/a.md", {"docs/a.md": "a.md"}, tmp_path, tmp_path)


def test_links_follow_pages_and_files_to_their_places(tmp_path: Path) -> None:
    """Pages are linked at their place in the site, other files are copied there; anchors stay."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "full.toml").write_text("x = 1\n")
    known = {"docs/guides/a.md": "guides/a.md", "SECURITY.md": "project/security.md"}
    text = (
        "[s](../../SECURITY.md#files) [f](../../config/full.toml) [w](https://example.com) [h](#x)"
    )
    made = relink(text, "docs/guides/a.md", known, tmp_path / "to", tmp_path)
    assert made == (
        "[s](../project/security.md#files) [f](../files/config/full.toml) [w](https://example.com) [h](#x)"
    )
    assert (tmp_path / "to" / "files" / "config" / "full.toml").read_text() == "x = 1\n"


def test_lists_keep_what_belongs_to_them() -> None:
    """Continuations and code of an item get four spaces; a list is set apart; code stays as it is."""
    text = "Text:\n- one\n  more\n\n      code\n\n1. two\n\n       code\n\nend\n```\n- kept\n```"
    assert "\n".join(indented(text.split("\n"))) == (
        "Text:\n\n- one\n    more\n\n        code\n\n1. two\n\n        code\n\nend\n```\n- kept\n```"
    )


def test_every_page_is_in_the_navigation() -> None:
    """A page that nothing leads to would be found by nobody."""
    assert docs_site.unlisted() == set()


def test_only_pages_that_exist_are_moved() -> None:
    """The table of moved pages names files of the repository, and no two share a place."""
    places = docs_site.pages()
    assert len(set(places.values())) == len(places)
    assert all((docs_site.TOP / path).is_file() for path in places)
    assert not [place for place in places.values() if re.search(r"\.\.", place)]
