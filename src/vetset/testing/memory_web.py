"""A web in memory, for tests: the port `Fetcher` without a network, answering from a mapping of addresses.

In it: pages, the web, and the fetcher over it. Not in it: any socket.
Rules: an address that is not there is `gone`, one that is none of the web is `blocked_address`; answers come in an
order of their own; each request leaves a line in a log, if there is one, so that it can be counted across processes.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from vetset.records import Answer, FetchOutcome, Request, Sealed

HTTP_OK, HTTP_NOT_FOUND = 200, 404
#: When everything here is answered: 2027-01-15 08:00 UTC.
AT_SECONDS = 1_800_000_000.0


@dataclass(frozen=True, slots=True)
class Page:
    """What an address answers."""

    body: bytes = b""
    outcome: FetchOutcome = FetchOutcome.FETCHED
    status: int = HTTP_OK


GONE = Page(outcome=FetchOutcome.GONE, status=HTTP_NOT_FOUND)
BLOCKED = Page(outcome=FetchOutcome.BLOCKED_ADDRESS, status=0)


@dataclass(frozen=True, slots=True)
class MemoryWeb:
    """Addresses in normal form with their pages; several pages are given one after the other, the last for ever.

    Called with settings it opens a fetcher, as a run asks for one; it can be pickled for workers. Up to `window`
    requests are taken before the last of them is answered first.
    """

    pages: Mapping[str, tuple[Page, ...]] = field(repr=False)
    log: Path | None = None
    window: int = 7

    @classmethod
    def of(cls, bodies: Mapping[str, bytes | Page], log: Path | None = None) -> MemoryWeb:
        """A web that says the same whenever it is asked."""
        pages = {url: page if isinstance(page, Page) else Page(page) for url, page in bodies.items()}
        return cls({url: (page,) for url, page in pages.items()}, log)

    def __call__(self, _settings: Any) -> contextlib.AbstractContextManager[MemoryFetcher]:
        return contextlib.nullcontext(MemoryFetcher(self))

    def asked(self) -> Counter[str]:
        """How often each address was asked."""
        if self.log is None or not self.log.is_file():
            return Counter()
        return Counter(self.log.read_text("utf-8").splitlines())

    def page(self, url: str) -> Page:
        """What an address answers now, and a line in the log."""
        pages = self.pages.get(url, (GONE,))
        times = self.asked()[url] if len(pages) > 1 else 0
        self._note(url)
        return pages[min(times, len(pages) - 1)]

    def _note(self, url: str) -> None:
        if self.log is not None:
            fd = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(fd, f"{url}\n".encode())
            finally:
                os.close(fd)


class MemoryFetcher:
    """The port `Fetcher` over a web in memory."""

    def __init__(self, web: MemoryWeb) -> None:
        self._web = web

    def fetch(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """One answer for each request; of each handful taken, the last first."""
        source = iter(requests)
        while handful := list(islice(source, self._web.window)):
            for request in reversed(handful):
                yield self._answer(request)

    def _answer(self, request: Request) -> Answer:
        url = request.url.unseal()
        page = self._web.page(url) if url.startswith(("http://", "https://")) else BLOCKED
        fetched = page.outcome is FetchOutcome.FETCHED
        return Answer(
            request.number,
            page.outcome,
            AT_SECONDS,
            status=page.status,
            received_bytes=len(page.body),
            body=Sealed(page.body) if fetched else None,
        )
