"""Scaffolding of the emulating servers: real HTTP on this machine, every request kept, answers spoiled if wanted.

In it: `Heard`, `Said`, `Service`, answers in JSON, HTTP Basic as a server checks it, a bucket of requests a second.
Not in it: any body's behaviour (`shield_server`, `photodna_server`, `hma_server`).
Rules: what a service does stands in one function from a request to an answer; a request is kept before it is answered,
so that a test sees what left; an answer can be lost after the service has acted, as lines do.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_MOST_BODY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Heard:
    """A request that came in. Names of headers are in lower case."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes
    at_seconds: float  # of the monotonic clock

    def asked(self, name: str) -> str:
        """The first value of a name in the query, or nothing."""
        return next((value for key, value in self.query if key == name), "")


@dataclass(frozen=True, slots=True)
class Said:
    """An answer. `cut_after`: bytes of the body before the line is cut; `drip_seconds` between bytes."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"
    delay_seconds: float = 0.0
    cut_after: int | None = None
    drip_seconds: float = 0.0


Answer = Callable[[Heard], Said]


def said_json(value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Said:
    """A value as JSON."""
    return Said(json.dumps(value).encode("utf-8"), status, headers)


def heard_json(heard: Heard) -> Any:
    """The body as JSON; None for what is none."""
    try:
        return json.loads(heard.body)
    except (ValueError, RecursionError):
        return None


def basic_pair(heard: Heard) -> tuple[str, str] | None:
    """User and password of HTTP Basic (RFC 7617)."""
    scheme, _, coded = heard.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = b64decode(coded, validate=True).decode("utf-8").partition(":")
    except (NotBase64, UnicodeDecodeError):
        return None
    return (user, password) if colon else None


@dataclass(slots=True)
class Bucket:
    """So many requests a second, and no more than that at once."""

    per_second: float
    _full: float = -1.0
    _at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def takes(self, at_seconds: float) -> bool:
        """Whether one more request fits."""
        with self._lock:
            most = max(1.0, self.per_second)
            held = most if self._full < 0 else self._full + max(0.0, at_seconds - self._at) * self.per_second
            self._full, self._at = min(most, held), at_seconds
            fits = self._full >= 1.0
            self._full -= 1.0 if fits else 0.0
            return fits


@dataclass(slots=True)
class Service:
    """A service on an ephemeral port of this machine.

    `instead` is asked first; what it answers is said in place of the service. The next `lose` answers are lost after
    the service has acted.
    """

    answer: Answer
    heard: list[Heard] = field(default_factory=list)
    instead: Callable[[Heard], Said | None] | None = None
    lose: int = 0
    url: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _connections: set[socket.socket] = field(default_factory=set)
    _closed: threading.Event = field(default_factory=threading.Event)

    def reply(self, heard: Heard) -> Said:
        """What is said to a request; it is kept first."""
        with self._lock:
            self.heard.append(heard)
        spoiled = self.instead(heard) if self.instead is not None else None
        said = self.answer(heard) if spoiled is None else spoiled
        with self._lock:
            if self.lose > 0:
                self.lose -= 1
                return Said(cut_after=-1)
        return said

    def met(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)

    def cut_all(self) -> None:
        """Cuts every line."""
        self._closed.set()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):  # it has ended already
                    connection.shutdown(socket.SHUT_RDWR)

    def wait(self, seconds: float) -> bool:
        """Whether the service still runs afterwards; if not, nobody is to be answered any more."""
        return not self._closed.wait(seconds)


@contextmanager
def served(answer: Answer) -> Iterator[Service]:
    """A service for as long as the context lasts; its `url` says where."""
    service = Service(answer)
    server = _Server(("127.0.0.1", 0), _hearing(service))
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        service.cut_all()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked may hang up at any time."""


def _hearing(service: Service) -> type[BaseHTTPRequestHandler]:
    class Hearing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            service.met(self.request)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its signature
            """No request is written anywhere: an address can hold a fingerprint."""

        def hear(self) -> None:
            parts = urlsplit(self.path)
            length = min(int(self.headers.get("Content-Length", "0")), _MOST_BODY_BYTES)
            body, query = self.rfile.read(length), tuple(parse_qsl(parts.query, keep_blank_values=True))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.say(service.reply(Heard(self.command, parts.path, query, headers, body, time.monotonic())))

        do_GET = do_POST = do_PUT = do_DELETE = hear  # noqa: N815 - the names that the standard library asks for

        def say(self, said: Said) -> None:
            runs = service.wait(said.delay_seconds)
            if not runs or (said.cut_after is not None and said.cut_after < 0):
                self.close_connection = True
                return
            self.send_response(said.status, "-")
            self.send_header("Content-Length", str(len(said.body)))
            self.send_header("Content-Type", said.content_type)
            for name, value in said.headers:
                self.send_header(name, value)
            self.end_headers()
            self.send(said)

        def send(self, said: Said) -> None:
            if said.drip_seconds:
                for place in range(len(said.body)):
                    self.wfile.write(said.body[place : place + 1])
                    service.wait(said.drip_seconds)
                return
            self.wfile.write(said.body[: said.cut_after])
            self.close_connection = self.close_connection or said.cut_after is not None

    return Hearing
