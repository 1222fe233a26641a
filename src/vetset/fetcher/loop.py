"""Many transfers of libcurl driven by epoll.

In it: `Loop`. Not in it: what is transferred, and why.
Rules: libcurl says which sockets it waits for and until when, and is told what happened; nothing here looks at a byte.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from typing import Any

import pycurl

_MASK = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
    pycurl.POLL_NONE: 0,
}
_READABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
_ENDED_AT_ONCE = 256


class Loop:
    """Transfers under way, and the connections that they leave behind for the next ones."""

    def __init__(self, most_connections: int) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, int] = {}
        self._timer_at: float | None = None  # when libcurl wants to be called, whatever happens
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, most_connections)

    def add(self, curl: Any) -> None:
        """Begins a transfer with the next turn."""
        self._multi.add_handle(curl)

    def remove(self, curl: Any) -> None:
        """Takes a transfer out; one that has not ended is cut off with its connection."""
        self._multi.remove_handle(curl)

    def turn(self, most_seconds: float) -> Iterator[tuple[Any, int]]:
        """Waits for something to happen, at most so long, and gives the transfers that ended, with libcurl's code."""
        wait_seconds = most_seconds
        if self._timer_at is not None:
            wait_seconds = max(0.0, min(wait_seconds, self._timer_at - time.monotonic()))
        happened = self._epoll.poll(wait_seconds)
        for number, mask in happened:
            bits = (pycurl.CSELECT_IN if mask & _READABLE else 0) | (
                pycurl.CSELECT_OUT if mask & select.EPOLLOUT else 0
            )
            self._multi.socket_action(number, bits)
        if self._timer_at is not None and self._timer_at <= time.monotonic():
            self._timer_at = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        return self._ended()

    def _ended(self) -> Iterator[tuple[Any, int]]:
        left = 1
        while left:
            left, went_through, failed = self._multi.info_read(_ENDED_AT_ONCE)
            for curl in went_through:
                yield curl, pycurl.E_OK
            for curl, error, _message in failed:  # the message may quote an address
                yield curl, error

    def close(self) -> None:
        """Closes every connection."""
        self._multi.close()
        self._epoll.close()

    # --- what libcurl calls ---------------------------------------------------------------------------------------

    def _watch(self, what: int, number: int, _multi: Any, _data: Any) -> None:
        if what == pycurl.POLL_REMOVE:
            if self._watched.pop(number, None) is not None:
                self._forget(number)
        elif number in self._watched:
            self._epoll.modify(number, _MASK[what])
            self._watched[number] = _MASK[what]
        else:
            self._epoll.register(number, _MASK[what])
            self._watched[number] = _MASK[what]

    def _forget(self, number: int) -> None:
        try:
            self._epoll.unregister(number)
        except OSError:  # closed before libcurl said so: the kernel has forgotten it by itself
            self._watched.pop(number, None)

    def _set_timer(self, milliseconds: int) -> None:
        self._timer_at = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000
