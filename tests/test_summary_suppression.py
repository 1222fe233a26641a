"""Suppression, under attack: every small table is enumerated, and nobody who sees the cells can pin a small count.

The attacker knows the rules as well as the code does: two tables look the same to him only if all their published
cells are the same. A count is pinned where it is small and has one value in all the tables that look alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vetset.summary.figures import Uniques
from vetset.summary.suppression import FLOOR, Hidden, Secrets, Shown, cell, is_small, suppress, total

World = tuple[Hashable, Mapping[str, int]]
BELOW, WITHHELD = Hidden.BELOW, Hidden.WITHHELD


def pinned(worlds: Iterable[World]) -> dict[str, Hashable]:
    """The attack: names of counts that some set of tables that look alike gives away, each with an example."""
    seen: dict[Hashable, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for shown, counts in worlds:
        for name, count in counts.items():
            seen[shown][name].add(count)
    return {
        name: shown
        for shown, values in seen.items()
        for name, options in values.items()
        if len(options) == 1 and is_small(next(iter(options)))
    }


def table(hit: int, expanded: int = 0, held: int = 0, clear: int = 100, **more: Any) -> Secrets:
    """A run in which as many found rows as `among_others` says meet the policy or could be compared with nothing."""
    others = (more.get("policy_rows") or 0) + more.get("not_assessable", 0)
    rows = hit + more.get("near_hit", 0) + expanded + held + clear + others - more.pop("among_others", 0)
    more.setdefault("policy_removed", more.get("policy_rows") or 0)
    return Secrets(hit=hit, expanded=expanded, held=held, clear=clear, rows=rows, **more)


# --- the attack on outcomes, sums and cleaned counts ------------------------------------------------------------------


@dataclass(frozen=True)
class Public:
    """What the attacker knows beside the cells. `near_room` 0: no picture was compared, so that nothing is near."""

    comparable: int  # rows that are clear where nothing is found
    spread_limit: int = 1000
    policy_rows: int | None = None
    remove_held: bool = False
    not_assessable: int = 0
    exact_room: int = 1000
    near_room: int = 0

    @property
    def rows(self) -> int:
        return self.comparable + (self.policy_rows or 0) + self.not_assessable


def outcomes_of(public: Public) -> Iterator[tuple[int, int, int, int]]:
    """Hits, near hits, expanded and held rows as a run could end with.

    Nothing spreads without a hit or a near hit. A held value has many bearers, and a noisy entry, which a picture
    may be near to, many near rows; by columns alone a value is held only because of a hit.
    """
    for hit in range(min(public.rows, public.exact_room) + 1):
        for near in range(min(public.rows - hit, public.near_room) + 1):
            left = public.rows - hit - near
            for expanded, held in product(range(left + 1 if hit + near else 1), range(left + 1)):
                found = hit + near + expanded + held
                if expanded + held > left or (held and found <= public.spread_limit):
                    continue
                if held and not hit + near and not public.near_room:
                    continue
                yield hit, near, expanded, held


def noisy_of(public: Public, outcome: tuple[int, int, int, int], values_held: int) -> Iterator[tuple[int, ...]]:
    """No noisy entry, or one by its rows; where no value is held, it is the one that all held rows are near to."""
    hit, near, _, held = outcome
    if not held or values_held:
        yield ()
    most = hit + near + (min(held, public.near_room) if public.near_room else 0)
    least = held if held and not values_held else 0
    yield from ((rows,) for rows in range(max(public.spread_limit + 1, least), most + 1))


def others_of(public: Public, removed: int, held: int) -> Iterator[tuple[int, int, int]]:
    """Found rows that meet the policy, removed ones and held ones, and those that could be compared with nothing."""
    most = public.policy_rows or 0
    for gone, stays in product(range(min(removed, most) + 1), range(min(held, most) + 1)):
        for unread in range(min(removed + held - gone - stays, public.not_assessable) + 1):
            if gone + stays <= most and removed + held - gone - stays - unread <= public.comparable:
                yield gone, stays, unread


def outcome_tables(public: Public, *, with_noisy: bool = False) -> Iterator[World]:
    """Every table that a run could end with."""
    for hit, near, expanded, held in outcomes_of(public):
        found = hit + near + expanded + held
        removed, kept = (found, 0) if public.remove_held else (found - held, held)
        values = range(0 if public.near_room else 1, 3) if held else range(2 if found > public.spread_limit else 1)
        rounds = range(1, min(expanded, 3) + 2) if hit + near else (0,)
        others = others_of(public, removed, kept)
        for values_held, rounds_done, (gone, stays, unread) in product(values, rounds, others):
            for noisy in noisy_of(public, (hit, near, expanded, held), values_held) if with_noisy else ((),):
                among_others = gone + stays + unread
                secrets = table(
                    hit,
                    expanded,
                    held,
                    public.comparable - found + among_others,
                    among_others=among_others,
                    near_hit=near,
                    values_held=values_held,
                    rounds=rounds_done,
                    noisy=noisy,
                    policy_rows=public.policy_rows,
                    policy_removed=(public.policy_rows or 0) - gone,
                    not_assessable=public.not_assessable,
                    remove_held=public.remove_held,
                    exact_room=public.exact_room,
                    near_room=public.near_room,
                )
                counts = {"hit": hit, "near": near, "expanded": expanded, "held": held, "found": found}
                sums = {"direct": hit + near, "removable": hit + near + expanded}
                others_found = {"by policy": gone + stays, "removed anyway": gone, "held by policy": stays}
                unassessable = {"not assessable": unread, "among others": among_others}
                yield seen_with(suppress(secrets), noisy), counts | sums | others_found | unassessable


def seen_with(shown: Shown, noisy: tuple[int, ...]) -> Hashable:
    """The cells, and the rows of the noisy entries that are named."""
    if not noisy:
        return shown, ()
    named = (
        () if isinstance(shown.noisy, Hidden) else tuple(n for n, told in zip(noisy, shown.noisy, strict=True) if told)
    )
    return replace(shown, noisy=Hidden.WITHHELD if isinstance(shown.noisy, Hidden) else ()), named


@pytest.mark.parametrize("assessed", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
@pytest.mark.parametrize("spread_limit", [0, 1, 3, 6, 9, 1000])
def test_no_outcome_of_a_small_table_can_be_worked_out(assessed: int, spread_limit: int) -> None:
    for remove_held in (False, True):
        assert pinned(outcome_tables(Public(assessed, spread_limit, remove_held=remove_held))) == {}


@pytest.mark.parametrize(
    "rooms", [(9, 9), (0, 9), (9, 1), (1, 9), (9, 2), (3, 2), (4, 3), (0, 2), (5, 6), (7, 5), (0, 5)]
)
@pytest.mark.parametrize("spread_limit", [0, 2, 6, 1000])
def test_no_outcome_can_be_worked_out_where_pictures_were_compared(rooms: tuple[int, int], spread_limit: int) -> None:
    for assessed in (2, 5, 6, 8):
        for policy, remove_held in ((None, False), (None, True), *([(3, False)] if assessed < 7 else [])):
            public = Public(assessed, spread_limit, policy, remove_held, 0, *rooms)
            assert pinned(outcome_tables(public)) == {}


@pytest.mark.parametrize("near_room", [0, 1, 2, 1000])
@pytest.mark.parametrize("spread_limit", [0, 2, 5])
def test_a_noisy_entry_gives_no_outcome_away(near_room: int, spread_limit: int) -> None:
    for assessed in (2, 5, 7, 8):
        public = Public(assessed, spread_limit, near_room=near_room)
        assert pinned(outcome_tables(public, with_noisy=True)) == {}


@given(
    st.builds(
        Public,
        comparable=st.integers(13, 18),
        spread_limit=st.integers(0, 20),
        remove_held=st.booleans(),
    )
)
@settings(max_examples=6)
def test_no_outcome_of_a_larger_table_can_be_worked_out(public: Public) -> None:
    assert pinned(outcome_tables(public)) == {}


@given(
    st.builds(
        Public,
        comparable=st.integers(5, 7),
        spread_limit=st.integers(0, 12),
        policy_rows=st.sampled_from([None, 1, 2]),
        not_assessable=st.integers(0, 2),
        remove_held=st.booleans(),
        exact_room=st.integers(0, 12),
        near_room=st.integers(1, 12),
    )
)
@settings(max_examples=4)
def test_no_outcome_of_any_table_with_pictures_can_be_worked_out(public: Public) -> None:
    assert pinned(outcome_tables(public)) == {}


def test_the_attack_finds_what_few_pictures_give_away() -> None:
    """Rules that do not look at how many pictures were compared lose to it: one near hit of one picture compared."""

    def careless(near: int) -> World:
        return suppress(table(0, near_hit=near, clear=20 - near)), {"near": near}

    assert set(pinned(careless(near) for near in range(2))) == {"near"}
    assert pinned(outcome_tables(Public(20, near_room=1, exact_room=0))) == {}


def test_the_attack_finds_what_a_plain_floor_gives_away() -> None:
    """The same attack on cells suppressed one by one succeeds, so its silence above says something."""

    def careless(hit: int) -> World:
        shown = suppress(table(hit, clear=20 - hit))
        object.__setattr__(shown, "clear", 20 - hit)
        return shown, {"hit": hit}

    assert set(pinned(careless(hit) for hit in range(20))) == {"hit"}


# --- the attack on counts by list and by signal -----------------------------------------------------------------------

Counts = tuple[int, ...]
PAIRS = tuple(product(range(3), range(3)))


def kinds_of_row(pairs: frozenset[tuple[int, int]]) -> set[tuple[Counts, Counts]]:
    """For every set of (list, signal) pairs that one row may match by: the lists and the signals it counts for."""
    kinds = set()
    for size in range(1, len(pairs) + 1):
        for chosen in combinations(sorted(pairs), size):
            lists, signals = {pair[0] for pair in chosen}, {pair[1] for pair in chosen}
            kinds.add((tuple(int(n in lists) for n in range(3)), tuple(int(n in signals) for n in range(3))))
    return kinds


def added(one: Counts, other: Counts) -> Counts:
    return tuple(left + right for left, right in zip(one, other, strict=True))


def match_tables(pairs: frozenset[tuple[int, int]], max_hits: int) -> Iterator[World]:
    kinds = kinds_of_row(pairs)
    level: set[tuple[Counts, Counts]] = {((0, 0, 0), (0, 0, 0))}
    for hit in range(max_hits + 1):
        for lists, signals in level:
            shown = suppress(table(hit, by_list=lists, by_signal=signals, clear=1000 - hit))
            counts = {f"list {n}": count for n, count in enumerate(lists)}
            yield shown, counts | {f"signal {n}": count for n, count in enumerate(signals)} | {"hit": hit}
        level = {(added(lists, a), added(signals, b)) for lists, signals in level for a, b in kinds}


@pytest.mark.parametrize(
    "pairs",
    [
        {(0, 0)},
        {(0, 0), (1, 1)},
        {(0, 0), (1, 0)},
        {(0, 0), (0, 1)},
        {(0, 0), (1, 1), (2, 2)},
        {(0, 0), (1, 0), (2, 1)},
        {(0, 0), (0, 1), (1, 1), (1, 2)},
    ],
)
def test_no_count_by_list_or_signal_can_be_worked_out(pairs: set[tuple[int, int]]) -> None:
    assert pinned(match_tables(frozenset(pairs), 13 if len(pairs) < 4 else 9)) == {}


@given(st.frozensets(st.sampled_from(PAIRS), min_size=1, max_size=4))
@settings(max_examples=8)
def test_no_count_by_any_lists_and_signals_can_be_worked_out(pairs: frozenset[tuple[int, int]]) -> None:
    assert pinned(match_tables(pairs, 9)) == {}


# --- the attack on unique values --------------------------------------------------------------------------------------


def unique_tables(max_hits: int, max_expanded: int) -> Iterator[World]:
    """An expanded row shares a value with a row before it, so it brings one new URL or one new digest at most."""
    for hit in range(1, max_hits + 1):
        for expanded, urls, digests in product(range(max_expanded + 1), range(hit + 1), range(hit + 1)):
            for new_urls, new_digests in product(range(expanded + 1), repeat=2):
                if new_urls + new_digests > expanded or not urls + digests:
                    continue
                among_hits = Uniques(urls, digests)
                among_all = Uniques(urls + new_urls, digests + new_digests)
                secrets = table(hit, expanded, hits_uniques=among_hits, removable_uniques=among_all, clear=90)
                counts = {"urls": urls, "digests": digests, "new urls": new_urls, "new digests": new_digests}
                yield suppress(secrets), counts | {"hit": hit, "expanded": expanded}


def test_no_count_of_unique_values_can_be_worked_out() -> None:
    found = pinned(unique_tables(8, 9))
    exact_rows = {name: shown for name, shown in found.items() if name not in {"new urls", "new digests"}}
    assert exact_rows == {}
    assert found == {}


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_zero_is_published_as_zero() -> None:
    shown = suppress(table(0, by_list=(0, 0), by_signal=(0,)))
    assert (shown.hit, shown.expanded, shown.held, shown.clear) == (0, 0, 0, 100)
    assert (shown.kept, shown.removed, shown.by_list, shown.by_signal) == (100, 0, (0, 0), (0,))
    assert (shown.hits_uniques.urls, shown.removable_uniques.digests, shown.noisy) == (0, 0, ())


def test_large_counts_are_published_exactly() -> None:
    secrets = table(
        30,
        12,
        7,
        by_list=(30, 5),
        by_signal=(20, 0, 15),
        hits_uniques=Uniques(10, 9),
        removable_uniques=Uniques(20, 9),
        noisy=(12, 4),
        values_held=6,
        rounds=3,
    )
    shown = suppress(secrets)
    assert (shown.hit, shown.expanded, shown.held, shown.clear, shown.removable) == (30, 12, 7, 100, 42)
    assert (shown.removed, shown.kept, shown.removed_by_policy) == (42, 107, 0)
    assert (shown.by_list, shown.by_signal) == ((30, 5), (20, 0, 15))
    assert (shown.removable_uniques.urls, shown.removable_uniques.digests) == (20, 9)
    assert (shown.noisy, shown.values_held, shown.rounds) == ((True, False), 6, 3)


@pytest.mark.parametrize("hit", [1, 2, 3, 4])
def test_few_hits_hide_all_that_follows_from_them(hit: int) -> None:
    shown = suppress(table(hit, by_list=(hit, 0), by_signal=(hit,), hits_uniques=Uniques(1, 0), rounds=1))
    assert (shown.hit, shown.expanded, shown.held, shown.clear) == (BELOW, 0, 0, WITHHELD)
    assert (shown.removed, shown.kept, shown.removable) == (BELOW, WITHHELD, BELOW)
    assert (shown.by_list, shown.by_signal) == ((BELOW, 0), (BELOW,))
    assert (shown.hits_uniques.urls, shown.hits_uniques.digests) == (BELOW, 0)
    assert (shown.rounds, shown.values_held) == (WITHHELD, WITHHELD)


def test_a_small_count_by_list_takes_the_others_of_its_group_along() -> None:
    shown = suppress(table(40, by_list=(38, 2, 0), by_signal=(40, 12)))
    assert shown.by_list == (WITHHELD, WITHHELD, 0)
    assert shown.by_signal == (40, 12)


def test_held_rows_tie_the_three_together() -> None:
    shown = suppress(table(990, 7, 4))
    assert (shown.hit, shown.expanded, shown.held, shown.removed) == (990, WITHHELD, WITHHELD, WITHHELD)


def test_a_dataset_written_in_part_shows_no_counts() -> None:
    shown = suppress(table(50, cleaned=False))
    assert (shown.kept, shown.removed, shown.removed_by_policy) == (WITHHELD, WITHHELD, WITHHELD)


def test_where_nearly_every_row_is_found_nothing_is_shown() -> None:
    shown = suppress(table(1001, 4, clear=0, by_list=(1001, 0), noisy=(1001,)))
    assert (shown.hit, shown.expanded, shown.held, shown.clear) == (WITHHELD,) * 4
    assert (shown.by_list, shown.noisy) == ((WITHHELD, WITHHELD), WITHHELD)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 60), st.booleans())
def test_no_cell_is_a_small_number_and_published_sums_are_true(
    hit: int, expanded: int, held: int, clear: int, remove_held: bool
) -> None:
    secrets = table(hit, expanded, held, clear, by_list=(hit, expanded), remove_held=remove_held)
    shown = suppress(secrets)
    for count in (shown.hit, shown.expanded, shown.held, shown.removed, shown.removable, *shown.by_list):
        assert isinstance(count, Hidden) or not is_small(count)
    if not isinstance(shown.kept, Hidden) and not isinstance(shown.removed, Hidden):
        assert shown.kept + shown.removed == secrets.rows
        assert shown.removed == hit + expanded + (held if remove_held else 0)
    if not isinstance(shown.clear, Hidden):
        assert shown.clear == clear
        assert not any(isinstance(count, Hidden) for count in (shown.hit, shown.expanded, shown.held))


@given(st.lists(st.one_of(st.integers(0, 50), st.sampled_from(Hidden)), max_size=5))
def test_a_sum_says_no_more_than_its_parts(parts: list[int | Hidden]) -> None:
    shown = total(parts)
    hidden = [part for part in parts if isinstance(part, Hidden)]
    if not hidden:
        assert shown == sum(part for part in parts if not isinstance(part, Hidden))
    else:
        assert isinstance(shown, Hidden)
        assert shown is WITHHELD or parts.count(BELOW) == 1


def test_the_floor_is_five() -> None:
    assert FLOOR == 5
    assert [cell(count) for count in range(7)] == [0, BELOW, BELOW, BELOW, BELOW, 5, 6]
