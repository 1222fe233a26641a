"""The stage fetch: which addresses are asked, in which order, within which budget; and what that says of every row."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset.records import Asking
from vetset.stages import fetch as stage
from vetset.stages.fetch import CLOSED, STRATA, FetchSettings, Known, fetch, shares

NAN = float("nan")


def rows_of(*rows: dict[str, Any]) -> Any:
    """Records of rows; `url` stands for all spellings of it, 0 for none."""
    records = np.zeros(len(rows), stage.WEB_RECORD)
    for number, row in enumerate(rows):
        url = row.get("url", 0)
        records[number] = (
            row.get("raw", url),
            url,
            row.get("host", url and 1),
            row.get("digest", 0),
            row.get("score", NAN),
            bool(url) and row.get("open", True),
        )
    return records


def none_hit(records: Any) -> Any:
    return np.zeros(len(records), np.bool_)


def hashes(*values: int) -> Any:
    return np.array(values, np.uint64)


def asked(
    records: Any, settings: FetchSettings | None = None, known: Known | None = None, number: int = 1
) -> list[int]:
    """The rows whose addresses are asked, in order."""
    plan = fetch(records, none_hit(records), known or Known(), settings or FetchSettings(), number=number).onward
    places: list[int] = plan.places.tolist()
    return places


# --- which ------------------------------------------------------------------------------------------------------------


def test_rows_that_share_an_address_are_asked_once_by_the_first() -> None:
    records = rows_of({"url": 7}, {"url": 5}, {"url": 7}, {"url": 7})
    result = fetch(records, none_hit(records), Known(), FetchSettings(), number=1)
    assert sorted(result.onward.places.tolist()) == [0, 1]
    assert dict(zip(result.onward.places.tolist(), result.onward.rows.tolist(), strict=True)) == {0: 3, 1: 1}
    assert result.tally == {"asked": 4}


def test_rows_without_an_address_or_under_the_policy_are_no_candidates() -> None:
    records = rows_of({}, {"url": 5, "open": False}, {"url": 6})
    result = fetch(records, none_hit(records), Known(), FetchSettings(), number=1)
    assert result.onward.places.tolist() == [2]
    assert result.tally == {"asked": 1}


def test_hits_and_whatever_shares_a_value_with_them_need_no_asking() -> None:
    records = rows_of(
        {"url": 5, "digest": 50},
        {"url": 6, "digest": 50},  # by the digest
        {"url": 6, "digest": 60},  # by the address of that
        {"url": 7, "digest": 60},  # and so on
        {"url": 8},
    )
    hit = np.array([True, False, False, False, False])
    known = Known(spared=hashes(5), raw=hashes(5), digests=hashes(50))
    result = fetch(records, hit, known, FetchSettings(), number=1)
    assert result.onward.places.tolist() == [4]
    assert result.tally == {"asked": 1, "needless": 4}


def test_without_expand_only_the_hits_own_addresses_are_spared() -> None:
    records = rows_of({"url": 5, "digest": 50}, {"url": 6, "digest": 51}, {"raw": 9, "url": 5})
    hit = np.array([True, False, False])
    known = Known(spared=hashes(5), raw=hashes(5), digests=hashes(51))
    # The digest is known to be a hit's, so its row needs no asking; but nothing spreads from there.
    result = fetch(records, hit, known, FetchSettings(expand=False), number=1)
    assert result.onward.places.tolist() == []


def test_a_value_that_too_many_rows_bear_reaches_nobody() -> None:
    records = rows_of(*({"url": 10 + n, "digest": 50} for n in range(4)), {"url": 20, "digest": 60})
    hit = np.array([True, False, False, False, False])
    known = Known(spared=hashes(10), raw=hashes(10), digests=hashes(50))
    tally = fetch(records, hit, known, FetchSettings(spread_limit=3), number=1).tally
    assert tally["needless"] == 1
    assert fetch(records, hit, known, FetchSettings(spread_limit=4), number=1).tally["needless"] == 4


def test_of_addresses_with_one_digest_the_best_is_asked_and_the_others_once_that_failed() -> None:
    records = rows_of(
        {"url": 5, "digest": 50, "score": 0.1}, {"url": 6, "digest": 50, "score": 0.9}, {"url": 7, "digest": 50}
    )
    assert asked(records) == [1]
    failed = Known(asked=hashes(6), tried=hashes(50))
    assert sorted(asked(records, known=failed, number=2)) == [0, 2]
    seen = Known(asked=hashes(6), tried=hashes(50), seen=hashes(50))
    result = fetch(records, none_hit(records), seen, FetchSettings(), number=2)
    assert result.onward.places.tolist() == []
    assert result.tally == {"asked": 1, "shared": 2}


# --- in which order ---------------------------------------------------------------------------------------------------


def test_a_higher_score_goes_first_and_none_counts_as_nothing() -> None:
    records = rows_of({"url": 5, "score": 0.2}, {"url": 6}, {"url": 7, "score": 0.9}, {"url": 8, "score": 0.5})
    assert asked(records) == [2, 3, 0, 1]


def test_the_history_of_a_host_counts_as_much_as_a_score() -> None:
    records = rows_of(
        {"url": 5, "host": 1, "score": 0.4},
        {"url": 6, "host": 2, "score": 0.1},
        {"url": 7, "host": 2, "score": 0.1},
        {"url": 8, "host": 2, "score": 0.1},
    )
    hit = np.array([False, False, False, True])
    none = Known(spared=hashes(8))
    assert fetch(records, hit, none, FetchSettings(), number=1).onward.places.tolist() == [0, 1, 2]
    more = Known(spared=hashes(8), hosts=hashes(2, 2))  # two of its three rows: 1 - 0.9 * (1 - 2/3) = 0.7
    assert fetch(records, hit, more, FetchSettings(), number=1).onward.places.tolist() == [1, 2, 0]


def test_of_equals_the_address_that_more_rows_bear_goes_first() -> None:
    records = rows_of({"url": 5}, {"url": 6}, {"url": 6}, {"url": 7})
    assert asked(records) == [1, 0, 3]


def test_strata_are_by_score_with_their_upper_edges_inside() -> None:
    scores = (NAN, 0.0, 0.1, 0.100001, 0.45, 0.5, 0.95, 0.96, 1.0)
    records = rows_of(*({"url": 5 + n, "score": score} for n, score in enumerate(scores)))
    plan = fetch(records, none_hit(records), Known(), FetchSettings(), number=1).onward
    by_row = dict(zip(plan.places.tolist(), plan.stratum.tolist(), strict=True))
    assert [by_row[row] for row in range(len(scores))] == [0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert plan.population == (1, 2, 2, 2, 2)
    assert len(STRATA) == 5


# --- within a budget --------------------------------------------------------------------------------------------------


def many(count: int, seed: int = 1) -> Any:
    scores = np.random.default_rng(seed).random(count)
    return rows_of(*({"url": 5 + n, "score": float(score)} for n, score in enumerate(scores)))


def test_a_budget_is_spread_over_the_rounds_and_the_random_share_comes_first() -> None:
    records, settings = many(200), FetchSettings(urls=50, random_share=0.2, rounds=2)
    first = fetch(records, none_hit(records), Known(), settings, number=1).onward
    assert int(first.drawn.sum()) == sum(first.allotted) == 10
    assert len(first.places) == 10 + 20
    known = Known(asked=np.sort(records["asked"][first.places]))
    second = fetch(records, none_hit(records), known, settings, number=2).onward
    assert len(second.places) == 20
    assert not second.drawn.any()
    assert not set(first.places.tolist()) & set(second.places.tolist())


def test_what_a_budget_does_not_reach_is_unasked() -> None:
    records = many(30)
    tally = fetch(records, none_hit(records), Known(), FetchSettings(urls=10, rounds=1), number=1).tally
    assert tally == {"asked": 10, "unasked": 20}


def test_with_room_for_all_nothing_needs_to_be_drawn() -> None:
    records = many(30)
    plan = fetch(records, none_hit(records), Known(), FetchSettings(urls=30, rounds=1), number=1).onward
    assert not plan.drawn.any()
    assert len(plan.places) == 30


def test_a_limit_that_is_no_count_keeps_its_share_at_every_point() -> None:
    records = many(400)
    plan = fetch(records, none_hit(records), Known(), FetchSettings(limited=True, random_share=0.25), number=1).onward
    assert len(plan.places) == 400
    for prefix in (20, 100, 300):
        assert abs(plan.drawn[:prefix].mean() - 0.25) < 0.06
        assert set(plan.stratum[:prefix][plan.drawn[:prefix]].tolist()) >= {1, 2, 3}


def test_the_draw_is_the_seeds_and_the_rows_and_nothing_elses() -> None:
    records = many(100)
    other = records.copy()
    for name in ("raw", "asked", "host", "digest"):
        other[name] = np.where(records[name] == 0, 0, records[name] * np.uint64(0x9E3779B97F4A7C15))  # another key
    settings = FetchSettings(urls=40, random_share=0.5)
    assert asked(records, settings) == asked(other, settings)
    assert asked(records, settings) != asked(records, FetchSettings(urls=40, random_share=0.5, seed=2))


@given(st.integers(0, 60), st.lists(st.integers(0, 20), min_size=1, max_size=5))
def test_shares_are_even_as_far_as_each_has_any(wanted: int, population: list[int]) -> None:
    given_to = shares(wanted, population)
    assert sum(given_to) == min(wanted, sum(population))
    assert all(mine <= size for mine, size in zip(given_to, population, strict=True))
    short = [mine for mine, size in zip(given_to, population, strict=True) if mine < size]
    assert not short or max(given_to) - min(short) <= 1


# --- the books --------------------------------------------------------------------------------------------------------

ROW = st.fixed_dictionaries(
    {
        "url": st.integers(0, 8),
        "digest": st.integers(0, 5),
        "host": st.integers(1, 3),
        "score": st.sampled_from([NAN, 0.0, 0.3, 0.99]),
        "open": st.booleans(),
    }
)


@given(st.lists(st.tuples(ROW, st.booleans()), max_size=25), st.integers(0, 9), st.integers(1, 3), st.data())
def test_every_candidate_has_one_place_and_no_address_is_asked_twice(
    drawn: list[tuple[dict[str, Any], bool]], urls: int, rounds: int, data: st.DataObject
) -> None:
    records = rows_of(*(row for row, _ in drawn))
    hit = np.array([is_hit for _, is_hit in drawn], np.bool_)
    of_hits = {name: stage.ranked_hashes(records[name][hit]) for name in ("asked", "raw", "digest")}
    known = Known(spared=of_hits["asked"], raw=of_hits["raw"], digests=of_hits["digest"])
    settings = FetchSettings(urls=urls, rounds=rounds)
    times: Counter[int] = Counter()
    for number in range(1, rounds + 1):
        result = fetch(records, hit, known, settings, number=number)
        assert result.tally.rows() == int((records["open"] != 0).sum())
        assert set(result.tally) <= {asking.value for asking in Asking}
        places = result.onward.places
        times.update(records["asked"][places].tolist())
        assert not set(records["asked"][places].tolist()) & set(known.spared.tolist())
        gone = np.array([data.draw(st.booleans()) for _ in places], np.bool_)
        known = Known(
            asked=np.union1d(known.asked, records["asked"][places]),
            tried=stage.ranked_hashes(np.union1d(known.tried, records["digest"][places])),
            seen=stage.ranked_hashes(np.union1d(known.seen, records["digest"][places][~gone])),
            spared=known.spared,
            raw=known.raw,
            digests=known.digests,
        )
    assert not times or max(times.values()) == 1
    assert not urls or sum(times.values()) <= urls
    codes = stage.askings(records, hit, known)
    assert ((codes == CLOSED) == (records["open"] == 0)).all()


def test_no_rows_are_planned_too() -> None:
    result = fetch(rows_of(), np.zeros(0, np.bool_), Known(), FetchSettings(urls=3), number=1)
    assert result.onward.places.tolist() == []
    assert result.tally.rows() == 0


@pytest.mark.parametrize("limit", [0, 1, 2, 9])
@given(data=st.data())
def test_the_reach_of_values_is_that_of_the_slow_definition(limit: int, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=15))
    records = rows_of(*({"url": raw, "digest": digest} for raw, digest in rows))
    seeds = data.draw(st.sets(st.integers(1, 6), max_size=2)), data.draw(st.sets(st.integers(1, 6), max_size=2))
    raw, digests = stage.reached(records, hashes(*sorted(seeds[0])), hashes(*sorted(seeds[1])), limit)
    bearers = Counter([("raw", row[0]) for row in rows] + [("digest", row[1]) for row in rows])
    values = {("raw", v) for v in seeds[0]} | {("digest", v) for v in seeds[1]}
    values = {value for value in values if bearers[value] <= limit}
    while True:
        more = {v for row in rows if {("raw", row[0]), ("digest", row[1])} & values for v in _borne(row)}
        more = values | {value for value in more if bearers[value] <= limit}
        if more == values:
            break
        values = more
    assert {("raw", v) for v in raw.tolist()} | {("digest", v) for v in digests.tolist()} == values


def _borne(row: tuple[int, int]) -> set[tuple[str, int]]:
    return {(name, value) for name, value in (("raw", row[0]), ("digest", row[1])) if value}
