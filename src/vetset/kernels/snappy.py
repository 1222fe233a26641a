"""Snappy: data unfolded, and data cut within their compressed form.

In it: what right is, and the native twins' place (google/snappy, format_description.txt).
Not in it: compressing, which Arrow does. Why cutting: the most of a page that loses a few rows is the same afterwards,
and an element of the compressed form that neither holds nor refers to what goes can stay as it is, where to compress it
again would cost several times as much.
Rules: every length and offset is checked against the data; what is written is a function of what was read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vetset.kernels import native
from vetset.kernels.encoding import I64, Data, Mask, NotEncoded, stretches

_LITERAL, _COPY_1, _COPY_2, _COPY_4 = 0, 1, 2, 3
_LONG_LITERAL = 60
_MORE_BYTES = {_COPY_1: 1, _COPY_2: 2, _COPY_4: 4}


#: Where in the compressed form each block of the contents starts (native/parquet.c): cutting steps over whole blocks
#: that lose nothing. Without them the answer is the same, and takes longer.
Marks = npt.NDArray[np.int64]
NO_MARKS: Marks = np.empty(0, np.int64)
_BLOCK_BYTES = 1 << 16


def unfolded(data: Data, size_bytes: int) -> memoryview:
    """The contents, which must be of exactly that size."""
    return _unfolded(data, size_bytes, NO_MARKS)


def unfolded_to_cut(data: Data, size_bytes: int) -> tuple[memoryview, Marks]:
    """The contents, which must be of exactly that size, and what makes it quick to cut the data afterwards."""
    if native.LIB is None:
        return unfolded(data, size_bytes), NO_MARKS
    marks = np.empty(size_bytes // _BLOCK_BYTES + 2, np.int64)
    return _unfolded(data, size_bytes, marks), marks


def _unfolded(data: Data, size_bytes: int, marks: Marks) -> memoryview:
    if native.LIB is not None:
        out = np.empty(size_bytes, np.uint8)
        try:
            native.LIB.snappy_unfolded(data, out, marks)
        except ValueError:
            raise NotEncoded from None
        return out.data
    done = bytearray()
    told, elements = _elements(data)
    if told != size_bytes:
        raise NotEncoded
    for element in elements:
        if not element.offset:
            done += data[element.body : element.body + element.length]
        elif element.offset > len(done):
            raise NotEncoded
        else:
            for _ in range(element.length):
                done.append(done[-element.offset])
        if len(done) > size_bytes:
            raise NotEncoded
    if len(done) != size_bytes:
        raise NotEncoded
    return memoryview(done)


class _Element(NamedTuple):
    """`offset` is 0 for a literal, whose bytes start at `body`; `encoded` is all of it."""

    length: int
    offset: int
    body: int
    encoded: Data


def _elements(data: Data) -> tuple[int, Iterator[_Element]]:
    """The size that the data tell, and their elements."""
    told = 0
    for place, byte in enumerate(data[:5]):
        told |= (byte & 0x7F) << 7 * place
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
            return told, _from(data, place + 1)
    raise NotEncoded


def _from(data: Data, at: int) -> Iterator[_Element]:
    while at < len(data):
        tag, start = data[at], at
        kind, length, offset = tag & 3, (tag >> 2) + 1, 0
        more = max(0, (tag >> 2) - _LONG_LITERAL + 1) if kind == _LITERAL else _MORE_BYTES[kind]
        at += 1 + more
        number = int.from_bytes(data[at - more : at], "little")
        if at > len(data):
            raise NotEncoded
        if kind == _LITERAL:
            length = number + 1 if more else length
            at += length
        elif kind == _COPY_1:
            length, offset = 4 + (tag >> 2 & 7), number | tag >> 5 << 8
        else:
            offset = number
        if at > len(data) or (kind != _LITERAL and not offset):
            raise NotEncoded
        yield _Element(length, offset, at - length, data[start:at])


def cut(data: Data, whole: Data, first: bytes, gone: I64, marks: Marks = NO_MARKS) -> Data | None:
    """The compressed form of `first` and after it `whole` without the stretches `gone` ((n, 2), ascending, apart), made
    of `data`, the compressed form of `whole`. None if it is not worth it: compress it anew.

    `marks` are those of `unfolded_to_cut` for the same data, or none.
    """
    size_bytes = len(first) + len(whole) - int((gone[:, 1] - gone[:, 0]).sum())
    room = 32 + size_bytes + size_bytes // 6  # what snappy itself needs at most
    if native.LIB is not None:
        out = np.empty(room, np.uint8)
        try:
            return out.data[: native.LIB.snappy_cut(data, whole, marks, first, np.ascontiguousarray(gone), out)]
        except ValueError:
            return None
    written = bytearray(_varint(size_bytes))
    if first:
        written += _literal(first)
    done = 0
    stays = np.ones(len(whole), np.bool_)
    for start, stop in gone.tolist():
        stays[start:stop] = False
    places = np.cumsum(stays, dtype=np.int64)  # of a byte that stays: its place afterwards, plus one
    told, elements = _elements(data)
    for element in elements:
        written += _cut_element(element, done, bytes(whole[done : done + element.length]), stays, places)
        done += element.length
    return memoryview(written) if len(written) <= room and done == len(whole) == told else None


def _cut_element(element: _Element, at: int, contents: bytes, stays: Mask, places: I64) -> bytes:
    stop = at + element.length
    here = stays[at:stop]
    if not element.offset:
        if here.all():
            return bytes(element.encoded)
        left = np.frombuffer(contents, np.uint8)[here].tobytes()
        return _literal(left) if left else b""
    if stays[at - element.offset : stop].all():
        return bytes(element.encoded)
    out = b""
    for start, end in (stretches(here) + at).tolist():
        source = start - element.offset
        if stays[source : source + end - start].all():
            out += _copy(end - start, int(places[start] - places[source]))
        else:
            out += _literal(contents[start - at : end - at])
    return out


def _literal(contents: bytes) -> bytes:
    last = len(contents) - 1
    if last < _LONG_LITERAL:
        return bytes([last << 2]) + contents
    more = (last.bit_length() + 7) // 8
    return bytes([(_LONG_LITERAL - 1 + more) << 2]) + last.to_bytes(more, "little") + contents


def _copy(length: int, offset: int) -> bytes:
    if 4 <= length < 12 and offset < 2048:  # noqa: PLR2004 - what the short form holds
        return bytes([_COPY_1 | (length - 4) << 2 | offset >> 8 << 5, offset & 0xFF])
    more, kind = (2, _COPY_2) if offset < 1 << 16 else (4, _COPY_4)
    return bytes([kind | (length - 1) << 2]) + offset.to_bytes(more, "little")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - the bits of a byte that are not the mark
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
