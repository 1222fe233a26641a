"""The planner of quotas against a slow simulation that sends one request after the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vetset.kernels.quota import (
    MONTH_SECONDS,
    Binding,
    Need,
    duration_words,
    month_of,
    plan_lines,
    planned,
    seconds_left_of_month,
)
from vetset.records import Abilities

DAY = 86_400.0


def body(
    name: str = "a", kinds: tuple[str, ...] = ("pdq",), batch: int = 1, second: float = 0.0, month: int = 0
) -> Abilities:
    return Abilities(name, f"party of {name}", kinds, batch, "it learns little.", second, month)


def need(count: int, **given_: float) -> Need:
    used, left = int(given_.pop("used", 0)), given_.pop("left", MONTH_SECONDS)
    asked = body(**given_)  # type: ignore[arg-type]
    plan = planned({"pdq": count}, [asked], used_this_month={"a": used}, seconds_left_of_month=left)
    return plan.needs[0]


def simulated(requests: int, second: float, quota: int, used: int, left: float) -> Fraction:
    """Each request at the earliest moment that both limits let it: the definition."""
    gap = 1 / Fraction(second) if second else Fraction(0)
    at, counted, month = -gap, used, -1
    for _ in range(requests):
        at += gap
        while True:
            now = 0 if at < left else 1 + int((at - Fraction(left)) // Fraction(MONTH_SECONDS))
            if now != month:
                counted, month = (used if now == 0 else 0), now
            if not quota or counted < quota:
                break
            at = Fraction(left) + now * Fraction(MONTH_SECONDS)
        counted += 1
    return max(at, Fraction(0))


# --- against the simulation -----------------------------------------------------------------------------------------

rates = st.one_of(st.just(0.0), st.integers(10, 22).map(lambda power: 2.0**-power), st.floats(2e-7, 1e-3))
lefts = st.one_of(st.floats(0.0, MONTH_SECONDS), st.just(MONTH_SECONDS), st.sampled_from([0.0, 131_072.0, 1.0]))


@given(st.integers(0, 300), rates, st.one_of(st.just(0), st.integers(1, 60)), st.integers(0, 80), lefts)
@example(21, 2.0**-17, 0, 0, 131_072.0)
@example(40, 2.0**-17, 20, 20, 0.0)
@example(64, 2.0**-17, 21, 0, MONTH_SECONDS)
@example(5, 0.0, 2, 0, 0.0)
def test_the_duration_is_that_of_the_simulation(
    requests: int, second: float, month: int, used: int, left: float
) -> None:
    said = need(requests, second=second, month=month, used=used, left=left)
    assert said.requests == requests
    assert said.seconds == float(simulated(requests, second, month, used, left))


@given(st.integers(1, 400), st.integers(16, 20), st.integers(-2, 2), st.integers(0, 3), st.floats(0.0, 1e6))
@example(60, 17, 0, 0, 100_000.0)
def test_where_both_limits_are_close_to_each_other(
    requests: int, power: int, aside: int, used: int, left: float
) -> None:
    """A month holds about as many requests as its quota: the first one of a month comes late, by less and less."""
    second = 2.0**-power
    month = max(1, int(MONTH_SECONDS * second) + aside)
    said = need(requests, second=second, month=month, used=used, left=left)
    assert said.seconds == float(simulated(requests, second, month, used, left))


@given(st.integers(1, 10_000), rates, st.integers(1, 60), st.integers(0, 80), lefts)
def test_more_is_never_sooner(requests: int, second: float, month: int, used: int, left: float) -> None:
    fewer = need(requests - 1, second=second, month=month, used=used, left=left)
    more = need(requests, second=second, month=month, used=used, left=left)
    assert fewer.seconds <= more.seconds
    assert need(requests, second=second, month=month + 1, used=used, left=left).seconds <= more.seconds


# --- the figures of the field ---------------------------------------------------------------------------------------


def test_sixty_five_million_candidates_at_five_requests_a_second_of_five_hashes() -> None:
    said = need(65_000_000, batch=5, second=5.0)
    assert said.requests == 13_000_000
    assert said.seconds == pytest.approx(2_600_000, abs=1)
    assert said.seconds / DAY == pytest.approx(30.09, abs=0.01)
    assert (said.binding, said.months_of_quota) == (Binding.RATE, 0.0)


def test_the_same_with_ten_million_calls_a_month() -> None:
    said = need(65_000_000, batch=5, second=5.0, month=10_000_000)
    assert said.months_of_quota == 1.3
    assert said.binding is Binding.MONTH
    # The quota is used up after 23 days; what is left goes at five a second from the next month on.
    assert said.seconds == pytest.approx(MONTH_SECONDS + 3_000_000 / 5, abs=1)


def test_single_calls_take_six_and_a_half_months_of_quota() -> None:
    said = need(65_000_000, batch=1, second=200.0, month=10_000_000)
    assert (said.requests, said.months_of_quota, said.binding) == (65_000_000, 6.5, Binding.MONTH)
    assert said.seconds == pytest.approx(6 * MONTH_SECONDS + 5_000_000 / 200, abs=1)


def test_a_whole_index_at_ten_million_calls_a_month() -> None:
    said = need(5_850_000_000, second=200.0, month=10_000_000)
    assert said.months_of_quota == 585
    assert said.seconds / MONTH_SECONDS == pytest.approx(584, abs=0.1)


def test_a_quota_that_is_used_up_waits_for_the_next_month() -> None:
    said = need(1, month=10, used=10, left=3600.0)
    assert (said.seconds, said.binding) == (3600.0, Binding.MONTH)
    assert need(1, month=10, used=9, left=3600.0).seconds == 0.0


def test_without_limits_nothing_binds() -> None:
    assert (need(1000).seconds, need(1000).binding) == (0.0, Binding.NOTHING)
    assert (need(0, second=1.0, month=1).seconds, need(0, second=1.0).binding) == (0.0, Binding.NOTHING)
    assert need(1, second=5.0).binding is Binding.NOTHING


# --- several platforms ----------------------------------------------------------------------------------------------


def test_each_platform_is_asked_about_what_it_takes() -> None:
    asked = [body("a", ("pdq", "edge"), batch=5, second=1.0), body("b", ("pdq",), batch=64), body("c", ("other",))]
    plan = planned({"pdq": 101, "edge": 4, "sha9": 7, "none": 0}, asked)
    assert [(item.platform, item.fingerprints, item.requests) for item in plan.needs] == [
        ("a", 105, 22),
        ("b", 101, 2),
        ("c", 0, 0),
    ]
    assert dict(plan.untaken) == {"sha9": 7}
    assert plan.seconds_side_by_side == plan.seconds_in_turn == 21.0


def test_durations_add_up_in_turn_and_not_side_by_side() -> None:
    plan = planned({"pdq": 11}, [body("a", second=1.0), body("b", second=0.5)])
    assert (plan.seconds_side_by_side, plan.seconds_in_turn) == (20.0, 30.0)
    assert planned({"pdq": 1}, []).seconds_side_by_side == 0.0
    assert dict(planned({"pdq": 1}, []).untaken) == {"pdq": 1}


@given(st.integers(0, 500), st.integers(1, 7))
def test_requests_hold_no_more_than_a_batch_and_only_the_last_holds_less(count: int, batch: int) -> None:
    said = need(count, batch=batch)
    assert said.requests == len(range(0, count, batch))


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "no time"),
        (0.2, "1 second"),
        (59.0, "59 seconds"),
        (59.5, "1 minute"),
        (61, "1 minute 1 second"),
        (3599.9, "1 hour"),
        (3601, "1 hour 1 minute"),
        (86_399, "1 day"),
        (2 * DAY, "2 days"),
        (2_600_000, "30 days 3 hours"),
        (1000 * DAY + 1, "1,000 days 1 hour"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration_words(seconds) == words


@given(st.floats(0.001, 1e9))
def test_words_never_say_less_than_it_is(seconds: float) -> None:
    units = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
    words = duration_words(seconds).replace(",", "").split()
    said = sum(int(number) * units[unit.rstrip("s")] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert seconds <= said <= seconds + max(60, 0.05 * seconds)


def test_the_plan_in_sentences() -> None:
    asked = body("photodna", ("edge",), batch=5, second=5.0, month=10_000_000)
    lines = plan_lines(planned({"edge": 65_000_000, "pdq": 3}, [asked]))
    assert lines == [
        (
            "photodna (party of photodna): 65,000,000 fingerprints in 13,000,000 requests, 1.3 months of its quota: "
            "37 days 10 hours, bound by its quota a month"
        ),
        "  it learns: it learns little.",
        "3 pdq go to nobody: no platform takes them",
    ]
    small = plan_lines(planned({"edge": 1}, [asked]))
    assert small[0].endswith("1 fingerprint in 1 request, a part of a month of its quota: as quickly as it answers")


# --- months ---------------------------------------------------------------------------------------------------------


def test_months_are_utc() -> None:
    east = datetime(2026, 12, 1, 5, tzinfo=timezone(timedelta(hours=6)))
    assert month_of(east) == "2026-11"
    assert seconds_left_of_month(east) == 3600.0
    assert seconds_left_of_month(datetime(2026, 12, 31, tzinfo=UTC)) == DAY
    assert seconds_left_of_month(datetime(2028, 2, 1, tzinfo=UTC)) == 29 * DAY


@given(st.integers(946_684_800, 4_102_444_800).map(lambda second: datetime.fromtimestamp(second, UTC)))
def test_what_is_left_ends_in_another_month(moment: datetime) -> None:
    left = timedelta(seconds=seconds_left_of_month(moment))
    assert month_of(moment + left) != month_of(moment)
    assert month_of(moment + left - timedelta(microseconds=1)) == month_of(moment)
