"""One transfer at a time over libcurl: its limits, its two looks at the address, and what its end means.

In it: `Lane`, a handle that is used again and again, and `Ending`. Not in it: which request is next, waiting, retries.
Rules: every new socket is judged before it connects and every connection, also one that is used again, before a request
goes out on it; the hook marks what it refused, so that this is never taken for a host that refused; nothing is decoded,
followed or remembered by libcurl; a body is kept only where it may become an answer.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import Any

import pycurl

from vetset.config import FetchSettings
from vetset.fetcher import robots, wishes
from vetset.fetcher.address import is_public
from vetset.fetcher.sites import Job
from vetset.records import FetchOutcome

#: Of a body that nobody wants so much is read, so that the connection can be used again.
_MOST_UNWANTED_BYTES = 64 * 1024
_BUFFER_BYTES = 128 * 1024
_GO_ON, _GO_NO_FURTHER = pycurl.PREREQFUNC_OK, pycurl.PREREQFUNC_ABORT
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WITH_BODY = frozenset({200, 203})
_GONE = frozenset({404, 410})
_HOLD = frozenset({429, 503})
_LATER = frozenset({500, 502, 504})

#: CURLE_TOO_LARGE: more or longer header lines than libcurl itself takes; pycurl has no name for it.
_E_TOO_LARGE = 100
_BY_ERROR = {
    pycurl.E_COULDNT_RESOLVE_HOST: FetchOutcome.DNS,
    pycurl.E_COULDNT_CONNECT: FetchOutcome.REFUSED,
    pycurl.E_OPERATION_TIMEDOUT: FetchOutcome.TIMEOUT,
    pycurl.E_URL_MALFORMAT: FetchOutcome.BLOCKED_ADDRESS,
    _E_TOO_LARGE: FetchOutcome.TOO_LARGE,
    **dict.fromkeys(
        (
            pycurl.E_SSL_CONNECT_ERROR,
            pycurl.E_PEER_FAILED_VERIFICATION,
            pycurl.E_SSL_CERTPROBLEM,
            pycurl.E_SSL_CIPHER,
            pycurl.E_SSL_CRL_BADFILE,
            pycurl.E_SSL_ISSUER_ERROR,
            pycurl.E_SSL_INVALIDCERTSTATUS,
            pycurl.E_SSL_PINNEDPUBKEYNOTMATCH,
        ),
        FetchOutcome.TLS_INVALID,
    ),
    **dict.fromkeys(
        (
            pycurl.E_UNSUPPORTED_PROTOCOL,  # HTTP/0.9
            pycurl.E_FTP_WEIRD_SERVER_REPLY,  # the same number serves HTTP
            pycurl.E_PARTIAL_FILE,
            pycurl.E_GOT_NOTHING,
            pycurl.E_SEND_ERROR,
            pycurl.E_RECV_ERROR,
            pycurl.E_BAD_CONTENT_ENCODING,
        ),
        FetchOutcome.SERVER_ERROR,
    ),
}
_ANOTHER_TRY = frozenset({
    pycurl.E_COULDNT_RESOLVE_HOST, pycurl.E_PARTIAL_FILE, pycurl.E_GOT_NOTHING,
    pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR,
})  # fmt: skip


@dataclass(slots=True, repr=False, eq=False)
class Ending:
    """What a transfer came to. `outcome` None: only where `location` says where to go on."""

    outcome: FetchOutcome | None
    status: int
    location: str | None = None
    headers: wishes.Headers | None = None
    body: bytes = b""
    hold: bool = False  # the host asks for less haste
    may_change: bool = False  # trouble that another attempt may not meet


class Lane:
    """One handle of libcurl with what its callbacks note. Times are seconds of the caller's clock."""

    def __init__(self, settings: FetchSettings, user_agent: str, certificates: str) -> None:
        self.job: Job | None = None
        self.started = 0.0
        self.deadline = 0.0
        self.seen_at = 0.0  # when its speed was last looked at, and how far it was then
        self.seen_bytes = 0
        self.status = 0
        self.received_bytes = 0
        self._settings = settings
        self._lines: list[bytes] = []
        self._chunks: list[bytes] = []
        self._headers: wishes.Headers | None = None
        self._most_bytes = 0
        self._wanted = False
        self._verdict: FetchOutcome | None = None
        self._refused = self._allowed = 0  # addresses, by the hook
        self._opened: list[socket.socket] = []  # libcurl works on copies of their descriptors
        self.curl = self._handle(user_agent, certificates)

    def _handle(self, user_agent: str, certificates: str) -> Any:
        curl = pycurl.Curl()
        for option, value in {
            pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
            pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
            pycurl.HTTP09_ALLOWED: 0,
            pycurl.HTTP_CONTENT_DECODING: 0,
            pycurl.HTTPHEADER: ["Accept-Encoding: identity"],
            pycurl.USERAGENT: user_agent,
            pycurl.FOLLOWLOCATION: 0,
            pycurl.PATH_AS_IS: 1,
            pycurl.PROXY: "",
            pycurl.NOPROXY: "*",
            pycurl.NETRC: pycurl.NETRC_IGNORED,
            pycurl.UNRESTRICTED_AUTH: 0,
            pycurl.NOSIGNAL: 1,
            pycurl.BUFFERSIZE: _BUFFER_BYTES,
            pycurl.SSL_VERIFYPEER: 1,
            pycurl.SSL_VERIFYHOST: 2,
            pycurl.SSLVERSION: pycurl.SSLVERSION_TLSv1_2,
            pycurl.CAINFO: certificates,
            # Deadlines are held by whoever drives this; should that ever fail, libcurl ends the transfer itself.
            pycurl.TIMEOUT: 60 + 10 * self._settings.timeout_seconds,
            pycurl.CONNECTTIMEOUT: 60 + 10 * self._settings.timeout_seconds,
            pycurl.OPENSOCKETFUNCTION: self._open_socket,
            pycurl.PREREQFUNCTION: self._before_request,
            pycurl.HEADERFUNCTION: self._lines.append,  # as quick as it goes: every answer has a dozen
            pycurl.WRITEFUNCTION: self._take_body,
        }.items():
            curl.setopt(option, value)
        return curl

    def begin(self, job: Job, now: float) -> None:
        """Makes the handle ready for a hop of a job."""
        self.job = job
        self.started = self.seen_at = now
        self.deadline = now + self._settings.timeout_seconds - job.spent_seconds
        self.seen_bytes = self.status = self.received_bytes = 0
        self._lines.clear()
        self._chunks = []
        self._headers = self._verdict = None
        self._wanted = False
        self._refused = self._allowed = 0
        self.curl.setopt(pycurl.URL, job.target.url)

    @property
    def header_bytes(self) -> int:
        """Bytes of header lines so far. libcurl itself ends an answer with far too many."""
        return sum(map(len, self._lines))

    # --- what libcurl calls ---------------------------------------------------------------------------------------

    def _open_socket(self, _purpose: int, address: tuple[int, int, int, tuple[Any, ...]]) -> Any:
        """A socket for an address that may be connected to; libcurl connects it."""
        family, kind, protocol, place = address
        if not is_public(place[0]) or self.job is None or place[1] != self.job.target.port:
            self._refused += 1
            return pycurl.SOCKET_BAD
        self._allowed += 1
        try:
            opened = socket.socket(family, kind, protocol)
        except OSError as error:
            if error.errno != errno.EAFNOSUPPORT:  # a system without IPv6 goes on to the next address
                self._verdict = FetchOutcome.INTERNAL_ERROR
            return pycurl.SOCKET_BAD
        self._opened.append(opened)
        return opened

    def _before_request(self, peer: str, _own: str, _port: int, _own_port: int) -> Any:
        """The last look at a connection, new or used again, before a request goes out on it."""
        if is_public(peer):
            return _GO_ON
        self._verdict = FetchOutcome.BLOCKED_ADDRESS
        return _GO_NO_FURTHER

    def _take_body(self, chunk: bytes) -> int | None:
        if self._headers is None and not self._may_take_body():
            return -1
        self.received_bytes += len(chunk)
        if self.received_bytes > self._most_bytes:
            return self._too_much(chunk)
        if self._wanted:
            self._chunks.append(chunk)
        return None

    # --- what is decided on the way -------------------------------------------------------------------------------

    def _may_take_body(self) -> bool:
        """Looks at the headers once they are all there: whether the body is wanted, and how much of it."""
        lines = b"".join(self._lines)
        if len(lines) > self._settings.max_header_bytes:
            self._verdict = FetchOutcome.TOO_LARGE
            return False
        last = lines[lines.rfind(b"\nHTTP/") + 1 :]  # of several answers (100, 103, then 200) the last counts
        self.status = int(last[9:12]) if last[9:12].isdigit() else 0
        headers = self._headers = wishes.headers_of(last)
        if self.status not in _WITH_BODY or self.job is None:
            self._most_bytes = _MOST_UNWANTED_BYTES
            return True
        self._wanted = True
        if self.job.robots:
            self._most_bytes = robots.MOST_BYTES
            return True
        self._most_bytes = self._settings.max_bytes
        if self._settings.opt_outs and wishes.opted_out(headers, self._settings.user_agent):
            self._verdict = FetchOutcome.OPTED_OUT
        elif wishes.is_encoded(headers):
            self._verdict = FetchOutcome.NOT_AN_IMAGE
        elif wishes.length_of(headers) > self._most_bytes:
            self._verdict = FetchOutcome.TOO_LARGE
        return self._verdict is None

    def _too_much(self, chunk: bytes) -> int:
        if self._wanted and self.job is not None and self.job.robots:
            room = len(chunk) - (self.received_bytes - self._most_bytes)
            self._chunks.append(chunk[:room])
        elif self._wanted:
            self._verdict = FetchOutcome.TOO_LARGE
        return -1

    # --- its end --------------------------------------------------------------------------------------------------

    def end(self, error: int) -> Ending:
        """What the transfer came to, by libcurl's code (0: it went through). The job is no longer the lane's."""
        if self._headers is None and self._lines and self._verdict is None:
            self._may_take_body()  # no body came
        self._close_own_sockets()
        headers, chunks = self._headers or {}, self._chunks
        self.job, self._chunks = None, []
        if self._verdict is not None:
            return Ending(self._verdict, self.status)
        if self.status in _REDIRECTS and headers.get("location"):
            return Ending(None, self.status, location=headers["location"][0])
        if self.status and self.status not in _WITH_BODY:
            return Ending(
                _by_status(self.status),
                self.status,
                headers=headers,
                hold=self.status in _HOLD,
                may_change=self.status in _LATER,
            )
        return self._by_error(error, headers, chunks)

    def _close_own_sockets(self) -> None:
        while self._opened:
            self._opened.pop().close()

    def _by_error(self, error: int, headers: wishes.Headers, chunks: list[bytes]) -> Ending:
        whole = error == pycurl.E_OK or (error == pycurl.E_WRITE_ERROR and self._wanted)  # robots.txt, cut off
        if whole:
            return Ending(FetchOutcome.FETCHED, self.status, headers=headers, body=b"".join(chunks))
        if error == pycurl.E_COULDNT_CONNECT and self._refused and not self._allowed:
            return Ending(FetchOutcome.BLOCKED_ADDRESS, self.status)
        outcome = _BY_ERROR.get(error, FetchOutcome.INTERNAL_ERROR)
        return Ending(outcome, self.status, may_change=error in _ANOTHER_TRY)


def _by_status(status: int) -> FetchOutcome:
    """What an answer that brings no picture means."""
    if status in _GONE:
        return FetchOutcome.GONE
    if 400 <= status < 500:  # noqa: PLR2004 - HTTP's classes of status
        return FetchOutcome.REFUSED
    if 200 <= status < 400:  # noqa: PLR2004
        return FetchOutcome.NOT_AN_IMAGE
    return FetchOutcome.SERVER_ERROR
