"""Rows found that meet the policy or could be compared with nothing: these counts are public, and tell of no such row."""

from __future__ import annotations

import pytest

from tests.test_summary_suppression import BELOW, WITHHELD, Public, outcome_tables, pinned, table
from vetset.summary.suppression import suppress


@pytest.mark.parametrize(
    ("comparable", "policy_rows", "not_assessable"),
    [(0, 1, 0), (0, 0, 3), (1, 2, 0), (5, 1, 0), (5, 0, 1), (5, 3, 1), (6, 0, 3), (7, 5, 0), (6, 0, 6), (2, 2, 5)],
)
@pytest.mark.parametrize("spread_limit", [0, 4, 1000])
def test_no_found_row_can_be_told_by_what_else_it_is(
    comparable: int, policy_rows: int, not_assessable: int, spread_limit: int
) -> None:
    """Rows that meet the policy, or could be compared with nothing, are found too; their counts are public."""
    for remove_held in (False, True):
        public = Public(comparable, spread_limit, policy_rows, remove_held, not_assessable)
        assert pinned(outcome_tables(public)) == {}


def test_policy_removals_that_follow_from_few_held_rows_are_withheld() -> None:
    shown = suppress(table(50, 0, 2000, policy_rows=903, among_others=3))
    assert (shown.held, shown.removed, shown.removed_by_policy, shown.kept) == (2000, 50, WITHHELD, WITHHELD)
    assert shown.clear is WITHHELD
    shown = suppress(table(50, 0, 2000, policy_rows=930, among_others=30))
    assert (shown.removed_by_policy, shown.kept, shown.clear) == (930, 2070, 100)


def test_policy_removals_stand_where_the_held_rows_are_removed_anyway() -> None:
    shown = suppress(table(3, policy_rows=900, remove_held=True))
    assert (shown.removed_by_policy, shown.removed, shown.kept) == (900, BELOW, WITHHELD)


def test_few_rows_of_another_kind_hide_what_is_clear() -> None:
    shown = suppress(table(50, not_assessable=3))
    assert (shown.hit, shown.clear) == (50, WITHHELD)
    assert suppress(table(0, not_assessable=3)).clear == 100
