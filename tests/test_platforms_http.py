"""One body over HTTP: where it may live, what each status means, time and size, TLS, and that nothing is repeated."""

from __future__ import annotations

import logging
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer

import pytest

from vetset.errors import ServiceError, Stop
from vetset.platforms import http
from vetset.platforms.http import Line, stopped_at_first
from vetset.platforms.terms import Terms
from vetset.testing.platform_contract import MARK
from vetset.testing.service import Said, Service, served

TERMS = Terms("body", batch=1, timeout_seconds=2.0)


@contextmanager
def line(said: Said, terms: Terms = TERMS) -> Iterator[tuple[Line, Service]]:
    with served(lambda _: said) as service, Line(service.url, terms, sandbox=True) as opened:
        yield opened, service


def failed(said: Said, terms: Terms = TERMS) -> ServiceError:
    with line(said, terms) as (opened, _), pytest.raises(ServiceError) as error:
        opened.ask("POST", "/x?fingerprint=secret", body=b"{}")
    assert "secret" not in f"{error.value} {error.value!r}"
    assert error.value.service == "body"
    return error.value


# --- where it may live ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["https://body.example", "https://body.example/v1/", "https://[2001:db8::1]:8443", "https://127.0.0.1"]
)
@pytest.mark.parametrize("sandbox", [True, False])
def test_https_is_taken_everywhere(url: str, sandbox: bool) -> None:
    with Line(url, TERMS, sandbox=sandbox) as opened:
        assert opened._base == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:80", "http://127.9.9.9", "http://[::1]:8080", "http://localhost:1/x"]
)
def test_plain_http_is_for_a_sandbox_on_this_machine(url: str) -> None:
    with Line(url, TERMS, sandbox=True):
        pass
    with pytest.raises(Stop, match="plain http"):
        Line(url, TERMS, sandbox=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://body.example", "http://10.0.0.1", "http://127.1", "http://0.0.0.0", "http://[::]", "http://2130706433",
        "http://localhost.example", "http://127.0.0.1.example", "http://[::ffff:10.0.0.1]", "http://169.254.169.254",
    ],
)  # fmt: skip
def test_plain_http_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(Stop, match="plain http"):
        Line(url, TERMS, sandbox=True)


@pytest.mark.parametrize(
    "url",
    [
        "", "body.example", "ftp://body.example", "file:///etc/passwd", "https://", "https://[::1", "https://a:port",
        "https://user@body.example", "https://user:secret@body.example", "https://@body.example",
        "https://body.example?key=secret", "https://body.example/#secret",
    ],
)  # fmt: skip
def test_other_addresses_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(Stop) as stop:
        Line(url, TERMS, sandbox=True)
    assert "secret" not in stop.value.message + stop.value.hint


# --- what a status means --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", [*range(201, 207), *range(300, 309), *range(400, 419), 422, 429, 451, *range(500, 506)]
)
def test_only_200_is_an_answer(status: int) -> None:
    error = failed(Said(b"" if status in {204, 304} else b'{"message": "x"}', status, (("Location", "/x"),)))
    assert error.code == ("redirected" if 300 <= status < 400 else f"http_{status}")
    assert error.may_pass == (status in {408, 429, 500, 502, 503, 504})


def test_another_status_is_heard_where_the_adapter_says_so() -> None:
    with line(Said(b"refused", 400)) as (opened, _):
        assert opened.ask("GET", "/x", heard=(200, 400)) == http.Reply(400, b"refused")
        with pytest.raises(ServiceError, match="http_400"):
            opened.ask("GET", "/x", heard=(200, 401))


def test_an_answer_comes_whole() -> None:
    with line(Said(b"\x00answer\xff")) as (opened, service):
        assert opened.ask("GET", "/x").body == b"\x00answer\xff"
    assert "answer" not in repr(http.Reply(200, b"answer"))
    (heard,) = service.heard
    assert heard.headers["accept-encoding"] == "identity"
    assert not {"cookie", "authorization", "referer"} & set(heard.headers)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("999999999999999", 999_999_999.0),
        ("Sun, 01 Nov 2026 00:01:30 GMT", 90.0),
        ("Sun, 01 Nov 2026 00:00:00 GMT", 0.0),
        ("Sun, 01 Nov 2026 00:00:30", 30.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("1.5", 0.0),
        ("", 0.0),
        ("\u0669", 0.0),
    ],
)
def test_retry_after_in_seconds_and_as_a_date(said: str, seconds: float) -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    assert http._wait_seconds({"Retry-After": said}, now) == seconds
    assert http._wait_seconds({}, now) == 0.0
    dated = {"Retry-After": "Sun, 01 Nov 2026 01:00:10 GMT", "Date": "Sun, 01 Nov 2026 01:00:00 GMT"}
    assert http._wait_seconds(dated, now) == 10.0  # by the server's clock, not by ours


def test_retry_after_reaches_the_error() -> None:
    assert failed(Said(b"", 429, (("Retry-After", "3"),))).wait_seconds == 3.0
    assert failed(Said(b"", 503)).wait_seconds == 0.0


# --- time and size --------------------------------------------------------------------------------------------------


def test_a_body_beyond_the_limit_is_refused() -> None:
    small = replace(TERMS, max_bytes=100)
    with line(Said(b"x" * 100), small) as (opened, _):
        assert len(opened.ask("GET", "/x").body) == 100
    assert failed(Said(b"x" * 101), small).code == "answer_too_large"


def test_silence_and_dripping_end_in_time() -> None:
    hasty = replace(TERMS, timeout_seconds=0.3)
    for said in (Said(b"{}", delay_seconds=20.0), Said(b"x" * 10_000, drip_seconds=0.1)):
        error = failed(said, hasty)
        assert (error.code, error.may_pass) == ("timeout", True)


class Dripping(StreamRequestHandler):
    """Says one line of a head after the other, and never ends it."""

    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        with suppress(OSError):  # until the other side has enough
            for number in range(600):
                self.wfile.write(f"X-{number}: y\r\n".encode())
                time.sleep(0.05)


class Endless(StreamRequestHandler):
    """Says no length, one whole answer, and then nothing but blanks: the answer ends where the line does."""

    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}")
        with suppress(OSError):  # until the other side has enough
            for _ in range(600):
                self.wfile.write(b" ")
                time.sleep(0.05)


class Nonsense(StreamRequestHandler):
    """Speaks another protocol."""

    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(b"220 mail.example ready\r\n")


class Deaf(StreamRequestHandler):
    """Takes nothing of what is sent, until the line is cut."""

    def handle(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        GO_ON.wait(20)


GO_ON = threading.Event()


@contextmanager
def spoken(handler: type[StreamRequestHandler]) -> Iterator[str]:
    class Server(ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            GO_ON.set()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("handler", "body"), [(Dripping, b"{}"), (Endless, b"{}"), (Deaf, bytes(30_000_000))])
def test_a_head_without_end_and_an_ear_that_is_shut_end_in_time(
    handler: type[StreamRequestHandler], body: bytes
) -> None:
    GO_ON.clear()
    began = time.monotonic()
    with spoken(handler) as url, Line(url, replace(TERMS, timeout_seconds=0.5), sandbox=True) as opened:
        with pytest.raises(ServiceError) as error:
            opened.ask("POST", "/x", body=body)
        assert (error.value.code, error.value.may_pass) == ("timeout", True)
        assert 0.4 < time.monotonic() - began < 5.0


def test_a_line_that_was_cut_is_opened_anew() -> None:
    answers = [Said(b"slow", delay_seconds=20.0), Said(b"quick")]
    hasty = replace(TERMS, timeout_seconds=0.5)
    with served(lambda _: answers.pop(0)) as service, Line(service.url, hasty, sandbox=True) as opened:
        with pytest.raises(ServiceError, match="timeout"):
            opened.ask("GET", "/x")
        assert opened.ask("GET", "/x").body == b"quick"


def test_many_in_time_leave_no_thread_behind() -> None:
    with line(Said(b"{}")) as (opened, _):
        opened.ask("GET", "/x")
        before = threading.active_count()
        for _ in range(50):
            opened.ask("GET", "/x")
        assert threading.active_count() <= before + 1


def test_a_coded_answer_is_refused() -> None:
    assert failed(Said(b"{}", headers=(("Content-Encoding", "gzip"),))).code == "encoded_answer"


def test_a_line_that_is_cut_may_pass() -> None:
    for said in (Said(cut_after=-1), Said(b"x" * 1000, cut_after=10)):
        error = failed(said)
        assert (error.code, error.may_pass) == ("connection", True)


def test_nobody_at_home_may_pass() -> None:
    with served(lambda _: Said()) as service:
        url = service.url
    with Line(url, TERMS, sandbox=True) as opened, pytest.raises(ServiceError) as error:
        opened.ask("GET", "/x")
    assert (error.value.code, error.value.may_pass) == ("connection", True)


def test_what_is_no_http_is_an_error() -> None:
    with (
        spoken(Nonsense) as url,
        Line(url, TERMS, sandbox=True) as opened,
        pytest.raises(ServiceError, match="connection"),
    ):
        opened.ask("GET", "/x")


def test_a_header_that_cannot_be_sent_is_an_error_that_repeats_nothing() -> None:
    with line(Said(b"{}")) as (opened, service), pytest.raises(ServiceError) as error:
        opened.ask("GET", "/x", headers={"Key": "secret\r\nX: y"})
    assert "secret" not in str(error.value)
    assert not service.heard


# --- what is not heard or kept --------------------------------------------------------------------------------------


def test_words_of_the_environment_are_not_heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with line(Said(b"{}")) as (opened, service):
        opened.ask("GET", "/x")
    assert "authorization" not in service.heard[0].headers


def test_no_cookie_is_kept() -> None:
    with line(Said(b"{}", headers=(("Set-Cookie", "seen=before; Path=/"),))) as (opened, service):
        opened.ask("GET", "/x")
        opened.ask("GET", "/x")
    assert all("cookie" not in heard.headers for heard in service.heard)


def test_the_clients_own_log_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "httpcore.http11", "httpcore.connection"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    with line(Said(b"{}")) as (opened, _):
        opened.ask("GET", "/m/lookup?signal=secret", headers={"Key": "secret"})
    assert not caplog.records


@pytest.mark.parametrize("said", [Said(f'"{MARK}"'.encode(), 500), Said(cut_after=-1), Said(b"x", cut_after=0)])
def test_a_traceback_holds_no_address_no_header_and_no_body(said: Said) -> None:
    secret = "5ec7e7" * 3
    with line(said) as (opened, _):
        try:
            opened.ask("GET", f"/m/lookup?signal={secret}", headers={"Key": secret}, body=secret.encode())
        except ServiceError as error:
            text = "".join(traceback.format_exception(error)) + repr(opened)
    assert "ServiceError: body: " in text
    assert secret not in text
    assert MARK not in text


# --- ready ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    ["http_401", "http_403", "http_404", "http_429", "connection", "timeout", "tls_invalid", "redirected", "not_json"],
)
def test_what_is_not_ready_is_said_with_what_to_do(code: str) -> None:
    def look() -> None:
        raise ServiceError("body", code)

    with pytest.raises(Stop, match=f"body is not ready: {code}") as stop:
        stopped_at_first("body", look)
    assert len(stop.value.hint) > 20


def test_what_is_ready_is_left_alone() -> None:
    stopped_at_first("body", lambda: None)


def test_a_request_is_heard_as_it_was_sent() -> None:
    with line(Said(b"{}")) as (opened, service):
        opened.ask("POST", "/x/?a=1&b", headers={"X-One": "1"}, body=b"\x00\xff")
    (heard,) = service.heard
    assert (heard.method, heard.path, heard.query, heard.body) == ("POST", "/x/", (("a", "1"), ("b", "")), b"\x00\xff")
