"""Tables that once gave a count away, and a smaller floor, under which small tables stand for larger ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_summary_suppression import Public, outcome_tables, pinned, table
from vetset.summary import suppression
from vetset.summary.suppression import Hidden, suppress

#: Each with what was worked out.
FOUND = {
    "held rows without any hit are just over the spread limit": Public(8, 3, None, False, 2, 11, 7),
    "only held rows that meet the policy hid how many go by it": Public(8, 4, 1, False, 0, 12, 5),
    "some removed anyway hid how many go by the policy": Public(3, 3, 5, True, 0, 1, 0),
    "the same, with most rows assessable": Public(2, 8, 5, True, 0, 1, 0),
}


@pytest.mark.parametrize("public", FOUND.values(), ids=FOUND)
def test_what_was_found_once_is_mended(public: Public) -> None:
    assert pinned(outcome_tables(public)) == {}


@pytest.fixture
def low_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suppression, "FLOOR", 3)


@pytest.mark.usefixtures("low_floor")
def test_what_was_found_under_a_low_floor_is_mended() -> None:
    """As many found among the others as there are rows of a kind, so that the other kind must hold the rest."""
    assert pinned(outcome_tables(Public(9, 8, 3, True, 4, 8))) == {}


def test_rows_found_among_others_tell_their_kind_where_one_kind_is_short() -> None:
    """Six found among three that meet the policy and a hundred: at least three are the hundred's, and hidden."""
    shown = suppress(table(30, policy_rows=8, not_assessable=100, among_others=10, policy_removed=3))
    assert (shown.clear, shown.removed_by_policy) == (100, Hidden.WITHHELD)
    roomy = suppress(table(30, policy_rows=50, not_assessable=100, among_others=12, policy_removed=44))
    assert (roomy.clear, roomy.removed_by_policy) == (100, 44)


def test_no_row_goes_by_a_policy_that_none_meets() -> None:
    shown = suppress(table(3, policy_rows=0, not_assessable=100))
    assert (shown.removed, shown.removed_by_policy) == (Hidden.BELOW, 0)


@given(
    st.builds(
        Public,
        comparable=st.integers(1, 6),
        spread_limit=st.integers(0, 8),
        policy_rows=st.sampled_from([None, 0, 1, 2, 3, 5]),
        remove_held=st.booleans(),
        not_assessable=st.integers(0, 4),
        exact_room=st.sampled_from([0, 1, 2, 4, 6, 1000]),
        near_room=st.integers(0, 6),
    )
)
@settings(max_examples=12, deadline=None)
def test_no_outcome_can_be_worked_out_under_a_low_floor(public: Public) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suppression, "FLOOR", 3)
        assert pinned(outcome_tables(public)) == {}
