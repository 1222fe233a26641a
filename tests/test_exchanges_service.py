"""A body's service asked over HTTP: where it may live, how patiently, and what never leaves or shows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from vetset.errors import ServiceError, Stop
from vetset.hashlists.service import ATTEMPTS, Secret, Service
from vetset.records import Sealed
from vetset.testing.certificates import authority
from vetset.testing.serving import Asked, Fault, Reply, served

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
SECRET = Secret("Authorization", Sealed("Bearer made-up-word"))


def hello(asked: Asked) -> Reply:
    return Reply(200, b"hello", {"ETag": '"1"'}) if asked.headers.get("if-none-match") != '"1"' else Reply(304)


made: list[Service] = []


@pytest.fixture(autouse=True)
def _hung_up() -> Iterator[None]:
    yield
    while made:
        made.pop().close()


def service(url: str, waited: list[float] | None = None, secret: Secret | None = SECRET) -> Service:
    pauses: list[float] = [] if waited is None else waited
    made.append(Service.sandbox("body", url, secret, pause=pauses.append, now=lambda: NOW))
    return made[-1]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "made-up.example",
        "ftp://made-up.example",
        "https://",
        "https://u:made-up-word@x",
        "http://x/#a",
        "https://[",
        "https://x/?api_key=made-up-word",
        "https://x/?a=1&Token=",
    ],
)
def test_where_no_service_may_live(url: str) -> None:
    for make in (Service.live, Service.sandbox):
        with pytest.raises(Stop) as stopped:
            make("body", url)
        assert "made-up-word" not in stopped.value.message + stopped.value.hint


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"])
def test_plain_http_is_for_sandboxes_on_this_machine(url: str) -> None:
    Service.sandbox("body", url).close()
    with pytest.raises(Stop, match="not https"):
        Service.live("body", url)


@pytest.mark.parametrize("url", ["http://made-up.example", "http://10.0.0.1", "http://127.0.0.1.made-up.example"])
def test_plain_http_to_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(Stop, match="not https"):
        Service.sandbox("body", url)


@pytest.mark.parametrize(
    ("after", "waits"),
    [
        ("5", 5.0),
        (" 7 ", 7.0),
        ("Tue, 03 Nov 2026 12:00:42 GMT", 42.0),
        ("Tue, 03 Nov 2026 11:00:00 GMT", 1.0),
        ("soon", 1.0),
        ("", 1.0),
        ("-3", 1.0),
    ],
)
def test_it_waits_for_as_long_as_it_is_told(after: str, waits: float) -> None:
    waited: list[float] = []
    with served(hello) as at:
        at.faults.append(Reply(429, b"", {"Retry-After": after} if after else {}))
        assert service(at.url, waited).get("/", max_bytes=100) == b"hello"
    assert waited == [waits]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_asked_so_often_and_no_more(status: int) -> None:
    waited: list[float] = []
    with served(hello) as at:
        at.faults.extend([Reply(status)] * 20)
        with pytest.raises(ServiceError, match=f"http_{status}") as failed:
            service(at.url, waited).get("/", max_bytes=100)
        assert len(at.asked) == ATTEMPTS
    assert failed.value.may_pass
    assert waited == [1.0, 2.0, 4.0, 8.0, 16.0]


@pytest.mark.parametrize("status", [201, 204, 206, 301, 302, 304, 400, 404, 405, 409, 451, 501, 505])
def test_what_does_not_pass_is_asked_once(status: int) -> None:
    with served(hello) as at:
        at.faults.extend([Reply(status, b"", {"Location": "/other"})] * 2)
        with pytest.raises(ServiceError, match=f"http_{status}"):
            service(at.url).get("/", max_bytes=100)
        assert len(at.asked) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_who_is_not_let_in_stops(status: int) -> None:
    with served(hello) as at:
        at.faults.append(Reply(status, b"made-up-word"))
        with pytest.raises(Stop, match=str(status)) as stopped:
            service(at.url).get("/", max_bytes=100)
    assert "made-up-word" not in stopped.value.message + stopped.value.hint


@pytest.mark.parametrize("fault", [Fault.UNHEARD, Fault.LOST, Fault.CUT])
def test_a_line_that_breaks_is_tried_again(fault: Fault) -> None:
    with served(hello) as at:
        at.faults.extend([fault, fault])
        body = io.BytesIO(b"what was there before")
        service(at.url).get_into(body, "/", max_bytes=100)
        assert body.getvalue() == b"hello"


def test_nobody_there() -> None:
    with served(hello) as at:
        url = at.url
    with pytest.raises(ServiceError, match="connection"):
        service(url).get("/", max_bytes=100)


def test_an_answer_that_is_too_large_stops() -> None:
    with served(lambda _: Reply(200, bytes(101))) as at:
        assert len(service(at.url).get("/", max_bytes=101)) == 101
        with pytest.raises(Stop, match="100 bytes"):
            service(at.url).get("/", max_bytes=100)


def test_what_has_not_changed_is_not_sent() -> None:
    with served(hello) as at:
        body = io.BytesIO()
        assert service(at.url).get_into(body, "/", max_bytes=100, headers={"If-None-Match": '"1"'}) is None
        assert body.getvalue() == b""


def test_the_secret_stands_in_its_header_and_nowhere_else() -> None:
    with served(hello) as at:
        asking = service(at.url)
        asking.get("/a?b=c", max_bytes=100)
        (asked,) = at.asked
    assert asked.headers.pop("authorization") == "Bearer made-up-word"  # type: ignore[attr-defined]
    assert "made-up-word" not in repr(asked) + repr(asking) + repr(SECRET)


def test_proxies_and_netrc_of_the_environment_are_not_heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login netrc-word password netrc-word")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with served(hello) as at:
        service(at.url, secret=None).get("/", max_bytes=100)
        assert "authorization" not in at.asked[0].headers


def test_nothing_of_a_request_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"), served(hello) as at:
        service(at.url).get("/v2/entries?made-up", max_bytes=100)
    assert "made-up" not in caplog.text


def test_a_certificate_of_nobody_is_not_trusted(tmp_path: Path) -> None:
    context = authority(tmp_path).server("localhost")
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, daemon=True).start()
    waited: list[float] = []
    try:
        with pytest.raises(ServiceError, match="certificate") as failed:
            service(f"https://localhost:{server.server_address[1]}", waited).get("/", max_bytes=100)
    finally:
        server.shutdown()
        server.server_close()
    assert not failed.value.may_pass
    assert not waited
