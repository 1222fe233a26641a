"""Report: the authority is told of each confirmed picture, exactly once, whatever is cut off or lost on the way.

In it: the order of opening, keeping, finishing; asking again; what became of each letter. Not in it: what a letter
says, whom the law names, where the journal lies (the vault), plans and confirmations (the command).
Rules: only a finished report counts with the authority, and finishing cannot be undone. So an intention is kept before
a report is opened, its id before it is finished, and no second report is opened for a picture while one whose id is
kept could still be finished: only "gone" allows that. An opening whose answer was lost leaves a report that nobody
finishes and the authority forgets. A trouble that does not pass ends the asking; nothing is lost by that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from vetset.errors import ServiceError
from vetset.ports import Authority
from vetset.records import Letter, Receipt, StageResult, Tally

T = TypeVar("T")
_GONE = "gone"


class ReportOutcome(StrEnum):
    """What became of a letter; the first that applies."""

    REPORTED = "reported"  # finished now
    REPORTED_BEFORE = "reported_before"  # its receipt is in the journal
    LEFT_OPEN = "left_open"  # not finished for a trouble of the service: to be gone on with
    NOT_TRIED = "not_tried"  # an earlier letter met a trouble that does not pass


@dataclass(frozen=True, slots=True, repr=False)
class Standing:
    """What a journal knows of a picture: the id of a report that may still be finished, and the receipt if one was."""

    report_id: str = ""
    receipt: Receipt | None = None


class ReportJournal(Protocol):
    """Where it is kept what was told. Each call is durable when it returns; `picture` is the letter's."""

    def standing(self, picture: str) -> Standing:
        """What was kept last: the id of `opened` without `gone` behind it, the receipt of `finished`."""
        ...

    def intended(self, picture: str) -> None:
        """A report is about to be opened."""
        ...

    def opened(self, picture: str, report_id: str) -> None: ...

    def gone(self, picture: str, report_id: str) -> None:
        """The authority knows no such report: it can never be finished."""
        ...

    def finished(self, picture: str, receipt: Receipt) -> None: ...


@dataclass(frozen=True, slots=True)
class ReportPatience:
    """How often a request is made before its trouble is taken not to pass, and how long is waited between, in seconds.

    The wait doubles from the first to the most; a service that says how long is waited for, up to `most_said_seconds`.
    """

    attempts: int = 6
    first_seconds: float = 1.0
    most_seconds: float = 60.0
    most_said_seconds: float = 300.0


@dataclass(frozen=True, slots=True, repr=False)
class Reported:
    """A picture that is reported, and its receipt; `trouble`: the code for which it, or what follows, is not."""

    picture: str
    receipt: Receipt | None
    outcome: ReportOutcome
    trouble: str = ""


def report(
    letters: Iterable[Letter],
    authority: Authority,
    journal: ReportJournal,
    wait: Callable[[float], None],
    settings: ReportPatience,
) -> StageResult[list[Reported]]:
    """Tells the authority of each letter's picture, in order; may be cut off anywhere and called again.

    Raises Stop for a letter that would be refused: nothing of it was sent.
    """
    became = list(_each(letters, authority, journal, wait, settings))
    tally = Tally()
    for one in became:
        tally[one.outcome.value] += 1
    return StageResult(became, tally)


def _each(
    letters: Iterable[Letter],
    authority: Authority,
    journal: ReportJournal,
    wait: Callable[[float], None],
    settings: ReportPatience,
) -> Iterator[Reported]:
    trouble = ""
    for letter in letters:
        receipt = journal.standing(letter.picture).receipt
        if receipt is not None:
            yield Reported(letter.picture, receipt, ReportOutcome.REPORTED_BEFORE)
            continue
        if trouble:
            yield Reported(letter.picture, None, ReportOutcome.NOT_TRIED, trouble)
            continue
        try:
            receipt = _told(letter, authority, journal, wait, settings)
        except ServiceError as error:
            trouble = error.code
            yield Reported(letter.picture, None, ReportOutcome.LEFT_OPEN, trouble)
        else:
            yield Reported(letter.picture, receipt, ReportOutcome.REPORTED)


def _told(
    letter: Letter,
    authority: Authority,
    journal: ReportJournal,
    wait: Callable[[float], None],
    settings: ReportPatience,
) -> Receipt:
    """The receipt of the one report of a picture. Raises ServiceError; what was kept is where to go on."""
    for _ in range(settings.attempts):
        report_id = journal.standing(letter.picture).report_id
        if not report_id:
            journal.intended(letter.picture)
            report_id = _patiently(lambda: authority.open(letter), wait, settings)
            journal.opened(letter.picture, report_id)
        receipt = _finished(report_id, authority, wait, settings)
        if receipt is not None:
            journal.finished(letter.picture, receipt)
            return receipt
        journal.gone(letter.picture, report_id)
    raise ServiceError(authority.abilities.name, _GONE)


def _finished(
    report_id: str, authority: Authority, wait: Callable[[float], None], settings: ReportPatience
) -> Receipt | None:
    """The receipt; None where the authority knows no such report."""
    try:
        return _patiently(lambda: authority.finish(report_id), wait, settings)
    except ServiceError as error:
        if error.code == _GONE:
            return None
        raise


def _patiently(call: Callable[[], T], wait: Callable[[float], None], settings: ReportPatience) -> T:
    """What a call answers, made again while its trouble may pass."""
    for attempt in range(1, settings.attempts):
        try:
            return call()
        except ServiceError as error:
            if not error.may_pass or error.wait_seconds > settings.most_said_seconds:
                raise
            pause = min(settings.most_seconds, settings.first_seconds * 2.0 ** (attempt - 1))
            wait(max(error.wait_seconds, pause))
    return call()
