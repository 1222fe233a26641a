"""For the tests of report: a journal that outlives its process, an authority behind real HTTP, and made-up letters."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import xmlschema

from vetset.platforms.credential import Credential
from vetset.platforms.cybertip import CybertipAuthority
from vetset.platforms.letter import Reporter
from vetset.records import Letter, Receipt, Sealed
from vetset.stages.report import Standing
from vetset.testing.authority_contract import Bench
from vetset.testing.cybertip_server import PASSWORD, USER, Tipline, cybertip_server

XSD = Path(__file__).parent.parent / ".." / "shared" / "data" / "exchange" / "cybertipline.xsd"
if not XSD.exists():  # a checkout beside others
    XSD = Path(__file__).parent.parent.parent.parent / "shared" / "data" / "exchange" / "cybertipline.xsd"
VARIABLE = "VETSET_TEST_TIPLINE"
REPORTER = Reporter(
    "trust@made-up.example", "Ann", "Example", "+1 555 0100", "A company.", "Terms.", "https://made-up.example/legal"
)
HOURS = 3600.0


@cache
def schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(XSD)


def keeps_schema(report: bytes) -> bool:
    return bool(schema().is_valid(report.decode("utf-8")))


class Killed(BaseException):
    """Stands for the end of a process."""


@dataclass
class MemoryJournal:
    """Keeps what a file would. Dies at the step numbered `dies_at`, before it is kept or, if `after`, after."""

    standings: dict[str, Standing] = field(default_factory=dict)
    intentions: dict[str, int] = field(default_factory=dict)
    kept: int = 0
    dies_at: int = 0
    after: bool = False

    def standing(self, picture: str) -> Standing:
        return self.standings.get(picture, Standing())

    def intended(self, picture: str) -> None:
        with self._step():
            self.intentions[picture] = self.intentions.get(picture, 0) + 1

    def opened(self, picture: str, report_id: str) -> None:
        with self._step():
            assert self.intentions[picture]
            assert not self.standing(picture).report_id
            self.standings[picture] = Standing(report_id)

    def gone(self, picture: str, report_id: str) -> None:
        with self._step():
            assert self.standing(picture).report_id == report_id
            self.standings[picture] = Standing()

    def finished(self, picture: str, receipt: Receipt) -> None:
        with self._step():
            assert self.standing(picture).report_id == receipt.report_id
            self.standings[picture] = Standing(receipt.report_id, receipt)

    @contextmanager
    def _step(self) -> Iterator[None]:
        self.kept += 1
        struck = self.kept == self.dies_at
        if struck and not self.after:
            raise Killed
        yield
        if struck:
            raise Killed


def letter(picture: str, *urls: str, remarks: str = "Two bodies say that it is known.") -> Letter:
    sealed = tuple(Sealed(url.encode()) for url in urls or (f"https://made-up.example/{picture}",))
    return Letter(picture, sealed, datetime(2026, 11, 3, 12, 0, tzinfo=UTC), remarks, ("id-1",))


def letters(count: int) -> list[Letter]:
    return [letter(f"picture-{number}") for number in range(count)]


@contextmanager
def credentials(text: str = f"{USER}:{PASSWORD}") -> Iterator[Credential]:
    os.environ[VARIABLE] = text
    try:
        yield Credential("cybertip", variable=VARIABLE)
    finally:
        del os.environ[VARIABLE]


@contextmanager
def bench(tipline: Tipline | None = None, reporter: Reporter = REPORTER) -> Iterator[Bench]:
    """An authority at an emulated CyberTipline."""
    books = tipline or Tipline()

    def forgets() -> None:
        books.now_seconds += 25 * HOURS

    with cybertip_server(books) as served, credentials() as credential:
        authority = CybertipAuthority.sandbox(served.url, credential, reporter)
        try:
            yield Bench(
                authority,
                served,
                lambda: [one.urls for one in books.finished()],
                forgets,
                PASSWORD,
                [letter("none", ""), Letter("none", (), datetime(2026, 11, 3, tzinfo=UTC), "no address")],
            )
        finally:
            authority.close()
