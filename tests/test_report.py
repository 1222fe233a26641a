"""Report: exactly one finished report for each picture and none lost, whatever is dropped, doubled, forgotten or killed."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reporting import Killed, MemoryJournal, bench, letter, letters
from vetset.errors import ServiceError, Stop
from vetset.records import Abilities, Letter, Receipt
from vetset.stages.report import ReportOutcome, ReportPatience, report
from vetset.testing.cybertip_server import Tipline
from vetset.testing.serving import Asked, Fault, Reply

PATIENCE = ReportPatience()
STRUCK: list[Fault | Reply | None] = [Fault.LOST, Fault.CUT, Fault.TWICE, Fault.UNHEARD, Reply(503), None, None, None]


def waits() -> list[float]:
    return []


def finished_by_picture(tipline: Tipline) -> Counter[str]:
    """Finished reports by the picture that their remarks name."""
    return Counter(report.remarks.partition("Our reference: ")[2].partition(".")[0] for report in tipline.finished())


def once_each(count: int) -> Counter[str]:
    return Counter({f"picture-{number}": 1 for number in range(count)})


class Direct:
    """The emulated service without a network, as a port: its books, asked in the shapes that it knows."""

    abilities = Abilities("cybertip", "made up", (), 1, "nothing")

    def __init__(self, tipline: Tipline, chance: Random, faults_left: int) -> None:
        self.tipline = tipline
        self.chance = chance
        self.faults_left = faults_left
        self.dropped: Counter[str] = Counter()

    def ready(self) -> None:
        """Always."""

    def open(self, one: Letter) -> str:
        (url,) = one.urls
        text = f"<report><url>{url.unseal().decode()}</url><additionalInfo>Our reference: {one.picture}.</additionalInfo></report>"
        answer = self._exchanged("/submit", text.encode())
        return answer.partition("<reportId>")[2].partition("<")[0]

    def finish(self, report_id: str) -> Receipt:
        answer = self._exchanged("/finish", f"id={report_id}".encode())
        code = answer.partition("<responseCode>")[2].partition("<")[0]
        if code == "5001":
            raise ServiceError("cybertip", "gone")
        assert code in {"0", "5102"}, code
        return Receipt(report_id, letter("x").found_at)

    def retract(self, report_id: str) -> None:
        raise NotImplementedError

    def _exchanged(self, path: str, body: bytes) -> str:
        """A request that may be lost before, done twice, or done and its answer lost."""
        fault = self._fault()
        if fault == "unheard":
            raise ServiceError("cybertip", "connection", may_pass=True)
        answer = self._done(path, body)
        if fault == "twice":
            answer = self._done(path, body)
        if fault == "lost":
            raise ServiceError("cybertip", "connection", may_pass=True)
        return answer

    def _done(self, path: str, body: bytes) -> str:
        headers = {"authorization": "Basic aW52ZW50ZWQ6bWFkZS11cC13b3Jk"}
        return self.tipline.answer(Asked("POST", path, {}, headers, body)).body.decode()

    def _fault(self) -> str:
        if not self.faults_left or self.chance.random() < 0.4:
            return ""
        self.faults_left -= 1
        fault = self.chance.choice(["unheard", "twice", "lost", "lost"])
        self.dropped[fault] += 1
        return fault


def test_ten_thousand_dropped_or_duplicated_acknowledgements() -> None:
    """Exactly one finished report for each picture, none lost; the process dies on the way too, and time passes."""
    chance, tipline, journal, all_letters = Random(11), Tipline(), MemoryJournal(), letters(5000)
    authority = Direct(tipline, chance, 10_000)
    deaths = 0
    while any(not journal.standing(one.picture).receipt for one in all_letters):
        journal.kept, journal.dies_at, journal.after = 0, chance.randrange(1, 300), chance.random() < 0.5
        try:
            report(all_letters, authority, journal, lambda _: None, PATIENCE)
        except Killed:
            deaths += 1
            tipline.now_seconds += chance.choice([0.0, 0.0, 90_000.0])  # sometimes what was open is forgotten
    assert sum(authority.dropped.values()) == 10_000, authority.dropped
    assert min(authority.dropped.values()) > 1000
    assert finished_by_picture(tipline) == once_each(5000)
    assert deaths > 50


def test_over_real_http() -> None:
    """The client, the wire and the emulated service; answers are lost, cut and done twice, and reports forgotten."""
    chance, tipline, journal, pictures = Random(5), Tipline(), MemoryJournal(), 120
    with bench(tipline) as at:
        for _ in range(60):
            journal.kept, journal.dies_at, journal.after = 0, chance.randrange(1, 60), chance.random() < 0.5
            at.served.faults.clear()
            at.served.faults.extend(chance.choices(STRUCK, k=40))
            try:
                report(letters(pictures), at.authority, journal, lambda _: None, PATIENCE)
            except Killed:
                tipline.now_seconds += chance.choice([0.0, 90_000.0])
            if len(finished_by_picture(tipline)) == pictures:
                break
        at.served.faults.clear()
        journal.dies_at = 0
        result = report(letters(pictures), at.authority, journal, lambda _: None, PATIENCE)
    assert finished_by_picture(tipline) == once_each(pictures)
    assert result.tally.rows() == pictures
    assert all(one.receipt for one in result.onward)


faults = st.sampled_from([None, None, Fault.LOST, Fault.TWICE, Fault.UNHEARD, Fault.CUT, Reply(500)])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.booleans(), st.booleans(), st.lists(faults, max_size=8)), max_size=4))
def test_any_chain_of_deaths_and_faults(chain: list[tuple[int, bool, bool, list[Fault | Reply | None]]]) -> None:
    tipline, journal = Tipline(), MemoryJournal()
    with bench(tipline) as at:
        for dies_at, after, forgets, struck in chain:
            journal.kept, journal.dies_at, journal.after = 0, dies_at, after
            at.served.faults.clear()
            at.served.faults.extend(struck)
            try:
                report(letters(3), at.authority, journal, lambda _: None, PATIENCE)
            except Killed:
                at.forgets() if forgets else None
        at.served.faults.clear()
        journal.dies_at = 0
        result = report(letters(3), at.authority, journal, lambda _: None, PATIENCE)
    assert finished_by_picture(tipline) == once_each(3)
    assert {one.receipt.report_id for one in result.onward if one.receipt} == {
        name for name, one in tipline.reports.items() if one.state.value == "finished"
    }


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_every_step_of_the_journal(after: bool) -> None:
    for dies_at in range(1, 7):
        tipline, journal = Tipline(), MemoryJournal(dies_at=dies_at, after=after)
        with bench(tipline) as at:
            with pytest.raises(Killed):
                report(letters(2), at.authority, journal, lambda _: None, PATIENCE)
            journal.dies_at = 0
            report(letters(2), at.authority, journal, lambda _: None, PATIENCE)
        assert finished_by_picture(tipline) == once_each(2), f"killed at {dies_at}"


def test_an_id_is_kept_before_it_is_finished() -> None:
    journal = MemoryJournal()
    with bench() as at:
        at.served.before = lambda asked: seen.append((asked.path, journal.standing("picture-0").report_id))
        seen: list[tuple[str, str]] = []
        report(letters(1), at.authority, journal, lambda _: None, PATIENCE)
    assert seen[0] == ("/submit", "")
    assert seen[1][0] == "/finish"
    assert seen[1][1]


def test_a_report_that_was_forgotten_is_opened_anew() -> None:
    tipline, journal = Tipline(), MemoryJournal(dies_at=2, after=True)
    with bench(tipline) as at:
        with pytest.raises(Killed):
            report(letters(1), at.authority, journal, lambda _: None, PATIENCE)
        at.forgets()
        (one,) = report(letters(1), at.authority, journal, lambda _: None, PATIENCE).onward
    assert one.outcome is ReportOutcome.REPORTED
    assert journal.intentions == {"picture-0": 2}
    assert finished_by_picture(tipline) == once_each(1)


def test_one_that_is_always_forgotten_ends() -> None:
    """A service that forgets at once would otherwise be asked for ever."""
    tipline, journal = Tipline(), MemoryJournal()
    with bench(tipline) as at:
        at.served.before = lambda _: at.forgets()
        tipline.now_seconds = 1.0
        (one,) = report(letters(1), at.authority, journal, lambda _: None, PATIENCE).onward
    assert (one.outcome, one.trouble) == (ReportOutcome.LEFT_OPEN, "gone")
    assert not tipline.finished()


def test_what_is_reported_is_not_told_again() -> None:
    journal, tipline = MemoryJournal(), Tipline()
    with bench(tipline) as at:
        first = report(letters(2), at.authority, journal, lambda _: None, PATIENCE)
        asked = len(at.served.asked)
        second = report([*letters(2), letter("picture-0")], at.authority, journal, lambda _: None, PATIENCE)
        assert len(at.served.asked) == asked
    assert first.tally == {"reported": 2}
    assert second.tally == {"reported_before": 3}
    assert [one.receipt for one in first.onward] == [one.receipt for one in second.onward][:2]


def test_a_trouble_that_does_not_pass_ends_the_asking_and_loses_nothing() -> None:
    journal, tipline = MemoryJournal(), Tipline()
    with bench(tipline) as at:
        at.served.faults.extend([None, None, Reply(401)])
        result = report(letters(4), at.authority, journal, lambda _: None, PATIENCE)
        assert result.tally == {"reported": 1, "left_open": 1, "not_tried": 2}
        assert [one.trouble for one in result.onward] == ["", "http_401", "http_401", "http_401"]
        assert len(at.served.asked) == 3
        report(letters(4), at.authority, journal, lambda _: None, PATIENCE)
    assert finished_by_picture(tipline) == once_each(4)


def test_waiting_is_as_long_as_the_service_says_and_bounded() -> None:
    waited = waits()
    with bench() as at:
        at.served.faults.extend([Reply(429, b"", {"Retry-After": "9"}), Reply(503), Reply(503)])
        report(letters(1), at.authority, MemoryJournal(), waited.append, PATIENCE)
        assert waited == [9.0, 2.0, 4.0]
        at.served.faults.append(Reply(429, b"", {"Retry-After": "86400"}))
        result = report([letter("b")], at.authority, MemoryJournal(), waited.append, PATIENCE)
        assert result.tally == {"left_open": 1}
        assert waited == [9.0, 2.0, 4.0]
        at.served.faults.extend([Reply(503)] * 40)
        report([letter("c")], at.authority, MemoryJournal(), waited.append, PATIENCE)
    assert len(waited) == 3 + PATIENCE.attempts - 1


def test_a_letter_that_would_be_refused_stops_before_anything_is_sent() -> None:
    journal = MemoryJournal()
    with bench() as at:
        with pytest.raises(Stop):
            report([letter("a", "")], at.authority, journal, lambda _: None, PATIENCE)
        assert not at.served.asked


def test_nothing_of_a_letter_is_shown() -> None:
    with bench() as at:
        result = report(letters(1), at.authority, MemoryJournal(), lambda _: None, PATIENCE)
    assert "made-up.example" not in repr(result) + repr(result.onward)
