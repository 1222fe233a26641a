"""NCMEC's CyberTipline, told of addresses: open, finish, retract, over HTTP with Basic authentication and XML.

In it: these calls, and what their codes mean. Not in it: the report's XML (`letter`), what is told when (`report`),
`/upload` and `/fileinfo`, which carry files and are never called.
Rules: success is `responseCode` 0 in the body; any other code, whatever the HTTP status, is an error, but for 5102 on
finish: the report was finished before, which is what was wanted. An answer is small XML without a document type, or it
is an error. What a service says in words is never repeated.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Self
from urllib.parse import urlencode
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from vetset.errors import ServiceError
from vetset.platforms.answer import BROKEN
from vetset.platforms.credential import Credential
from vetset.platforms.http import Line, stopped_at_first
from vetset.platforms.letter import Reporter, written
from vetset.platforms.terms import Terms
from vetset.records import Abilities, Letter, Receipt

LIVE = "https://report.cybertip.org/ispws"
PARTY = "National Center for Missing & Exploited Children"
GONE: Final = "gone"
MAX_ANSWER_BYTES = 1024 * 1024
#: No rate is published. A report is two requests.
TERMS = Terms("cybertip", batch=1, requests_per_second=2.0, max_bytes=MAX_ANSWER_BYTES)
LEARNS = (
    "who you are, every address of each confirmed picture, when it was found and why it is held to be known; "
    "no picture and no digest"
)

_SUCCESS, _SERVER_ERROR = 0, 1000
_NO_REPORT, _RETRACTED, _FINISHED = 5001, 5101, 5102
_XML = {"Content-Type": "text/xml; charset=utf-8", "Accept": "text/xml"}
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/xml"}
#: Statuses whose body is looked into: 401 has none, and after 408, 429 and 5xx the request is worth repeating.
_HEARD = frozenset({*range(200, 300), *range(400, 500)} - {401, 403, 408, 429})


class CybertipAuthority:
    """The port `Authority` over the CyberTipline. Made by `.sandbox()` and `.live()`."""

    _line: Line
    _credential: Credential
    _reporter: Reporter
    _moment: Callable[[], datetime]
    abilities: Abilities

    def __init__(self, *_: object) -> None:
        raise TypeError("made by .sandbox() or .live()")

    @classmethod
    def sandbox(cls, url: str, credential: Credential, reporter: Reporter, terms: Terms = TERMS, **more: Any) -> Self:
        """The test service, or an emulator on this machine."""
        return cls._made(Line(url, terms, sandbox=True), credential, reporter, terms, live=False, **more)

    @classmethod
    def live(cls, credential: Credential, reporter: Reporter, terms: Terms = TERMS, **more: Any) -> Self:
        """The service itself: what is finished there cannot be undone."""
        return cls._made(Line(LIVE, terms, sandbox=False), credential, reporter, terms, live=True, **more)

    @classmethod
    def _made(
        cls,
        line: Line,
        credential: Credential,
        reporter: Reporter,
        terms: Terms,
        *,
        live: bool,
        moment: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> Self:
        made = cls.__new__(cls)
        made.__dict__.update(_line=line, _credential=credential, _reporter=reporter, _moment=moment)
        made.abilities = terms.abilities(PARTY, (), LEARNS, live=live)
        return made

    def close(self) -> None:
        """Hangs up."""
        self._line.close()

    def ready(self) -> None:
        """Raises Stop unless the service answers and knows us."""
        stopped_at_first(self._line.service, self._look)

    def _look(self) -> None:
        self._must_succeed(self._ask("GET", "/status"))

    def open(self, letter: Letter) -> str:
        """The report's id. Raises Stop for a letter that would be refused, before anything is sent; ServiceError."""
        answer = self._ask("POST", "/submit", _XML, written(letter, self._reporter))
        self._must_succeed(answer)
        return self._report_id(answer)

    def finish(self, report_id: str) -> Receipt:
        """Finishes a report, for good. Raises ServiceError; its code is "gone" where there is no such report."""
        answer = self._ask("POST", "/finish", _FORM, _id_form(report_id))
        code = self._code(answer)
        if code == _FINISHED:
            return Receipt(report_id, self._moment(), {"responseCode": str(code)})
        if code in (_NO_REPORT, _RETRACTED):
            raise ServiceError(self._line.service, GONE)
        self._must_succeed(answer)
        if self._report_id(answer) != report_id:
            raise ServiceError(self._line.service, BROKEN)
        return Receipt(report_id, self._moment(), {"responseCode": str(code)})

    def retract(self, report_id: str) -> None:
        """Takes back a report that was not finished. Raises ServiceError; one that is retracted already is no error."""
        answer = self._ask("POST", "/retract", _FORM, _id_form(report_id))
        if self._code(answer) != _RETRACTED:
            self._must_succeed(answer)

    # --- answers --------------------------------------------------------------------------------------------------

    def _ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Element:
        pair = ":".join(self._credential.pair())
        basic = {"Authorization": "Basic " + b64encode(pair.encode("ascii")).decode("ascii")}
        reply = self._line.ask(
            method, path, headers={**basic, **(headers or {"Accept": "text/xml"})}, body=body, heard=_HEARD
        )
        answer = _parsed(reply.body)
        if answer is None:
            code = BROKEN if reply.status in range(200, 300) else f"http_{reply.status}"
            raise ServiceError(self._line.service, code)
        return answer

    def _code(self, answer: Element) -> int:
        text = (answer.findtext("responseCode") or "").strip()
        if not re.fullmatch(r"[0-9]{1,9}", text) or len(answer.findall("responseCode")) != 1:
            raise ServiceError(self._line.service, BROKEN)
        return int(text)

    def _must_succeed(self, answer: Element) -> None:
        code = self._code(answer)
        if code != _SUCCESS:
            raise ServiceError(self._line.service, f"code_{code}", may_pass=code == _SERVER_ERROR)

    def _report_id(self, answer: Element) -> str:
        text = (answer.findtext("reportId") or "").strip()
        if not re.fullmatch(r"[0-9]{1,19}", text):
            raise ServiceError(self._line.service, BROKEN)
        return text


def _id_form(report_id: str) -> bytes:
    return urlencode({"id": report_id}).encode("ascii")


def _parsed(body: bytes) -> Element | None:
    """An answer's root; None for what is no answer."""
    try:
        root: Element = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return None
    return root if root.tag in ("reportResponse", "reportDoneResponse") else None
