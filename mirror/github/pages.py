"""Listings of many pages, and the proof that nothing in them changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from mirror.core.ledger import PageProof
from mirror.errors import BadAnswer, ValidationFailed
from mirror.github.decode import Check, list_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mirror.github.client import GitHubClient
    from mirror.github.repeat import Answer

T = TypeVar("T")

PER_PAGE = 100
"""Items of a page: the most that hosts give.

Source: https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api
"""


@dataclass(frozen=True, slots=True)
class Pages(Generic[T]):
    """A listing.

    Attributes:
        items: In the host's order; empty where ``unchanged``.
        proofs: One for each page; empty where nothing may be concluded later (not ``complete``).
        unchanged: Every page is as the proofs that were handed in say.
        complete: It was read to its end.
        redirected_to: Where the first page came from, where that is not where it was asked for.
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
    url: str
    partial: bool


class PageReader(Generic[T]):
    """Reads listings of one kind of thing.

    Args:
        what: The kind, for errors.
        read: One item's JSON to its value.
        content: A fingerprint of a page's items, without what changes for no reason (counters).
    """

    def __init__(
        self,
        client: GitHubClient,
        what: str,
        read: Callable[[object, str], T],
        content: Callable[[Sequence[T]], str],
    ) -> None:
        self._client = client
        self._what = what
        self._read = read
        self._content = content

    async def read(
        self, first: str, proofs: Sequence[PageProof] = (), *, attempts: int | None = None
    ) -> Pages[T]:
        """Read a listing from its first page on, or prove with a request a page that it is unchanged.

        Pages are asked for one after the other, as far as the first that changed; then all of
        them are read, those of them without a condition that were not: an ETag proves that a
        page is unchanged, and does not bring its content back.

        Args:
            first: The first page's address.
            proofs: Of an earlier reading with the same credential.
            attempts: Tries of each page, where fewer than the policy's are wanted.

        Raises:
            GitHubError: A page could not be read.
        """
        fresh: dict[str, _Page[T]] = {}
        if proofs and proofs[0].url == first:
            proven = await self._prove(proofs, fresh, attempts)
            if proven is not None:
                return Pages((), proven, unchanged=True)
        return await self._walk(first, fresh, attempts)

    async def _prove(
        self, proofs: Sequence[PageProof], fresh: dict[str, _Page[T]], attempts: int | None
    ) -> tuple[PageProof, ...] | None:
        """Ask for each page with its ETag; the proofs as they are now, or ``None`` for a change."""
        proven = []
        for number, proof in enumerate(proofs):
            follows = proofs[number + 1].url if number + 1 < len(proofs) else None
            answer, items = await self._get(proof.url, proof.etag, attempts)
            if answer.not_modified:
                # An answer of 304 may leave out its Link header, but not lie about it.
                if answer.next not in {None, follows}:
                    return None
                proven.append(proof)
                continue
            page = fresh[proof.url] = self._page(proof.url, answer, items)
            if page.partial or page.proof.content != proof.content or page.next != follows:
                return None
            proven.append(page.proof)
        return tuple(proven)

    async def _walk(self, first: str, fresh: dict[str, _Page[T]], attempts: int | None) -> Pages[T]:
        pages: list[_Page[T]] = []
        seen: set[str] = set()
        address: str | None = first
        complete = True
        while address is not None:
            if address in seen:
                raise BadAnswer(
                    f"{self._client.name}: the pages of a listing of {self._what} go round in circles",
                    host=self._client.name,
                )
            seen.add(address)
            try:
                page = fresh.get(address) or self._page(
                    address, *await self._get(address, "", attempts)
                )
            except ValidationFailed as error:
                if not pages or not _is_cut(error):
                    raise
                complete = False
                break
            complete = complete and not page.partial
            pages.append(page)
            address = page.next
        return Pages(
            items=tuple(item for page in pages for item in page.items),
            proofs=tuple(page.proof for page in pages) if complete else (),
            complete=complete,
            redirected_to=None if pages[0].url == first else pages[0].url.partition("?")[0],
        )

    async def _get(self, address: str, etag: str, attempts: int | None) -> tuple[Answer, list[T]]:
        """Ask for a page; its items are empty where it did not change."""
        check = Check(partial(list_of, self._what, self._read), self._client.name)
        answer = await self._client.get(address, etag=etag, check=check, attempts=attempts)
        return answer, [] if answer.not_modified else check.value

    def _page(self, address: str, answer: Answer, items: list[T]) -> _Page[T]:
        return _Page(
            items=tuple(items),
            proof=PageProof(address, answer.etag, self._content(items)),
            next=answer.next,
            url=answer.url,
            partial="partial-results" in answer.headers.get("X-GitHub-SSO", ""),
        )


def _is_cut(error: ValidationFailed) -> bool:
    """Whether a host gives no more pages: "Only the first 10000 results are available.".

    Source: https://github.com/Azure/azure-sdk-tools/issues/9395
    """
    return error.status == 422 and "only the first" in str(error).lower()
