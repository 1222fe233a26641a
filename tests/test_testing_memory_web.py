"""The web in memory keeps the contract of fetchers, and the contract notices fetchers that do not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from vetset.records import Answer, FetchOutcome, Request, Sealed
from vetset.testing.fetcher_contract import Site, check_fetcher
from vetset.testing.memory_web import MemoryFetcher, MemoryWeb, Page

BODIES = {f"https://h{n % 3}.example/{n}.jpg": f"body {n}".encode() for n in range(10)}
OTHERS = {f"https://o.example/{outcome}": outcome for outcome in FetchOutcome if outcome is not FetchOutcome.FETCHED}
SITE = Site(BODIES, OTHERS, most_ahead=10)
PAGES: dict[str, bytes | Page] = {**BODIES, **{url: Page(outcome=outcome) for url, outcome in OTHERS.items()}}


def opened() -> contextlib.AbstractContextManager[MemoryFetcher]:
    return MemoryWeb.of(PAGES)(None)


def test_the_web_in_memory_keeps_the_contract() -> None:
    check_fetcher(opened, SITE)


Spoil = Callable[[list[Request], Iterator[Answer]], Iterator[Answer]]


class Spoiled:
    """The web in memory with a fault."""

    def __init__(self, spoil: Spoil, *, greedy: bool = False) -> None:
        self.spoil, self.greedy = spoil, greedy

    def fetch(self, requests: Iterable[Request]) -> Iterator[Answer]:
        taken: list[Request] = []

        def noted() -> Iterator[Request]:
            for request in requests:
                taken.append(request)
                yield request

        source: Iterable[Request] = noted()
        if self.greedy:
            source = [request for request, _ in zip(source, range(50), strict=False)]
        yield from self.spoil(taken, MemoryFetcher(MemoryWeb.of(PAGES)).fetch(source))


def answers(change: Callable[[Answer], Iterable[Answer]]) -> Spoil:
    return lambda _, source: (changed for answer in source for changed in change(answer))


@pytest.mark.parametrize(
    ("spoiled", "breach"),
    [
        (Spoiled(answers(lambda answer: [answer, answer])), "one answer each"),
        (Spoiled(answers(lambda answer: [answer] if answer.number % 5 else [])), "one answer each"),
        (Spoiled(answers(lambda answer: [replace(answer, number=answer.number + 1)])), "one answer each"),
        (Spoiled(answers(lambda answer: [replace(answer, outcome=FetchOutcome.GONE)])), "outcome"),
        (
            Spoiled(answers(lambda answer: [replace(answer, body=answer.body or Sealed(b"x"))])),
            "a body where it was fetched",
        ),
        (
            Spoiled(answers(lambda answer: [replace(answer, body=answer.body and Sealed(b"other"))])),
            "the body as it is served",
        ),
        (Spoiled(answers(lambda answer: [replace(answer, received_bytes=0)])), "as many bytes"),
        (Spoiled(answers(lambda answer: [replace(answer, at_seconds=0.0)])), "sane figures"),
        (Spoiled(lambda _, source: source, greedy=True), "requests taken ahead"),
    ],
)
def test_a_breach_is_noticed(spoiled: Spoiled, breach: str) -> None:
    with pytest.raises(AssertionError, match=breach):
        check_fetcher(lambda: contextlib.nullcontext(spoiled), SITE)


def test_pages_come_one_after_the_other_and_every_request_leaves_a_line(tmp_path: Path) -> None:
    url = "https://a.example/1"
    pages = (Page(outcome=FetchOutcome.TIMEOUT), Page(b"there"))
    web = MemoryWeb({url: pages}, tmp_path / "log")
    found = [answer.outcome for _ in range(3) for answer in MemoryFetcher(web).fetch([Request(1, Sealed(url))])]
    assert found == [FetchOutcome.TIMEOUT, FetchOutcome.FETCHED, FetchOutcome.FETCHED]
    assert web.asked() == {url: 3}
    assert url not in repr(web)
