"""Hamming distance: every key within a radius of a query, by comparing all, or by an index that misses none.

In it: the definition, the plan of an index (which bits go into which band), its layout, and the search.
Not in it: lists, and what a match means. Rules: recall is exactly 1 for every radius the index was planned for, since
the bands' radii r_i satisfy sum(r_i + 1) > radius (native/hamming.c has the argument); without the native module all
keys are compared, and the answers are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vetset.kernels import native

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
Near = tuple[I64, I64, I64]

KEY_BYTES = 32
KEY_BITS = 256

_MAGIC = b"vsnear1\0"
_AT_ORDER, _BAND_BYTES, _MOST_BANDS = 64, 32, 32
_AT_BANDS = _AT_ORDER + KEY_BITS
_AT_KEYS = _AT_BANDS + _MOST_BANDS * _BAND_BYTES
_MOST_BITS = 26
#: Below so many keys comparing all is as quick.
_LEAST_KEYS = 4096
#: Bytes of index that a key may cost, with its own 32: few keys may have more, since tables do not shrink below a size.
_BYTES_OF_MANY, _BYTES_OF_FEW, _MANY = 96, 240, 4_000_000
_SAMPLE = 20_000


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
    """Consecutive bits of the ordered key, and how many of them may differ."""

    shift: int
    bits: int
    radius: int


def bands_for(count: int, radius_bits: int) -> list[Band]:
    """Bands that find everything within the radius, at the least expected cost; none where comparing all is as good.

    Of the sum radius + 1 a band with radius 1 gives 2 and one with radius 2 gives 3. The cost is that of looking at
    the tables and of the keys that chance brings, for uniform bits; real ones bring a few times as many.
    """
    if count < _LEAST_KEYS:
        return []
    plans = (plan for plan in _plans(count, radius_bits) if _bytes_per_key(plan, count) <= _most_bytes(count))
    best = min(plans, key=lambda plan: _cost(plan, count), default=[])
    return [] if not best or _cost(best, count) > count / 12 else _placed(best)


def _most_bytes(count: int) -> int:
    return _BYTES_OF_MANY if count >= _MANY else _BYTES_OF_FEW


def _plans(count: int, radius_bits: int) -> list[list[tuple[int, int]]]:
    """(bits, radius) of each band, for every mix of radii 1 and 2 and every division of the bits between them."""
    needed, plans = radius_bits + 1, []
    for wide in range(needed // 3 + 1):
        narrow = -(-(needed - 3 * wide) // 2)
        bands = wide + narrow
        if not 1 <= bands <= _MOST_BANDS:
            continue
        for more in range(7):
            base = (KEY_BITS - more * wide) // bands
            rest = KEY_BITS - more * wide - base * bands
            bits = [base + more + (place < rest) for place in range(wide)]
            bits += [base + (place + wide < rest) for place in range(narrow)]
            if max(bits) <= _MOST_BITS and min(bits) >= 1:
                plans.append(list(zip(bits, [2] * wide + [1] * narrow, strict=True)))
    return plans


def _probes(bits: int, radius: int) -> int:
    return 1 + bits + (bits * (bits - 1) // 2 if radius > 1 else 0)


def _cost(plan: list[tuple[int, int]], count: int) -> float:
    """In units of one key compared in order: a table's entry 4, a key by its number 12, at four times the chance."""
    return float(sum(_probes(bits, radius) * (4 + 12 * 3 * count / 2**bits) for bits, radius in plan))


def _bytes_per_key(plan: list[tuple[int, int]], count: int) -> float:
    return KEY_BYTES + 4 * len(plan) + float(sum(4 * 2**bits for bits, _ in plan)) / count


def _placed(plan: list[tuple[int, int]]) -> list[Band]:
    bands, shift = [], 0
    for bits, radius in plan:
        bands.append(Band(shift, bits, radius))
        shift += bits
    return bands


def bit_order(keys: U8, bands: list[Band]) -> U8:
    """Which bit of a key stands at each place, so that bits that go together lie in different bands.

    Greedy over a sample: each bit joins the band in which its squared correlations add up to least, bits that say
    least (the most skewed) first. Bit 0 is the lowest of the last byte.
    """
    step = max(1, len(keys) // _SAMPLE)
    bits = np.unpackbits(keys[::step][:, ::-1], axis=1, bitorder="little").astype(np.float32)
    bits -= bits.mean(axis=0)
    spread = np.sqrt((bits**2).mean(axis=0))
    related = ((bits.T @ bits / len(bits)) / np.maximum(np.outer(spread, spread), 1e-6)) ** 2
    order = np.zeros(KEY_BITS, np.uint8)
    filled = [0] * len(bands)
    load = np.zeros((len(bands), KEY_BITS), np.float32)
    for bit in np.argsort(spread, kind="stable").tolist():
        room = [(float(load[place, bit]), place) for place, band in enumerate(bands) if filled[place] < band.bits]
        _, place = min(room)
        order[bands[place].shift + filled[place]] = bit
        filled[place] += 1
        load[place] += related[bit]
    return order


# --- an index in one buffer -------------------------------------------------------------------------------------------


def hamming_bytes(count: int, radius_bits: int) -> int:
    """How long the buffer of an index over so many keys is."""
    end = _AT_KEYS + count * KEY_BYTES
    for band in bands_for(count, radius_bits):
        end += 4 * (2**band.bits + 1) + 4 * count
    return -(-end // 8) * 8


def hamming_index(keys: U8, radius_bits: int, buffer: memoryview | None = None) -> memoryview:
    """An index over keys (count, 32), in a buffer of `hamming_bytes`, given or new. Radii up to this may be asked for."""
    data = buffer if buffer is not None else memoryview(bytearray(hamming_bytes(len(keys), radius_bits)))
    keys = np.ascontiguousarray(keys)
    bands = bands_for(len(keys), radius_bits) if native.LIB is not None else []
    order = bit_order(keys, bands) if bands else np.arange(KEY_BITS, dtype=np.uint8)
    data[:_AT_KEYS] = _header(len(keys), bands, order)
    if native.LIB is not None:
        native.LIB.hamming_build(data, keys)
    else:
        data[_AT_KEYS : _AT_KEYS + keys.nbytes] = _as_words(keys)
    return data


def _header(count: int, bands: list[Band], order: U8) -> bytes:
    end = _AT_KEYS + count * KEY_BYTES
    lines = []
    for band in bands:
        starts = end
        ids = starts + 4 * (2**band.bits + 1)
        end = ids + 4 * count
        numbers = (band.shift, band.bits, band.radius, 0)
        lines.append(
            b"".join(n.to_bytes(4, "little") for n in numbers)
            + starts.to_bytes(8, "little")
            + ids.to_bytes(8, "little")
        )
    head = (_MAGIC + count.to_bytes(8, "little") + len(bands).to_bytes(4, "little")).ljust(_AT_ORDER, b"\0")
    return (head + order.tobytes() + b"".join(lines)).ljust(_AT_KEYS, b"\0")


def _as_words(keys: U8) -> bytes:
    """Keys as the native module holds them while the bits are in their own order: words from the lowest on."""
    return np.ascontiguousarray(keys[:, ::-1]).tobytes()


def near(index: memoryview, queries: U8, radius_bits: int) -> Near:
    """Every key within the radius of each query, as `within_of` answers it."""
    queries = np.ascontiguousarray(queries, np.uint8)
    if native.LIB is not None:
        triples = np.frombuffer(native.LIB.hamming_within(index, queries, radius_bits), np.int64)
        return _columns(triples.reshape(-1, 3))
    return within_of(_keys_in(index), queries, radius_bits)


def _keys_in(index: memoryview) -> U8:
    """The keys of an index that was made without the native module, whose bits are in their own order."""
    if bytes(index[:8]) != _MAGIC or bytes(index[16:20]) != bytes(4):
        raise ValueError("an index that only the native module can read")
    count = int.from_bytes(index[8:16], "little")
    words = np.frombuffer(index, np.uint8, count * KEY_BYTES, _AT_KEYS).reshape(count, KEY_BYTES)
    return words[:, ::-1]
