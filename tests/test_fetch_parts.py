"""What is committed while a group of hosts is asked, and the thread that takes answers off the network."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults import Fault, FaultyDisk, Killed
from tests.fetching import Site, site_in
from vetset.config import BudgetSettings
from vetset.errors import ShardError, Stop
from vetset.ledger import Ledger
from vetset.pipeline import observed
from vetset.pipeline.intake import Intake
from vetset.records import Answer, FetchOutcome, FingerprintOutcome, Request, Sealed

REQUESTS = [Request(number, Sealed(f"https://a.example/{number}")) for number in range(200)]


# --- the intake -------------------------------------------------------------------------------------------------------


class Plain:
    """Answers each request with so many bytes."""

    def __init__(self, size: int = 1, fail_at: int | None = None) -> None:
        self.size, self.fail_at, self.taken, self.closed = size, fail_at, 0, False

    def fetch(self, requests: Iterable[Request]) -> Iterator[Answer]:
        try:
            for request in requests:
                self.taken += 1
                if request.number == self.fail_at:
                    raise KeyError("a message that nobody hears")
                yield Answer(request.number, FetchOutcome.FETCHED, 1.0, body=Sealed(bytes(self.size)))
        finally:
            self.closed = True


def test_every_answer_comes_out_once_in_batches() -> None:
    with Intake(Plain(), REQUESTS) as intake:
        batches = list(intake.batches(16, 1.0))
    assert [answer.number for batch in batches for answer in batch] == list(range(200))
    assert max(map(len, batches)) <= 16


def test_each_answer_is_heard_before_the_next_request_is_drawn_however_late_it_is_taken() -> None:
    heard: list[int] = []

    def requests() -> Iterator[Request]:
        for request in REQUESTS:
            assert heard == list(range(request.number))
            yield request

    with Intake(Plain(), requests(), heard=lambda answer: heard.append(answer.number)) as intake:
        batches = list(intake.batches(500, 1.0))
    assert sum(map(len, batches)) == len(heard) == 200


def test_bodies_wait_only_up_to_a_bound() -> None:
    fetcher = Plain(size=100)
    with Intake(fetcher, REQUESTS, most_bytes=1000) as intake:
        batches = intake.batches(1, 1.0)
        for taken in range(1, 50):
            next(batches)
            assert fetcher.taken <= taken + 1000 // 100 + 3


def test_the_end_of_the_context_ends_the_asking_and_the_thread() -> None:
    fetcher, before = Plain(size=100), threading.active_count()
    with Intake(fetcher, REQUESTS, most_bytes=300) as intake:
        next(intake.batches(1, 1.0))
    assert fetcher.closed
    assert fetcher.taken < 20
    assert threading.active_count() == before


def test_what_ends_the_thread_is_raised_where_answers_are_taken() -> None:
    with pytest.raises(KeyError), Intake(Plain(fail_at=5), REQUESTS) as intake:
        list(intake.batches(4, 1.0))


def test_so_is_what_the_requests_raise() -> None:
    def requests() -> Iterator[Request]:
        yield REQUESTS[0]
        raise Stop("no more", hint="none")

    with pytest.raises(Stop, match="no more"), Intake(Plain(), requests()) as intake:
        list(intake.batches(4, 1.0))


def test_where_nothing_comes_an_empty_batch_lets_work_be_committed() -> None:
    gate = threading.Event()

    class Waiting(Plain):
        def fetch(self, requests: Iterable[Request]) -> Iterator[Answer]:
            gate.wait()
            yield from super().fetch(requests)

    with Intake(Waiting(), REQUESTS[:1]) as intake:
        batches = intake.batches(4, 0.001)
        assert next(batches) == []
        gate.set()
        assert [answer.number for batch in batches for answer in batch] == [0]


# --- lines ------------------------------------------------------------------------------------------------------------


def entries(count: int) -> Any:
    made = observed.unobserved(count)
    made["outcome"][::2] = np.arange(len(made[::2])) % len(FetchOutcome)
    made["bytes"] = np.arange(count) * 10**12
    made["at"] = 1_800_000_000.123456
    return made


@pytest.mark.parametrize("count", [0, 1, 2048, 5000])
def test_entries_come_back_from_their_lines(count: int) -> None:
    made = entries(count)
    again = observed.unobserved(count)
    assert observed.fill(again, observed.lines_of(made)).tolist() == list(range(count))
    assert (again == made).all()


def test_some_entries_come_back_alone() -> None:
    made, again = entries(10), observed.unobserved(10)
    observed.fill(again, observed.lines_of(made, np.array([2, 7])))
    assert again["bytes"].nonzero()[0].tolist() == [2, 7]


@pytest.mark.parametrize("line", [{}, {"numbers": [99]}, {"numbers": "x"}, {"numbers": [0], "outcome": [1000]}])
def test_damaged_lines_are_the_vaults_trouble(line: dict[str, Any]) -> None:
    whole = next(observed.lines_of(entries(1)))
    with pytest.raises(ShardError, match="damaged"):
        observed.fill(observed.unobserved(1), [{**(whole if line else {}), **line}])


def test_counts_and_troubles() -> None:
    made = observed.unobserved(4)
    outcomes, pictures = list(FetchOutcome), list(FingerprintOutcome)
    made["outcome"][:3] = [outcomes.index(FetchOutcome[name]) for name in ("FETCHED", "TIMEOUT", "GONE")]
    made["picture"][0] = pictures.index(FingerprintOutcome.SANDBOX_DEATH)
    assert observed.outcome_counts(made) == {FetchOutcome.FETCHED: 1, FetchOutcome.TIMEOUT: 1, FetchOutcome.GONE: 1}
    assert observed.troubles_of(made) == {"timeout", "sandbox_death"}
    assert observed.numbers_in(made, ["timeout"]).tolist() == [1]
    assert observed.numbers_in(made, ["sandbox_death", "gone"]).tolist() == [0, 2]


# --- parts ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def struck(tmp_path: Path) -> Site:
    """A run that was killed when several parts of one group were there."""
    site = site_in(tmp_path, 41, shards=2, rows=70)
    disk, one_group = FaultyDisk(), {"budget": BudgetSettings(host_groups=1)}
    site.audit(disk=disk, **one_group)
    renames = [
        number
        for number, operation in enumerate(disk.operations)
        if operation.name == "rename" and "fetch-1/hosts-000.age" in str(operation.path)
    ]
    for folder in (site.place.run, site.place.cleaned):
        shutil.rmtree(folder)
    with pytest.raises(Killed):
        site.audit(disk=FaultyDisk(fault=Fault(renames[0], "kill")), **one_group)
    if len(parts_of(site)) < 2:
        pytest.skip("the answers came all at once, so that there is one part only")
    return site


def parts_of(site: Site) -> list[Path]:
    return sorted((site.place.run / "vault/fetch-1-parts").glob("hosts-000.1-*.age"))


def resumed(site: Site) -> Any:
    return site.audit(resume=True, budget=BudgetSettings(host_groups=1))


def test_parts_are_taken_up_and_go_once_all_groups_are_through(struck: Site) -> None:
    asked = struck.web.asked()
    assert resumed(struck).complete
    assert struck.web.asked() == asked
    assert not (struck.place.run / "vault/fetch-1-parts").exists()


def test_a_part_that_does_not_follow_the_one_before_is_noticed(struck: Site) -> None:
    first, second, *_ = parts_of(struck)
    shutil.copy(second, first)
    result = resumed(struck)
    assert not result.complete
    failures = Ledger(struck.place.run).failures("fetch-1")
    assert failures["hosts-000"].trouble == "vault_unreadable"


def test_an_unfinished_part_is_as_if_it_had_never_been(struck: Site) -> None:
    *_, last = parts_of(struck)
    last.rename(last.with_name(f"{last.name}.partial"))
    before = sum(struck.web.asked().values())
    assert resumed(struck).complete
    assert sum(struck.web.asked().values()) > before
    assert not list(struck.place.run.rglob("*.partial"))
