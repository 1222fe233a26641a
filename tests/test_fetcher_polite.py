"""What hosts see of us: rates, connections, robots.txt, opting out, waiting when asked to; over real sockets."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.webs import HASTY, JPEG, PICTURE, fetched, fetcher, requests, small_web
from vetset.fetcher.pace import Patience
from vetset.records import FetchOutcome
from vetset.testing.certificates import authority
from vetset.testing.web import NOT_FOUND, Page, Seen

pytestmark = pytest.mark.own_network

#: How much closer together two starts may be seen by a server that is kept waiting itself.
JITTER_SECONDS = 0.15


def with_robots(text: bytes, status: int = 200, **more: object) -> Callable[[Seen], Page]:
    def pages(seen: Seen) -> Page:
        return Page(text, status, **more) if seen.path == "/robots.txt" else PICTURE  # type: ignore[arg-type]

    return pages


def test_the_rate_of_a_host_is_never_exceeded() -> None:
    urls = [f"http://h{number % 3}.test/{number}.jpg" for number in range(24)]
    with small_web(lambda _: PICTURE) as served:
        answers = fetched(urls, milliseconds_between_requests=300, robots=True, timeout_seconds=30)
    assert {answer.outcome for answer in answers} == {FetchOutcome.FETCHED}
    times: dict[str, list[float]] = defaultdict(list)
    for seen in served.seen:
        times[seen.host].append(seen.at_seconds)
    assert {host: len(each) for host, each in times.items()} == {f"h{number}.test": 9 for number in range(3)}
    for each in times.values():
        for start, stop in zip(range(9), range(2, 9), strict=False):
            assert each[stop] - each[start] >= 0.3 * (stop - start) - JITTER_SECONDS
    assert max(max(each) for each in times.values()) - min(min(each) for each in times.values()) < 9  # hosts at once


def test_a_host_has_few_connections_and_they_are_used_again() -> None:
    urls = [f"http://h{number % 4}.test/{number}.jpg" for number in range(400)]
    with small_web(lambda _: PICTURE) as served:
        fetched(urls, connections_per_host=2)
    assert max(served.most_at_once.values()) <= 2
    connections = defaultdict(set)
    for seen in served.seen:
        connections[seen.host].add(seen.connection)
    assert max(map(len, connections.values())) <= 2


def test_connections_outlive_a_call() -> None:
    with small_web(lambda _: PICTURE) as served, fetcher(connections_per_host=1) as asking:
        for _ in range(5):
            assert len(list(asking.fetch(requests(["http://a.test/x.jpg"])))) == 1
    assert len({seen.connection for seen in served.seen}) == 1


def test_tls_sessions_are_used_again(tmp_path: Path) -> None:
    own = authority(tmp_path)

    def pages(_: Seen) -> Page:
        return Page(JPEG, close=True)

    with small_web(pages, places=[("11.0.0.1", 443)], tls=own.server("a.test")) as served:
        answers = fetched(
            [f"https://a.test/{number}.jpg" for number in range(6)],
            connections_per_host=1,
            certificates_file=str(own.file),
        )
    assert {answer.outcome for answer in answers} == {FetchOutcome.FETCHED}
    assert [seen.resumed for seen in served.seen] == [False, *[True] * 5]


def test_names_are_looked_up_once() -> None:
    asked: Counter[str] = Counter()

    def names(name: str, _asked: int) -> tuple[str, ...]:
        asked[name] += 1
        return ("11.0.0.1",)

    with small_web(lambda _: Page(JPEG, close=True), names=names):
        fetched([f"http://a.test/{number}.jpg" for number in range(50)])
    assert asked["a.test"] <= 4  # A and AAAA, by the two connections that began at once


# --- robots.txt -------------------------------------------------------------------------------------------------------


def test_robots_are_asked_for_once_and_obeyed() -> None:
    urls = [f"http://a.test/{'no' if number % 2 else 'yes'}/{number}.jpg" for number in range(20)]
    with small_web(with_robots(b"User-agent: *\nDisallow: /no/")) as served, fetcher(robots=True) as asking:
        answers = list(asking.fetch(requests(urls)))
        answers += asking.fetch(requests(urls[:2]))
    assert Counter(answer.outcome for answer in answers) == {FetchOutcome.FETCHED: 11, FetchOutcome.ROBOTS: 11}
    assert Counter(seen.path for seen in served.seen)["/robots.txt"] == 1
    assert not [seen for seen in served.seen if seen.path.startswith("/no/")]


def test_robots_are_not_asked_for_where_they_are_not_wanted() -> None:
    with small_web(with_robots(b"User-agent: *\nDisallow: /")) as served:
        assert fetched(["http://a.test/x.jpg"], robots=False)[0].outcome is FetchOutcome.FETCHED
    assert len(served.seen) == 1


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (200, FetchOutcome.ROBOTS), (204, FetchOutcome.FETCHED), (301, FetchOutcome.FETCHED), (400, FetchOutcome.FETCHED),
        (401, FetchOutcome.FETCHED), (403, FetchOutcome.FETCHED), (404, FetchOutcome.FETCHED), (410, FetchOutcome.FETCHED),
        (429, FetchOutcome.REFUSED), (500, FetchOutcome.SERVER_ERROR), (503, FetchOutcome.SERVER_ERROR),
    ],
)  # fmt: skip
def test_what_a_status_of_robots_means(status: int, wanted: FetchOutcome) -> None:
    """RFC 9309, 2.3.1: unavailable (4xx) allows all; unreachable (5xx, 429 as we read it) forbids all."""
    body = b"" if status == 204 else b"User-agent: *\nDisallow: /"
    with small_web(with_robots(body, status)) as served:
        assert fetched(["http://a.test/x.jpg"], robots=True)[0].outcome is wanted
    assert len(served.seen) == (2 if wanted is FetchOutcome.FETCHED else 1)


def test_robots_elsewhere_are_followed_and_speak_for_where_they_were_asked_for() -> None:
    def pages(seen: Seen) -> Page:
        if seen.path == "/robots.txt" and seen.host == "a.test":
            return Page(b"", 301, (("Location", "http://b.test/their-robots"),))
        return Page(b"User-agent: *\nDisallow: /no") if seen.path == "/their-robots" else PICTURE

    with small_web(pages):
        answers = fetched(["http://a.test/no.jpg", "http://a.test/x.jpg"], robots=True)
    assert [answer.outcome for answer in answers] == [FetchOutcome.ROBOTS, FetchOutcome.FETCHED]


def test_robots_that_lead_to_an_address_that_is_not_public_forbid_all() -> None:
    def pages(seen: Seen) -> Page:
        return Page(b"", 302, (("Location", "http://127.0.0.1/robots.txt"),)) if seen.path == "/robots.txt" else PICTURE

    with small_web(pages):
        assert fetched(["http://a.test/x.jpg"], robots=True)[0].outcome is FetchOutcome.ROBOTS


def test_robots_without_end_are_read_up_to_the_cap() -> None:
    rules = b"User-agent: *\nDisallow: /no\n" + b"# and so on\n" * 100_000
    with small_web(with_robots(rules)):
        answers = fetched(["http://a.test/no.jpg", "http://a.test/x.jpg"], robots=True)
    assert [answer.outcome for answer in answers] == [FetchOutcome.ROBOTS, FetchOutcome.FETCHED]


def test_robots_in_a_coding_that_nobody_asked_for_forbid_all() -> None:
    with small_web(with_robots(b"\x1f\x8b...", headers=(("Content-Encoding", "gzip"),))):
        assert fetched(["http://a.test/x.jpg"], robots=True)[0].outcome is FetchOutcome.ROBOTS


def test_a_delay_in_robots_is_kept() -> None:
    with small_web(with_robots(b"User-agent: *\nCrawl-delay: 0.4\n")) as served:
        fetched([f"http://a.test/{number}.jpg" for number in range(4)], robots=True)
    times = [seen.at_seconds for seen in served.seen if seen.path != "/robots.txt"]
    assert all(later - earlier >= 0.4 - JITTER_SECONDS for earlier, later in pairwise(times))


# --- opting out -------------------------------------------------------------------------------------------------------


def test_opting_out_is_honoured_without_reading_the_body() -> None:
    page = Page(JPEG + bytes(3_000_000), headers=(("X-Robots-Tag", "noai"),))
    with small_web(lambda _: page):
        answer = fetched(["http://a.test/x.jpg"])[0]
        assert (answer.outcome, answer.body) == (FetchOutcome.OPTED_OUT, None)
        assert answer.received_bytes == 0
        assert fetched(["http://a.test/x.jpg"], opt_outs=False)[0].outcome is FetchOutcome.FETCHED


def test_a_redirect_that_is_tagged_is_followed() -> None:
    def pages(seen: Seen) -> Page:
        tag = (("X-Robots-Tag", "noindex"), ("Location", "/y.jpg"))
        return Page(b"", 302, tag) if seen.path == "/x.jpg" else PICTURE

    with small_web(pages):
        assert fetched(["http://a.test/x.jpg"])[0].outcome is FetchOutcome.FETCHED


# --- waiting and trying again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "outcome"), [(429, FetchOutcome.REFUSED), (503, FetchOutcome.SERVER_ERROR)])
def test_a_host_that_asks_for_less_haste_gets_it(status: int, outcome: FetchOutcome) -> None:
    seen_at: list[float] = []

    def pages(seen: Seen) -> Page:
        seen_at.append(time.monotonic())
        return Page(b"", status, (("Retry-After", "1"),)) if len(seen_at) < 3 else PICTURE

    with small_web(pages):
        answer = fetched(["http://a.test/x.jpg"], retries=2)[0]
        assert answer.outcome is FetchOutcome.FETCHED
        assert [later - earlier >= 1 for earlier, later in pairwise(seen_at)] == [True, True]
    seen_at.clear()
    with small_web(lambda _: Page(b"", status, (("Retry-After", "9999"),))) as served:
        assert fetched(["http://a.test/x.jpg"], retries=2)[0].outcome is outcome
    assert len(served.seen) == 1


def test_other_hosts_do_not_wait_for_one_that_asked_to_wait() -> None:
    def pages(seen: Seen) -> Page:
        return Page(b"", 503, (("Retry-After", "2"),)) if seen.host == "slow.test" else PICTURE

    urls = ["http://slow.test/x.jpg", *[f"http://h{number}.test/x.jpg" for number in range(20)]]
    with small_web(pages), fetcher(retries=1) as asking:
        answers = [(answer.number, answer.at_seconds) for answer in asking.fetch(requests(urls))]
    assert answers[-1][0] == 0
    assert answers[-1][1] - answers[-2][1] > 1.5


def test_what_may_pass_is_tried_again_and_what_cannot_change_is_not() -> None:
    tries: Counter[str] = Counter()
    statuses = {"/500": 500, "/502": 502, "/404": 404, "/403": 403, "/410": 410, "/400": 400, "/200": 200}

    def pages(seen: Seen) -> Page:
        tries[seen.path] += 1
        return NOT_FOUND if seen.path not in statuses else Page(b"<html>", statuses[seen.path])

    with small_web(pages):
        fetched([f"http://h{path[1:]}.test{path}" for path in statuses], retries=2, timeout_seconds=20)
    assert tries == {"/500": 3, "/502": 3, **dict.fromkeys(["/404", "/403", "/410", "/400", "/200"], 1)}


def test_a_connection_that_breaks_once_is_no_loss() -> None:
    tries: Counter[str] = Counter()

    def pages(seen: Seen) -> Page:
        tries[seen.path] += 1
        if tries[seen.path] == 1:
            return Page(JPEG, close=True, said_bytes=9999)
        return PICTURE

    with small_web(pages):
        assert fetched(["http://a.test/x.jpg"], retries=1)[0].outcome is FetchOutcome.FETCHED
    assert tries == {"/x.jpg": 2}


def test_a_dead_host_costs_few_attempts_and_the_rest_of_its_requests_nothing() -> None:
    patience = Patience(failures_to_open=3, rest_seconds=0.2, trials=1)
    urls = [f"http://dead.test/{number}.jpg" for number in range(500)]

    def names(name: str, _asked: int) -> tuple[str, ...]:
        return ("11.9.9.9",) if name == "dead.test" else ("11.0.0.1",)

    with small_web(lambda _: PICTURE, names=names):
        answers = fetched([*urls, "http://a.test/x.jpg"], patience=patience)
    assert Counter(answer.outcome for answer in answers) == {FetchOutcome.REFUSED: 500, FetchOutcome.FETCHED: 1}


def test_a_slow_asker_does_not_make_hosts_too_slow() -> None:
    """Seconds in which the asker is busy with an answer count against nobody."""
    page = Page(JPEG + bytes(40_000), bytes_per_second=30_000)
    with small_web(lambda seen: page if seen.path == "/slow" else PICTURE), fetcher(timeout_seconds=3) as asking:
        outcomes = []
        for answer in asking.fetch(requests(["http://a.test/quick", "http://b.test/slow", "http://c.test/slow"])):
            outcomes.append(answer.outcome)
            if answer.number == 0:
                time.sleep(4)  # the asker's work; nothing is waited for
    assert outcomes == [FetchOutcome.FETCHED] * 3
    assert HASTY.speed_seconds < 4
