"""The page in a browser: clicked through, refreshed in place, and looked at by axe-core."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import async_playwright, expect

from mirror.daemon.web import make_web_app
from mirror.page import EVERYTHING, Document, Query, render
from support.clock import VirtualClock
from support.pages import a_page, a_status, busy, failed, hostile
from support.values import NOW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from playwright.async_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
EVERY = 2000
"""Milliseconds between two questions of the page's script."""

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="chromium is not installed"),
]


@dataclass
class Stage:
    """A service that says what it is told to.

    Attributes:
        play: Makes the page's data for a query.
        silent: It answers nothing but errors.
        asked: Statuses of responses, and paths with their queries, in order.
    """

    play: Callable[[Query], dict[str, Any]]
    silent: bool = False
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def document(self, query: Mapping[str, str]) -> Document:
        if self.silent:
            raise web.HTTPBadGateway
        return Document.of(self.play(Query.of(query)))

    async def note(self, request: web.Request, response: web.StreamResponse) -> None:
        self.asked.append(f"{response.status} {request.path_qs}")

    def hostnames(self) -> tuple[str, ...]:
        return ()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests of this file."""
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=root)
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    """A service under a path, as behind a proxy, that plays :func:`busy`."""
    made = Stage(lambda query: busy(query, count=250))
    app = web.Application()
    app.on_response_prepare.append(made.note)
    app.add_subapp("/mirror/", make_web_app(made, made, VirtualClock()))  # type: ignore[arg-type]
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made.address = f"http://127.0.0.1:{runner.addresses[0][1]}/mirror/"
        yield made
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="module")
async def window(browser: Browser, stage: Stage) -> AsyncIterator[Page]:
    """A page of its own, closed before its service goes; any complaint of the browser fails."""
    assert stage.address
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    made = await context.new_page()
    made.set_default_timeout(10_000)
    complaints: list[str] = []
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.on(
        "console",
        lambda said: (
            complaints.append(said.text)
            if said.type in {"error", "warning"} and "502" not in said.text
            else None
        ),
    )
    yield made
    await context.close()
    assert complaints == []


@pytest_asyncio.fixture(loop_scope="module")
async def page(window: Page) -> Page:
    """A page whose clock stands until a test moves it."""
    await window.clock.install(time=NOW)
    await window.clock.pause_at(NOW + timedelta(seconds=1))
    return window


async def tick(page: Page, times: int = 1) -> None:
    """Let the script ask again, and wait until it has its answers."""
    root = page.locator("html")
    for _ in range(times):
        turns = int(await root.get_attribute("data-turns") or 0)
        await page.clock.run_for(EVERY)
        await expect(root).to_have_attribute("data-turns", str(turns + 1))


def sources(page: Page) -> Any:
    return page.locator("#mirrors .source")


async def test_filter_search_and_pages(page: Page, stage: Stage) -> None:
    """A click filters, words search, pages turn; each is an address that can be kept."""
    await page.goto(stage.address)
    await expect(sources(page)).to_have_count(50)
    await page.get_by_role("link", name="Failed").click()
    await expect(sources(page)).to_have_text(["github:octo/broken", "github:octo/partly"])
    await expect(page.get_by_role("link", name="Failed")).to_have_attribute("aria-current", "true")
    await page.get_by_role("link", name="Show all").click()
    await page.get_by_role("link", name="Next").click()
    await expect(page.get_by_text("Page 2 of 6")).to_be_visible()
    await page.get_by_role("searchbox").fill("TOOL-24")
    await page.get_by_role("button", name="Search").click()
    await expect(sources(page)).to_have_count(10)
    await expect(page.get_by_role("searchbox")).to_have_value("TOOL-24")
    await page.get_by_role("link", name="Running").click()
    await expect(page.get_by_text("No mirrors match.")).to_be_visible()
    assert page.url == f"{stage.address}?state=running&search=TOOL-24"


async def test_by_keyboard_alone(page: Page, stage: Stage) -> None:
    """The first stop leads to the mirrors; a failure opens by the keyboard; focus is visible."""
    await page.goto(stage.address)
    await page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to mirrors")
    await expect(skip).to_be_focused()
    await expect(skip).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.locator("#mirrors")).to_be_focused()
    details = page.locator("details.trouble").first
    await expect(details.get_by_role("heading", name="Failure")).not_to_be_visible()
    await details.locator("summary").focus()
    await page.keyboard.press("Enter")
    await expect(details.get_by_role("heading", name="Failure")).to_be_visible()
    outline = await details.locator("summary").evaluate("node => getComputedStyle(node).outline")
    assert "solid 2px" in outline


async def test_refreshed_in_place(page: Page, stage: Stage) -> None:
    """News arrive without a new page: focus, scroll position and what is open stay as they are."""
    await page.goto(f"{stage.address}?search=octo")
    details = page.locator("details.trouble").first
    await details.locator("summary").click()
    await page.get_by_role("searchbox").fill("half typed")
    await page.evaluate("document.querySelector('#mirrors').marked = true; scrollTo(0, 300)")
    assert await page.get_by_role("progressbar").get_attribute("value") == "120000000"
    stage.play = lambda query: busy(query, count=250, done=480_000_000)
    await tick(page)
    await expect(page.get_by_role("progressbar")).to_have_attribute("value", "480000000")
    await expect(page.get_by_text("480.0 MB of 500.0 MB")).to_be_visible()
    await expect(details).to_have_attribute("open", "")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await expect(page.get_by_role("searchbox")).to_have_value("half typed")
    assert await page.evaluate("[document.querySelector('#mirrors').marked, scrollY]") == [
        True,
        300,
    ]
    assert stage.asked == ["200 /mirror/?search=octo"] * 2


async def test_mirrors_move_and_come_and_go(page: Page, stage: Stage) -> None:
    """After any change the page is what a new one would be, and a mirror keeps its node."""
    plays = [
        [a_status("o/a"), a_status("o/b"), a_status("o/c")],
        [a_status("o/a"), failed("o/b"), a_status("o/c"), a_status("o/d")],
        [a_status("o/d"), a_status("o/a")],
        [],
        [failed("o/z"), a_status("o/a")],
    ]
    stage.play = lambda query: a_page(plays[0], query=query)
    await page.goto(stage.address)
    await page.evaluate("for (const t of document.querySelectorAll('tbody')) t.marked = true")
    await page.locator("#mirrors .source a", has_text="o/b").focus()
    for statuses in plays[1:]:
        stage.play = lambda query, statuses=statuses: a_page(statuses, query=query)  # type: ignore[misc]
        await tick(page)
        await expect(page).to_have_title(_title(statuses))
        fresh = await page.evaluate(
            """async () => new DOMParser()
                .parseFromString(await (await fetch(location)).text(), "text/html")
                .querySelector("main").outerHTML"""
        )
        assert await page.locator("main").evaluate("node => node.outerHTML") == fresh
        if len(statuses) == 4:
            await expect(page.locator("#mirrors .source a", has_text="o/b")).to_be_focused()
            marked = "[...document.querySelectorAll('#mirrors tbody')].map(node => !!node.marked)"
            assert await page.evaluate(marked) == [True, True, True, False]


def _title(statuses: list[Any]) -> str:
    html = render(a_page(statuses))
    return html.partition("<title>")[2].partition("</title>")[0]


async def test_no_news_is_one_question(page: Page, stage: Stage) -> None:
    """Where nothing changed nothing is sent; a hidden page asks nothing at all."""
    await page.goto(stage.address)
    await tick(page, 3)
    assert stage.asked == ["200 /mirror/", *["304 /mirror/"] * 3]
    await page.evaluate("Object.defineProperty(document, 'hidden', { get: () => true })")
    await page.clock.run_for(10 * EVERY)
    assert len(stage.asked) == 4


async def test_a_service_that_does_not_answer_is_told(page: Page, stage: Stage) -> None:
    """One lost answer is nothing; two are told, aloud too; what was there stays; it comes back."""
    await page.goto(stage.address)
    await tick(page)
    stage.silent = True
    await tick(page)
    notice = page.get_by_role("alert")
    await expect(notice).to_be_empty()
    await tick(page)
    await expect(notice).to_contain_text("No response from the service since")
    await expect(sources(page)).to_have_count(50)
    stage.silent = False
    await tick(page)
    await expect(notice).to_be_empty()


async def test_without_script(browser: Browser, stage: Stage) -> None:
    """All that is told is there without a script; filters and search work."""
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(stage.address)
    await expect(page.get_by_role("status")).to_have_text("2 of 256 mirrors have failed")
    await expect(page.get_by_role("progressbar")).to_be_visible()
    await page.get_by_role("searchbox").fill("broken")
    await page.keyboard.press("Enter")
    await expect(sources(page)).to_have_text(["github:octo/broken"])
    assert stage.asked == ["200 /mirror/", "200 /mirror/?search=broken"]
    await context.close()


async def test_sixty_tiles_are_one_screen(page: Page, stage: Stage) -> None:
    """A wall shows all of them without scrolling; the address keeps the view through a search."""
    await page.set_viewport_size({"width": 1920, "height": 1080})
    await page.goto(stage.address)
    await page.get_by_role("link", name="Dense").click()
    tiles = page.locator("#mirrors .tile")
    await expect(tiles).to_have_count(60)
    bottom = "Math.max(...[...document.querySelectorAll('.tile')].map(t => t.getBoundingClientRect().bottom))"
    assert await page.evaluate(bottom) <= 1080
    await page.get_by_role("searchbox").fill("TOOL-24")
    await page.get_by_role("button", name="Search").click()
    await expect(tiles).to_have_count(10)
    assert page.url == f"{stage.address}?view=dense&search=TOOL-24"
    await tiles.first.get_by_role("link").click()
    await expect(sources(page)).to_have_text(["github:octo/tool-240"])


async def test_a_phone_shows_few_words_of_each_mirror(page: Page, stage: Stage) -> None:
    """Name, state, newest release and last sessions; *All columns* shows the rest."""
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto(f"{stage.address}?search=tool-001")
    row = page.locator("#mirrors tbody").first
    await expect(row.get_by_text("Healthy")).to_be_visible()
    assert await row.evaluate("node => node.offsetHeight") < 80
    await page.get_by_role("link", name="All columns").click()
    await expect(row.get_by_text("73.4 MB")).to_be_visible()


LOOKS = [
    ("busy", 1280, "light"),
    ("busy", 390, "dark"),
    ("hostile", 1280, "dark"),
    ("hostile", 390, "light"),
    ("tiles", 1920, "dark"),
    ("tiles", 390, "light"),
    ("empty", 390, "light"),
    ("file", 1280, "dark"),
]
PLAYS: dict[str, Callable[[], dict[str, Any]]] = {
    "busy": lambda: busy() | {"notices": ["the configuration was not reloaded"]},
    "hostile": hostile,
    "tiles": lambda: busy(Query(view="dense")),
    "empty": lambda: a_page([], passes=()),
    "file": lambda: a_page([failed(), a_status()], service=None, hosts=(), query=EVERYTHING),
}


@pytest.mark.parametrize(("play", "width", "scheme"), LOOKS, ids=str)
async def test_nothing_to_stumble_over(
    window: Page, stage: Stage, play: str, width: int, scheme: str
) -> None:
    """axe-core finds no violation, and nothing is wider than the window, whatever is open."""
    await window.set_viewport_size({"width": width, "height": 800})
    await window.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    stage.play = lambda _query: PLAYS[play]()
    await window.goto(stage.address)
    await window.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    assert await window.evaluate("document.documentElement.scrollWidth") <= width
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    await window.evaluate(axe)
    found = await window.evaluate("axe.run({ resultTypes: ['violations'] })")
    assert [
        (rule["id"], node["html"][:200], node["failureSummary"][:300])
        for rule in found["violations"]
        for node in rule["nodes"]
    ] == []
    assert len(found["passes"]) > 20
