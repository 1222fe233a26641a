"""NCMEC's CyberTipline emulated: reports opened, finished, retracted, forgotten in time, over real HTTP.

In it: the books of reports and the answers that the public facts describe: success in the body, codes beside HTTP 2xx,
an empty 401, a second finish, reports that time out, the schema's address. Not in it: HTTP and its faults (`serving`),
the client, from which nothing here was taken.
Rules: nothing is kept of a report but whether the given judge lets it pass, its addresses, and its state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from urllib.parse import parse_qs
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from vetset.testing.serving import Asked, Reply, Served, lets_in, served

USER, PASSWORD = "invented", "made-up-word"
_HOUR_SECONDS = 3600.0
OPEN_SECONDS, IDLE_SECONDS = 24 * _HOUR_SECONDS, _HOUR_SECONDS
_WORDS = {
    0: "",
    4100: "Validation failed",
    4110: "Malformed XML",
    5001: "Report does not exist",
    5101: "Retracted",
    5102: "Finished",
}


class ReportState(Enum):
    """Where a report stands with the service."""

    OPEN = "open"
    FINISHED = "finished"
    RETRACTED = "retracted"


@dataclass(slots=True)
class TippedReport:
    """A report as the service has it."""

    urls: tuple[str, ...]
    remarks: str
    opened_seconds: float
    changed_seconds: float
    state: ReportState = ReportState.OPEN


@dataclass(slots=True)
class Tipline:
    """The service's books. `judge` says whether a report keeps the schema; `error_status`: HTTP beside other codes."""

    judge: Callable[[bytes], bool] = lambda _: True
    schema: bytes = b"<schema/>"
    error_status: int = 200
    user: str = USER
    password: str = PASSWORD
    now_seconds: float = 0.0  # moved by whoever tests
    reports: dict[str, TippedReport] = field(default_factory=dict)
    _open: set[str] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1_000_001))

    def finished(self) -> list[TippedReport]:
        return [report for report in self.reports.values() if report.state is ReportState.FINISHED]

    def answer(self, asked: Asked) -> Reply:
        if not lets_in(asked, self.user, self.password):
            return Reply(401)
        self._forget()
        calls: dict[tuple[str, str], Callable[[Asked], Reply]] = {
            ("GET", "/status"): lambda _: self._said(0),
            ("GET", "/xsd"): lambda _: Reply(200, self.schema, {"Content-Type": "text/xml"}),
            ("POST", "/submit"): lambda asked: self._submit(asked.body),
            ("POST", "/finish"): lambda asked: self._finish(_id_of(asked)),
            ("POST", "/retract"): lambda asked: self._retract(_id_of(asked)),
        }
        call = calls.get((asked.method, asked.path))
        return call(asked) if call else Reply(404)

    def _forget(self) -> None:
        """Reports that were not finished 24 h after opening or 1 h after the last change, whichever is later."""
        for name in list(self._open):
            report = self.reports[name]
            until = max(report.opened_seconds + OPEN_SECONDS, report.changed_seconds + IDLE_SECONDS)
            if self.now_seconds > until:
                self._open.discard(name)
                del self.reports[name]

    def _submit(self, body: bytes) -> Reply:
        try:
            root = fromstring(body, forbid_dtd=True)
        except (ParseError, DefusedXmlException, ValueError):
            return self._said(4110)
        if not self.judge(body):
            return self._said(4100)
        name = str(next(self._numbers))
        urls = tuple(element.text or "" for element in root.iter("url"))
        remarks = " ".join(element.text or "" for element in root.iter("additionalInfo"))
        self._open.add(name)
        self.reports[name] = TippedReport(urls, remarks, self.now_seconds, self.now_seconds)
        return self._said(0, name)

    def _finish(self, name: str) -> Reply:
        fault = self._fault(name)
        if fault:
            return self._said(fault)
        self._close(name, ReportState.FINISHED)
        return _xml(
            f"<reportDoneResponse><responseCode>0</responseCode><reportId>{name}</reportId><files/></reportDoneResponse>"
        )

    def _retract(self, name: str) -> Reply:
        fault = self._fault(name)
        if not fault:
            self._close(name, ReportState.RETRACTED)
        return self._said(fault, name)

    def _close(self, name: str, state: ReportState) -> None:
        self.reports[name].state = state
        self._open.discard(name)

    def _fault(self, name: str) -> int:
        report = self.reports.get(name)
        if report is None:
            return 5001
        return {ReportState.OPEN: 0, ReportState.RETRACTED: 5101, ReportState.FINISHED: 5102}[report.state]

    def _said(self, code: int, name: str = "") -> Reply:
        report = f"<reportId>{name}</reportId>" if name else ""
        words = f"<responseDescription>{_WORDS[code]}</responseDescription>"
        body = f"<reportResponse><responseCode>{code}</responseCode>{words}{report}</reportResponse>"
        return _xml(body, 200 if code == 0 else self.error_status)


def _id_of(asked: Asked) -> str:
    return parse_qs(asked.body.decode("ascii", "replace")).get("id", [""])[-1]


def _xml(text: str, status: int = 200) -> Reply:
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    headers = {"Content-Type": "text/xml; charset=utf-8", "Request-ID": "made-up"}
    return Reply(status, (head + text).encode(), headers)


@contextmanager
def cybertip_server(tipline: Tipline) -> Iterator[Served]:
    """The service for as long as the context lasts."""
    with served(tipline.answer) as service:
        yield service
