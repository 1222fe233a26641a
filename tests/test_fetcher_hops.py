"""Redirects by our own code, limits of a transfer, and what the environment may not say."""

from __future__ import annotations

import os
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.webs import JPEG, PICTURE, fetched, fetcher, outcome_of, requests, settings, small_web
from vetset.config import FetchSettings
from vetset.errors import Stop
from vetset.fetcher.web import WebFetcher
from vetset.records import FetchOutcome
from vetset.testing.web import Page, Seen

pytestmark = pytest.mark.own_network


def moved(place: str, status: int = 302) -> Page:
    return Page(b"", status, (("Location", place), ("Set-Cookie", "id=1; Path=/; Domain=test")))


def chain(seen: Seen) -> Page:
    """`/3` leads to `/2`, and so on to a picture."""
    left = int(seen.path[1:])
    return moved(f"http://h{left}.test/{left - 1}") if left else PICTURE


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(status: int) -> None:
    with small_web(lambda seen: moved("/y.jpg", status) if seen.path == "/x.jpg" else PICTURE) as served:
        answer = fetched(["http://a.test/x.jpg"])[0]
    assert (answer.outcome, answer.hops, answer.status) == (FetchOutcome.FETCHED, 1, 200)
    assert [seen.path for seen in served.seen] == ["/x.jpg", "/y.jpg"]
    assert not any({"cookie", "referer"} & set(seen.headers) for seen in served.seen)


@pytest.mark.parametrize(("most", "outcome"), [(3, FetchOutcome.FETCHED), (2, FetchOutcome.REDIRECT_LIMIT)])
def test_so_many_and_no_more(most: int, outcome: FetchOutcome) -> None:
    with small_web(chain):
        assert outcome_of("http://a.test/3", max_redirects=most) is outcome


def test_every_hop_meets_robots_of_its_own_host() -> None:
    def pages(seen: Seen) -> Page:
        if seen.path == "/robots.txt":
            return Page(b"User-agent: *\nDisallow: /" if seen.host == "b.test" else b"")
        return moved("http://b.test/y.jpg") if seen.host == "a.test" else PICTURE

    with small_web(pages) as served:
        answer = fetched(["http://a.test/x.jpg"], robots=True)[0]
    assert (answer.outcome, answer.hops) == (FetchOutcome.ROBOTS, 1)
    assert ("b.test", "/y.jpg") not in {(seen.host, seen.path) for seen in served.seen}


def test_every_hop_meets_the_rate_of_its_host() -> None:
    with small_web(lambda seen: moved("/y") if seen.path != "/y" else PICTURE) as served:
        fetched(["http://a.test/1", "http://a.test/2"], milliseconds_between_requests=300)
    times = [seen.at_seconds for seen in served.seen]
    assert len(times) == 4
    assert all(later - earlier >= 0.15 for earlier, later in pairwise(times))


@pytest.mark.parametrize(
    "place",
    [
        "file:///etc/passwd", "ftp://a.test/", "http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://2130706433/",
        "http://0x7f.1/", "http://a.test:22/", "gopher://a.test/", "http://①②⑦.⓪.⓪.①/", "http://[::ffff:127.0.0.1]/", "http://",
    ],
)  # fmt: skip
def test_a_redirect_to_where_nobody_may_go_is_blocked(place: str) -> None:
    with small_web(lambda _: moved(place.encode().decode("latin-1"))):
        assert outcome_of("http://a.test/x.jpg") is FetchOutcome.BLOCKED_ADDRESS


def test_a_refused_connection_is_not_a_blocked_address_nor_the_other_way() -> None:
    with small_web(lambda _: PICTURE, names=lambda name, _: ("11.5.5.5",) if "dead" in name else ("10.0.0.1",)):
        answers = fetched(["http://dead.test/", "http://inner.test/", "http://127.0.0.1/"])
    assert [answer.outcome for answer in answers] == [
        FetchOutcome.REFUSED, FetchOutcome.BLOCKED_ADDRESS, FetchOutcome.BLOCKED_ADDRESS,
    ]  # fmt: skip


def test_of_several_addresses_the_public_one_is_taken() -> None:
    with small_web(lambda _: PICTURE, names=lambda *_: ("10.0.0.1", "127.0.0.1", "11.0.0.1", "::1")):
        assert outcome_of("http://a.test/x.jpg") is FetchOutcome.FETCHED


def test_a_name_server_that_is_silent_holds_nobody_up() -> None:
    urls = ["http://mute.test/", *[f"http://h{number}.test/" for number in range(5)]]
    with small_web(lambda _: PICTURE, names=lambda name, _: None if name == "mute.test" else ("11.0.0.1",)):
        started = time.monotonic()
        with fetcher(timeout_seconds=1) as asking:
            ends = {answer.number: (answer.outcome, time.monotonic()) for answer in asking.fetch(requests(urls))}
    assert [ends[number][0] for number in range(6)] == [FetchOutcome.TIMEOUT, *[FetchOutcome.FETCHED] * 5]
    assert ends[0][1] - started < 4  # the system itself would wait for five seconds


def test_over_ipv6() -> None:
    with small_web(lambda _: PICTURE, names=lambda *_: ("2a00:11::2",), places=[("2a00:11::2", 80)]):
        assert outcome_of("http://a.test/x.jpg") is FetchOutcome.FETCHED
        assert outcome_of("http://[2a00:11::2]/x.jpg") is FetchOutcome.FETCHED


@pytest.mark.parametrize("size", [999, 1000, 1001])
def test_the_cap_of_bytes(size: int) -> None:
    body = b"\xff\xd8\xff" + bytes(size - 3)
    with small_web(lambda _: Page(body)):
        answer = fetched(["http://a.test/x.jpg"], max_bytes=1000)[0]
    assert answer.outcome is (FetchOutcome.FETCHED if size <= 1000 else FetchOutcome.TOO_LARGE)


def test_the_deadline_is_for_all_hops_together() -> None:
    def pages(seen: Seen) -> Page:
        left = int(seen.path[1:])
        page = moved(f"/{left - 1}") if left else PICTURE
        return Page(page.body, page.status, page.headers, delay_seconds=0.6)

    with small_web(pages):
        assert outcome_of("http://a.test/3", timeout_seconds=2) is FetchOutcome.TIMEOUT
        assert outcome_of("http://a.test/1", timeout_seconds=2) is FetchOutcome.FETCHED


def test_the_environment_is_not_heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, no netrc, no curl settings, no file for keys."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://11.0.0.9:3128")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CURL_HOME", str(tmp_path))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    (tmp_path / ".netrc").write_text("default login me password secret\n")
    (tmp_path / ".curlrc").write_text("user = me:secret\n")
    with small_web(lambda _: PICTURE) as served:
        assert outcome_of("http://me:secret@a.test/x.jpg") is FetchOutcome.FETCHED
    (seen,) = served.seen
    assert seen.host == "a.test"
    assert seen.path == "/x.jpg"
    assert not {"authorization", "proxy-authorization"} & set(seen.headers)
    assert not (tmp_path / "keys").exists()
    assert "SSLKEYLOGFILE" not in os.environ


@pytest.mark.parametrize(
    "contact", ["", "me", "http://a.example", "a b@c.example", "a@b\r\nX: y", "a@b.example)", "x" * 300 + "@y"]
)
def test_without_a_contact_nothing_is_asked(contact: str) -> None:
    with pytest.raises(Stop) as stop:
        WebFetcher(FetchSettings(contact=contact))
    assert "contact" in stop.value.message
    assert stop.value.hint


def test_a_name_that_robots_cannot_use_is_refused() -> None:
    for name in ("", "vet set", "vetset/1", "ü"):
        with pytest.raises(Stop):
            WebFetcher(settings(user_agent=name))


def test_certificates_that_are_not_there_are_refused() -> None:
    with pytest.raises(Stop) as stop:
        WebFetcher(settings(certificates_file="nowhere.pem"))
    assert "certificates" in stop.value.message


def test_certificates_that_are_none_stop_the_run() -> None:
    with (
        tempfile.NamedTemporaryFile(suffix=".pem") as file,
        small_web(lambda _: PICTURE, places=[("11.0.0.1", 443)]),
        pytest.raises(Stop),
    ):
        fetched(["https://a.test/x.jpg"], certificates_file=file.name)


def test_left_before_its_end_it_begins_anew() -> None:
    with small_web(lambda _: Page(JPEG, delay_seconds=0.05)), fetcher() as asking:
        for answer in asking.fetch(requests(f"http://h{number}.test/" for number in range(50))):
            assert answer.outcome is FetchOutcome.FETCHED
            break
        again = list(asking.fetch(requests(f"http://h{number}.test/" for number in range(9))))
    assert sorted(answer.number for answer in again) == list(range(9))


def test_it_leaves_no_descriptor_open() -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with small_web(lambda _: Page(JPEG, close=True)):
        before = count()
        for _ in range(3):
            fetched([f"http://h{number}.test/" for number in range(20)])
        assert count() <= before + 2
