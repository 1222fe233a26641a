"""Near search: the index answers what comparing every pair answers, on both kernels, for every radius and every plan."""

from __future__ import annotations

import contextlib
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vetset import kernels
from vetset.kernels import hamming, native
from vetset.kernels.hamming import (
    Band,
    Plan,
    bands_for,
    bit_order,
    hamming_bytes,
    placed,
    plans_for,
    values_within,
)
from vetset.records import Signal
from vetset.testing.lists import MemoryTable, memory_table

U8 = npt.NDArray[np.uint8]
Pairs = list[tuple[int, int, int]]

LISTS = Path(__file__).parent.parent.parent / "shared" / "data" / "hashlists"
RADII = range(49)
KINDS = ("random", "clustered", "skewed", "constant")

needs_native = pytest.mark.skipif(native.LIB is None, reason="the native kernels were not built")


def table_of(keys: U8) -> MemoryTable:
    return memory_table(Signal.PDQ, [key.tobytes() for key in keys])[0]


def keys_of(kind: str, count: int, seed: int) -> U8:
    """Keys as lists have them: alike, near to each other, with bits that are mostly set, or mostly the same."""
    random = np.random.default_rng(seed)
    keys = random.integers(0, 256, (count, 32), np.uint8)
    if kind == "clustered":
        keys = keys[random.integers(0, max(1, count // 40), count)]
        return flipped(keys, random.integers(0, 40, count), seed)
    if kind == "skewed":
        keys |= random.integers(0, 256, (count, 32), np.uint8) | random.integers(0, 256, (1, 32), np.uint8)
    if kind == "constant":
        keys[:, 3:] = 7
    return keys


def flipped(keys: U8, bits: npt.NDArray[np.int64], seed: int) -> U8:
    """Each key with so many of its bits turned over."""
    random = np.random.default_rng(seed + 1)
    spread = np.unpackbits(keys, axis=1)
    for row, count in zip(spread, bits.tolist(), strict=True):
        row[random.permutation(256)[:count]] ^= 1
    return np.packbits(spread, axis=1)


def pairs(found: hamming.Near) -> Pairs:
    return list(zip(*(column.tolist() for column in found), strict=True))


def wanted(table: MemoryTable, queries: U8, radius_bits: int) -> Pairs:
    return pairs(kernels.within_of(kernels.listed_keys(table), queries, radius_bits))


@cache
def small_plans(radius_bits: int) -> tuple[tuple[Band, ...], ...]:
    """Plans with tables small enough to build for each example, and bands that tell enough to be searched by.

    Where a query would look at a quarter of the keys it looks at all instead, and bands would not be tried.
    """
    plans = [plan for plan in plans_for(radius_bits) if max(alike.bits for alike in plan.groups) <= 17]
    told = [plan for plan in plans if share_of(plan) < 1 / 20]
    return tuple(placed(plan) for plan in told or sorted(plans, key=share_of)[:20])


def share_of(plan: Plan) -> float:
    """The share of uniform keys that a query looks at."""
    return sum(alike.bands * values_within(alike.bits, alike.radius) / (1 << alike.bits) for alike in plan.groups)


def with_plan(patch: pytest.MonkeyPatch, bands: tuple[Band, ...]) -> None:
    patch.setattr(hamming, "bands_for", lambda *_: bands)


# --- the definition ---------------------------------------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32), st.sets(st.integers(0, 255)))
def test_the_distance_is_the_number_of_bits_turned_over(key: bytes, bits: set[int]) -> None:
    other = bytearray(key)
    for bit in bits:
        other[bit // 8] ^= 1 << bit % 8
    assert kernels.hamming_of(key, bytes(other)) == len(bits)


@given(st.integers(0, 2**32), st.sampled_from(KINDS), st.integers(0, 256))
def test_all_pairs_are_judged_one_by_one(seed: int, kind: str, radius_bits: int) -> None:
    keys, queries = keys_of(kind, 30, seed), keys_of(kind, 5, seed + 1)
    found = [
        (number, place, kernels.hamming_of(key.tobytes(), query.tobytes()))
        for number, query in enumerate(queries)
        for place, key in enumerate(keys)
    ]
    assert pairs(kernels.within_of(keys, queries, radius_bits)) == [pair for pair in found if pair[2] <= radius_bits]


# --- the index --------------------------------------------------------------------------------------------------------


@given(st.data(), st.integers(0, 2**32), st.sampled_from(KINDS), st.sampled_from(RADII))
def test_the_index_answers_what_comparing_all_answers(
    either_kernels: str, data: st.DataObject, seed: int, kind: str, radius_bits: int
) -> None:
    plans = small_plans(radius_bits)
    plan = plans[data.draw(st.integers(0, len(plans) - 1))]
    table = table_of(keys_of(kind, 500, seed))
    listed = kernels.listed_keys(table)
    turned = np.random.default_rng(seed).integers(0, radius_bits + 2, 20)
    queries = np.concatenate([keys_of(kind, 5, seed + 1), flipped(listed[:20], turned[: len(listed)], seed)])
    with pytest.MonkeyPatch.context() as patch:
        with_plan(patch, plan)
        index = kernels.hamming_index(table, radius_bits)
    for asked in {radius_bits, radius_bits // 2, radius_bits + 9}:
        assert pairs(kernels.near(index, table, queries, asked)) == wanted(table, queries, asked)


@needs_native
@given(st.data(), st.integers(0, 2**32), st.integers(1, 48))
def test_a_key_that_every_band_but_one_would_miss_is_found(data: st.DataObject, seed: int, radius_bits: int) -> None:
    """The tightest case there is: r + 1 bits turned over in each band but one, which has r, spread as 8.4 asks."""
    plans = [plan for plan in small_plans(radius_bits) if sum(band.radius + 1 for band in plan) == radius_bits + 1]
    assume(plans)
    plan = plans[data.draw(st.integers(0, len(plans) - 1))]
    spared = data.draw(st.integers(0, len(plan) - 1))
    random = np.random.default_rng(seed)
    table = table_of(keys_of("random", 300, seed))
    with pytest.MonkeyPatch.context() as patch:
        with_plan(patch, plan)
        index = kernels.hamming_index(table, radius_bits)
    order = bytes(index[64:320])
    query, beyond = (int.from_bytes(kernels.listed_keys(table)[7].tobytes(), "big") for _ in range(2))
    for number, band in enumerate(plan):
        bits = random.permutation(band.bits)[: band.radius + 1].tolist()
        for nth, bit in enumerate(bits):
            beyond ^= 1 << order[band.shift + bit]
            if number != spared or nth:
                query ^= 1 << order[band.shift + bit]
    queries = np.frombuffer(query.to_bytes(32, "big") + beyond.to_bytes(32, "big"), np.uint8).reshape(2, 32)
    assert (0, 7, radius_bits) in pairs(kernels.near(index, table, queries, radius_bits))
    assert pairs(kernels.near(index, table, queries, radius_bits)) == wanted(table, queries, radius_bits)
    assert (1, 7, radius_bits + 1) in pairs(kernels.near(index, table, queries, radius_bits + 1))


@needs_native
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("radius_bits", [0, 8, 31, 40])
def test_an_index_of_its_own_plan_finds_what_was_planted(kind: str, radius_bits: int) -> None:
    table = table_of(keys_of(kind, 20_000, 3))
    listed = kernels.listed_keys(table)
    picked = listed[np.linspace(0, len(listed) - 1, 40).astype(np.int64)]
    queries = np.concatenate([picked, flipped(picked, np.arange(40), 5), keys_of(kind, 10, 4)])
    index = kernels.hamming_index(table, radius_bits)
    found = kernels.near(index, table, queries, radius_bits)
    assert pairs(found) == wanted(table, queries, radius_bits)
    assert set(range(40)) <= set(found[0].tolist())


@pytest.mark.parametrize("radius_bits", [31, 52])
def test_the_regression_lists_of_the_reference(either_kernels: str, radius_bits: int) -> None:
    listed, asked = (
        [bytes.fromhex(line) for line in (LISTS / name).read_text().split()]
        for name in ("pdq_haystack.txt", "pdq_needles.txt")
    )
    table, positions = memory_table(Signal.PDQ, listed)
    queries = np.frombuffer(b"".join([*asked, *listed[:100]]), np.uint8).reshape(-1, 32)
    with pytest.MonkeyPatch.context() as patch:
        with_plan(patch, small_plans(31)[-1])
        index = kernels.hamming_index(table, radius_bits)
    found = pairs(kernels.near(index, table, queries, radius_bits))
    assert found == wanted(table, queries, radius_bits)
    assert {(100 + number, int(positions[number]), 0) for number in range(100)} <= set(found)


def test_keys_that_share_every_bucket_are_compared_all(either_kernels: str) -> None:
    """A band tells nothing where all keys have the same value in it; then a query compares the list."""
    keys = np.zeros((3000, 32), np.uint8)
    keys[:, 30:] = np.arange(3000, dtype=">u2").view(np.uint8).reshape(-1, 2)
    table = table_of(keys)
    with pytest.MonkeyPatch.context() as patch:
        with_plan(patch, small_plans(31)[0])
        index = kernels.hamming_index(table, 31)
    assert pairs(kernels.near(index, table, keys[::500], 4)) == wanted(table, keys[::500], 4)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_keys_and_no_queries(either_kernels: str, count: int) -> None:
    table = table_of(keys_of("random", count, 1))
    index = kernels.hamming_index(table, 31)
    assert pairs(kernels.near(index, table, np.zeros((0, 32), np.uint8), 31)) == []
    assert pairs(kernels.near(index, table, np.zeros((1, 32), np.uint8), 256)) == wanted(
        table, np.zeros((1, 32), np.uint8), 256
    )


@needs_native
def test_an_index_made_without_the_native_module_serves_with_it_and_the_other_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = table_of(keys_of("clustered", 6000, 2))
    queries = kernels.listed_keys(table)[::700]
    quick = kernels.hamming_index(table, 31)
    lib = native.LIB
    monkeypatch.setattr(native, "LIB", None)
    plain = kernels.hamming_index(table, 31)
    assert pairs(kernels.near(quick, table, queries, 31)) == wanted(table, queries, 31)
    monkeypatch.setattr(native, "LIB", lib)
    assert pairs(kernels.near(plain, table, queries, 31)) == wanted(table, queries, 31)


# --- the plan ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [100, 50_000, 1_000_000, 10_000_000, 100_000_000])
def test_every_plan_is_exact_and_fits(count: int) -> None:
    for radius_bits in (0, 1, 7, 20, 30, 31, 32, 48):
        bands = bands_for(count, radius_bits)
        taken = [band.shift + bit for band in bands for bit in range(band.bits)]
        assert len(set(taken)) == len(taken)
        assert not taken or max(taken) < hamming.KEY_BITS
        assert not bands or sum(band.radius + 1 for band in bands) > radius_bits


def test_few_keys_need_no_bands_and_many_have_them() -> None:
    assert not bands_for(1000, 31)
    assert bands_for(1_000_000, 31)


@needs_native
def test_ten_million_keys_cost_no_more_than_96_bytes_each_with_their_own_32() -> None:
    assert 32 + hamming_bytes(10_000_000, 31) / 10_000_000 <= 96


def test_bits_that_go_together_lie_in_different_bands() -> None:
    random = np.random.default_rng(1)
    keys = random.integers(0, 256, (4000, 32), np.uint8)
    keys[:, 16:] = keys[:, :16]  # every bit of the first half has a twin in the second
    keys[:, 0] = keys[:, 16] = 5
    bands = (*(Band(30 * number, 30, 2, 4) for number in range(8)),)
    order = bit_order(keys, bands).tolist()
    assert sorted(order) == list(range(256))
    for band in bands:
        places = order[band.shift : band.shift + band.bits]
        constant = {bit for bit in places if bit % 128 >= 120}
        told = [bit % 128 for bit in places if bit not in constant]
        assert len(set(told)) == len(told)
    assert {bit % 128 for bit in order[240:]} == set(range(120, 128))


# --- what is damaged or was never an index ----------------------------------------------------------------------------


def an_index() -> tuple[MemoryTable, bytearray]:
    table = table_of(keys_of("random", 400, 9))
    with pytest.MonkeyPatch.context() as patch:
        with_plan(patch, small_plans(31)[0])
        return table, bytearray(kernels.hamming_index(table, 31))


@needs_native
@given(st.lists(st.tuples(st.integers(0, 2**24), st.integers(0, 255)), min_size=1, max_size=8), st.integers(0, 3))
def test_a_damaged_index_is_refused_or_tells_no_more_than_the_truth(damage: list[tuple[int, int]], header: int) -> None:
    table, index = an_index()
    queries = kernels.listed_keys(table)[::50]
    for place, value in damage:
        index[place % (len(index) if header == 0 else 1344)] = value
    with contextlib.suppress(ValueError):  # it says no more than that the index is damaged, see the next test
        assert set(pairs(kernels.near(memoryview(index), table, queries, 31))) <= set(wanted(table, queries, 31))


@needs_native
@pytest.mark.parametrize("number", [400, 401, 2**31 - 1, 2**31 + 401, 2**32 - 1])
def test_blocks_that_start_beyond_the_entries_are_refused(number: int) -> None:
    table, index = an_index()
    assert table.count == 400
    first, last = (int.from_bytes(index[place : place + 8], "little") for place in (336, 344))
    index[first:last] = (number.to_bytes(4, "little") + bytes([1] * 8)) * ((last - first) // 12)
    with pytest.raises(ValueError, match="the index is damaged"):
        kernels.near(memoryview(index), table, keys_of("random", 1, 10), 31)


@needs_native
@pytest.mark.parametrize("number", [400, 511])
def test_entries_of_keys_that_are_none_are_refused(number: int) -> None:
    """A query does look into its bands: at some of the 400 keys, whose numbers have 9 bits of an entry."""
    table, index = an_index()
    first, width = int.from_bytes(index[344:352], "little"), int.from_bytes(index[332:336], "little")
    index[first : first + 400 * width] = number.to_bytes(width, "little") * 400
    with pytest.raises(ValueError, match="the index is damaged"):
        kernels.near(memoryview(index), table, queries_of_nothing(index), 31)


def queries_of_nothing(index: bytearray) -> U8:
    """Queries whose second band is 0, and whose first band takes many values."""
    queries = np.zeros((500, 32), np.uint8)
    random = np.random.default_rng(4)
    bits = int.from_bytes(index[324:328], "little")
    for place in index[64 : 64 + bits]:
        queries[:, 31 - place // 8] |= (random.integers(0, 2, 500) << (place % 8)).astype(np.uint8)
    return queries


@needs_native
@given(st.integers(0, 2**20))
def test_an_index_that_is_cut_short_is_refused(length: int) -> None:
    table, index = an_index()
    with pytest.raises(ValueError, match="damaged"):
        kernels.near(memoryview(index)[: length % len(index)], table, kernels.listed_keys(table)[:1], 31)


@needs_native
def test_an_index_of_other_keys_or_at_an_odd_place_is_refused() -> None:
    table, index = an_index()
    queries = kernels.listed_keys(table)[:1]
    for other in (table_of(keys_of("random", 399, 1)), table_of(keys_of("random", 401, 1))):
        with pytest.raises(ValueError, match="damaged"):
            kernels.near(memoryview(index), other, queries, 31)
    moved = memoryview(bytearray(4) + index)[4:]
    with pytest.raises(ValueError, match="damaged"):
        kernels.near(moved, table, queries, 31)


@needs_native
@pytest.mark.parametrize("radius_bits", [-1, 257])
def test_a_radius_that_no_key_can_have_is_refused(radius_bits: int) -> None:
    table, index = an_index()
    with pytest.raises(ValueError, match="radius"):
        kernels.near(memoryview(index), table, kernels.listed_keys(table)[:1], radius_bits)


@needs_native
def test_queries_that_are_no_whole_keys_are_refused() -> None:
    table, index = an_index()
    with pytest.raises(ValueError, match="32 bytes"):
        kernels.near(memoryview(index), table, np.zeros(33, np.uint8), 31)


@needs_native
def test_heads_and_tails_of_different_counts_are_refused() -> None:
    assert native.LIB is not None
    table, index = an_index()
    with pytest.raises(ValueError, match="damaged"):
        native.LIB.hamming_within(index, table.heads[:-1], table.tails, bytes(32), 31)
    with pytest.raises(ValueError, match="laid out"):
        native.LIB.hamming_build(index, table.heads, table.tails[:-1])
    with pytest.raises(ValueError, match="laid out"):
        native.LIB.hamming_build(bytearray(len(index)), table.heads, table.tails)
