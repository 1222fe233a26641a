"""Clean: which rows go, which stay, and that the books say so."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset.stages.clean import CleanSettings, clean

I64 = npt.NDArray[np.int64]
KEEP_HELD, REMOVE_HELD = CleanSettings(), CleanSettings(remove_held=True)


def numbers(rows: Iterable[int]) -> I64:
    return np.array(list(rows), np.int64)


NONE = numbers([])


def test_nothing_found_removes_nothing() -> None:
    result = clean(5, found=NONE, held=NONE, by_policy=NONE, settings=KEEP_HELD)
    assert result.onward.tolist() == []
    assert result.onward.dtype == np.int64
    assert result.tally == {"kept": 5}


def test_a_shard_without_rows_has_empty_books() -> None:
    result = clean(0, found=NONE, held=NONE, by_policy=NONE, settings=REMOVE_HELD)
    assert result.onward.tolist() == []
    assert result.tally == {}


def test_found_rows_go_whatever_else_holds() -> None:
    result = clean(5, found=numbers([3, 1]), held=numbers([1]), by_policy=numbers([3]), settings=KEEP_HELD)
    assert result.onward.tolist() == [1, 3]
    assert result.tally == {"kept": 3, "removed": 2}


def test_a_held_row_stays_unless_asked() -> None:
    kept = clean(3, found=NONE, held=numbers([0, 2]), by_policy=NONE, settings=KEEP_HELD)
    assert (kept.onward.tolist(), kept.tally) == ([], {"kept": 3})
    gone = clean(3, found=NONE, held=numbers([0, 2]), by_policy=NONE, settings=REMOVE_HELD)
    assert (gone.onward.tolist(), gone.tally) == ([0, 2], {"kept": 1, "removed": 2})


def test_a_held_row_goes_if_the_policy_says_so() -> None:
    kept = clean(3, found=NONE, held=numbers([0]), by_policy=numbers([0, 1]), settings=KEEP_HELD)
    assert (kept.onward.tolist(), kept.tally) == ([0, 1], {"kept": 1, "removed_by_policy": 2})
    gone = clean(3, found=NONE, held=numbers([0]), by_policy=numbers([0, 1]), settings=REMOVE_HELD)
    assert gone.tally == {"kept": 1, "removed": 1, "removed_by_policy": 1}


def test_all_rows_may_go() -> None:
    result = clean(3, found=numbers([2]), held=numbers([1]), by_policy=numbers([0]), settings=REMOVE_HELD)
    assert result.onward.tolist() == [0, 1, 2]
    assert result.tally == {"removed": 2, "removed_by_policy": 1}


ROWS = st.integers(0, 30).flatmap(
    lambda rows: st.tuples(
        st.just(rows), *[st.lists(st.integers(0, rows - 1), max_size=20) if rows else st.just([])] * 3
    )
)


@pytest.mark.parametrize("settings", [KEEP_HELD, REMOVE_HELD])
@given(case=ROWS)
def test_the_books_balance_and_the_rows_are_those_of_the_sets(
    settings: CleanSettings, case: tuple[int, list[int], list[int], list[int]]
) -> None:
    rows, found, held, by_policy = case
    result = clean(rows, found=numbers(found), held=numbers(held), by_policy=numbers(by_policy), settings=settings)
    removed = set(found) | (set(held) if settings.remove_held else set())
    out = removed | set(by_policy)
    assert result.onward.tolist() == sorted(out)
    assert result.tally.rows() == rows
    assert result.tally["removed"] == len(removed)
    assert result.tally["removed_by_policy"] == len(out - removed)
    assert result.tally["kept"] == rows - len(out)
    assert all(result.tally.values())
