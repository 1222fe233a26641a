"""What every `ports.Fetcher` must do, as functions that a fetcher's tests call.

In it: the laws of asking, over a site that the caller has set up. Not in it: the site, any socket, any test runner.
Rules: a breach raises AssertionError; the site's addresses are the caller's and lead to nothing real.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import cycle

from vetset.ports import Fetcher
from vetset.records import Answer, FetchOutcome, Request, Sealed

OpenFetcher = Callable[[], AbstractContextManager[Fetcher]]

#: Addresses that are none of the web, or none at all: nobody may ever be asked for them.
NOT_OF_THE_WEB = (
    "file:///etc/hostname",
    "ftp://files.example/1.jpg",
    "gopher://files.example/1",
    "data:image/png;base64,AAAA",
    "javascript:0",
    "",
    "no address",
)


@dataclass(frozen=True, slots=True)
class Site:
    """Addresses that serve a body, and addresses that end otherwise. `most_ahead`: requests that may be taken early."""

    bodies: Mapping[str, bytes] = field(repr=False)
    others: Mapping[str, FetchOutcome] = field(repr=False)
    most_ahead: int = 1000

    def urls(self) -> list[str]:
        return [*self.bodies, *self.others]

    def outcome(self, url: str) -> FetchOutcome:
        return self.others.get(url, FetchOutcome.FETCHED)


def check_fetcher(open_fetcher: OpenFetcher, site: Site) -> None:
    """Every law."""
    for check in (
        check_one_answer_each,
        check_outcomes_and_bodies,
        check_order_is_nothing,
        check_what_is_none_of_the_web,
        check_laziness_and_its_end,
        check_silence,
    ):
        check(open_fetcher, site)


def check_one_answer_each(open_fetcher: OpenFetcher, site: Site) -> None:
    """None for none; for each request exactly one with its number, the same address twice too; and then once more."""
    urls = [*site.urls(), *site.urls()[:2]]
    with open_fetcher() as fetcher:
        _expect(list(fetcher.fetch([])) == [], "no answer without a request")
        for start in (0, 1000):
            numbers = [answer.number for answer in fetcher.fetch(_requests(urls, start))]
            _expect(sorted(numbers) == list(range(start, start + len(urls))), "one answer each")


def check_outcomes_and_bodies(open_fetcher: OpenFetcher, site: Site) -> None:
    """The outcome of each address; a body where it was fetched, byte for byte, and nowhere else; sane figures."""
    urls = site.urls()
    for number, answer in _answers(open_fetcher, urls).items():
        wanted = site.outcome(urls[number])
        _expect(answer.outcome is wanted, f"outcome {wanted}")
        _expect((answer.body is not None) == (wanted is FetchOutcome.FETCHED), "a body where it was fetched")
        if answer.body is not None:
            body = answer.body.unseal()
            _expect(body == site.bodies[urls[number]], "the body as it is served")
            _expect(answer.received_bytes >= len(body), "as many bytes received at least")
        _expect(answer.at_seconds > 0 and answer.seconds >= 0 and answer.hops >= 0, "sane figures")


def check_order_is_nothing(open_fetcher: OpenFetcher, site: Site) -> None:
    """Whatever the order of the requests, each address ends alike."""
    urls = site.urls()
    forward = {urls[n]: answer.outcome for n, answer in _answers(open_fetcher, urls).items()}
    back = {urls[::-1][n]: answer.outcome for n, answer in _answers(open_fetcher, urls[::-1]).items()}
    _expect(forward == back, "the same in another order")


def check_what_is_none_of_the_web(open_fetcher: OpenFetcher, site: Site) -> None:
    """Other schemes, and what is no address, are blocked; the neighbours are answered."""
    urls = [*NOT_OF_THE_WEB, site.urls()[0]]
    answers = _answers(open_fetcher, urls)
    for number in range(len(NOT_OF_THE_WEB)):
        _expect(answers[number].outcome is FetchOutcome.BLOCKED_ADDRESS, "not of the web, so blocked")
        _expect(answers[number].body is None, "no body of what is none of the web")
    _expect(answers[len(NOT_OF_THE_WEB)].outcome is site.outcome(urls[-1]), "the neighbour of what is blocked")


def check_laziness_and_its_end(open_fetcher: OpenFetcher, site: Site) -> None:
    """Requests without end are taken a bounded number ahead, and closing the answers ends the taking."""
    taken = 0

    def endless() -> Iterator[Request]:
        nonlocal taken
        for url in cycle(site.urls()):
            taken += 1
            yield Request(taken, Sealed(url))

    with open_fetcher() as fetcher:
        answers = fetcher.fetch(endless())
        for answered in range(1, 6):
            next(answers)
            _expect(taken <= answered + site.most_ahead, "requests taken ahead")
        if not isinstance(answers, Generator):
            raise AssertionError("fetcher contract: answers that can be closed")  # noqa: TRY004 - a breach like others
        answers.close()
        before = taken
        _expect(next(answers, None) is None, "no answer after the close")
        _expect(taken == before, "no request taken after the close")


def check_silence(open_fetcher: OpenFetcher, site: Site) -> None:
    """An answer shows nothing of its address or body."""
    for answer in _answers(open_fetcher, site.urls()).values():
        shown = repr(answer) + repr(answer.body)
        _expect(not any(url in shown for url in site.urls()), "no address in an answer")
        _expect("b'" not in shown, "no bytes in an answer")


def _requests(urls: Iterable[str], start: int = 0) -> Iterator[Request]:
    return (Request(number, Sealed(url)) for number, url in enumerate(urls, start))


def _answers(open_fetcher: OpenFetcher, urls: list[str]) -> dict[int, Answer]:
    with open_fetcher() as fetcher:
        return {answer.number: answer for answer in fetcher.fetch(_requests(urls))}


def _expect(held: bool, what: str) -> None:  # noqa: FBT001 - what was observed
    if not held:
        raise AssertionError(f"fetcher contract: {what}")
