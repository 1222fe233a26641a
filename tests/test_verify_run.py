"""Verify on an audited run: what is asked, what becomes of cases, and that no crash loses a verdict or asks twice."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.commanding import MEMORY
from tests.faults import Fault, FaultyDisk, Killed
from tests.settling import Settled, mixed, planted, prints_of
from vetset.errors import ServiceError, Stop
from vetset.records import Ruling, ScreenOutcome, Verdict
from vetset.stages.verify import WORD
from vetset.testing.judges import SHIELDLIKE, MemoryPlatform
from vetset.vault import close_run
from vetset.wrappers import MONTH_QUOTA

MIXED = (Ruling.CSAM, Ruling.NO_MATCH, Ruling.HARMFUL, Ruling.UNREACHABLE, Ruling.TEST)


@pytest.fixture(scope="module")
def audited() -> Iterator[Settled]:
    with tempfile.TemporaryDirectory(prefix="vetset-test-", dir=MEMORY) as name:
        settled, plants = planted(Path(name) / "made")
        assert len(settled.place.outcomes()) == len(plants.expected) == 20
        yield settled


@pytest.fixture
def settled(audited: Settled) -> Iterator[Settled]:
    """A copy of the audited place under its own path, since a run knows where its dataset lies."""
    root = audited.place.root
    aside = root.with_name("aside")
    shutil.copytree(root, aside)
    audited.said.clear()
    yield audited
    shutil.rmtree(root)
    aside.rename(root)


def judge(settled: Settled, *rulings: Ruling, **changes: Any) -> MemoryPlatform:
    return MemoryPlatform(mixed(settled.exhibits(), *(rulings or MIXED)), replace(SHIELDLIKE, **changes))


# --- what is asked ----------------------------------------------------------------------------------------------------


def test_duplicates_share_one_question_and_one_verdict(settled: Settled) -> None:
    exhibits = settled.exhibits()
    assert [len(exhibit.cases) for exhibit in exhibits] == [2] * 10  # each listed picture stands in both shards
    platform = judge(settled)
    settled.verify({"judge": platform})
    asked = [item for request in platform.asked for item in request]
    assert sorted(asked) == sorted({item for exhibit in exhibits for item in prints_of(exhibit)})
    assert settled.states() == Counter(confirmed=4, undecided=4, harmful_not_illegal=4, unreachable=4, test=4)


def test_the_books_balance_at_every_step(settled: Settled) -> None:
    found = len(settled.place.outcomes())
    assert settled.states().total() == found
    for fails_at in (1, 2, 0):
        platform = replace(judge(settled), fails_at=fails_at)
        if fails_at:
            with pytest.raises(Stop):
                settled.verify({"judge": platform})
        else:
            settled.verify({"judge": platform})
        assert settled.states().total() == found


def test_the_fingerprint_that_is_asked_is_the_one_that_met_the_list(settled: Settled) -> None:
    """Turned and mirrored copies are asked about as the list knows the picture, for a body may not turn them back."""
    met = 0
    for exhibit in settled.exhibits():
        for case in exhibit.cases:
            assert [question.kind for question in case.prints.values()] == ["pdq"]
            near = [(match.near.distance, match.key.unseal()) for match in case.matches if match.near]
            if near:
                distance, key = min(near)
                (asked,) = prints_of(replace(exhibit, cases=(case,)))
                assert (int.from_bytes(asked) ^ int.from_bytes(key)).bit_count() == distance
                met += 1
    assert met >= 16  # all but the exact copies


def test_nothing_is_sent_without_live_and_nothing_is_kept(settled: Settled) -> None:
    platform = judge(settled)
    result = settled.verify({"judge": platform}, live=False)
    assert result.lines == ("nothing was sent; --live sends",)
    assert platform.asked == []
    assert not (settled.place.run / "vault" / "verify").exists()
    assert "judge (party): 10 fingerprints in 2 requests: as quickly as it answers" in settled.said


def test_nothing_is_sent_when_the_count_is_not_confirmed(settled: Settled) -> None:
    platform = judge(settled)
    named: list[int] = []

    def agreed(count: int) -> bool:
        named.append(count)
        return False

    with pytest.raises(Stop, match="count was not confirmed"):
        settled.verify({"judge": platform}, agreed=agreed)
    assert named == [10]
    assert platform.asked == []


def test_the_plan_says_how_long_within_the_limits_and_what_is_learned(settled: Settled) -> None:
    slow = judge(settled, requests_per_second=0.25, batch=1)
    settled.verify({"judge": slow}, live=False)
    assert "judge (party): 10 fingerprints in 10 requests: 36 seconds, bound by its requests a second" in settled.said
    assert "  it learns: fingerprints, and nothing else" in settled.said


def test_what_a_body_answered_it_is_not_asked_again(settled: Settled) -> None:
    platform = judge(settled)
    settled.verify({"judge": platform})
    first = len(platform.asked)
    settled.verify({"judge": platform})
    assert len(platform.asked) == first


def test_another_body_is_asked_only_about_what_is_open(settled: Settled) -> None:
    first, second = judge(settled), judge(settled, Ruling.CSAM, name="other", party="others")
    settled.verify({"judge": first, "other": second})
    assert sum(map(len, second.asked)) == 4  # two undecided and two unreachable pictures
    assert settled.states() == Counter(confirmed=12, harmful_not_illegal=4, test=4)


def test_two_parties_are_needed_where_the_policy_asks(settled: Settled) -> None:
    one, same = judge(settled, Ruling.CSAM), judge(settled, Ruling.CSAM, name="same")
    settled.verify({"judge": one, "same": same}, parties=2)
    assert settled.states() == Counter(undecided=20)
    settled.verify({"other": judge(settled, Ruling.CSAM, name="other", party="others")}, parties=2)
    assert settled.states() == Counter(confirmed=20)


def test_a_machine_refutes_nothing_and_frees_no_row(settled: Settled) -> None:
    before = settled.place.cleaned_bytes()
    settled.verify({"judge": judge(settled, Ruling.NO_MATCH, Ruling.REFUTED)})
    assert settled.states() == Counter(undecided=20)
    shutil.rmtree(settled.place.cleaned)
    settled.place.audit(reach="local", resume=True)
    assert settled.place.cleaned_bytes() == before


def test_a_closed_run_is_verified_with_a_custodians_key(settled: Settled) -> None:
    from vetset.ledger import open_run

    close_run(open_run(settled.place.run)[0])
    settled.verify({"judge": judge(settled)})
    assert settled.states().total() == 20
    (settled.place.config / "custodian.key").rename(settled.place.root / "elsewhere.key")
    with pytest.raises(Stop, match="closed"):
        settled.states()
    settled.verify({"judge": judge_without(settled)}, identities=(settled.place.root / "elsewhere.key",))


def judge_without(_: Settled) -> MemoryPlatform:
    return MemoryPlatform()


def test_an_unfinished_audit_is_not_verified(settled: Settled) -> None:
    path = next((settled.place.run / "manifests" / "match").glob("*.json"))
    path.unlink()
    with pytest.raises(Stop, match="did not go through match yet"):
        settled.states()


def test_match_ids_and_what_was_said_are_kept(settled: Settled) -> None:
    exhibit = settled.exhibits()[0]
    said = Verdict(Ruling.CSAM, ("m1", "m2"), near=True, distance=3, noted={"source": "x"})
    settled.verify({"judge": MemoryPlatform(dict.fromkeys(prints_of(exhibit), said))})
    book = settled.book()
    (word, *more) = book.words_about(book.exhibits[0])
    assert not more or all(line["what"] == WORD for line in more)
    assert (word["match_ids"], word["near"], word["distance"], word["noted"]) == (
        ["m1", "m2"],
        True,
        3,
        {"source": "x"},
    )


def test_only_rows_that_were_found_are_cases(settled: Settled) -> None:
    book = settled.book()
    places = {(case.shard_id, case.row) for exhibit in book.exhibits for case in exhibit.cases}
    assert len(places) == 20
    assert {case.outcome for exhibit in book.exhibits for case in exhibit.cases} <= {
        ScreenOutcome.HIT,
        ScreenOutcome.NEAR_HIT,
    }


# --- crashes ----------------------------------------------------------------------------------------------------------


def asked_of(platform: MemoryPlatform) -> Counter[bytes]:
    return Counter(item for request in platform.asked for item in request)


def twice(platform: MemoryPlatform) -> int:
    """Fingerprints that were sent more than once."""
    return sum(count - 1 for count in asked_of(platform).values())


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_killed_at_an_answer_only_that_batch_is_asked_again(settled: Settled, at: int) -> None:
    done = judge(settled, batch=3)
    killer = Killing(done.verdicts, done.abilities, 0, done.asked, at)
    with pytest.raises(Killed):
        settled.verify({"judge": killer})
    settled.verify({"judge": done})
    assert twice(done) <= 3
    assert settled.states() == Counter(confirmed=4, undecided=4, harmful_not_illegal=4, unreachable=4, test=4)


class Killing(MemoryPlatform):
    """Hears a request, and the process dies before the answer is read."""

    def __init__(self, verdicts: Any, abilities: Any, fails_at: int, asked: list[list[bytes]], dies_at: int) -> None:
        super().__init__(verdicts, abilities, fails_at, asked)
        self.dies_at = dies_at

    def judge(self, questions: Any) -> Any:
        super().judge(questions)
        if len(self.asked) == self.dies_at:
            raise Killed
        return [self.verdicts[item] for item in self.asked[-1]]


def test_killed_at_any_operation_no_verdict_is_lost_and_one_batch_is_asked_again_at_most(settled: Settled) -> None:
    run, aside = settled.place.run, settled.place.root / "run.aside"
    shutil.copytree(run, aside)
    platform = judge(settled, batch=3)
    counting = FaultyDisk()
    settled.verify({"judge": platform}, disk=counting)
    wanted = settled.states()
    assert len(counting.operations) > 40
    for at in range(len(counting.operations)):
        for kind in ("kill", "power"):
            shutil.rmtree(run)
            shutil.copytree(aside, run)
            platform.asked.clear()
            with pytest.raises(Killed):
                settled.verify({"judge": platform}, disk=FaultyDisk(Fault(at, kind)))
            kept = len([line for line in settled.book().journal.lines if line["what"] == WORD])
            heard = sum(map(len, platform.asked))
            assert kept >= heard - 3, (at, kind)  # all answers but those of the last batch
            settled.verify({"judge": platform})
            assert settled.states() == wanted, (at, kind)
            assert twice(platform) <= 3, (at, kind)
            assert len(asked_of(platform)) == 10


@pytest.mark.parametrize("kind", ["ENOSPC", "EIO"])
def test_a_disk_that_is_full_stops_with_words_and_loses_nothing(settled: Settled, kind: str) -> None:
    platform = judge(settled, batch=3)
    with pytest.raises(Stop, match="cannot"):
        settled.verify({"judge": platform}, disk=FaultyDisk(Fault(25, kind)))
    settled.verify({"judge": platform})
    assert settled.states().total() == 20
    assert twice(platform) <= 3


def test_a_quota_that_is_used_up_says_when_to_go_on(settled: Settled) -> None:
    class Spent(MemoryPlatform):
        def judge(self, questions: Any) -> Any:
            if self.asked:
                raise ServiceError("judge", MONTH_QUOTA, wait_seconds=86_400.0)
            return super().judge(questions)

    spent = Spent(mixed(settled.exhibits(), Ruling.CSAM), SHIELDLIKE)
    with pytest.raises(Stop) as stopped:
        settled.verify({"judge": spent})
    assert stopped.value.message == "the month's quota of judge is used up"
    assert "goes on in 1 day" in stopped.value.hint
    assert settled.states() == Counter(confirmed=10, sent=10)
