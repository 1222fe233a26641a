"""How often a host is asked: the interval, pauses that it asks for, and the breaker; all with seconds handed in."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset.fetcher.pace import Pace, Patience
from vetset.records import FetchOutcome

PATIENCE = Patience(
    first_pause_seconds=2, most_pause_seconds=100, failures_to_open=3, rest_seconds=10, trials=2, given_up_seconds=1000
)
NO_ANSWER = [
    FetchOutcome.DNS,
    FetchOutcome.REFUSED,
    FetchOutcome.TIMEOUT,
    FetchOutcome.TLS_INVALID,
    FetchOutcome.SERVER_ERROR,
]


def pace(interval_seconds: float = 0.0) -> Pace:
    return Pace(interval_seconds, PATIENCE, Random(3))


@given(st.lists(st.floats(0, 5), min_size=2, max_size=40), st.floats(0.01, 3))
def test_starts_are_never_closer_than_the_interval(waits: list[float], interval_seconds: float) -> None:
    one, now, starts = pace(interval_seconds), 0.0, []
    for wait in waits:
        now = max(now + wait, one.next_seconds)
        one.asked(now)
        starts.append(now)
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert min(gaps) >= interval_seconds - 1e-9


def test_without_an_interval_there_is_no_waiting() -> None:
    one = pace()
    one.asked(5)
    assert one.next_seconds <= 5


def test_a_host_may_ask_for_a_longer_interval_but_not_for_a_shorter() -> None:
    one = pace(1)
    one.slow_down(3)
    one.slow_down(0.1)
    one.asked(10)
    assert one.next_seconds == 13


def test_a_pause_is_as_long_as_was_asked_and_a_little_longer() -> None:
    one = pace()
    assert one.hold(100, 30)
    assert 130 <= one.next_seconds <= 130 + 30 / 4


def test_pauses_double_where_nothing_is_said_and_end_with_an_answer() -> None:
    one, lengths = pace(), []
    for now in (0, 1000, 2000):
        assert one.hold(now, 0)
        lengths.append(one.next_seconds - now)
    assert [2 <= lengths[0] <= 2.5, 4 <= lengths[1] <= 5, 8 <= lengths[2] <= 10] == [True] * 3
    one.answered(3000, FetchOutcome.FETCHED, reached=True)
    one.hold(4000, 0)
    assert 2 <= one.next_seconds - 4000 <= 2.5


def test_more_than_is_waited_for_is_not_waited_for() -> None:
    one = pace()
    assert not one.hold(0, 101)
    assert one.next_seconds == 0


@pytest.mark.parametrize("outcome", NO_ANSWER)
def test_the_breaker_opens_rests_tries_and_gives_up(outcome: FetchOutcome) -> None:
    one, now = pace(), 0.0
    for _ in range(3):
        assert one.given_up(now) is None
        assert not one.one_at_a_time
        one.asked(now)
        one.answered(now, outcome, reached=False)
    assert one.one_at_a_time
    assert 10 <= one.next_seconds <= 12.5
    now = one.next_seconds
    one.asked(now)
    one.answered(now, outcome, reached=False)
    assert 20 <= one.next_seconds - now <= 25
    assert one.given_up(now) is None
    now = one.next_seconds
    one.asked(now)
    one.answered(now, outcome, reached=False)
    assert one.given_up(now) is outcome
    assert one.given_up(now + 999) is outcome
    assert one.given_up(now + 1000) is None


def is_open(one: Pace) -> bool:
    return one.one_at_a_time


def test_one_answer_closes_the_breaker() -> None:
    one = pace()
    for _ in range(4):
        one.answered(0, FetchOutcome.TIMEOUT, reached=False)
    assert is_open(one)
    one.answered(50, FetchOutcome.GONE, reached=True)
    assert not is_open(one)
    one.answered(51, FetchOutcome.TIMEOUT, reached=False)
    assert one.given_up(51) is None
    assert not one.one_at_a_time


def test_what_was_on_its_way_when_the_breaker_opened_is_no_trial() -> None:
    one = pace()
    for _ in range(5):
        one.asked(0)
    for _ in range(5):
        one.answered(1, FetchOutcome.REFUSED, reached=False)
    assert one.one_at_a_time
    assert one.given_up(1) is None


@pytest.mark.parametrize("outcome", [outcome for outcome in FetchOutcome if outcome not in NO_ANSWER])
def test_other_outcomes_say_nothing_against_a_host(outcome: FetchOutcome) -> None:
    one = pace()
    for _ in range(50):
        one.answered(0, outcome, reached=False)
    assert not one.one_at_a_time


@pytest.mark.parametrize("outcome", NO_ANSWER)
def test_nor_does_anything_that_came_as_an_answer(outcome: FetchOutcome) -> None:
    one = pace()
    for _ in range(50):
        one.answered(0, outcome, reached=True)
    assert not one.one_at_a_time


def test_the_same_chance_gives_the_same_pauses() -> None:
    one, other = pace(), pace()
    for now in range(5):
        one.hold(now, 3)
        other.hold(now, 3)
        assert one.next_seconds == other.next_seconds
