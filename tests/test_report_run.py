"""Report on a verified run: what is told, that each picture is told once whatever is lost, receipts, dates to keep."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.canaries import files_below, leaks
from tests.driving import NOW
from tests.faults import Fault, FaultyDisk, Killed
from tests.settling import Settled, prints_of
from tests.test_verify_run import audited, judge, settled
from vetset.config import ReportSettings, Settings
from vetset.errors import ServiceError, Stop
from vetset.ledger import Ledger
from vetset.pipeline.reporting import FINISHED, ReportBook, preservation_lines, preserved, told_pictures
from vetset.records import Ruling, Verdict
from vetset.stages.report import ReportPatience
from vetset.testing.judges import SHIELDLIKE, MemoryAuthority, MemoryPlatform
from vetset.vault import age
from vetset.wiring import reports
from vetset.wiring.job import Result, status_of
from vetset.wiring.reports import Telling

__all__ = ["audited", "settled"]
QUICK = Telling(ReportPatience(attempts=4), wait=lambda _seconds: None)


def report(
    settled: Settled, authority: MemoryAuthority, *, disk: Any = None, name: str = "tip", **changes: Any
) -> Result:
    return reports.report_to(settled.request(**changes), name, authority, QUICK, disk)


def confirmed(settled: Settled, *rulings: Ruling) -> None:
    settled.verify({"judge": judge(settled, *(rulings or (Ruling.CSAM, Ruling.NO_MATCH)))})


def told_urls(authority: MemoryAuthority) -> list[list[str]]:
    return sorted(sorted(urls) for urls in authority.finished.values())


def expected_urls(settled: Settled, *states: str) -> list[list[str]]:
    book = settled.book()
    return sorted(
        sorted({case.address.unseal().url.decode() for case in exhibit.cases})  # type: ignore[union-attr]
        for exhibit in book.exhibits
        if book.state(exhibit).value in states
    )


# --- what is told -----------------------------------------------------------------------------------------------------


def test_each_confirmed_picture_is_told_once_with_all_its_addresses(settled: Settled) -> None:
    confirmed(settled)
    wanted, authority = expected_urls(settled, "confirmed"), MemoryAuthority()
    assert [len(urls) for urls in wanted] == [2] * 5
    report(settled, authority)
    assert told_urls(authority) == wanted
    assert settled.states() == Counter(reported=10, undecided=10)


@pytest.mark.parametrize("ruling", sorted(set(Ruling) - {Ruling.CSAM}))
def test_nothing_else_is_ever_told(settled: Settled, ruling: Ruling) -> None:
    confirmed(settled, ruling)
    authority = MemoryAuthority()
    result = report(settled, authority)
    assert result.lines == ("there is nothing to report",)
    assert authority.letters == []


def test_what_only_one_of_two_parties_confirmed_is_not_told(settled: Settled) -> None:
    settled.verify({"judge": judge(settled, Ruling.CSAM)}, parties=2)
    authority = MemoryAuthority()
    report(settled, authority)
    assert authority.letters == []


def test_pictures_that_a_platform_says_are_one_are_told_as_one(settled: Settled) -> None:
    exhibits = settled.exhibits()
    verdicts = {item: Verdict(Ruling.CSAM, ("same",)) for exhibit in exhibits[:3] for item in prints_of(exhibit)}
    verdicts |= {item: Verdict(Ruling.CSAM, ("other", "more")) for item in prints_of(exhibits[3])}
    settled.verify({"judge": MemoryPlatform(verdicts)})
    authority = MemoryAuthority()
    report(settled, authority)
    assert sorted(map(len, authority.finished.values())) == [2, 6]
    assert settled.states()["reported"] == 8


def test_the_same_id_of_two_parties_is_no_sameness(settled: Settled) -> None:
    exhibits = settled.exhibits()
    for name, party, exhibit in (("a", "one", exhibits[0]), ("b", "two", exhibits[1])):
        verdicts = dict.fromkeys(prints_of(exhibit), Verdict(Ruling.CSAM, ("same",)))
        settled.verify({name: MemoryPlatform(verdicts, replace(SHIELDLIKE, name=name, party=party))})
    authority = MemoryAuthority()
    report(settled, authority)
    assert len(authority.finished) == 2


def test_a_letter_says_why_and_holds_no_digest_and_no_entry(settled: Settled) -> None:
    confirmed(settled)
    authority = MemoryAuthority()
    report(settled, authority)
    for letter in authority.letters:
        assert "party" in letter.remarks
        assert letter.found_at == NOW
        urls = [url.unseal().decode() for url in letter.urls]
        assert leaks([("letter", letter.remarks.encode())], urls) == []
        assert not any(len(word) > 31 for word in letter.remarks.split())


def test_the_plan_says_counts_and_sends_nothing(settled: Settled) -> None:
    confirmed(settled, Ruling.CSAM, Ruling.HARMFUL)
    settled.said.clear()
    authority = MemoryAuthority()
    result = report(settled, authority, live=False)
    assert result.lines == ("nothing was sent; --live sends",)
    assert settled.said == [
        "5 confirmed pictures; 5 of them are to be reported, at 10 addresses",
        "authority (of the law): 5 reports, one for each picture",
        "  it learns: addresses, and nothing else",
        "  never reported: 10 cases that are harmful_not_illegal",
    ]
    assert authority.letters == []
    assert settled.states()["confirmed"] == 10


def test_an_unconfirmed_count_sends_nothing(settled: Settled) -> None:
    confirmed(settled)
    authority = MemoryAuthority()
    with pytest.raises(Stop, match="count was not confirmed"):
        report(settled, authority, agreed=lambda count: count == 6)
    assert authority.letters == []


def test_again_reports_nothing_twice(settled: Settled) -> None:
    confirmed(settled)
    authority = MemoryAuthority()
    for _ in range(3):
        report(settled, authority)
    assert len(authority.letters) == 5


def test_another_authority_is_told_of_its_own(settled: Settled) -> None:
    confirmed(settled)
    one, other = MemoryAuthority(), MemoryAuthority()
    report(settled, one)
    report(settled, other, name="other")
    assert told_urls(one) == told_urls(other)
    assert settled.states()["reported"] == 10


def test_cases_that_come_later_to_a_picture_already_told_are_counted_and_not_told_twice(settled: Settled) -> None:
    exhibits = settled.exhibits()
    same = Verdict(Ruling.CSAM, ("same",))
    settled.verify({"judge": MemoryPlatform(dict.fromkeys(prints_of(exhibits[1]), same))})
    authority = MemoryAuthority()
    report(settled, authority)
    more = dict.fromkeys([*prints_of(exhibits[0]), *prints_of(exhibits[1])], same)
    settled.verify({"late": MemoryPlatform(more, replace(SHIELDLIKE, name="late"))})
    settled.said.clear()
    report(settled, authority)
    assert len(authority.letters) == 1
    assert any("2 cases of pictures that it was told of came later" in line for line in settled.said)


# --- whatever is lost -------------------------------------------------------------------------------------------------


def test_killed_at_any_operation_each_picture_is_finished_exactly_once(settled: Settled) -> None:
    confirmed(settled)
    wanted = expected_urls(settled, "confirmed")
    run, aside = settled.place.run, settled.place.root / "run.aside"
    shutil.copytree(run, aside)
    counting = FaultyDisk()
    report(settled, MemoryAuthority(), disk=counting)
    assert len(counting.operations) > 100
    for at in range(len(counting.operations)):
        shutil.rmtree(run)
        shutil.copytree(aside, run)
        authority = MemoryAuthority()
        with pytest.raises(Killed):
            report(settled, authority, disk=FaultyDisk(Fault(at, "power" if at % 2 else "kill")))
        report(settled, authority)
        assert told_urls(authority) == wanted, at
        assert settled.states() == Counter(reported=10, undecided=10), at


class Spoiling:
    """The answers to some requests are lost, before or after they were heard."""

    def __init__(self, number: int, *, before: bool) -> None:
        self.left, self.before = number, before

    def __call__(self, _request: str, before: bool) -> None:
        if before == self.before:
            self.left -= 1
            if self.left == 0:
                raise ServiceError("authority", "timeout", may_pass=True)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("number", range(1, 11))
def test_a_lost_request_or_answer_leaves_one_finished_report_for_each_picture(
    settled: Settled, number: int, before: bool
) -> None:
    confirmed(settled)
    wanted, authority = expected_urls(settled, "confirmed"), MemoryAuthority(Spoiling(number, before=before))
    report(settled, authority)
    assert told_urls(authority) == wanted


def test_a_service_that_fails_for_good_stops_with_words_and_goes_on_later(settled: Settled) -> None:
    confirmed(settled)
    heard: list[str] = []

    def fails(request: str, before: bool) -> None:
        heard.append(request)
        if before and len(heard) > 6:
            raise ServiceError("authority", "3000")

    authority = MemoryAuthority(fails)
    with pytest.raises(Stop) as stopped:
        report(settled, authority)
    assert "pictures are not reported" in stopped.value.message
    done = len(authority.finished)
    assert 0 < done < 5
    assert settled.states()["reported"] == 2 * done
    authority.spoils = lambda _request, _before: None
    report(settled, authority)
    assert told_urls(authority) == expected_urls(settled, "reported")
    assert len(authority.finished) == 5


def test_a_report_that_the_authority_forgot_is_opened_again(settled: Settled) -> None:
    confirmed(settled)
    first: list[str] = []

    def forgets(request: str, before: bool) -> None:
        if request == "finish" and before and not first:
            first.append(next(iter(authority.open_reports)))
            del authority.open_reports[first[0]]

    authority = MemoryAuthority(forgets)
    report(settled, authority)
    assert len(authority.letters) == 6
    assert told_urls(authority) == expected_urls(settled, "reported")


# --- receipts and dates -----------------------------------------------------------------------------------------------


def test_receipts_are_sealed_for_all_cases_and_nothing_of_them_stands_in_clear(settled: Settled) -> None:
    confirmed(settled)
    authority = MemoryAuthority()
    report(settled, authority)
    lines = ReportBook(settled.book(), "tip", 365).journal.lines
    receipts = [line for line in lines if line["what"] == FINISHED]
    assert sorted(line["report_id"] for line in receipts) == sorted(authority.finished)
    assert sum(len(line["cases"]) for line in receipts) == 10
    urls = [url for found in authority.finished.values() for url in found]
    pictures = [line["picture"] for line in receipts]
    clear = [(name, data) for name, data in files_below(settled.place.run) if "/vault/" not in name]
    assert leaks(clear, [*urls, *pictures]) == []
    assert sorted(path.name for path in (settled.place.run / "vault" / "report").iterdir()) == ["book-1.age"]


def test_status_says_until_when_the_run_is_to_be_kept_even_once_it_is_closed(settled: Settled) -> None:
    from vetset.wiring.job import close

    confirmed(settled)
    report(settled, MemoryAuthority(), settings=Settings(report=ReportSettings(preserve_days=365)))
    close(settled.place.run)
    state = status_of(settled.place.run, today=date(2026, 12, 1))
    assert state["preserve"] == {"first_until": "2027-11-30", "last_until": "2027-11-30"}
    assert any("keep this run, sealed, until 2027-11-30" in line for line in state["lines"])
    assert not any("ALARM" in line for line in state["lines"])


@pytest.mark.parametrize(
    ("today", "alarm"),
    [
        (date(2027, 10, 30), ""),
        (date(2027, 10, 31), "ends in 30 days"),
        (date(2027, 11, 30), "ends in 0 days"),
        (date(2027, 12, 2), "ended 2 days ago"),
    ],
)
def test_the_end_of_a_duty_is_an_alarm_some_days_ahead(today: date, alarm: str) -> None:
    dates = {"first_until": "2027-11-30", "last_until": "2028-01-01"}
    lines = list(preservation_lines(dates, today, 30))
    assert "until 2028-01-01; the first duty ends 2027-11-30" in lines[0]
    assert [line for line in lines if "ALARM" in line] == ([lines[1]] if alarm else [])
    assert not alarm or alarm in lines[1]


def test_dates_that_cannot_be_read_are_an_alarm(tmp_path: Path) -> None:
    assert preserved(Ledger(tmp_path)) == {}
    assert list(preservation_lines({}, date(2026, 1, 1), 30)) == []
    (tmp_path / "sidecar").mkdir()
    for text in ("", "[]", "{}", '{"first_until": "soon", "last_until": "2027-01-01"}', "{"):
        (tmp_path / "sidecar" / "preserved.json").write_text(text, "utf-8")
        lines = list(preservation_lines(preserved(Ledger(tmp_path)), date(2026, 1, 1), 30))
        assert ["ALARM" in line for line in lines] == [True] * bool(text)


# --- by hand ----------------------------------------------------------------------------------------------------------

IDENTITY = age.new_identity()


def test_an_authority_told_by_hand_gets_a_bundle_and_gives_a_receipt(settled: Settled) -> None:
    confirmed(settled)
    out = settled.place.root / "for police"
    wanted = expected_urls(settled, "confirmed")
    reports.report_by_bundle(settled.request(), out, [age.recipient_of(IDENTITY)], "police")
    lines = age.decrypt((out / "cases.age").read_bytes(), [IDENTITY]).decode("utf-8").splitlines()
    pictures = [line for line in map(json.loads, lines) if "picture" in line]
    assert sorted(sorted(line["urls"]) for line in pictures) == wanted
    assert settled.states()["confirmed"] == 10  # sealed is not yet told
    bundle_id = json.loads((out / "manifest.json").read_text("utf-8"))["bundle"]
    result = reports.report_receipt(settled.request(), bundle_id, "police")
    assert result.lines[0] == "5 pictures reported to police"
    assert settled.states()["reported"] == 10
    assert status_of(settled.place.run)["preserve"]["last_until"] == "2027-11-24"


def test_a_receipt_for_what_was_never_handed_over_is_refused(settled: Settled) -> None:
    confirmed(settled)
    with pytest.raises(Stop, match="no bundle 0123 was made for police"):
        reports.report_receipt(settled.request(), "0123", "police")
    assert settled.states()["confirmed"] == 10


def test_told_pictures_keep_the_id_they_were_told_by(settled: Settled) -> None:
    confirmed(settled, Ruling.CSAM)
    book = settled.book()
    last = told_pictures(book, frozenset())[-1].id
    assert last in {told.id for told in told_pictures(book, frozenset({last}))}
