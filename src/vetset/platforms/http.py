"""One body over HTTP: a request goes out, and its whole answer comes back, or a ServiceError that says nothing of it.

In it: where a body may live, TLS, limits of time and size, what a status means, Retry-After. Not in it: what is asked
(the adapters), how an answer is read (`answer`), asking again (`wrappers`).
Rules: TLS is verified; proxies, netrc and other words of the environment are not heard; no redirect is followed and no
cookie kept; plain http only to this machine, in a sandbox; neither address, header nor body stands in an error, a log
or a traceback's words: the client's own log would repeat the address, in which a fingerprint can stand, and is off.
"""

from __future__ import annotations

import ipaddress
import logging
import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Self
from urllib.parse import urlsplit

import httpx

from vetset import __version__
from vetset.errors import ServiceError, Stop
from vetset.platforms.deadline import Deadline
from vetset.platforms.terms import Terms

_CONNECT_SECONDS = 10.0
_OK, _REDIRECTS = 200, range(300, 400)
#: Statuses after which the same request may be answered: RFC 9110 (408, 5xx), RFC 6585 (429).
_MAY_PASS = frozenset({408, 429, 500, 502, 503, 504})

for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).disabled = True
    for _part in ("connection", "http11", "proxy"):
        logging.getLogger(f"{_name}.{_part}").disabled = True


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    body: bytes = field(repr=False)


class Line:
    """The way to one body, for one request at a time. Opened with its adapter, closed with it."""

    def __init__(self, url: str, terms: Terms, *, sandbox: bool) -> None:
        self.service = terms.name
        self._base = _checked(url, terms.name, sandbox=sandbox)
        self._terms = terms
        self._deadline = Deadline()
        self._client = httpx.Client(
            verify=_trusted(terms, secure=self._base.startswith("https:")),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(terms.timeout_seconds, connect=min(_CONNECT_SECONDS, terms.timeout_seconds)),
            headers={
                "User-Agent": f"vetset/{__version__}",
                "Accept-Encoding": "identity",
                "Accept": "application/json",
            },
        )

    def __repr__(self) -> str:
        return f"Line({self.service})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hangs up."""
        self._client.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        heard: Collection[int] = (_OK,),
    ) -> Reply:
        """The answer to one request, if its status is heard. Raises ServiceError for everything else."""
        try:
            with self._deadline.within(self._terms.timeout_seconds):
                return self._asked(method, self._base + path, headers, body, heard)
        except httpx.TimeoutException:
            raise ServiceError(self.service, "timeout", may_pass=True) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
            raise _of_transport(self.service, error) from None

    def _asked(
        self, method: str, url: str, headers: Mapping[str, str] | None, body: bytes | None, heard: Collection[int]
    ) -> Reply:
        traced = {"trace": self._deadline.trace}
        request = self._client.build_request(method, url, headers=headers, content=body, extensions=traced)
        answer = self._client.send(request, stream=True)
        try:
            self._check_head(answer, heard)
            return Reply(answer.status_code, self._read(answer))
        finally:
            answer.close()
            self._client.cookies.clear()

    def _check_head(self, answer: httpx.Response, heard: Collection[int]) -> None:
        status = answer.status_code
        if status in _REDIRECTS:
            raise ServiceError(self.service, "redirected")
        if status not in heard:
            waits = _wait_seconds(answer.headers, datetime.now(UTC))
            raise ServiceError(self.service, f"http_{status}", may_pass=status in _MAY_PASS, wait_seconds=waits)
        if answer.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise ServiceError(self.service, "encoded_answer")

    def _read(self, answer: httpx.Response) -> bytes:
        body = bytearray()
        for piece in answer.iter_raw():
            body += piece
            if len(body) > self._terms.max_bytes:
                raise ServiceError(self.service, "answer_too_large")
        return bytes(body)


def _checked(url: str, service: str, *, sandbox: bool) -> str:
    """The address without its last slash. Raises Stop, whose words do not repeat it: a password could stand in it."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if not host or parts.scheme not in {"http", "https"}:
        raise Stop(f"the address of {service} is none", hint="it is written https://host/path")
    if parts.username or parts.password or "@" in parts.netloc or parts.query or parts.fragment:
        raise Stop(
            f"the address of {service} holds more than host and path",
            hint="credentials are named by credentials_variable or credentials_file, and never stand in an address",
        )
    if parts.scheme == "http" and not (sandbox and _is_this_machine(host)):
        raise Stop(
            f"the address of {service} is plain http",
            hint="https only; plain http is for a sandbox on this machine (127.0.0.1)",
        )
    return url.rstrip("/")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _trusted(terms: Terms, *, secure: bool) -> ssl.SSLContext:
    if not secure:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody, and is quicker made than one with authorities
    try:
        return ssl.create_default_context(cafile=terms.certificates_file or None)
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise Stop(
            f"cannot read the certificates for {terms.name} in {terms.certificates_file}",
            hint="certificates_file names a file of PEM",
        ) from None


def _of_transport(service: str, error: Exception) -> ServiceError:
    """What befell the connection, by name: the library's words could hold the address."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return ServiceError(service, "tls_invalid")
        cause = cause.__cause__ or cause.__context__
    return ServiceError(service, "connection", may_pass=isinstance(error, httpx.TransportError))


def _wait_seconds(headers: Mapping[str, str], now: datetime) -> float:
    """Retry-After in seconds (RFC 9110, 10.2.3): a number, or a date by the server's own clock where it tells it."""
    said = headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdigit():
        return float(said[:9])
    until = _date(said)
    if until is None:
        return 0.0
    return max(0.0, (until - (_date(headers.get("Date", "")) or now)).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def stopped_at_first(service: str, look: Callable[[], None]) -> None:
    """What `ready` owes the operator: raises Stop with a hint in place of `look`'s ServiceError."""
    try:
        look()
    except ServiceError as error:
        hint = _HINTS.get(error.code, "see its guide in docs/guides, and whether the service has trouble of its own")
        raise Stop(f"{service} is not ready: {error.code}", hint=hint) from None


_HINTS: Mapping[str, str] = {
    "http_401": "its credentials are not taken: look at what credentials_variable or credentials_file names",
    "http_403": "it knows the credentials and refuses: permission or quota, ask the body",
    "http_404": "nothing is there: look at the address",
    "http_429": "it is asked too often: lower requests_per_second, or wait",
    "connection": "it cannot be reached: look at the network and the address",
    "timeout": "it does not answer in time: look at the network, or raise timeout_seconds",
    "tls_invalid": "its certificate is not trusted: certificates_file names authorities of your own",
    "redirected": "it sends elsewhere, which is never followed: name its own address",
}
