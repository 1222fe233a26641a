"""Servers that misbehave, each in one way, on real sockets: what no client may hang on, swallow whole or misunderstand.

In it: `BEHAVIOURS`, each with what must become of a request to it, and `hostile_web`. Not in it: sound servers (`web`).
Rules: a behaviour has its own host and address, so that none disturbs another; it goes on until its connection or its
event ends; what it sends is harmless.
"""

from __future__ import annotations

import gzip
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from vetset.records import FetchOutcome

JPEG = b"\xff\xd8\xff" + bytes(2000)
OK = b"HTTP/1.1 200 OK\r\n"
_LOOK_SECONDS = 0.1

Serve = Callable[[socket.socket, threading.Event], None]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way to misbehave, and what a request must come to."""

    serve: Serve
    outcome: FetchOutcome
    certificate: str = (
        ""  # https, with a sound one (`sound`), or `expired`, `other`, `self`; `raw`: port 443 without TLS
    )
    head: bool = True  # the request is read before it is answered

    @property
    def name(self) -> str:
        return getattr(self.serve, "__name__", "").strip("_")

    @property
    def host(self) -> str:
        return f"{self.name.replace('_', '-')}.hostile.test"

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://{self.host}/x.jpg"


def _drip(connection: socket.socket, closed: threading.Event, data: bytes, seconds: float = 0.05) -> None:
    """Sends over and over, a little at a time."""
    while not closed.wait(seconds):
        connection.sendall(data)


def _flood(connection: socket.socket, closed: threading.Event, data: bytes) -> None:
    """Sends over and over, as fast as it is taken."""
    while not closed.is_set():
        connection.sendall(data)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _says(*parts: bytes) -> Serve:
    def serve(connection: socket.socket, _closed: threading.Event) -> None:
        connection.sendall(b"".join(parts))

    return serve


def _moves(place: str) -> Serve:
    return _says(f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode())


# --- what never ends --------------------------------------------------------------------------------------------------


def silent(_connection: socket.socket, closed: threading.Event) -> None:
    closed.wait()


def slow_loris(connection: socket.socket, closed: threading.Event) -> None:
    connection.sendall(OK)
    _drip(connection, closed, b"X: y\r\n")


def slow_body(connection: socket.socket, closed: threading.Event) -> None:
    connection.sendall(OK + b"Content-Length: 100000\r\n\r\n")
    _drip(connection, closed, b"\xff")


def stalled_body(connection: socket.socket, closed: threading.Event) -> None:
    connection.sendall(OK + b"Content-Length: 100000\r\n\r\n" + JPEG)
    closed.wait()


def stalled_after_100(connection: socket.socket, closed: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    closed.wait()


def endless_100(connection: socket.socket, closed: threading.Event) -> None:
    _flood(connection, closed, b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def endless_headers(connection: socket.socket, closed: threading.Event) -> None:
    connection.sendall(OK)
    _flood(connection, closed, b"X-Some: thing\r\n" * 100)


def endless_header_line(connection: socket.socket, closed: threading.Event) -> None:
    connection.sendall(OK + b"X-Some: ")
    _flood(connection, closed, b"x" * 4096)


def endless_body(connection: socket.socket, closed: threading.Event) -> None:
    connection.sendall(OK + b"\r\n" + JPEG)
    _flood(connection, closed, bytes(65_536))


def endless_chunks(connection: socket.socket, closed: threading.Event) -> None:
    connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    _flood(connection, closed, b"1000\r\n" + bytes(0x1000) + b"\r\n")


def endless_tiny_chunks(connection: socket.socket, closed: threading.Event) -> None:
    connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    _flood(connection, closed, b"1\r\n\xff\r\n" * 1000)


def endless_chunk_extension(connection: socket.socket, closed: threading.Event) -> None:
    connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n1000;")
    _flood(connection, closed, b"x" * 4096)


def endless_trailers(connection: socket.socket, closed: threading.Event) -> None:
    connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\n\xff\xd8\xff\xff\r\n0\r\n")
    _flood(connection, closed, b"X-Some: thing\r\n" * 100)


def endless_error_page(connection: socket.socket, closed: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")
    _flood(connection, closed, b"nothing here " * 1000)


# --- what ends too soon -----------------------------------------------------------------------------------------------


def closed_at_once(_connection: socket.socket, _closed: threading.Event) -> None:
    """Says nothing."""


def reset_after_request(connection: socket.socket, _closed: threading.Event) -> None:
    _reset(connection)


def reset_in_headers(connection: socket.socket, closed: threading.Event) -> None:
    connection.sendall(OK + b"Content-Le")
    closed.wait(0.05)
    _reset(connection)


def reset_in_body(connection: socket.socket, closed: threading.Event) -> None:
    connection.sendall(OK + b"Content-Length: 100000\r\n\r\n" + JPEG)
    closed.wait(0.05)
    _reset(connection)


def stalled_handshake(_connection: socket.socket, closed: threading.Event) -> None:
    closed.wait()


def _named(name: str, serve: Serve) -> Serve:
    serve.__name__ = name
    return serve


_BOMB = gzip.compress(bytes(20_000_000))
_LENGTH = b"Content-Length: %d\r\n"
_WHOLE = OK + _LENGTH % len(JPEG) + b"\r\n" + JPEG
_CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
_SAID: Mapping[str, tuple[Serve, FetchOutcome]] = {
    "length_too_long": (_says(OK, b"Content-Length: 5000\r\n\r\n", JPEG), FetchOutcome.SERVER_ERROR),
    "length_too_short": (_says(OK, b"Content-Length: 100\r\n\r\n", JPEG), FetchOutcome.FETCHED),
    "length_huge": (_says(OK, b"Content-Length: 999999999999999\r\n\r\n", JPEG), FetchOutcome.TOO_LARGE),
    "length_beyond_64_bits": (_says(OK, b"Content-Length: 99999999999999999999\r\n\r\n", JPEG), FetchOutcome.FETCHED),
    "length_negative": (_says(OK, b"Content-Length: -5\r\n\r\n", JPEG), FetchOutcome.SERVER_ERROR),
    "length_no_number": (_says(OK, b"Content-Length: many\r\n\r\n", JPEG), FetchOutcome.SERVER_ERROR),
    "early_hints": (_says(b"HTTP/1.1 103 Early\r\nX-Robots-Tag: noai\r\n\r\n", _WHOLE), FetchOutcome.FETCHED),
    "gzip_bomb": (
        _says(OK, b"Content-Encoding: gzip\r\n", _LENGTH % len(_BOMB), b"\r\n", _BOMB),
        FetchOutcome.NOT_AN_IMAGE,
    ),
    "gzip_bomb_unsaid": (_says(OK, _LENGTH % len(_BOMB), b"\r\n", _BOMB), FetchOutcome.NOT_AN_IMAGE),
    "gzip_bomb_in_transfer": (
        _says(OK, b"Transfer-Encoding: gzip, chunked\r\n\r\n%x\r\n" % len(_BOMB), _BOMB, b"\r\n0\r\n\r\n"),
        FetchOutcome.SERVER_ERROR,
    ),
    "http_0_9": (_says(JPEG), FetchOutcome.SERVER_ERROR),
    "garbage": (_says(bytes(range(256)) * 20), FetchOutcome.SERVER_ERROR),
    "status_no_number": (_says(b"HTTP/1.1 abc\r\n", _LENGTH % len(JPEG), b"\r\n", JPEG), FetchOutcome.SERVER_ERROR),
    "status_zero": (_says(b"HTTP/1.1 000 x\r\n", _LENGTH % len(JPEG), b"\r\n", JPEG), FetchOutcome.SERVER_ERROR),
    "status_beyond": (_says(b"HTTP/1.1 999 x\r\n", _LENGTH % len(JPEG), b"\r\n", JPEG), FetchOutcome.SERVER_ERROR),
    "switching": (_says(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n", JPEG), FetchOutcome.SERVER_ERROR),
    "zero_byte_in_header": (_says(OK, b"X: a\0b\r\n", _WHOLE[len(OK) :]), FetchOutcome.SERVER_ERROR),
    "chunk_garbage": (_says(_CHUNKED, b"zz\r\nnothing\r\n"), FetchOutcome.SERVER_ERROR),
    "chunk_size_beyond": (_says(_CHUNKED, b"fffffffffffffffffff\r\n", JPEG), FetchOutcome.SERVER_ERROR),
    "chunk_without_end": (_says(_CHUNKED, b"1000\r\n", JPEG), FetchOutcome.SERVER_ERROR),
    "more_than_asked": (_says(_WHOLE, _WHOLE), FetchOutcome.FETCHED),
    "asks_for_password": (
        _says(b"HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"),
        FetchOutcome.REFUSED,
    ),
    "redirect_loop": (_moves("/x.jpg"), FetchOutcome.REDIRECT_LIMIT),
    "redirect_to_file": (_moves("file:///etc/passwd"), FetchOutcome.BLOCKED_ADDRESS),
    "redirect_to_ftp": (_moves("ftp://11.0.0.1/x.jpg"), FetchOutcome.BLOCKED_ADDRESS),
    "redirect_to_loopback": (_moves("http://127.0.0.1/x.jpg"), FetchOutcome.BLOCKED_ADDRESS),
    "redirect_to_other_port": (_moves("http://redirect-loop.hostile.test:22/"), FetchOutcome.BLOCKED_ADDRESS),
    "redirect_to_nothing": (_moves("http://"), FetchOutcome.BLOCKED_ADDRESS),
    "redirect_without_place": (
        _says(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
        FetchOutcome.NOT_AN_IMAGE,
    ),
}

BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour(silent, FetchOutcome.TIMEOUT),
    Behaviour(slow_loris, FetchOutcome.TOO_SLOW),
    Behaviour(slow_body, FetchOutcome.TOO_SLOW),
    Behaviour(stalled_body, FetchOutcome.TOO_SLOW),
    Behaviour(stalled_after_100, FetchOutcome.TOO_SLOW),
    Behaviour(endless_100, FetchOutcome.TOO_LARGE),
    Behaviour(endless_headers, FetchOutcome.TOO_LARGE),
    Behaviour(endless_header_line, FetchOutcome.TOO_LARGE),
    Behaviour(endless_body, FetchOutcome.TOO_LARGE),
    Behaviour(endless_chunks, FetchOutcome.TOO_LARGE),
    Behaviour(endless_tiny_chunks, FetchOutcome.TOO_LARGE),
    Behaviour(endless_chunk_extension, FetchOutcome.TOO_SLOW),
    Behaviour(endless_trailers, FetchOutcome.TOO_LARGE),
    Behaviour(endless_error_page, FetchOutcome.GONE),
    Behaviour(closed_at_once, FetchOutcome.SERVER_ERROR),
    Behaviour(reset_after_request, FetchOutcome.SERVER_ERROR),
    Behaviour(reset_in_headers, FetchOutcome.SERVER_ERROR),
    Behaviour(reset_in_body, FetchOutcome.SERVER_ERROR),
    *(Behaviour(_named(name, serve), outcome) for name, (serve, outcome) in _SAID.items()),
    Behaviour(_named("tls_sound", _says(_WHOLE)), FetchOutcome.FETCHED, certificate="sound"),
    Behaviour(_named("tls_expired", _says(_WHOLE)), FetchOutcome.TLS_INVALID, certificate="expired"),
    Behaviour(_named("tls_of_another_host", _says(_WHOLE)), FetchOutcome.TLS_INVALID, certificate="other"),
    Behaviour(_named("tls_self_signed", _says(_WHOLE)), FetchOutcome.TLS_INVALID, certificate="self"),
    Behaviour(_named("tls_not_spoken", _says(_WHOLE)), FetchOutcome.TLS_INVALID, certificate="raw"),
    Behaviour(stalled_handshake, FetchOutcome.TIMEOUT, certificate="raw", head=False),
)

Contexts = Callable[[Behaviour], ssl.SSLContext | None]


@dataclass(slots=True)
class HostileWeb:
    """The behaviours, each on its own address, until it is closed."""

    behaviours: Sequence[Behaviour]
    contexts: Contexts
    network: str = "11.0.1"  # the first three numbers of its addresses
    asked: dict[str, int] = field(default_factory=dict)  # connections, by behaviour
    _listeners: list[tuple[threading.Thread, socket.socket]] = field(default_factory=list)
    _closed: threading.Event = field(default_factory=threading.Event)

    def place_of(self, name: str, _asked: int = 0) -> Sequence[str]:
        """For a name server."""
        return [f"{self.network}.{at + 1}" for at, behaviour in enumerate(self.behaviours) if behaviour.host == name]

    def start(self) -> None:
        for behaviour in self.behaviours:
            place = (self.place_of(behaviour.host)[0], 443 if behaviour.certificate else 80)
            listener = socket.create_server(place, backlog=256)
            listener.settimeout(_LOOK_SECONDS)
            thread = threading.Thread(target=self._accept, args=(behaviour, listener), daemon=True)
            thread.start()
            self._listeners.append((thread, listener))

    def close(self) -> None:
        self._closed.set()
        for thread, listener in self._listeners:
            thread.join()
            listener.close()

    def _accept(self, behaviour: Behaviour, listener: socket.socket) -> None:
        context = self.contexts(behaviour)
        while not self._closed.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            self.asked[behaviour.name] = self.asked.get(behaviour.name, 0) + 1
            connection.setblocking(True)
            threading.Thread(target=self._serve, args=(behaviour, connection, context), daemon=True).start()

    def _serve(self, behaviour: Behaviour, connection: socket.socket, context: ssl.SSLContext | None) -> None:
        with suppress(OSError), _talking(connection, context) as talking:  # whoever asked leaves: as it must be
            if behaviour.head:
                talking.recv(65_536)
            behaviour.serve(talking, self._closed)


def _talking(connection: socket.socket, context: ssl.SSLContext | None) -> socket.socket:
    return context.wrap_socket(connection, server_side=True) if context else connection


@contextmanager
def hostile_web(contexts: Contexts, behaviours: Sequence[Behaviour] = BEHAVIOURS) -> Iterator[HostileWeb]:
    """A hostile web for as long as the context lasts."""
    served = HostileWeb(behaviours, contexts)
    served.start()
    try:
        yield served
    finally:
        served.close()
