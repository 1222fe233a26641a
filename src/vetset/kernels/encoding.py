"""Two of Parquet's encodings, read and written: the hybrid of runs and packed bits, and byte arrays with lengths.

In it: what right is, and the native twins' place (apache/parquet-format, Encodings.md: RLE, PLAIN).
Not in it: pages, headers, compression; values of one width, which numpy takes as they are.
Rules: nothing is believed about lengths; what does not hold what it must ends in `NotEncoded`, without a value; the
bytes written are a function of the values, the same with and without the native module.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vetset.kernels import native

U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Data = bytes | memoryview

_GROUP = 8
_WIDEST_BITS = 32
_LONGEST_VARINT = 5
_LENGTH_BYTES = 4


class NotEncoded(Exception):  # noqa: N818 - it says what the data are
    """The data do not hold the values that they must hold."""


def hybrid_values(data: Data, bit_width: int, count: int) -> U32:
    """The first `count` values of a hybrid stream without its length; what follows them is not looked at."""
    if bit_width > _WIDEST_BITS:
        raise NotEncoded
    if native.LIB is not None:
        try:
            return np.frombuffer(native.LIB.hybrid_values(data, bit_width, count), np.uint32)
        except ValueError:
            raise NotEncoded from None
    values = np.zeros(count, np.uint32)
    at = done = 0
    while done < count:
        head, at = _varint(data, at)
        number = head >> 1
        if not number:
            raise NotEncoded
        if head & 1:
            taken = min(number * _GROUP, count - done)
            values[done : done + taken] = _unpacked(data[at : at + number * bit_width], bit_width, taken)
            at += number * bit_width
        else:
            taken = min(number, count - done)
            values[done : done + taken], at = _repeated(data, at, bit_width)
        done += taken
    return values


def _varint(data: Data, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_VARINT):
        if at >= len(data):
            raise NotEncoded
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
            break
    else:
        raise NotEncoded
    if value >> _WIDEST_BITS:
        raise NotEncoded
    return value, at


def _unpacked(packed: Data, bit_width: int, count: int) -> U32:
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")
    if len(bits) < count * bit_width:
        raise NotEncoded
    weights = np.left_shift(np.uint64(1), np.arange(bit_width, dtype=np.uint64))
    return (bits[: count * bit_width].reshape(count, bit_width) @ weights).astype(np.uint32)


def _repeated(data: Data, at: int, bit_width: int) -> tuple[int, int]:
    stop = at + (bit_width + 7) // 8
    value = int.from_bytes(data[at:stop], "little")
    if stop > len(data) or value >> bit_width:
        raise NotEncoded
    return value, stop


def hybrid_encoded(values: U32, bit_width: int) -> bytes:
    """Runs of eight equal values and more as runs, the rest packed in groups of eight, the last filled with zeros."""
    values = np.ascontiguousarray(values, np.uint32)
    if native.LIB is not None:
        return bytes(native.LIB.hybrid_encoded(values, bit_width))
    out = bytearray()
    runs = _runs(values)
    done = 0
    while done < len(values):
        if runs[done] >= _GROUP:
            out += _as_varint(int(runs[done]) << 1)
            out += int(values[done]).to_bytes(4, "little")[: (bit_width + 7) // 8]
            done += int(runs[done])
            continue
        start, done = done, done + _GROUP
        while done < len(values) and runs[done] < _GROUP:
            done += _GROUP
        out += _as_varint((done - start) // _GROUP << 1 | 1) + _packed(values[start:done], bit_width)
    return bytes(out)


def _runs(values: U32) -> npt.NDArray[np.int64]:
    """For each place, how many values from there on are equal."""
    ends = np.append(np.flatnonzero(values[1:] != values[:-1]) + 1, len(values))
    places = np.arange(len(values))
    return (ends[np.searchsorted(ends, places, side="right")] - places).astype(np.int64)


def _packed(values: U32, bit_width: int) -> bytes:
    whole = np.zeros(-(-len(values) // _GROUP) * _GROUP, "<u4")
    whole[: len(values)] = values
    bits = np.unpackbits(whole.view(np.uint8).reshape(-1, 4), axis=1, bitorder="little")
    return np.packbits(bits[:, :bit_width], bitorder="little").tobytes()


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - the bits of a byte that are not the mark
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


class ByteArrays(NamedTuple):
    """A walk over byte arrays: where those stand that go, where the last one ends, and extremes of those asked for."""

    gone: I64
    end: int
    low: bytes | None
    high: bytes | None


def byte_arrays_cut(data: Data, kept: Mask, *, of_gone: bool = False) -> ByteArrays:
    """The first len(kept) values, each a length and its bytes. `gone` is (stretches, 2): start and stop of each stretch
    that is not kept. The extremes are of the values kept or, if asked, of those that go, in the order of their bytes.
    """
    if native.LIB is not None:
        try:
            gone, end, low, high = native.LIB.byte_arrays_cut(data, kept, of_gone)
        except ValueError:
            raise NotEncoded from None
        return ByteArrays(np.frombuffer(gone, np.int64).reshape(-1, 2), end, low, high)
    whole = bytes(data)
    values, ends, at = [], [0], 0
    for stays in kept.tolist():
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(whole[at:start], "little")
        if max(start, at) > len(whole):
            raise NotEncoded
        ends.append(at)
        if stays != of_gone:
            values.append(whole[start:at])
    return ByteArrays(np.array(ends)[stretches(~kept)], at, min(values, default=None), max(values, default=None))


def stretches(chosen: Mask) -> I64:
    """(n, 2): start and stop of each stretch of values under the mask."""
    edges = np.flatnonzero(np.diff(chosen.astype(np.int8), prepend=0, append=0))
    return edges.reshape(-1, 2).astype(np.int64)
