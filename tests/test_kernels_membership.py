"""Kernels: exact membership behind a prefilter, against plain Python sets."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.batches import values_of
from vetset import kernels
from vetset.records import Signal
from vetset.testing.lists import MemoryTable, memory_table

pytestmark = pytest.mark.usefixtures("either_kernels")

SIGNALS = {16: Signal.MD5, 20: Signal.SHA1, 32: Signal.SHA256}
WIDTHS = sorted(SIGNALS)
U8 = npt.NDArray[np.uint8]


def stacked(keys: list[bytes], width_bytes: int) -> U8:
    return np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), width_bytes)


def probed(values: list[bytes | None], width_bytes: int) -> kernels.Digests:
    present = np.array([value is not None for value in values], np.bool_)
    return kernels.Digests(stacked([value or bytes(width_bytes) for value in values], width_bytes), present)


def crowded(width_bytes: int) -> st.SearchStrategy[bytes]:
    """Keys that crowd together: few heads of 8 bytes, few tails, so that heads are shared and keys repeat."""
    heads = st.sampled_from([bytes(8), b"\xff" * 8, b"\x00" * 7 + b"\x01", b"\x80" + bytes(7), b"\x7f" + b"\xff" * 7])
    rest = width_bytes - 8
    tails = st.one_of(
        st.sampled_from([bytes(rest), b"\xff" * rest, bytes(rest - 1) + b"\x01", b"\x80" + bytes(rest - 1)]),
        st.binary(min_size=rest, max_size=rest),
    )
    return st.one_of(st.tuples(heads, tails).map(b"".join), st.binary(min_size=width_bytes, max_size=width_bytes))


def tables(width_bytes: int) -> st.SearchStrategy[list[bytes]]:
    return st.lists(crowded(width_bytes), max_size=25)


# --- positions_in -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width_bytes", WIDTHS)
@given(data=st.data())
def test_positions_agree_with_a_set_and_name_the_key(width_bytes: int, data: st.DataObject) -> None:
    keys = data.draw(tables(width_bytes))
    strangers = st.one_of(st.none(), crowded(width_bytes))
    values = data.draw(st.lists(st.one_of(st.sampled_from(keys), strangers) if keys else strangers, max_size=25))
    table, _ = memory_table(SIGNALS[width_bytes], keys)
    ranked = sorted(set(keys))
    positions = kernels.positions_in(table, probed(values, width_bytes)).tolist()
    for value, position in zip(values, positions, strict=True):
        listed = value is not None and kernels.contains_of(frozenset(keys), value)
        assert (position >= 0) == listed
        assert not listed or ranked[position] == value


@pytest.mark.parametrize("width_bytes", WIDTHS)
def test_keys_that_share_their_first_eight_bytes_are_told_apart(width_bytes: int) -> None:
    tails = [hashlib.sha256(bytes([n])).digest()[: width_bytes - 8] for n in range(200)]
    keys = [b"samehead" + tail for tail in tails]
    table, positions = memory_table(SIGNALS[width_bytes], keys)
    assert (kernels.positions_in(table, probed([*keys], width_bytes)) == positions).all()
    flipped: list[bytes | None] = [key[:-1] + bytes([key[-1] ^ 1]) for key in keys]
    assert (kernels.positions_in(table, probed(flipped, width_bytes)) == -1).all()


@pytest.mark.parametrize("width_bytes", WIDTHS)
@pytest.mark.parametrize("place", [0, 7, 8, 11, 12, -1])
def test_one_flipped_byte_anywhere_makes_a_stranger(width_bytes: int, place: int) -> None:
    key = bytearray(hashlib.sha256(b"key").digest()[:width_bytes])
    table, _ = memory_table(SIGNALS[width_bytes], [bytes(key)])
    key[place] ^= 0x80
    assert kernels.positions_in(table, probed([bytes(key)], width_bytes)).tolist() == [-1]


@pytest.mark.parametrize("width_bytes", WIDTHS)
def test_an_empty_table_holds_nothing_and_no_rows_ask_nothing(width_bytes: int) -> None:
    empty, _ = memory_table(SIGNALS[width_bytes], [])
    assert empty.count == 0
    assert kernels.positions_in(empty, probed([bytes(width_bytes), None], width_bytes)).tolist() == [-1, -1]
    some, _ = memory_table(SIGNALS[width_bytes], [bytes(width_bytes)])
    assert kernels.positions_in(some, probed([], width_bytes)).tolist() == []


@pytest.mark.parametrize("width_bytes", WIDTHS)
def test_an_absent_value_never_matches_a_key_of_zeros(width_bytes: int) -> None:
    table, _ = memory_table(SIGNALS[width_bytes], [bytes(width_bytes)])
    assert kernels.positions_in(table, probed([None, bytes(width_bytes)], width_bytes)).tolist() == [-1, 0]


def test_positions_agree_with_a_set_at_size() -> None:
    keys = [hashlib.md5(f"key {n}".encode(), usedforsecurity=False).digest() for n in range(20_000)]
    table, positions = memory_table(Signal.MD5, keys)
    rows: list[bytes | None] = [f"key {n}".encode() for n in range(0, 40_000, 2)]
    found = kernels.positions_in(table, kernels.digests_of(values_of(*rows), "md5", 16))
    assert found[:10_000].tolist() == positions[::2].tolist()
    assert (found[10_000:] == -1).all()


# --- the filter ---------------------------------------------------------------------------------------------------


def without_filter(table: MemoryTable) -> MemoryTable:
    """The same table with a filter that lets everything through."""
    words = np.full_like(table.words, np.iinfo(np.uint64).max)
    return MemoryTable(table.signal, table.forms, table.width_bytes, table.heads, table.tails, words)


@pytest.mark.parametrize("width_bytes", WIDTHS)
@given(data=st.data())
def test_the_filter_never_changes_an_answer(width_bytes: int, data: st.DataObject) -> None:
    keys = data.draw(tables(width_bytes))
    asked = probed([*keys, *data.draw(st.lists(crowded(width_bytes), max_size=10))], width_bytes)
    table, positions = memory_table(SIGNALS[width_bytes], keys)
    found = kernels.positions_in(table, asked)
    assert found.tolist() == kernels.positions_in(without_filter(table), asked).tolist()
    assert found[: len(keys)].tolist() == positions.tolist()


def test_an_empty_filter_lets_nothing_through_and_so_is_really_asked() -> None:
    key = hashlib.sha256(b"key").digest()
    table, _ = memory_table(Signal.SHA256, [key])
    blind = MemoryTable(table.signal, table.forms, 32, table.heads, table.tails, np.zeros_like(table.words))
    assert kernels.positions_in(blind, probed([key], 32)).tolist() == [-1]


def test_few_strangers_pass_the_filter() -> None:
    count = 20_000
    keys = stacked([hashlib.md5(f"key {n}".encode(), usedforsecurity=False).digest() for n in range(count)], 16)
    words = kernels.filter_words(keys)
    assert len(words) * 64 == count * kernels.FILTER_BITS_PER_KEY
    strangers = stacked([hashlib.md5(f"no {n}".encode(), usedforsecurity=False).digest() for n in range(count)], 16)
    assert sum(1 for row in strangers if passes(words, row)) / count < 0.03


def passes(words: npt.NDArray[np.uint64], digest: U8) -> bool:
    """Slow and obvious: the four bits that a digest would set in its word are all set already."""
    word = int.from_bytes(digest[:4].tobytes(), "big") * len(words) >> 32
    bits = int.from_bytes(digest[8:12].tobytes(), "little")
    mask = 0
    for shift in (0, 6, 12, 18):
        mask |= 1 << (bits >> shift & 63)
    return int(words[word]) & mask == mask


@pytest.mark.parametrize("width_bytes", WIDTHS)
@given(data=st.data())
def test_the_filter_has_the_stated_bits_set_for_every_key(width_bytes: int, data: st.DataObject) -> None:
    keys = stacked(data.draw(st.lists(crowded(width_bytes), min_size=1, max_size=30)), width_bytes)
    words = kernels.filter_words(keys)
    assert all(passes(words, key) for key in keys)
    assert kernels.filter_words(keys[::-1]).tolist() == words.tolist()


def test_a_filter_over_nothing_is_one_empty_word() -> None:
    assert kernels.filter_words(np.zeros((0, 16), np.uint8)).tolist() == [0]


# --- sorted_keys and heads_of -------------------------------------------------------------------------------------


@pytest.mark.parametrize("width_bytes", WIDTHS)
@given(data=st.data())
def test_sorted_keys_are_distinct_in_byte_order_and_know_where_each_went(width_bytes: int, data: st.DataObject) -> None:
    keys = data.draw(tables(width_bytes))
    ranked, positions = kernels.sorted_keys(stacked(keys, width_bytes))
    assert [row.tobytes() for row in ranked] == sorted(set(keys))
    assert [ranked[position].tobytes() for position in positions] == keys


@pytest.mark.parametrize("width_bytes", [*WIDTHS, 144])
def test_sorted_keys_take_every_width_a_signal_has(width_bytes: int) -> None:
    keys = [hashlib.shake_128(bytes([n])).digest(width_bytes) for n in (3, 1, 2, 1, 3)]
    ranked, positions = kernels.sorted_keys(stacked(keys, width_bytes))
    assert [row.tobytes() for row in ranked] == sorted(set(keys))
    assert positions.tolist() == [sorted(set(keys)).index(key) for key in keys]


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=20))
@example([b"\x80" + bytes(15), b"\x7f" + b"\xff" * 15])
def test_the_order_of_heads_is_the_order_of_bytes(keys: list[bytes]) -> None:
    heads = kernels.heads_of(stacked(keys, 16)).tolist()
    assert heads == [int.from_bytes(key[:8], "big") for key in keys]


def test_heads_of_a_slice_are_those_of_its_rows() -> None:
    data = np.arange(16 * 8, dtype=np.uint8).reshape(8, 16)
    assert kernels.heads_of(data[::2]).tolist() == kernels.heads_of(data).tolist()[::2]
