"""Hamming distance: every key within a radius of a query, by comparing all, or by an index that misses none.

In it: the definition, the plan of an index (which bits go into which band), its layout, and the search.
Not in it: lists, and what a match means.
Rules: recall is exactly 1 for every radius, since the bands' radii r_i satisfy sum(r_i + 1) > radius for the radii that
an index was planned for (native/hamming.c has the argument), and beyond them all keys are compared. An index holds no
key, and is nothing without the table that it was made of. Without the native module all keys are compared, and the
answers are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import comb, exp
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vetset.kernels import native
from vetset.kernels.membership import listed_keys
from vetset.ports import KeyTable

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
Near = tuple[I64, I64, I64]

KEY_BYTES = 32
KEY_BITS = 256

_MAGIC = b"vsnear4\0"
_AT_ORDER, _BAND_BYTES, _MOST_BANDS = 64, 32, 32
_AT_BANDS = _AT_ORDER + KEY_BITS
_AT_TABLES = _AT_BANDS + _MOST_BANDS * _BAND_BYTES
_LEAST_BITS, _MOST_BITS = 8, 28
#: A band's table has a block of so many bytes for so many values, and one more.
_BLOCK_BYTES, _BLOCK_VALUES = 12, 8
#: An entry is the number of a key and bits of the next band; behind the last there is room to read 8 bytes.
_WIDTHS_BYTES, _MARGIN_BYTES = (4, 5), 8
#: Bytes that a key may cost in all, its own 32 too.
_BYTES_OF_MANY, _BYTES_OF_FEW, _MANY = 96, 120, 4_000_000
#: What things cost, in nanoseconds on the machine of bench/README.md: a value looked up, the same if it has entries
#: besides, an entry, a key by its number, and a key in a row.
_VALUE, _BORNE, _ENTRY, _KEY, _IN_A_ROW = 9.0, 18.0, 1.0, 18.0, 0.85
#: Below so many keys comparing all is as quick.
_LEAST_KEYS = 4096
_SAMPLE = 20_000
_BLOCK_KEYS = 8192


def hamming_of(one: bytes, other: bytes) -> int:
    """Bits in which two values of the same length differ: the definition."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def within_of(keys: U8, queries: U8, radius_bits: int) -> Near:
    """(query number, position of the key, distance) for all pairs within the radius, by query and then position."""
    found: list[tuple[int, int, int]] = []
    for number, query in enumerate(queries):
        distances = np.bitwise_count(keys ^ query).sum(axis=1, dtype=np.int64)
        near = np.flatnonzero(distances <= radius_bits)
        found.extend((number, place, int(distances[place])) for place in near.tolist())
    return _columns(np.array(found, np.int64).reshape(-1, 3))


def _columns(triples: I64) -> Near:
    return triples[:, 0], triples[:, 1], triples[:, 2]


# --- the plan of an index ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Band:
    """Consecutive bits of the ordered key, how many of them may differ, and how long an entry is."""

    shift: int
    bits: int
    radius: int
    width_bytes: int


class Alike(NamedTuple):
    """So many bands of the same bits and radius."""

    bands: int
    bits: int
    radius: int


class Plan(NamedTuple):
    """Bands in groups, those with the greatest radius first."""

    width_bytes: int
    groups: tuple[Alike, ...]


@cache
def bands_for(count: int, radius_bits: int) -> tuple[Band, ...]:
    """Bands that find everything within the radius, at the least expected cost; none where comparing all is as good.

    Of the sum radius + 1 a band with radius 0 gives 1, with 1 gives 2, with 2 gives 3. Not all bits need be in a band.
    """
    if count < _LEAST_KEYS:
        return ()
    most_bytes = _BYTES_OF_MANY if count >= _MANY else _BYTES_OF_FEW
    plans = (plan for plan in plans_for(radius_bits) if _bytes_per_key(plan, count) <= most_bytes)
    best = min(plans, key=lambda plan: _cost(plan, count), default=None)
    return placed(best) if best and _cost(best, count) < count * _IN_A_ROW else ()


def plans_for(radius_bits: int) -> Iterator[Plan]:
    """Every mix of radii, with every number of bits that fits into a key."""
    needed = radius_bits + 1
    for twos in range(-(-needed // 3) + 1):
        rest = max(0, needed - 3 * twos)
        for ones in range(-(-rest // 2) + 1):
            zeros = max(0, rest - 2 * ones)
            if not 1 <= twos + ones + zeros <= _MOST_BANDS:
                continue
            for width, bits, more in product(_WIDTHS_BYTES, range(_LEAST_BITS, _MOST_BITS + 1), range(5)):
                groups = (Alike(twos, bits + more, 2), Alike(ones, bits, 1), Alike(zeros, bits, 0))
                if bits + more <= _MOST_BITS and sum(alike.bands * alike.bits for alike in groups) <= KEY_BITS:
                    yield Plan(width, tuple(alike for alike in groups if alike.bands))


def _cost(plan: Plan, count: int) -> float:
    """What a query costs on average, for uniform bits; real ones in the order of `bit_order` come close to it."""
    total = 0.0
    for bands, bits, radius in plan.groups:
        borne = count / (1 << bits)
        looked_at = bands * values_within(bits, radius)
        total += looked_at * (_VALUE + _BORNE * (1 - exp(-borne)))
        total += looked_at * borne * (_ENTRY + _KEY * _passing(plan, count))
    return total


@cache
def _passing(plan: Plan, count: int) -> float:
    """The share of keys that their next band does not tell to be strangers."""
    told = min(8 * plan.width_bytes - count.bit_length(), plan.groups[-1].bits)
    return sum(comb(told, differing) for differing in range(plan.groups[0].radius + 2)) / (1 << told)


def values_within(bits: int, radius: int) -> int:
    """How many values lie within the radius of one."""
    return (1, 1 + bits, 1 + bits + bits * (bits - 1) // 2)[radius]


def _bytes_per_key(plan: Plan, count: int) -> float:
    return KEY_BYTES + sum(_band_bytes(band, count) for band in placed(plan)) / max(1, count)


def _band_bytes(band: Band, count: int) -> int:
    return _table_bytes(band) + band.width_bytes * count + _MARGIN_BYTES


def _table_bytes(band: Band) -> int:
    return _BLOCK_BYTES * ((1 << band.bits) // _BLOCK_VALUES + 1)


@cache
def placed(plan: Plan) -> tuple[Band, ...]:
    """The bands of a plan, one behind the other."""
    found: list[Band] = []
    for bands, bits, radius in plan.groups:
        for _ in range(bands):
            shift = found[-1].shift + found[-1].bits if found else 0
            found.append(Band(shift, bits, radius, plan.width_bytes))
    return tuple(found)


def bit_order(keys: U8, bands: tuple[Band, ...]) -> U8:
    """Which bit of a key stands at each place, so that bits that go together lie in different bands.

    Greedy: each bit joins the band in which its squared correlations add up to least, bits that say least (the most
    skewed) first. Those that say least of all stand behind the bands where not all have room. Bit 0 is the lowest of
    the last byte.
    """
    bits = np.unpackbits(keys[:, ::-1], axis=1, bitorder="little").astype(np.float32)
    bits -= bits.mean(axis=0)
    spread = np.sqrt((bits**2).mean(axis=0))
    related = ((bits.T @ bits / len(bits)) / np.maximum(np.outer(spread, spread), 1e-6)) ** 2
    ranked = np.argsort(spread, kind="stable").tolist()
    room = sum(band.bits for band in bands)
    unused, used = ranked[: KEY_BITS - room], ranked[KEY_BITS - room :]
    members: list[list[int]] = [[] for _ in bands]
    load = np.zeros((len(bands), KEY_BITS), np.float32)
    for bit in used:
        free = [(float(load[place, bit]), place) for place, band in enumerate(bands) if len(members[place]) < band.bits]
        _, place = min(free)
        members[place].append(bit)
        load[place] += related[bit]
    return np.array([bit for own in [*members, unused] for bit in own], np.uint8)


# --- an index in one buffer -------------------------------------------------------------------------------------------


def hamming_bytes(count: int, radius_bits: int) -> int:
    """How long the buffer of an index over so many keys is."""
    return _laid_out(_bands_made(count, radius_bits), count)[-1]


def _bands_made(count: int, radius_bits: int) -> tuple[Band, ...]:
    return () if native.LIB is None else bands_for(count, radius_bits)


def _laid_out(bands: tuple[Band, ...], count: int) -> list[int]:
    """Where the blocks and the entries of each band lie, in turn, and where the last ends."""
    places = [_AT_TABLES]
    for band in bands:
        places.append(places[-1] + _table_bytes(band))
        places.append(places[-2] + _band_bytes(band, count))
    return places


def hamming_index(table: KeyTable, radius_bits: int, buffer: memoryview | None = None) -> memoryview:
    """An index over a table's keys of 32 bytes, in a buffer of `hamming_bytes`, given or new."""
    data = buffer if buffer is not None else memoryview(bytearray(hamming_bytes(table.count, radius_bits)))
    bands = _bands_made(table.count, radius_bits)
    order = bit_order(_sample_of(table), bands) if bands else np.arange(KEY_BITS, dtype=np.uint8)
    data[:_AT_TABLES] = _header(table.count, bands, order)
    if native.LIB is not None:
        native.LIB.hamming_build(data, table.heads, table.tails)
    return data


def _sample_of(table: KeyTable) -> U8:
    step = max(1, table.count // _SAMPLE)
    heads = np.ascontiguousarray(table.heads[::step]).astype(">u8").view(np.uint8).reshape(-1, 8)
    return np.concatenate([heads, table.tails[::step]], axis=1)


def _header(count: int, bands: tuple[Band, ...], order: U8) -> bytes:
    places = _laid_out(bands, count)
    head = _MAGIC + count.to_bytes(8, "little") + len(bands).to_bytes(4, "little")
    lines = b""
    for number, band in enumerate(bands):
        lines += b"".join(
            figure.to_bytes(4, "little") for figure in (band.shift, band.bits, band.radius, band.width_bytes)
        )
        lines += b"".join(place.to_bytes(8, "little") for place in places[2 * number : 2 * number + 2])
    return (head.ljust(_AT_ORDER, b"\0") + order.tobytes() + lines).ljust(_AT_TABLES, b"\0")


def near(index: memoryview, table: KeyTable, queries: U8, radius_bits: int) -> Near:
    """Every key of the index's table within the radius of each query, as `within_of` answers it."""
    queries = np.ascontiguousarray(queries, np.uint8)
    if native.LIB is not None:
        found = native.LIB.hamming_within(index, table.heads, table.tails, queries, radius_bits)
        return _columns(np.frombuffer(found, np.int64).reshape(-1, 3))
    return _by_blocks(listed_keys(table), queries, radius_bits)


def _by_blocks(keys: U8, queries: U8, radius_bits: int) -> Near:
    """The definition, 8 bytes and a block of keys at a time."""
    words, asked = np.ascontiguousarray(keys).view(np.uint64), queries.view(np.uint64)
    found = [np.zeros((0, 3), np.int64)]
    for first in range(0, len(words), _BLOCK_KEYS):
        block = words[first : first + _BLOCK_KEYS]
        for number, query in enumerate(asked):
            distances = np.bitwise_count(block ^ query).sum(axis=1, dtype=np.int64)
            places = np.flatnonzero(distances <= radius_bits)
            if len(places):
                triples = np.column_stack([np.full(len(places), number), places + first, distances[places]])
                found.append(triples.astype(np.int64))
    triples = np.concatenate(found)
    return _columns(triples[np.lexsort((triples[:, 1], triples[:, 0]))])
