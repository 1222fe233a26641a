"""What the tests of the fetcher share: settings that hurry, a fetcher, and a web with names for as long as a test lasts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

from vetset.config import FetchSettings
from vetset.fetcher.pace import Patience
from vetset.fetcher.web import Surroundings, WebFetcher
from vetset.records import Answer, FetchOutcome, Request, Sealed
from vetset.testing.names import Names, name_server
from vetset.testing.network import NAME_SERVER
from vetset.testing.web import Page, Pages, Web, web

PLACE = "11.0.0.1"
JPEG = b"\xff\xd8\xff" + bytes(1000)
PICTURE = Page(JPEG)
HASTY = Patience(first_pause_seconds=0.1, most_pause_seconds=3, rest_seconds=0.1, speed_seconds=1)


def settings(**changes: Any) -> FetchSettings:
    """Without haste's enemies: no interval, no robots.txt, no further attempt, unless a test asks for them."""
    given = {"contact": "audit@vetset.example", "milliseconds_between_requests": 0, "robots": False, "retries": 0}
    return FetchSettings(**{**given, "timeout_seconds": 3, **changes})


def fetcher(*, patience: Patience = HASTY, **changes: Any) -> WebFetcher:
    return WebFetcher(settings(**changes), Surroundings(random=Random(7), patience=patience))


def requests(urls: Iterable[str]) -> list[Request]:
    return [Request(number, Sealed(url)) for number, url in enumerate(urls)]


def fetched(urls: Sequence[str], **changes: Any) -> list[Answer]:
    """The answers in the order of the addresses, one for each."""
    with fetcher(**changes) as asking:
        answers = sorted(asking.fetch(requests(urls)), key=lambda answer: answer.number)
    assert [answer.number for answer in answers] == list(range(len(urls)))
    return answers


def outcome_of(url: str, **changes: Any) -> FetchOutcome:
    return fetched([url], **changes)[0].outcome


def everywhere(name: str, _asked: int) -> Sequence[str]:
    """Every name but those of `nowhere` leads to the one place."""
    return () if "nowhere" in name else (PLACE,)


@contextmanager
def small_web(
    pages: Pages, *, names: Names = everywhere, places: Sequence[tuple[str, int]] = ((PLACE, 80),), tls: Any = None
) -> Iterator[Web]:
    with name_server(NAME_SERVER, names), web(pages, places, tls) as served:
        yield served
