"""What an authority is told: confirmed pictures as letters, and the journal of what was told and acknowledged.

In it: pictures joined by what a platform says they are, letters, the sealed journal behind the stage `report`, dates
until which what was reported is to be kept. Not in it: the order of opening and finishing (`stages.report`), any
authority's own way (`platforms`).
Rules: only what a body confirmed is told, and each picture once, with all its addresses; a receipt names all the
picture's cases, sealed; in clear stands only until when the run is to be kept, which `status` says once it is closed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from vetset import kernels
from vetset.cases import CaseState
from vetset.ledger import Ledger
from vetset.ledger.manifest import canonical
from vetset.ledger.record import read_file
from vetset.pipeline.casebook import REPORTED, Casebook
from vetset.records import Case, Exhibit, Letter, Receipt, Ruling, Sealed
from vetset.stages.report import Standing
from vetset.vault.journal import Journal

#: The journal's step.
REPORT = "report"
INTENDED, OPENED, GONE, FINISHED = "intended", "opened", "gone", "finished"
_PRESERVED = "sidecar/preserved.json"
_TOLD = frozenset({CaseState.CONFIRMED, CaseState.REPORTED})


@dataclass(frozen=True, slots=True, repr=False)
class Told:
    """One picture as an authority is told of it: exhibits that a platform says are one, or one alone."""

    id: str
    exhibits: tuple[Exhibit, ...]
    parties: tuple[str, ...]  # whose word it is
    match_ids: tuple[str, ...] = ()

    @property
    def cases(self) -> list[Case]:
        return [case for exhibit in self.exhibits for case in exhibit.cases]

    @property
    def urls(self) -> tuple[Sealed[bytes], ...]:
        """Every address at which it was recorded, each once."""
        found: list[Sealed[bytes]] = []
        for case in self.cases:
            url = kernels.url_of(case.address)
            if url is not None and not any(kernels.same_value(url, other) for other in found):
                found.append(url)
        return tuple(found)


def told_pictures(book: Casebook, known: frozenset[str]) -> list[Told]:
    """The confirmed pictures. `known` are ids that the authority was told of, which a picture keeps for good."""
    exhibits = book.in_state(*_TOLD)
    words = {exhibit.id: _accusing(book, exhibit) for exhibit in exhibits}
    joined: dict[tuple[str, str], str] = {}
    leader = {exhibit.id: exhibit.id for exhibit in exhibits}

    def led(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for exhibit in exhibits:
        for line in words[exhibit.id]:
            for match_id in line.get("match_ids", ()):
                other = led(joined.setdefault((line["party"], match_id), exhibit.id))
                leader[led(exhibit.id)] = other
    groups: dict[str, list[Exhibit]] = defaultdict(list)
    for exhibit in exhibits:
        groups[led(exhibit.id)].append(exhibit)
    return [_told(group, words, known) for group in groups.values()]


def _told(group: Sequence[Exhibit], words: Mapping[str, Sequence[Mapping[str, Any]]], known: frozenset[str]) -> Told:
    lines = [line for exhibit in group for line in words[exhibit.id]]
    ids = dict.fromkeys(match_id for line in lines for match_id in line.get("match_ids", ()))
    name = next((exhibit.id for exhibit in group if exhibit.id in known), group[0].id)
    return Told(name, tuple(group), tuple(dict.fromkeys(line["party"] for line in lines)), tuple(ids))


def _accusing(book: Casebook, exhibit: Exhibit) -> list[dict[str, Any]]:
    return [line for line in book.words_about(exhibit) if line["ruling"] == Ruling.CSAM]


def letter_of(told: Told, found_at: datetime) -> Letter:
    """The letter about a picture."""
    near = all(match.near is not None for case in told.cases for match in case.matches)
    how = "is near to a hash of a list of known material" if near else "equals an entry of a list of known material"
    remarks = (
        f"What is recorded of the picture at these addresses, or computed from it, {how}. "
        f"It is held to be known material on the word of: {', '.join(told.parties)}."
    )
    return Letter(told.id, told.urls, found_at, remarks, told.match_ids)


# --- the journal ------------------------------------------------------------------------------------------------------


class ReportBook:
    """The journal behind the stage, for one authority: its standings by picture, sealed and durable line by line."""

    def __init__(self, book: Casebook, authority: str, preserve_days: int, *, live: bool = True) -> None:
        self._book = book
        self._authority = authority
        self._live = live
        self._preserve_days = preserve_days
        self.journal = Journal(book.vault, book.ledger.sink, REPORT)
        self.cases: dict[str, list[str]] = {}  # of the pictures that are being told, by id
        self._standings: dict[str, Standing] = {}
        for line in self.lines:
            self._heed(line)
        self.reconcile()

    @property
    def lines(self) -> list[dict[str, Any]]:
        lines = (line for line in self.journal.lines if line["authority"] == self._authority)
        return [line for line in lines if line.get("live", True) == self._live]

    def known(self) -> frozenset[str]:
        """The pictures that this authority was, or was about to be, told of."""
        return frozenset(self._standings)

    def told_cases(self) -> frozenset[str]:
        """The cases for which there is a receipt."""
        return frozenset(case for line in self.lines if line["what"] == FINISHED for case in line["cases"])

    def standing(self, picture: str) -> Standing:
        return self._standings.get(picture, Standing())

    def intended(self, picture: str) -> None:
        self._append(INTENDED, picture)

    def opened(self, picture: str, report_id: str) -> None:
        self._append(OPENED, picture, report_id=report_id)

    def gone(self, picture: str, report_id: str) -> None:
        self._append(GONE, picture, report_id=report_id)

    def finished(self, picture: str, receipt: Receipt) -> None:
        """The receipt, for all the picture's cases, and until when they are to be kept."""
        until = (receipt.finished_at + timedelta(days=self._preserve_days)).date().isoformat()
        self._append(
            FINISHED,
            picture,
            report_id=receipt.report_id,
            finished_at=receipt.finished_at.astimezone(UTC).isoformat(),
            noted=dict(receipt.noted),
            cases=self.cases[picture],
            preserve_until=until,
        )

    def _append(self, what: str, picture: str, **more: Any) -> None:
        line = {"what": what, "authority": self._authority, "live": self._live, "picture": picture, **more}
        self.journal.append([line])
        self._heed(line)

    def _heed(self, line: Mapping[str, Any]) -> None:
        self._standings[line["picture"]] = _after(self.standing(line["picture"]), line)

    def reconcile(self) -> None:
        """Moves the cases of every receipt, and writes down the dates; what a crash cut off is made up for here."""
        receipts = [line for line in self.journal.lines if line["what"] == FINISHED]
        receipts = [line for line in receipts if self._book.with_sandboxes or line.get("live", True)]
        open_cases = {case.id for exhibit in self._book.in_state(CaseState.CONFIRMED) for case in exhibit.cases}
        news = [line for line in receipts if open_cases.intersection(line["cases"])]
        self._book.append(
            {"what": REPORTED, **{name: line[name] for name in ("authority", "live", "cases", "picture")}}
            for line in news
        )
        if receipts:
            dates = sorted(line["preserve_until"] for line in receipts)
            data = canonical({"first_until": dates[0], "last_until": dates[-1]})
            if read_file(self._book.ledger.root / _PRESERVED) != data:
                self._book.ledger.sink.put(_PRESERVED, data)

    def close(self) -> None:
        """Folds the journals, so that how many parts they have tells nothing."""
        self.reconcile()
        self.journal.fold()
        self._book.journal.fold()


def _after(standing: Standing, line: Mapping[str, Any]) -> Standing:
    if line["what"] == OPENED:
        return Standing(line["report_id"], standing.receipt)
    if line["what"] == GONE:
        return Standing("", standing.receipt)
    if line["what"] == FINISHED:
        at = datetime.fromisoformat(line["finished_at"])
        return Standing(line["report_id"], Receipt(line["report_id"], at, line["noted"]))
    return standing


# --- until when -------------------------------------------------------------------------------------------------------


def preserved(ledger: Ledger) -> dict[str, str]:
    """From when to when duties to keep what was reported end, as dates; nothing where nothing was reported."""
    data = read_file(ledger.root / _PRESERVED)
    try:
        tree = json.loads(data) if data else None
        names = ("first_until", "last_until")
        return {} if tree is None else {name: date.fromisoformat(tree[name]).isoformat() for name in names}
    except (ValueError, TypeError, KeyError):
        return {"first_until": "", "last_until": ""}  # damaged: `status` says that the dates are not known


def preservation_lines(dates: Mapping[str, str], today: date, alarm_days: int) -> Iterator[str]:
    """What `status` says of them."""
    if not dates:
        return
    if not dates["last_until"]:
        yield "ALARM: cases of this run were reported; until when they are to be kept cannot be read: keep all of it"
        return
    yield f"reported: keep this run, sealed, until {dates['last_until']}; the first duty ends {dates['first_until']}"
    left = (date.fromisoformat(dates["first_until"]) - today).days
    if left < 0:
        yield f"ALARM: the first duty to keep what was reported ended {-left} days ago: retention is to be decided"
    elif left <= alarm_days:
        yield f"ALARM: the first duty to keep what was reported ends in {left} days: decide about retention"
