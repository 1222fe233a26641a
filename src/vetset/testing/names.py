"""A name server on a real socket: says for each name what it is told to, a different thing each time if so told.

In it: `NameServer`, which answers A and AAAA over UDP (RFC 1035). Not in it: anything else that DNS can do.
Rules: questions are counted by name and kind, so that A and AAAA of one look-up are answered alike in any order.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address

#: For a name in lower case, and how many look-ups of it there were before, its addresses; none of them: there is no
#: such name; None: silence.
Names = Callable[[str, int], Sequence[str] | None]

_A, _AAAA = 1, 28
_NO_SUCH_NAME = 3
_LOOK_SECONDS = 0.1  # how long it may take to see that it was closed


class NameServer:
    """Answers on UDP until it is closed."""

    def __init__(self, place: str, names: Names, *, port: int = 53, life_seconds: int = 0) -> None:
        self.asked: Counter[tuple[str, int]] = Counter()  # by name and kind of question
        self._names, self._life_seconds = names, life_seconds
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((place, port))
        self._socket.settimeout(_LOOK_SECONDS)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops answering."""
        self._closed.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._closed.is_set():
            try:
                question, asker = self._socket.recvfrom(512)
            except TimeoutError:
                continue
            answer = self._answer(question)
            if answer:
                self._socket.sendto(answer, asker)

    def _answer(self, question: bytes) -> bytes:
        name, kind, stop = _question(question)
        said = self._names(name, self.asked[name, kind])
        self.asked[name, kind] += 1
        if said is None:
            return b""
        places = [ip_address(place) for place in said]
        wanted = [place.packed for place in places if (place.version == 4) == (kind == _A)]  # noqa: PLR2004
        records = b"".join(
            b"\xc0\x0c" + kind.to_bytes(2, "big") + b"\0\1" + self._life_seconds.to_bytes(4, "big")
            + len(packed).to_bytes(2, "big") + packed
            for packed in wanted if kind in {_A, _AAAA}
        )  # fmt: skip
        flags = 0x8580 | (0 if places else _NO_SUCH_NAME)
        counts = (1).to_bytes(2, "big") + len(wanted).to_bytes(2, "big") + bytes(4)
        return question[:2] + flags.to_bytes(2, "big") + counts + question[12:stop] + records


def _question(data: bytes) -> tuple[str, int, int]:
    """Name, kind, and where the first question ends."""
    labels, at = [], 12
    while data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode("latin-1").lower())
        at += 1 + data[at]
    return ".".join(labels), int.from_bytes(data[at + 1 : at + 3], "big"), at + 5


@contextmanager
def name_server(place: str, names: Names) -> Iterator[NameServer]:
    """A name server for as long as the context lasts."""
    server = NameServer(place, names)
    try:
        yield server
    finally:
        server.close()
