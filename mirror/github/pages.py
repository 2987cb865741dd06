"""Paged listings, and the proof that nothing in them has changed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import structlog

from mirror.core.ledger.document import PageProof
from mirror.errors import ConnectionLost, NotFound, ServerError, ValidationFailed
from mirror.github.protocol.pagination import following, page_size, tells_pages
from mirror.github.protocol.urls import RefusedAddress, origin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mirror.github.answers import Valued
    from mirror.github.client import GitHubClient
    from mirror.github.request_retry import Answer

T = TypeVar("T")

log = structlog.get_logger(__name__)

PER_PAGE = 100
"""Items per page: the maximum of the API.

Source: https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api
"""


MOST_PAGES = 1000
"""Per listing: hosts cut a list of releases after 10,000, and a release has at most 1000 assets."""

MOST_TAG_PAGES = 10_000


class Pages(NamedTuple, Generic[T]):
    """A listing.

    Attributes:
        items: In the host's order; empty if ``unchanged``.
        proofs: One per page; empty if not ``complete``, as nothing can be concluded from them later.
        unchanged: Every page is as the given proofs say.
        complete: It was read to its end.
        redirected_to: The address that the first page was redirected to, if it was.
    """

    items: tuple[T, ...]
    proofs: tuple[PageProof, ...]
    unchanged: bool = False
    complete: bool = True
    redirected_to: str | None = None


@dataclass(frozen=True, slots=True)
class _Page(Generic[T]):
    items: tuple[T, ...]
    proof: PageProof
    next: str | None
    moved_to: str | None
    partial: bool


class PageReader(Generic[T]):
    """Reads listings of one kind of item.

    Args:
        what: The kind, for error messages.
        shape: The declaration of an item.
        content: Fingerprints the items of a page, without counters.
    """

    def __init__(
        self,
        client: GitHubClient,
        what: str,
        shape: type[Valued[T]],
        content: Callable[[Sequence[T]], str],
    ) -> None:
        self._client = client
        self._what = what
        self._shape = list[shape]  # type: ignore[valid-type]
        self._content = content

    async def read(
        self, first: str, proofs: Sequence[PageProof] = (), *, easier: str | None = None
    ) -> Pages[T]:
        """Read a listing, or prove with one conditional request per page that it is unchanged.

        Pages are requested in order up to the first one that changed. Then the whole listing is
        read, because a 304 does not return the content of the pages before.

        Args:
            first: The address of the first page.
            proofs: Of an earlier reading with the same credential.
            easier: The first page of a listing in smaller pages, for hosts that time out.

        Raises:
            GitHubError: A page could not be read.
        """
        fresh: dict[str, _Page[T]] = {}
        if proofs and proofs[0].url in {first, easier} and _of_one_host(proofs):
            first = proofs[0].url
            proven = await self._prove(proofs, fresh)
            if proven is not None:
                return Pages((), proven, unchanged=True)
        pages: list[_Page[T]] = []
        try:
            return await self._walk(first, fresh, pages, easier)
        except (ServerError, ConnectionLost) as error:
            cut = easier is not None and pages and pages[0].proof.url != easier
            if not cut or error.status == 503 or self._client.stopped is not None:
                raise
            log.warning("github.smaller_pages", host=self._client.name, error=str(error))
        return await self._walk(str(easier), {}, [], None)

    async def _prove(
        self, proofs: Sequence[PageProof], fresh: dict[str, _Page[T]]
    ) -> tuple[PageProof, ...] | None:
        """Request each page with its ETag; the current proofs, or ``None`` if a page changed."""
        proven: list[PageProof] = []
        told = False  # the host said that the last page is the last one
        for number, proof in enumerate(proofs):
            rest = proofs[number + 1 :]
            follows = rest[0].url if rest else None
            # If it is not known whether the last page was full, a 304 is not enough.
            etag = proof.etag if rest or proof.items is not None else ""
            answer, items = await self._get(proof.url, proofs[0].url, etag=etag)
            if answer.not_modified:
                # A 304 may lack the Link header, but must not contradict it.
                if answer.next not in {None, follows}:
                    return None
                proven.append(proof)
                link = answer.headers.get("Link")
                told = link is not None and tells_pages(link)
                continue
            page = fresh[proof.url] = self._page(answer, items)
            if page.partial or page.proof.content != proof.content:
                return None
            proven.append(page.proof)
            told = True
            if page.next is None and all(later.items == 0 for later in rest):
                proven += rest  # empty pages: still nothing follows
                break
            if page.next != follows:
                return None
        if told or not _may_continue(proven):
            return tuple(proven) if fresh else tuple(proofs)
        return await self._look_beyond(proven, fresh)

    async def _look_beyond(
        self, proven: Sequence[PageProof], fresh: dict[str, _Page[T]]
    ) -> tuple[PageProof, ...] | None:
        """Find out whether another page follows a full last page; returns as :meth:`_prove`.

        A full page stays unchanged when the next item starts a new page, and its 304 need not
        link to that page. So the next page is requested by its number. While it is empty, it is
        proven like the others from then on, with one conditional request per pass.
        """
        first, last = proven[0].url, proven[-1]
        beyond = following(last.url)
        if beyond is not None:
            with suppress(NotFound, ValidationFailed):
                page = fresh[beyond] = self._page(*await self._get(beyond, first))
                ended = not (page.items or page.next or page.partial)
                return (*proven, page.proof) if ended else None
        # That page cannot be requested by number: read the last page again for its Link header.
        page = fresh[last.url] = self._page(*await self._get(last.url, first))
        ended = not (page.next or page.partial) and page.proof.content == last.content
        return (*proven[:-1], page.proof) if ended else None

    async def _walk(
        self, first: str, fresh: dict[str, _Page[T]], pages: list[_Page[T]], easier: str | None
    ) -> Pages[T]:
        """Read all pages into ``pages``; those in ``fresh`` were read already."""
        seen: set[str] = set()
        address: str | None = first
        complete = True
        while address is not None:
            not_endless(self._what, self._client.name, address, seen, MOST_PAGES)
            try:
                page = fresh.get(address) or self._page(
                    *await self._get(address, first, easier=easier)
                )
            except ValidationFailed as error:
                if not pages or not _is_cut(error):
                    raise
                complete = False
                break
            easier = None  # later pages are numbered by the size of the first
            complete = complete and not page.partial
            pages.append(page)
            address = page.next
        return Pages(
            items=tuple(item for page in pages for item in page.items),
            proofs=tuple(page.proof for page in pages) if complete else (),
            complete=complete,
            redirected_to=pages[0].moved_to,
        )

    async def _get(
        self, address: str, first: str, *, etag: str = "", easier: str | None = None
    ) -> tuple[Answer, list[T]]:
        """Request a page; no items if it is unchanged.

        Addresses of later pages may name the repository by number only, so the first page's
        address decides about the credential.
        """
        answer = await self._client.get(
            address, shape=self._shape, etag=etag, easier=easier, about=first
        )
        return answer, [] if answer.not_modified else [item.value() for item in answer.data]

    def _page(self, answer: Answer, items: list[T]) -> _Page[T]:
        return _Page(
            items=tuple(items),
            proof=PageProof(answer.asked, answer.etag, self._content(items), len(items)),
            next=answer.next,
            moved_to=None if answer.url == answer.asked else answer.url.partition("?")[0],
            partial="partial-results" in answer.headers.get("X-GitHub-SSO", ""),
        )


def not_endless(what: str, host: str, address: str, seen: set[str], most: int) -> None:
    """Record the address of a page, so that a listing always ends.

    Raises:
        RefusedAddress: The page was read already, or there are too many.
    """
    if address in seen or len(seen) >= most:
        how = "form a loop" if address in seen else f"do not end after {most:,}"
        raise RefusedAddress(f"{host}: the pages of a listing of {what} {how}", host=host)
    seen.add(address)


def _may_continue(proofs: Sequence[PageProof]) -> bool:
    """Whether the last page is full, so that another item would start a new page.

    Some hosts return fewer items than requested: a page also counts as full if an earlier page
    had no more items and was followed by another. An empty page ends a listing.
    """
    last = proofs[-1].items
    if not last:
        return last is None
    earlier = (proof.items for proof in proofs[:-1] if proof.items is not None)
    return last >= min((page_size(proofs[0].url), *earlier))


def _of_one_host(proofs: Sequence[PageProof]) -> bool:
    """Whether the addresses of proofs, which come from a file, are all of one host."""
    if len(proofs) == 1:  # it equals the requested address
        return True
    try:
        return len({origin(proof.url) for proof in proofs}) == 1
    except ValueError:
        return False


def _is_cut(error: ValidationFailed) -> bool:
    """Whether a host cut the listing: "Only the first 10000 results are available.".

    Source: https://github.com/Azure/azure-sdk-tools/issues/9395
    """
    return error.reason == "listing-cut"
