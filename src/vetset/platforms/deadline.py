"""The end of a request that drags on: the line is cut under it, whatever part of an answer it waits for.

In it: `Deadline`. Not in it: limits between two pieces of an answer, which the HTTP client keeps itself and which a
service that sends a byte now and then never meets.
Rules: for one request at a time; what was cut looks like a timeout and nothing else.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

_BOTH_WAYS = 2  # SHUT_RDWR of shutdown(2)
#: After which of the client's steps there is another socket: TLS puts its own in the place of the bare one.
_NEW_SOCKET = frozenset({"connection.connect_tcp.complete", "connection.start_tls.complete"})


class Deadline:
    """Cuts the line of a client that is told of it by the extension `trace` of its requests."""

    def __init__(self) -> None:
        self._socket: Any = None

    def trace(self, step: str, known: Mapping[str, Any]) -> None:
        """What the client says of its steps."""
        if step in _NEW_SOCKET:
            self._socket = known["return_value"].get_extra_info("socket")

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Raises httpx.ReadTimeout if what is done inside takes longer.

        Also where it ended well: an answer without a length ends where its line does, so what was cut would look whole.
        """
        late = threading.Event()
        timer = threading.Timer(seconds, self._cut, args=(late,))
        timer.daemon = True
        timer.start()
        try:
            yield
        except (httpx.HTTPError, OSError):
            if late.is_set():
                raise httpx.ReadTimeout("it took too long") from None
            raise
        finally:
            timer.cancel()
        if late.is_set():
            raise httpx.ReadTimeout("it took too long")

    def _cut(self, late: threading.Event) -> None:
        late.set()
        with contextlib.suppress(OSError):  # it has ended by itself
            if self._socket is not None:
                self._socket.shutdown(_BOTH_WAYS)
