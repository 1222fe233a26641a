"""Wrappers: what is asked again and when, limits kept over processes and months, and a dry run that only counts."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bodies import count_file, made_up, pdq
from vetset.errors import ServiceError, Stop
from vetset.kernels import planned
from vetset.records import Abilities, Question, Ruling, Verdict
from vetset.wrappers import DRY_RUN, MONTH_QUOTA, DryRun, Limited, Patience, Retrying, requests_counted

ABILITIES = Abilities("body", "party", ("pdq",), 2, "it learns little.")
USUAL = Patience()
QUESTIONS = pdq(made_up("one"))
NOVEMBER = datetime(2026, 11, 30, 23, 59, tzinfo=UTC).timestamp()


@dataclass
class Scripted:
    """A platform that says one thing after the other; the last for ever."""

    says: list[ServiceError | Ruling] = field(default_factory=lambda: [Ruling.NO_MATCH])
    abilities: Abilities = ABILITIES
    asked_at: list[float] = field(default_factory=list)
    clock: Callable[[], float] = lambda: 0.0
    made_ready: int = 0

    def ready(self) -> None:
        self.made_ready += 1

    def judge(self, questions: Sequence[Question]) -> Sequence[Verdict]:
        self.asked_at.append(self.clock())
        said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        if isinstance(said, ServiceError):
            raise said
        return [Verdict(said) for _ in questions]


@dataclass
class Time:
    """A clock that goes on when somebody waits."""

    now: float = NOVEMBER
    waited: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        assert seconds > 0
        self.waited.append(seconds)
        self.now += seconds


def passing(wait_seconds: float = 0.0) -> ServiceError:
    return ServiceError("body", "http_503", may_pass=True, wait_seconds=wait_seconds)


# --- asking again ---------------------------------------------------------------------------------------------------


def retried(says: list[ServiceError | Ruling], patience: Patience = USUAL, seed: int = 1) -> tuple[Scripted, Time, str]:
    body, time = Scripted(says), Time()
    wrapped = Retrying(body, wait=time.wait, random=Random(seed), patience=patience)
    try:
        (verdict,) = wrapped.judge(QUESTIONS)
    except ServiceError as error:
        return body, time, error.code
    return body, time, verdict.ruling.value


def test_what_may_pass_is_asked_again_until_it_has_passed() -> None:
    body, time, said = retried([passing(), passing(), Ruling.CSAM])
    assert (len(body.asked_at), len(time.waited), said) == (3, 2, "csam")


def test_what_may_not_pass_is_not_asked_again() -> None:
    for code in ("broken_answer", "http_401", "code_3002", "canary_not_found", DRY_RUN, MONTH_QUOTA):
        body, time, said = retried([ServiceError("body", code), Ruling.CSAM])
        assert (len(body.asked_at), time.waited, said) == (1, [], code)


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_it_ends_with_the_last_error(attempts: int) -> None:
    body, time, said = retried([passing()], Patience(attempts=attempts))
    assert (len(body.asked_at), len(time.waited), said) == (attempts, attempts - 1, "http_503")


@given(st.integers(0, 2**32), st.floats(0.01, 10), st.floats(0.01, 100), st.integers(2, 12))
def test_pauses_double_within_bounds_and_are_drawn(seed: int, first: float, most: float, attempts: int) -> None:
    patience = Patience(attempts=attempts, first_seconds=first, most_seconds=most)
    _, time, _ = retried([passing()], patience, seed)
    for number, pause in enumerate(time.waited):
        longest = min(most, first * 2**number)
        assert longest / 2 <= pause <= longest


def test_two_that_fail_at_once_do_not_come_back_at_once() -> None:
    pauses = {tuple(retried([passing()], seed=seed)[1].waited) for seed in range(20)}
    assert len(pauses) == 20


def test_the_bodys_own_wait_is_kept_up_to_a_bound() -> None:
    _, time, said = retried([passing(120.0), Ruling.CSAM])
    assert (time.waited, said) == ([120.0], "csam")
    body, time, said = retried([passing(301.0), Ruling.CSAM])
    assert (len(body.asked_at), time.waited, said) == (1, [], "http_503")
    _, time, _ = retried([passing(0.001), Ruling.CSAM])
    assert time.waited[0] >= 0.5  # a wait of nothing is no reason to come back at once


def test_it_is_the_platform_that_it_wraps() -> None:
    body = Scripted()
    wrapped = Retrying(body, wait=Time().wait, random=Random(1))
    wrapped.ready()
    assert (wrapped.abilities, body.made_ready) == (ABILITIES, 1)


# --- limits ---------------------------------------------------------------------------------------------------------


def limited(folder: Path, time: Time, second: float = 0.0, month: int = 0) -> tuple[Limited, Scripted]:
    body = Scripted(
        abilities=replace(ABILITIES, requests_per_second=second, requests_per_month=month), clock=time.clock
    )
    return Limited(body, counted_in=count_file(folder), clock=time.clock, wait=time.wait), body


def test_requests_are_so_far_apart(tmp_path: Path) -> None:
    time = Time()
    wrapped, body = limited(tmp_path, time, second=5.0)
    for _ in range(26):
        wrapped.judge(QUESTIONS)
    assert time.now - NOVEMBER == pytest.approx(5.0)
    gaps = [later - sooner for sooner, later in zip(body.asked_at, body.asked_at[1:], strict=False)]
    assert min(gaps) == pytest.approx(0.2)


def test_who_comes_late_does_not_wait(tmp_path: Path) -> None:
    time = Time()
    wrapped, _ = limited(tmp_path, time, second=5.0)
    wrapped.judge(QUESTIONS)
    time.now += 10.0
    wrapped.judge(QUESTIONS)
    assert time.waited == []


def test_a_month_ends_and_the_next_begins(tmp_path: Path) -> None:
    time = Time()
    wrapped, body = limited(tmp_path, time, month=3)
    for _ in range(3):
        wrapped.judge(QUESTIONS)
    with pytest.raises(ServiceError) as error:
        wrapped.judge(QUESTIONS)
    assert (error.value.code, error.value.may_pass, error.value.wait_seconds) == (MONTH_QUOTA, False, 60.0)
    assert len(body.asked_at) == 3
    with pytest.raises(Stop, match="quota of body is used up") as stop:
        wrapped.ready()
    assert "1 minute" in stop.value.hint
    time.now += 60.0
    wrapped.judge(QUESTIONS)
    assert requests_counted(count_file(tmp_path), time.now) == 1
    assert requests_counted(count_file(tmp_path), NOVEMBER) == 0


def test_a_request_is_counted_before_it_is_sent(tmp_path: Path) -> None:
    time = Time()
    wrapped, body = limited(tmp_path, time)
    body.says = [passing()]
    with pytest.raises(ServiceError):
        wrapped.judge(QUESTIONS)
    assert requests_counted(count_file(tmp_path), time.now) == 1


def test_each_attempt_counts_where_limits_stand_inside_of_retries(tmp_path: Path) -> None:
    time = Time()
    inner, body = limited(tmp_path, time, month=3)
    body.says = [passing()]
    wrapped = Retrying(inner, wait=time.wait, random=Random(1))
    time.now -= 86_400.0 * 20
    with pytest.raises(ServiceError) as error:
        wrapped.judge(QUESTIONS)
    assert (error.value.code, len(body.asked_at)) == (MONTH_QUOTA, 3)


def test_nothing_counts_for_nothing_and_ready_counts(tmp_path: Path) -> None:
    time = Time()
    wrapped, body = limited(tmp_path, time)
    assert list(wrapped.judge([])) == []
    assert requests_counted(count_file(tmp_path), time.now) == 0
    wrapped.ready()
    assert (requests_counted(count_file(tmp_path), time.now), body.made_ready) == (1, 1)


@given(st.integers(1, 40), st.sampled_from([0.0, 0.5, 5.0, 64.0]))
def test_it_takes_as_long_as_the_plan_says(requests: int, second: float) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        time = Time()
        wrapped, body = limited(Path(folder), time, second=second)
        for _ in range(requests):
            wrapped.judge(QUESTIONS)
        (need,) = planned({"pdq": requests * ABILITIES.batch}, [body.abilities]).needs
    assert need.requests == requests
    assert time.now - NOVEMBER == pytest.approx(need.seconds, abs=1e-3)


def test_a_clock_that_is_set_back_is_no_queue(tmp_path: Path) -> None:
    time = Time()
    wrapped, _ = limited(tmp_path, time, second=5.0)
    wrapped.judge(QUESTIONS)
    time.now -= 86_400.0
    wrapped.judge(QUESTIONS)
    assert sum(time.waited) < 1.0


# --- the counting file ----------------------------------------------------------------------------------------------


def _count_many(path: str, times: int) -> None:
    body = Scripted(abilities=replace(ABILITIES, requests_per_second=1_000_000.0))
    wrapped = Limited(body, counted_in=Path(path), clock=lambda: NOVEMBER, wait=lambda _: None)
    for _ in range(times):
        wrapped.judge(QUESTIONS)


def test_processes_count_together(tmp_path: Path) -> None:
    path = str(count_file(tmp_path))
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_count_many, args=(path, 200)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    said = json.loads(Path(path).read_text())
    assert said["requests"] == 400
    assert said["next_at"] == pytest.approx(NOVEMBER + 400e-6, abs=1e-4)


def test_who_counts_is_alone(tmp_path: Path) -> None:
    wrapped, body = limited(tmp_path, Time())
    wrapped.judge(QUESTIONS)
    handle = os.open(count_file(tmp_path), os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    other = threading.Thread(target=wrapped.judge, args=(QUESTIONS,))
    other.start()
    other.join(0.3)
    assert (other.is_alive(), len(body.asked_at)) == (True, 1)
    os.close(handle)
    other.join(10)
    assert (other.is_alive(), len(body.asked_at)) == (False, 2)


def test_two_that_share_a_file_keep_the_limit_together(tmp_path: Path) -> None:
    time = Time()
    one, other = limited(tmp_path, time, second=1.0)[0], limited(tmp_path, time, second=1.0)[0]
    for _ in range(5):
        one.judge(QUESTIONS)
        other.judge(QUESTIONS)
    assert time.now - NOVEMBER == pytest.approx(9.0)


def test_the_file_is_small_always_of_one_size_and_the_users_own(tmp_path: Path) -> None:
    time = Time()
    wrapped, _ = limited(tmp_path, time, second=3.0)
    sizes = set()
    for _ in range(12):
        wrapped.judge(QUESTIONS)
        sizes.add(count_file(tmp_path).stat().st_size)
    assert sizes == {128}
    inner, _ = limited(tmp_path / "settings" / "vetset", time)
    inner.judge(QUESTIONS)
    assert (tmp_path / "settings" / "vetset").stat().st_mode & 0o777 == 0o700
    assert count_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert count_file(tmp_path).parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "text",
    [
        b"\x00",
        b"{",
        b"[]",
        b"{}",
        b'{"month": "2026-11"}',
        b'{"month": "2026-11", "requests": "x", "next_at": 0}',
        b"\xff" * 128,
    ],
)
def test_a_file_that_cannot_be_understood_stops(tmp_path: Path, text: bytes) -> None:
    wrapped, body = limited(tmp_path, Time(), month=3)
    count_file(tmp_path).parent.mkdir()
    count_file(tmp_path).write_bytes(text)
    with pytest.raises(Stop, match="cannot count requests") as stop:
        wrapped.judge(QUESTIONS)
    assert "monthly quota" in stop.value.hint
    with pytest.raises(Stop):
        requests_counted(count_file(tmp_path), NOVEMBER)
    assert body.asked_at == []
    assert count_file(tmp_path).read_bytes() == text


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_file_that_cannot_be_written_stops(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(Stop, match="cannot count requests"):
        limited(tmp_path, Time())[0].judge(QUESTIONS)


def test_a_folder_in_its_place_stops(tmp_path: Path) -> None:
    count_file(tmp_path).mkdir(parents=True)
    with pytest.raises(Stop, match="cannot count requests"):
        limited(tmp_path, Time())[0].judge(QUESTIONS)
    with pytest.raises(Stop, match="cannot count requests"):
        requests_counted(count_file(tmp_path), NOVEMBER)


def test_no_file_is_no_request(tmp_path: Path) -> None:
    assert requests_counted(count_file(tmp_path), NOVEMBER) == 0


# --- a dry run ------------------------------------------------------------------------------------------------------


def test_a_dry_run_counts_requests_and_their_shapes() -> None:
    dry = DryRun(replace(ABILITIES, batch=3))
    values = [made_up(str(number)) for number in range(8)]
    for lot in (values[:3], values[3:6], values[6:]):
        with pytest.raises(ServiceError) as error:
            dry.judge(pdq(*lot))
        assert (error.value.code, error.value.may_pass) == (DRY_RUN, False)
    assert dry.requests == 3
    assert dict(dry.fingerprints) == {"pdq": 8}
    assert dict(dry.shapes) == {(("pdq", 3),): 2, (("pdq", 2),): 1}
    assert list(dry.judge([])) == []
    assert dry.requests == 3


def test_a_dry_run_holds_no_way_to_any_body() -> None:
    assert set(vars(DryRun(ABILITIES))) == {"abilities", "fingerprints", "shapes"}


def test_a_dry_run_counts_as_the_plan_does() -> None:
    dry = DryRun(ABILITIES)
    for start in range(0, 7, ABILITIES.batch):
        with pytest.raises(ServiceError):
            dry.judge(pdq(*[made_up(str(number)) for number in range(start, min(7, start + ABILITIES.batch))]))
    (need,) = planned({"pdq": 7}, [ABILITIES]).needs
    assert (need.requests, need.fingerprints) == (dry.requests, dry.fingerprints.total())
