"""TLS to a body: its certificate is verified, against this system's authorities or the user's own."""

from __future__ import annotations

import shutil
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from vetset.errors import ServiceError, Stop
from vetset.platforms.http import Line
from vetset.platforms.terms import Terms
from vetset.testing.certificates import Authority, authority

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
TERMS = Terms("body", batch=1, timeout_seconds=5.0)


class Quiet(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/drips":
            return self.drip()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
        return None

    def drip(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        with suppress(OSError):  # until the other side has enough
            for number in range(600):
                self.wfile.write(f"X-{number}: y\r\n".encode())
                time.sleep(0.05)

    def log_message(self, *_: Any) -> None:
        return


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A handshake that fails is what some tests are about."""


@contextmanager
def over_tls(context: ssl.SSLContext) -> Iterator[str]:
    with Server(("127.0.0.1", 0), Quiet) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"https://localhost:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


def asked(context: ssl.SSLContext, certificates: Path | str, *, sandbox: bool) -> bytes:
    with (
        over_tls(context) as url,
        Line(url, replace(TERMS, certificates_file=str(certificates)), sandbox=sandbox) as line,
    ):
        return line.ask("GET", "/x").body


@pytest.mark.parametrize("sandbox", [True, False])
def test_an_authority_of_the_users_own_is_trusted(own: Authority, sandbox: bool) -> None:
    assert asked(own.server("localhost"), own.file, sandbox=sandbox) == b"{}"


@pytest.mark.parametrize("sandbox", [True, False])
@pytest.mark.parametrize("wrong", ["unknown", "host", "expired", "self_signed"])
def test_a_certificate_that_is_not_sound_is_an_error(own: Authority, wrong: str, sandbox: bool) -> None:
    context = own.server(
        "elsewhere.example" if wrong == "host" else "localhost",
        expired=wrong == "expired",
        self_signed=wrong == "self_signed",
    )
    with pytest.raises(ServiceError) as error:
        asked(context, "" if wrong == "unknown" else own.file, sandbox=sandbox)
    assert (error.value.code, error.value.may_pass) == ("tls_invalid", False)


def test_words_of_the_environment_add_no_authority(own: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(own.file))
    with pytest.raises(ServiceError, match="tls_invalid"):
        asked(own.server("localhost"), "", sandbox=False)


def test_a_head_without_end_ends_in_time_under_tls_too(own: Authority) -> None:
    hasty, began = replace(TERMS, certificates_file=str(own.file), timeout_seconds=0.5), time.monotonic()
    with over_tls(own.server("localhost")) as url, Line(url, hasty, sandbox=False) as line:
        with pytest.raises(ServiceError) as error:
            line.ask("GET", "/drips")
        assert (error.value.code, error.value.may_pass) == ("timeout", True)
        assert time.monotonic() - began < 5.0
        assert line.ask("GET", "/x").body == b"{}"


@pytest.mark.parametrize("text", [None, "", "no certificate"])
def test_a_file_of_no_certificates_stops(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "own.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(Stop, match="cannot read the certificates"):
        Line("https://localhost", replace(TERMS, certificates_file=str(path)), sandbox=False)
