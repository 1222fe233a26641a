"""Encoded values without those of rows that go: plain, by dictionary, runs of booleans, split bytes.

In it: which bytes go, or the values encoded anew, and the extremes of those that stay.
Not in it: levels, compression, pages (`pagebody`). See apache/parquet-format, Encodings.md.
Rules: bytes after the last value go too, since nobody knows whose they were; what does not hold as many values as it
must is damage.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vetset.datasets.extremes import Extremes, Order, order_of
from vetset.datasets.rowgroups import undecodable
from vetset.kernels.encoding import (
    I64,
    U32,
    Mask,
    NotEncoded,
    byte_arrays_cut,
    hybrid_encoded,
    hybrid_values,
    stretches,
)

PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY, BYTE_STREAM_SPLIT = 0, 2, 3, 8, 9
BY_DICTIONARY = frozenset({PLAIN_DICTIONARY, RLE_DICTIONARY})
_WIDTH_BYTES = {"INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_LENGTH_BYTES = 4
_NOTHING = np.zeros(0, np.uint32)


@dataclass(frozen=True, slots=True)
class Form:
    """How the pages of a column chunk are to be understood. `width`: bytes of a value, 0 where they differ."""

    kind: str
    width: int
    codec: str
    max_definition: int
    max_repetition: int
    order: Order | None

    def without_levels(self) -> Form:
        """The form of a dictionary page: plain values after no levels, like a data page of a column that has none."""
        return replace(self, max_definition=0, max_repetition=0)


def form_of(leaf: Any, codec: str, *, with_extremes: bool) -> Form:
    """From Parquet's own description of a leaf column."""
    kind = leaf.physical_type
    width = leaf.length if kind == "FIXED_LEN_BYTE_ARRAY" else _WIDTH_BYTES.get(kind, 0)
    order = order_of(leaf) if with_extremes else None
    return Form(kind, width, codec, leaf.max_definition_level, leaf.max_repetition_level, order)


def is_known(encoding: int, form: Form) -> bool:
    """Whether values of an encoding can be cut."""
    if form.kind == "FIXED_LEN_BYTE_ARRAY" and form.width <= 0:
        return False
    if encoding == RLE:
        return form.kind == "BOOLEAN"
    if encoding == BYTE_STREAM_SPLIT:
        return form.width > 0
    return encoding == PLAIN or (encoding in BY_DICTIONARY and form.kind != "BOOLEAN")


@contextmanager
def damage_told() -> Iterator[None]:
    """Turns what the kernels say of data that are not theirs into trouble of the shard."""
    try:
        yield
    except NotEncoded:
        raise undecodable() from None


class Indexed(NamedTuple):
    """How many entries a dictionary has and, if it is made anew, old index -> new, and the bits of the new ones."""

    entries: int
    places: U32 | None = None
    bit_width: int = 0


class Cut(NamedTuple):
    """Values that stay: either `made` anew, or what of the old bytes is `gone`, in stretches as `byte_arrays_cut` has
    them. `indices` are set instead of `extremes` where a dictionary holds the values.
    """

    made: bytes | None = None
    gone: I64 | None = None
    extremes: Extremes = None
    indices: U32 | None = None


def cut_values(
    values: memoryview, encoding: int, kept: Mask, form: Form, *, of_gone: bool, dictionary: Indexed | None = None
) -> Cut:
    """Of the encoded values those under the mask; extremes are of them or, if asked, of those that go."""
    with damage_told():
        if encoding in BY_DICTIONARY:
            return _cut_indices(values, kept, dictionary or Indexed(0))
        asked = ~kept if of_gone else kept
        if encoding == RLE:
            return _cut_runs(values, kept, asked, form)
        if form.kind == "BOOLEAN":
            return _cut_bits(values, kept, asked, form)
        if form.width:
            return _cut_fixed(values, encoding, kept, asked, form)
        walked = byte_arrays_cut(values, kept, of_gone=of_gone)
    extremes = None if walked.low is None or form.order is None else (walked.low, walked.high)
    return Cut(gone=_to_the_end(walked.gone, walked.end, len(values)), extremes=extremes)


def _to_the_end(gone: I64, end: int, size_bytes: int) -> I64:
    return gone if end == size_bytes else joined(gone, np.array([[end, size_bytes]], np.int64))


def joined(one: I64, other: I64) -> I64:
    """Stretches of which the second follow the first, those that touch made one."""
    edges = np.concatenate([one, other]).ravel()
    touching = 2 * np.flatnonzero(edges[1:-1:2] == edges[2::2]) + 1
    return np.delete(edges, np.concatenate([touching, touching + 1])).reshape(-1, 2)


def without(data: memoryview, gone: I64) -> bytes:
    """The bytes that are not gone."""
    edges = [0, *gone.ravel().tolist(), len(data)]
    return b"".join(data[start:stop] for start, stop in zip(edges[::2], edges[1::2], strict=True))


def indices_of(values: memoryview, count: int, entries: int) -> tuple[int, U32]:
    """Bit width and indices of a page by dictionary, each of an entry that is there."""
    if not count:
        return 0, _NOTHING
    if not len(values):
        raise NotEncoded
    indices = hybrid_values(values[1:], values[0], count)
    if indices.max() >= entries:
        raise NotEncoded
    return values[0], indices


def _cut_indices(values: memoryview, kept: Mask, dictionary: Indexed) -> Cut:
    bit_width, indices = indices_of(values, len(kept), dictionary.entries)
    indices = indices[kept]
    if dictionary.places is not None:
        bit_width = dictionary.bit_width
    encoded = hybrid_encoded(indices if dictionary.places is None else dictionary.places[indices], bit_width)
    return Cut(made=bytes([bit_width]) + encoded, indices=indices)


def _cut_runs(values: memoryview, kept: Mask, asked: Mask, form: Form) -> Cut:
    stop = _LENGTH_BYTES + int.from_bytes(values[:_LENGTH_BYTES], "little")
    bits = hybrid_values(values[_LENGTH_BYTES:stop], 1, len(kept))
    encoded = hybrid_encoded(bits[kept], 1)
    extremes = _of_numbers(bits[asked].astype(np.bool_), form)
    return Cut(made=len(encoded).to_bytes(_LENGTH_BYTES, "little") + encoded, extremes=extremes)


def _cut_bits(values: memoryview, kept: Mask, asked: Mask, form: Form) -> Cut:
    bits = np.unpackbits(np.frombuffer(values, np.uint8), bitorder="little")
    if len(bits) < len(kept):
        raise NotEncoded
    bits = bits[: len(kept)]
    made = np.packbits(bits[kept], bitorder="little").tobytes()
    return Cut(made=made, extremes=_of_numbers(bits[asked].astype(np.bool_), form))


def _cut_fixed(values: memoryview, encoding: int, kept: Mask, asked: Mask, form: Form) -> Cut:
    size_bytes = len(kept) * form.width
    if len(values) < size_bytes:
        raise NotEncoded
    raw = np.frombuffer(values[:size_bytes], np.uint8)
    if encoding == BYTE_STREAM_SPLIT:
        split = raw.reshape(form.width, len(kept))
        return Cut(made=split[:, kept].tobytes(), extremes=_of_numbers(split[:, asked].T.copy(), form))
    extremes = None
    if form.order is not None and form.order.dtype is not None:
        extremes = _of_numbers(raw.view(form.order.dtype)[asked], form)
    return Cut(gone=_to_the_end(stretches(~kept) * form.width, size_bytes, len(values)), extremes=extremes)


def _of_numbers(values: npt.NDArray[Any], form: Form) -> Extremes:
    if form.order is None or form.order.dtype is None:
        return None
    return form.order.of_numbers(values.reshape(-1).view(form.order.dtype))
