"""Expand: the closure over shards against a slow oracle; the breaker, the order of things, forced collisions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.batches import EMPTY_MD5, EMPTY_SHA1, EMPTY_SHA256
from tests.searching import KEY, Row, oracle, part_of, searched
from vetset import kernels
from vetset.records import Address, Column, Hit, ScreenOutcome, Sealed, SealedBatch, Signal
from vetset.stages import expand

MD5S = [hashlib.md5(bytes([number]), usedforsecurity=False).hexdigest().encode() for number in range(6)]
SHA1S = [hashlib.sha1(bytes([number]), usedforsecurity=False).hexdigest().encode() for number in range(4)]
BASES = [ScreenOutcome.CLEAR, ScreenOutcome.POLICY, ScreenOutcome.NOT_ASSESSABLE]


def row(url: bytes | None = None, md5: bytes | None = None, *, hit: bool = False, **cells: bytes | None) -> Row:
    return Row({"url": url, "md5": md5, **cells}, hit=hit)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """Rows out of few values, so that they hang together in chains; with all that never spreads."""
    cells = {
        "url": draw(st.sampled_from([None, b"", b" ", *(b"http://a/%d" % number for number in range(6))])),
        "md5": draw(st.sampled_from([None, b"", b"bad", EMPTY_MD5, *MD5S, MD5S[0].upper()])),
        "sha1": draw(st.sampled_from([None, EMPTY_SHA1, *SHA1S])),
        "sha256": draw(st.sampled_from([None, None, EMPTY_SHA256])),
    }
    return Row(cells, hit=draw(st.integers(0, 5)) == 0, base=draw(st.sampled_from(BASES)))


SHARDS = st.lists(st.lists(rows(), max_size=10), min_size=1, max_size=4)


# --- against the oracle -------------------------------------------------------------------------------------------


@given(SHARDS, st.integers(0, 12), st.integers(1, 4))
def test_the_closure_is_what_the_sets_grow_to(shards: list[list[Row]], limit: int, chunk_rows: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expand, "_CHUNK_ROWS", chunk_rows)
        found = searched(shards, limit)
    expected = oracle(shards, limit)
    assert found.outcomes == expected.outcomes
    assert (found.spread, found.held) == (expected.spread, expected.held)


@given(SHARDS, st.integers(0, 12), st.randoms(use_true_random=False))
def test_the_order_of_shards_and_rows_changes_nothing(shards: list[list[Row]], limit: int, random: object) -> None:
    places = [(number, place) for number, shard in enumerate(shards) for place in range(len(shard))]
    random.shuffle(places)  # type: ignore[attr-defined]
    middle = len(places) // 2
    mixed = [places[:middle], places[middle:]]
    found = searched([[shards[number][place] for number, place in part] for part in mixed], limit)
    straight = searched(shards, limit)
    for part, outcomes in zip(mixed, found.outcomes, strict=True):
        assert outcomes == [straight.outcomes[number][place] for number, place in part]
    assert (found.spread, found.held, found.rounds) == (straight.spread, straight.held, straight.rounds)


@given(SHARDS, st.integers(0, 12))
def test_searching_what_was_found_again_finds_nothing_more(shards: list[list[Row]], limit: int) -> None:
    first = searched(shards, limit)
    again = [
        [Row(row.cells, hit=outcome in {"hit", "expanded"}) for row, outcome in zip(part, outcomes, strict=True)]
        for part, outcomes in zip(shards, first.outcomes, strict=True)
    ]
    second = searched(again, limit)
    assert all("expanded" not in outcomes for outcomes in second.outcomes)
    assert (second.spread, second.held) == (first.spread, first.held)


# --- forced collisions --------------------------------------------------------------------------------------------


@contextmanager
def narrow_hashes(bits: int) -> Iterator[None]:
    """Keyed hashes of a few bits: values collide all the time."""
    one, many, mask = kernels.keyed_hash, kernels.keyed_hashes, (1 << bits) - 1

    def narrow_one(value: Sealed[bytes], key: bytes) -> int:
        return (one(value, key) & mask) + 1

    def narrow_many(batch: SealedBatch, column: Column, key: bytes) -> kernels.bearing.U64:
        hashes = many(batch, column, key)
        narrow = (hashes & np.uint64(mask)) + np.uint64(1)
        return np.where(hashes == 0, np.uint64(0), narrow)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "keyed_hash", narrow_one)
        patch.setattr(kernels, "keyed_hashes", narrow_many)
        yield


@given(SHARDS, st.integers(10, 25), st.sampled_from([0, 1, 2]))
def test_colliding_hashes_leave_the_closure_exact(shards: list[list[Row]], limit: int, bits: int) -> None:
    """No shard meets a value more often than the limit here, so every candidate is looked up in full."""
    with narrow_hashes(bits):
        found = searched(shards, limit)
    expected = oracle(shards, limit)
    assert (found.spread, found.held) == (expected.spread, expected.held)
    for outcomes, wanted in zip(found.outcomes, expected.outcomes, strict=True):
        for outcome, what in zip(outcomes, wanted, strict=True):
            assert outcome == what or (outcome == "held" and expected.held)


def test_two_values_with_one_hash_both_find_their_rows() -> None:
    shard = [row(b"a", MD5S[0], hit=True), row(b"b", MD5S[0]), row(b"b"), row(b"a"), row(b"c")]
    with narrow_hashes(0):
        assert searched([shard], 10).outcomes == [["hit", "expanded", "expanded", "expanded", "clear"]]


def test_the_narrow_hashes_do_collide() -> None:
    with narrow_hashes(2):
        hashes = {kernels.keyed_hash(Sealed(bytes([number])), KEY) for number in range(100)}
    assert hashes == {1, 2, 3, 4}


# --- the breaker --------------------------------------------------------------------------------------------------

SPREAD_OVER = [[row(b"a", hit=True), row(b"a")], [row(b"x"), row(b"a")], [row(b"a")]]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (2, 0, 1)])
@pytest.mark.parametrize(("limit", "outcome"), [(4, "expanded"), (3, "held"), (1, "held"), (0, "held")])
def test_bearers_are_counted_over_all_shards_in_whatever_order(
    order: tuple[int, ...], limit: int, outcome: str
) -> None:
    found = searched([SPREAD_OVER[number] for number in order], limit)
    expected = [["hit", outcome], ["clear", outcome], [outcome]]
    assert found.outcomes == [expected[number] for number in order]


def test_a_direct_hit_leaves_even_where_its_value_does_not_spread() -> None:
    shard = [row(b"a", hit=True), *[row(b"a")] * 5]
    assert searched([shard], 2).outcomes == [["hit", *["held"] * 5]]


def test_a_value_met_too_late_in_the_file_to_be_kept_in_mind_is_still_counted() -> None:
    shards = [[row(b"a", hit=True)], [*[row(b"x")] * 50, *[row(b"a")] * 3]]
    assert searched(shards, 3).outcomes[1][-3:] == ["held"] * 3
    assert searched(shards, 4).outcomes[1][-3:] == ["expanded"] * 3


def test_a_held_value_does_not_carry_the_search_on_but_another_one_does() -> None:
    shard = [
        row(b"a", MD5S[0], hit=True),
        row(b"a", MD5S[1]),
        row(b"a", MD5S[0]),
        row(b"b", MD5S[1]),
        row(b"c", MD5S[0]),
        row(b"c"),
    ]
    found = searched([shard], 3)
    assert found.outcomes == [["hit", "expanded", "expanded", "expanded", "expanded", "expanded"]]
    found = searched([[*shard, row(b"a", MD5S[2]), row(b"d", MD5S[2])]], 3)
    assert found.outcomes == [["hit", "held", "expanded", "clear", "expanded", "expanded", "held", "clear"]]
    assert found.held == {(Column.URL, b"a")}


def test_a_value_is_held_as_well_when_the_search_reaches_it_later() -> None:
    shards = [[row(b"a", MD5S[0], hit=True)], [row(b"b", MD5S[0])], [row(b"b")] * 4]
    found = searched(shards, 3)
    assert found.outcomes == [["hit"], ["expanded"], ["held"] * 4]
    assert found.rounds == 2


# --- what never spreads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells",
    [
        {},
        {"url": b"", "md5": b"", "sha1": b"", "sha256": b""},
        {"md5": EMPTY_MD5},
        {"md5": EMPTY_MD5.upper()},
        {"sha1": EMPTY_SHA1},
        {"sha256": EMPTY_SHA256, "md5": EMPTY_MD5, "sha1": EMPTY_SHA1},
        {"md5": b"not a digest", "sha1": b"0" * 39},
    ],
)
def test_nothing_is_no_reason_to_spread(cells: dict[str, bytes]) -> None:
    found = searched([[Row(cells, hit=True), Row(cells)], [Row(cells)]], 100)
    assert found.outcomes == [["hit", "clear"], ["clear"]]
    assert (found.spread, found.held, found.rounds) == (set(), set(), 0)


def test_no_hits_ask_nothing() -> None:
    found = searched([[row(b"a"), row(b"a")], []], 10)
    assert (found.outcomes, found.rounds) == ([["clear", "clear"], []], 0)


def test_a_chain_is_followed_through_columns_and_shards_to_its_end() -> None:
    shards = [
        [row(b"a", MD5S[0], hit=True)],
        [row(b"b", MD5S[0].upper(), sha1=SHA1S[0])],
        [row(b"c", sha1=SHA1S[0]), row(b"z")],
        [row(b"c", MD5S[3]), row(None, MD5S[3])],
    ]
    found = searched(shards, 2)
    assert found.outcomes == [["hit"], ["expanded"], ["expanded", "clear"], ["expanded", "expanded"]]
    assert found.rounds == 4


def test_shards_may_lack_columns() -> None:
    md5_only = part_of("part-0", [row(md5=MD5S[0], hit=True)], [Column.MD5])
    found = searched([[row(md5=MD5S[0], hit=True), row(b"a", MD5S[0])]], 5, columns=[Column.MD5])
    assert found.outcomes == [["hit", "expanded"]]
    assert {value.column for value in kernels.borne_by(md5_only.hits[0].address)} == {Column.MD5}


# --- the state between rounds -------------------------------------------------------------------------------------


def seeded(addresses: Sequence[Address], limit: int = 5) -> expand.Closure:
    closure = expand.Closure(KEY, limit)
    closure.seed(Hit("part-0", number, ScreenOutcome.HIT, Sealed(address)) for number, address in enumerate(addresses))
    return closure


def test_the_frontier_is_ordered_by_names_that_no_shard_decides() -> None:
    addresses = [Address(b"http://a/%d" % number, {Signal.MD5: bytes([number] * 16)}) for number in range(8)]
    forward, backward = seeded(addresses).ordered(), seeded(addresses[::-1]).ordered()
    assert [name for name, _ in forward] == [name for name, _ in backward] == sorted(name for name, _ in forward)
    assert len(forward) == 16


def test_a_value_borne_by_many_hits_is_asked_once() -> None:
    assert len(seeded([Address(b"a", {})] * 9).frontier) == 1


def test_a_decided_value_is_never_asked_again() -> None:
    closure = seeded([Address(b"a", {})])
    same = Hit("part-1", 3, ScreenOutcome.EXPANDED, Sealed(Address(b"a", {})), noted={"because": [0]})
    closure.take([expand.ShardBearers([1], []), expand.ShardBearers([1], [same])])
    assert (len(closure.spread), closure.frontier, closure.rounds) == (1, {}, 1)
    closure.seed([same])
    assert closure.frontier == {}


def test_bearers_of_a_value_that_proves_held_ask_nothing() -> None:
    closure = seeded([Address(b"a", {})], limit=2)
    other = Hit("part-1", 3, ScreenOutcome.EXPANDED, Sealed(Address(b"b", {})), noted={"because": [0]})
    closure.take([expand.ShardBearers([2], []), expand.ShardBearers([1], [other])])
    assert (len(closure.held), closure.spread, closure.frontier) == (1, {}, {})
