"""A body's service asked over HTTP: one GET at a time, patiently, with credentials that stand in a header only.

In it: `Service`, its retries, its limits, the errors that an answer can be. Not in it: what an answer means.
Rules: `.sandbox()` and `.live()` are the only constructors; live is https with certificates checked; plain http is for
this machine. No redirect is followed, since credentials would go along; no proxy and no netrc of the environment is
used. An answer of another status is `ServiceError`; 401 and 403 are the operator's, `Stop`. No message holds an
address beyond its path, a credential, or anything of an answer.
"""

from __future__ import annotations

import io
import ipaddress
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import BinaryIO
from urllib.parse import parse_qsl, urlsplit

import httpx

from vetset.errors import ServiceError, Stop
from vetset.records import Sealed

logging.getLogger("httpx").disabled = True  # it would repeat every address
#: Attempts at one request, and the longest wait between two. A service that says longer is left alone till then.
ATTEMPTS = 6
MAX_WAIT_SECONDS = 300.0
_RETRIED = frozenset({429, 500, 502, 503, 504})
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_OK, _NOT_MODIFIED = 200, 304
_SECRET = re.compile(r"key|token|secret|passw|signature|^sig$|auth|credential", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Secret:
    """How a service knows us: a header's value, made from what a file or a variable holds. Shown nowhere."""

    header: str
    value: Sealed[str]


@dataclass(slots=True, repr=False)
class Service:
    """Made by `.sandbox()` or `.live()`. `asked` counts requests, retries among them."""

    name: str
    base: str
    live_service: bool
    secret: Secret | None
    pause: Callable[[float], None]
    now: Callable[[], datetime]
    asked: int = 0
    _client: httpx.Client = field(init=False)

    @classmethod
    def sandbox(
        cls,
        name: str,
        url: str,
        secret: Secret | None = None,
        *,
        pause: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> Service:
        """A test twin, or an emulator on this machine. Raises Stop for plain http to anywhere else."""
        return cls(name, _base(name, url, https=not _is_here(url)), False, secret, pause, now)

    @classmethod
    def live(
        cls,
        name: str,
        url: str,
        secret: Secret | None = None,
        *,
        pause: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> Service:
        """The real service. Raises Stop for an address that is not https."""
        return cls(name, _base(name, url, https=True), True, secret, pause, now)

    def __post_init__(self) -> None:
        self._client = httpx.Client(timeout=_TIMEOUT, trust_env=False, follow_redirects=False)

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, *, max_bytes: int) -> bytes:
        """The body at a path. Raises ServiceError, and Stop where we are not let in."""
        body = io.BytesIO()
        self.get_into(body, path, max_bytes=max_bytes)
        return body.getvalue()

    def get_into(
        self, target: BinaryIO, path: str, *, max_bytes: int, headers: Mapping[str, str] | None = None
    ) -> Mapping[str, str] | None:
        """Writes the body to a file in memory; answers the headers, in lower case. None where nothing has changed."""
        for attempt in range(1, ATTEMPTS + 1):
            target.seek(0)
            target.truncate()
            try:
                return self._once(target, path, max_bytes, headers or {})
            except ServiceError as error:
                wait = max(error.wait_seconds, 2.0 ** (attempt - 1))
                if not error.may_pass or attempt == ATTEMPTS or wait > MAX_WAIT_SECONDS:
                    raise
                self.pause(wait)
        raise AssertionError("the last attempt answers or raises")

    def _once(
        self, target: BinaryIO, path: str, max_bytes: int, headers: Mapping[str, str]
    ) -> Mapping[str, str] | None:
        self.asked += 1
        try:
            with self._client.stream("GET", self.base + path, headers=self._headers(headers)) as answer:
                if answer.status_code == _NOT_MODIFIED and headers:
                    return None
                self._check(answer)
                size = 0
                for piece in answer.iter_bytes():
                    size += len(piece)
                    if size > max_bytes:
                        raise Stop(
                            f"{self.name} answers with more than {max_bytes:,} bytes",
                            hint="is that the address of the list? `max_bytes` in the settings is the limit",
                        )
                    target.write(piece)
                return {name.lower(): value for name, value in answer.headers.items()}
        except httpx.TransportError as error:
            raise ServiceError(self.name, _code_of(error), may_pass=not _is_certificate(error)) from None
        except (httpx.HTTPError, httpx.InvalidURL):
            raise ServiceError(self.name, "broken_answer") from None

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        headers = {"User-Agent": "vetset", "Accept-Encoding": "identity", **more}
        if self.secret:
            headers[self.secret.header] = self.secret.value.unseal()
        return headers

    def _check(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if status == _OK:
            return
        if status in (401, 403):
            raise Stop(
                f"{self.name} does not let us in (HTTP {status})",
                hint="check the credentials that the settings name, and that they are for this environment",
            )
        wait = self._wait_of(answer.headers.get("Retry-After", ""))
        raise ServiceError(self.name, f"http_{status}", may_pass=status in _RETRIED, wait_seconds=wait)

    def _wait_of(self, text: str) -> float:
        """RFC 9110 §10.2.3: seconds, or a date."""
        if text.strip().isdigit():
            return float(text[:9])
        try:
            return max(0.0, (parsedate_to_datetime(text) - self.now()).total_seconds())
        except (ValueError, TypeError):
            return 0.0


def _code_of(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "timeout"
    if _is_certificate(error):
        return "certificate"
    return "connection"


def _is_certificate(error: Exception) -> bool:
    return "CERTIFICATE" in str(error).upper()


def _base(name: str, url: str, *, https: bool) -> str:
    """The address without a slash at its end. Raises Stop for what may not be asked so."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if not host or parts.scheme not in ("http", "https") or parts.fragment:
        raise Stop(f"the address of {name} is none of the web", hint="it begins with https:// and names a host")
    if parts.username is not None or parts.password is not None:
        raise Stop(
            f"the address of {name} holds credentials",
            hint="name a file or a variable: credentials_file, credentials_variable",
        )
    if any(_SECRET.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise Stop(f"the address of {name} holds what looks like a credential", hint="credentials go in a header")
    if https and parts.scheme != "https":
        raise Stop(f"the address of {name} is not https", hint="plain http is for emulators on this machine")
    return url.rstrip("/")


def _is_here(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
