"""What is shown of near hits: with hits where both are counted, apart where they are told apart, hidden where few."""

from __future__ import annotations

import pytest

from tests.test_summary_suppression import BELOW, WITHHELD, table
from vetset.summary.figures import Uniques
from vetset.summary.suppression import suppress


def test_near_hits_count_with_hits_where_rows_are_removed_and_by_list() -> None:
    shown = suppress(table(50, 6, 0, near_hit=9, by_list=(59, 12), by_signal=(50, 9), hits_uniques=Uniques(40, 30)))
    assert (shown.hit, shown.near_hit, shown.found, shown.removable, shown.removed) == (50, 9, 59, 65, 65)
    assert (shown.by_list, shown.by_signal, shown.hits_uniques.urls) == ((59, 12), (50, 9), 40)


def test_few_near_hits_take_along_what_counts_them_with_hits() -> None:
    shown = suppress(table(50, 0, 0, near_hit=3, by_list=(53,), by_signal=(50, 3), noisy=(40,)))
    assert (shown.hit, shown.near_hit, shown.found, shown.clear) == (50, BELOW, WITHHELD, WITHHELD)
    assert (shown.removable, shown.removed, shown.kept) == (WITHHELD, WITHHELD, WITHHELD)
    assert (shown.by_list, shown.by_signal, shown.noisy) == ((WITHHELD,), (WITHHELD, WITHHELD), WITHHELD)
    assert shown.hits_uniques.urls is WITHHELD


def test_near_hits_alone_are_shown_as_hits_alone_are() -> None:
    shown = suppress(table(0, 0, 0, near_hit=3, by_list=(3,), by_signal=(0, 3), hits_uniques=Uniques(2, 0)))
    assert (shown.hit, shown.near_hit, shown.found, shown.removed) == (0, BELOW, BELOW, BELOW)
    assert (shown.by_list, shown.by_signal, shown.hits_uniques.digests) == ((BELOW,), (0, BELOW), 0)


def test_held_rows_take_few_near_hits_along() -> None:
    shown = suppress(table(990, 0, 1200, near_hit=4))
    assert (shown.hit, shown.near_hit, shown.expanded, shown.held) == (990, WITHHELD, WITHHELD, WITHHELD)
    assert suppress(table(990, 2, 1200)).near_hit is WITHHELD  # even none: that there are any would tell
    assert suppress(table(990, 2, 1200, near_room=0)).near_hit == 0


@pytest.mark.parametrize(("exact_room", "near_room"), [(1, 100), (100, 1), (0, 1)])
def test_where_one_row_could_be_found_nothing_is_told(exact_room: int, near_room: int) -> None:
    shown = suppress(table(0, exact_room=exact_room, near_room=near_room))
    assert (shown.near_hit, shown.expanded, shown.held, shown.clear) == (WITHHELD,) * 4
    assert shown.hit == (0 if exact_room == 0 else WITHHELD)
