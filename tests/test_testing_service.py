"""The scaffolding of emulating bodies: requests kept, answers spoiled and lost, HTTP Basic, a bucket of requests."""

from __future__ import annotations

import threading
import time
from base64 import b64encode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset.testing.platform_contract import BROKEN, leaves_only_fingerprints
from vetset.testing.service import Answer, Bucket, Heard, Said, basic_pair, heard_json, said_json, served


def heard(body: bytes = b"", **headers: str) -> Heard:
    return Heard("GET", "/", (), headers, body, 0.0)


def get(url: str, path: str = "/", **given_: object) -> httpx.Response:
    with httpx.Client(trust_env=False) as client:
        return client.get(url + path, **given_)  # type: ignore[arg-type]


def acting() -> tuple[Answer, list[str]]:
    """A service that acts, and what it acted on."""
    acted: list[str] = []

    def act(said: Heard) -> Said:
        acted.append(said.path)
        return Said(b"done")

    return act, acted


def test_a_request_is_kept_and_answered() -> None:
    with served(lambda said: said_json({"path": said.path})) as service:
        answer = get(service.url, "/a/b?x=1", headers={"X-Y": "z"})
    assert answer.json() == {"path": "/a/b"}
    assert answer.headers["content-type"] == "application/json"
    (kept,) = service.heard
    assert (kept.method, kept.path, kept.query, kept.headers["x-y"]) == ("GET", "/a/b", (("x", "1"),), "z")
    with pytest.raises(httpx.ConnectError):
        get(service.url)


def test_a_line_is_used_again() -> None:
    with served(lambda _: Said(b"x")) as service, httpx.Client(trust_env=False) as client:
        for _ in range(3):
            assert client.get(service.url).content == b"x"
    assert len(service.heard) == 3


def test_an_answer_is_lost_after_the_service_has_acted() -> None:
    act, acted = acting()
    with served(act) as service:
        service.lose = 2
        for _ in range(2):
            with pytest.raises(httpx.RemoteProtocolError):
                get(service.url, "/act")
        assert get(service.url, "/act").content == b"done"
    assert acted == ["/act"] * 3


def test_an_answer_is_spoiled_before_the_service_acts() -> None:
    act, acted = acting()
    with served(act) as service:
        service.instead = lambda said: Said(b"no", 500) if said.path == "/a" else None
        assert get(service.url, "/a").status_code == 500
        assert get(service.url, "/b").content == b"done"
    assert acted == ["/b"]


def test_an_answer_is_cut_or_comes_late() -> None:
    with served(lambda _: Said(b"x" * 100, cut_after=40)) as service, pytest.raises(httpx.RemoteProtocolError):
        get(service.url)
    with served(lambda _: Said(b"x", delay_seconds=0.2)) as service:
        began = time.monotonic()
        get(service.url)
        assert time.monotonic() - began >= 0.2
    with served(lambda _: Said(b"xyz", drip_seconds=0.05)) as service:
        assert get(service.url).content == b"xyz"


def test_a_service_ends_although_somebody_waits() -> None:
    waiting = threading.Event()

    def slow(_: Heard) -> Said:
        waiting.set()
        return Said(b"x", delay_seconds=60.0)

    def ask(url: str) -> None:
        with pytest.raises(httpx.HTTPError):
            get(url, timeout=60.0)

    began = time.monotonic()
    with served(slow) as service:
        asking = threading.Thread(target=ask, args=(service.url,))
        asking.start()
        waiting.wait(10)
    asking.join(10)
    assert time.monotonic() - began < 10


def test_basic_as_a_server_reads_it() -> None:
    def pair(text: str) -> tuple[str, str] | None:
        return basic_pair(heard(authorization=text))

    assert pair("Basic " + b64encode(b"user:pass:word").decode()) == ("user", "pass:word")
    assert pair("basic " + b64encode(b":").decode()) == ("", "")
    for text in ("", "Basic", "Bearer dTpw", "Basic ?", "Basic " + b64encode(b"nobody").decode(), "Basic /w=="):
        assert pair(text) is None
    assert basic_pair(heard()) is None


def test_json_as_a_server_reads_it() -> None:
    assert heard_json(heard(b'{"a": [1]}')) == {"a": [1]}
    for body in (b"", b"{", b"\xff", b"[" * 100_000):
        assert heard_json(heard(body)) is None


@given(st.lists(st.floats(0.0, 1.0), max_size=60), st.sampled_from([0.5, 1.0, 5.0]))
def test_a_bucket_lets_through_no_more_than_its_rate(gaps: list[float], rate: float) -> None:
    bucket, now, passed = Bucket(rate), 0.0, []
    for gap in gaps:
        now += gap
        if bucket.takes(now):
            passed.append(now)
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            span = passed[last] - passed[first]
            assert last - first + 1 <= max(1.0, rate) + rate * span + 1e-6


def test_a_bucket_that_is_asked_in_time_refuses_nobody() -> None:
    bucket = Bucket(5.0)
    assert all(bucket.takes(number / 5.0 + 1e-9) for number in range(100))
    assert [Bucket(2.0).takes(0.0)] == [True]
    full = Bucket(2.0)
    assert [full.takes(0.0) for _ in range(3)] == [True, True, False]


def test_what_is_broken_is_broken_in_many_ways() -> None:
    assert len(BROKEN) > 25
    assert all(said.status != 200 or said.body != b"ok" for said in BROKEN.values())


def test_what_leaves_is_looked_into() -> None:
    value = b"\x01" * 32
    request = Heard("POST", "/", (("signal", value.hex()),), {}, b'{"hashes": ["' + b64encode(value) + b'"]}', 0.0)
    leaves_only_fingerprints([request], [value], ["hashes", "signal"])
    for more in (b'{"hashes": [], "url": "x"}', b"picture", b'{"hashes": ["AAAA"]}'):
        with pytest.raises(AssertionError, match="nothing but fingerprints"):
            leaves_only_fingerprints([Heard("POST", "/", (), {}, more, 0.0)], [value], ["hashes"])
    with pytest.raises(UnicodeDecodeError):
        leaves_only_fingerprints([Heard("POST", "/", (), {}, b"\xff\xd8\xff", 0.0)], [value], [])
