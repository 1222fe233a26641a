"""A small web on real sockets: hosts by name, pages from memory, some of them slow or gone, every request noted.

In it: `Page`, `Web` (HTTP/1.1 with connections that are used again, TLS if wanted), `Seen`. Not in it: servers that
misbehave (`hostile_web`), which pages there are (`mini_web`).
Rules: what is asked is answered from one function; requests are noted as they come in, with their time and connection.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count


@dataclass(frozen=True, slots=True)
class Page:
    """What a host answers. `bytes_per_second` 0: as quickly as it goes; `delay_seconds` before its first byte."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    delay_seconds: float = 0.0
    bytes_per_second: int = 0
    close: bool = False  # the connection, afterwards
    said_bytes: int | None = None  # the length that is said, where it is not the body's


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came in."""

    host: str
    path: str
    at_seconds: float  # of the monotonic clock
    connection: int
    headers: dict[str, str]
    resumed: bool = False  # its TLS session was one from before


_LOOK_SECONDS = 0.1  # how long it may take to see that it was closed
Pages = Callable[[Seen], Page]
NOT_FOUND = Page(b"nothing here", 404, (("Content-Type", "text/plain"),))


@dataclass(slots=True)
class Web:
    """Serves on each of its places until it is closed."""

    pages: Pages
    places: Sequence[tuple[str, int]]
    tls: ssl.SSLContext | None = None  # for port 443 among the places
    seen: list[Seen] = field(default_factory=list)
    most_at_once: dict[str, int] = field(default_factory=dict)  # requests under way at once, by host
    _listeners: list[socket.socket] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _connections: set[socket.socket] = field(default_factory=set)
    _under_way: dict[str, int] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Listens."""
        for place in self.places:
            family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
            listener = socket.create_server(place, family=family, backlog=1024)
            listener.settimeout(_LOOK_SECONDS)
            self._listeners.append(listener)
            thread = threading.Thread(target=self._accept, args=(listener, place[1]), daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Stops listening and cuts every connection."""
        self._closed.set()
        for thread, listener in zip(self._threads, self._listeners, strict=True):
            thread.join()  # one that still waits would keep the place taken
            listener.close()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket, port: int) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            connection.setblocking(True)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection, port), daemon=True).start()

    def _serve(self, connection: socket.socket, port: int) -> None:
        with suppress(OSError), self._talking(connection, port) as talking:  # whoever asked may leave at any time
            with self._lock:
                self._connections.add(talking)
            number, waiting = next(self._numbers), b""
            resumed = isinstance(talking, ssl.SSLSocket) and bool(talking.session_reused)
            while not self._closed.is_set():
                head, waiting = _head(talking, waiting)
                if not head or self._answered(talking, _request(head, number, resumed)):
                    break
            with self._lock:
                self._connections.discard(talking)

    def _talking(self, connection: socket.socket, port: int) -> socket.socket:
        secure = self.tls is not None and port == 443  # noqa: PLR2004 - https
        return self.tls.wrap_socket(connection, server_side=True) if self.tls and secure else connection

    def _answered(self, connection: socket.socket, seen: Seen) -> bool:
        """Answers a request; whether the connection ends with it."""
        with self._lock:
            self.seen.append(seen)
            now = self._under_way[seen.host] = self._under_way.get(seen.host, 0) + 1
            self.most_at_once[seen.host] = max(now, self.most_at_once.get(seen.host, 0))
        page = self.pages(seen)
        try:
            self._closed.wait(page.delay_seconds) if page.delay_seconds else None
            self._send(connection, page)
        finally:
            with self._lock:
                self._under_way[seen.host] -= 1
        return page.close

    def _send(self, connection: socket.socket, page: Page) -> None:
        lines = [f"HTTP/1.1 {page.status} -", f"Content-Length: {_said(page)}"]
        lines += [f"{name}: {value}" for name, value in page.headers]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if not page.bytes_per_second:
            connection.sendall(head + page.body)
            return
        connection.sendall(head)
        step = max(1, page.bytes_per_second // 10)
        for start in range(0, len(page.body), step):
            connection.sendall(page.body[start : start + step])
            if self._closed.wait(0.1):
                return


def _said(page: Page) -> int:
    return len(page.body) if page.said_bytes is None else page.said_bytes


def _head(connection: socket.socket, waiting: bytes) -> tuple[bytes, bytes]:
    """The head of the next request, and what came behind it; nothing at the end."""
    while b"\r\n\r\n" not in waiting:
        more = connection.recv(65_536)
        if not more:
            return b"", b""
        waiting += more
    head, _, rest = waiting.partition(b"\r\n\r\n")
    return head, rest


def _request(head: bytes, connection: int, resumed: bool) -> Seen:  # noqa: FBT001
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Seen(headers.get("host", ""), first.split(" ")[1], time.monotonic(), connection, headers, resumed)


@contextmanager
def web(pages: Pages, places: Sequence[tuple[str, int]], tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """A web for as long as the context lasts."""
    served = Web(pages, places, tls)
    served.start()
    try:
        yield served
    finally:
        served.close()
