"""Fetching over real sockets from a small web: what comes back, for every request exactly once."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.webs import JPEG, PICTURE, fetched, fetcher, outcome_of, requests, small_web
from vetset.records import FetchOutcome
from vetset.testing.mini_web import mini_web
from vetset.testing.web import NOT_FOUND, Page, Seen

pytestmark = pytest.mark.own_network


def picture(_seen: Seen) -> Page:
    return PICTURE


def test_a_picture_comes_back_whole() -> None:
    with small_web(picture) as served:
        answer = fetched(["http://a.test/x.jpg?y#z"])[0]
    assert answer.outcome is FetchOutcome.FETCHED
    assert answer.body is not None
    assert answer.body.unseal() == JPEG
    assert (answer.status, answer.hops, answer.received_bytes) == (200, 0, len(JPEG))
    assert answer.seconds > 0
    (seen,) = served.seen
    assert (seen.host, seen.path) == ("a.test", "/x.jpg?y")
    assert seen.headers["user-agent"].startswith("vetset/")
    assert "audit@vetset.example" in seen.headers["user-agent"]
    assert seen.headers["accept-encoding"] == "identity"
    assert not {"cookie", "authorization", "referer", "proxy-authorization"} & set(seen.headers)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 500])
def test_every_request_gets_one_answer_in_its_own_call(count: int) -> None:
    urls = [f"http://h{number % 7}.test/{number}.jpg" for number in range(count)]
    with small_web(picture), fetcher() as asking:
        for _ in range(3):
            answers = list(asking.fetch(requests(urls)))
            assert sorted(answer.number for answer in answers) == list(range(count))
            assert all(answer.outcome is FetchOutcome.FETCHED for answer in answers)


def test_a_mini_web_comes_back_as_it_was_made() -> None:
    bodies = [b"\xff\xd8\xff" + bytes([number]) * 500 for number in range(20)]
    made = mini_web(bodies, ["11.0.0.1", "11.0.0.2"], links=600)
    with small_web(made.page_of, names=made.place_of, places=[("11.0.0.1", 80), ("11.0.0.2", 80)]):
        answers = fetched([link.url for link in made.links], robots=True)
    assert [answer.outcome for answer in answers] == [link.outcome for link in made.links]
    assert len(Counter(answer.outcome for answer in answers)) == 6
    for answer, link in zip(answers, made.links, strict=True):
        if answer.outcome is FetchOutcome.FETCHED:
            assert answer.body is not None
            assert answer.body.unseal() == bodies[link.picture]


def test_what_a_status_means() -> None:
    wanted = {
        200: "fetched", 203: "fetched", 204: "not_an_image", 206: "not_an_image", 300: "not_an_image", 304: "not_an_image",
        400: "refused", 401: "refused", 403: "refused", 404: "gone", 410: "gone", 418: "refused", 429: "refused",
        451: "refused", 500: "server_error", 502: "server_error", 503: "server_error", 599: "server_error",
    }  # fmt: skip

    def pages(seen: Seen) -> Page:
        status = int(seen.path[1:])
        return Page(b"" if status in {204, 304} else JPEG, status)

    with small_web(pages):
        answers = fetched([f"http://s{status}.test/{status}" for status in wanted])
    assert {answer.status: answer.outcome.value for answer in answers} == wanted


def test_no_such_name_is_dns() -> None:
    with small_web(picture):
        assert outcome_of("http://nowhere.test/x.jpg") is FetchOutcome.DNS


def test_what_is_no_picture() -> None:
    with small_web(lambda _: Page(b"<html>", headers=(("Content-Type", "image/jpeg"),))):
        assert outcome_of("http://a.test/x.jpg") is FetchOutcome.NOT_AN_IMAGE
    with small_web(lambda _: Page(b"")):
        assert outcome_of("http://a.test/x.jpg") is FetchOutcome.NOT_AN_IMAGE


def test_a_page_that_is_not_there() -> None:
    with small_web(lambda _: NOT_FOUND):
        answer = fetched(["http://a.test/x.jpg"])[0]
    assert (answer.outcome, answer.status, answer.body) == (FetchOutcome.GONE, 404, None)
