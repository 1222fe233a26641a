"""A body's service emulated: HTTP on this machine, answers from one function, faults on order.

In it: `Asked`, `Reply`, `Served`, what can go wrong on the way. Not in it: what any body answers (`ncmec_server`,
`document_server`, `cybertip_server`).
Rules: an answer is made under one lock, as a service with one database would; a fault strikes the next request, once:
before it is heard, after it was done, or in its place; every request is noted with its headers.
"""

from __future__ import annotations

import base64
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came in; header names in lower case, of a query's repeated names the last."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Fault(Enum):
    """What befalls a request beside another answer."""

    UNHEARD = "unheard"  # the connection ends before anything is done
    LOST = "lost"  # it is done, and the connection ends before the answer
    CUT = "cut"  # it is done, and half of the answer comes
    TWICE = "twice"  # it is done twice, as a network may deliver it, and answered once


@dataclass(slots=True)
class Served:
    """A service that runs. `faults` are taken from the left; a `Reply` among them stands in for the answer."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    faults: deque[Fault | Reply | None] = field(default_factory=deque)
    before: Callable[[Asked], None] | None = None  # called as a request comes in


Answer = Callable[[Asked], Reply]


@contextmanager
def served(answer: Answer) -> Iterator[Served]:
    """The service for as long as the context lasts, at a port of the system's choice."""
    lock = threading.Lock()
    state = Served("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            self.connection.settimeout(30)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's own name
            """Nothing: requests are noted in `asked`."""

        def do_GET(self) -> None:
            _handle(self, answer, state, lock)

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handle(handler: BaseHTTPRequestHandler, answer: Answer, state: Served, lock: threading.Lock) -> None:
    asked = _asked(handler)
    if state.before:
        state.before(asked)
    with lock:
        state.asked.append(asked)
        fault = state.faults.popleft() if state.faults else None
        if fault is Fault.UNHEARD:
            handler.close_connection = True
            return
        reply = fault if isinstance(fault, Reply) else answer(asked)
        if fault is Fault.TWICE:
            answer(asked)
    if fault is Fault.LOST:
        handler.close_connection = True
        return
    _send(handler, reply, cut=fault is Fault.CUT)


def _asked(handler: BaseHTTPRequestHandler) -> Asked:
    body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    parts = urlsplit(handler.path)
    query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    headers = {name.lower(): value for name, value in handler.headers.items()}
    return Asked(handler.command, parts.path, query, headers, body)


def _send(handler: BaseHTTPRequestHandler, reply: Reply, *, cut: bool) -> None:
    handler.send_response(reply.status)
    for name, value in reply.headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(reply.body)))
    handler.end_headers()
    handler.wfile.write(reply.body[: len(reply.body) // 2] if cut else reply.body)
    handler.close_connection = handler.close_connection or cut


def lets_in(asked: Asked, user: str, password: str) -> bool:
    """Whether the request bears these names by HTTP Basic authentication (RFC 7617)."""
    wanted = base64.b64encode(f"{user}:{password}".encode()).decode()
    return asked.headers.get("authorization") == f"Basic {wanted}"
