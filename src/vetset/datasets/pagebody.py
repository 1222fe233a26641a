"""A data page taken apart and put together again: levels, values, and the values that stay.

In it: both versions of data pages, the encodings that can be cut (plain, dictionary, runs of booleans, split bytes).
Not in it: which rows stay, and where the page goes (`chunks`). See apache/parquet-format, Encodings.md.
Rules: `can_cut` decides from headers alone, before a byte is written; what then does not hold what its header tells is
damage; bytes of a page after its last value are dropped, since nobody knows whose they were.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vetset.datasets.compression import folded, is_known, unfolded
from vetset.datasets.extremes import Extremes, Order, order_of
from vetset.datasets.pages import DATA_PAGE, DATA_PAGE_V2, DICTIONARY_PAGE, Page, PageHeader, size_of
from vetset.datasets.rowgroups import undecodable
from vetset.datasets.thrift import I32, STRUCT, Typed, bool_of, packed, value_of
from vetset.errors import ShardError, Trouble
from vetset.kernels.encoding import U32, Mask, NotEncoded, byte_arrays_kept, hybrid_encoded, hybrid_values

PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY, BYTE_STREAM_SPLIT = 0, 2, 3, 8, 9
BY_DICTIONARY = frozenset({PLAIN_DICTIONARY, RLE_DICTIONARY})
_WIDTH_BYTES = {"INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
#: Levels are held as 32-bit numbers while a page is cut, and runs make many of few bytes.
MAX_PAGE_VALUES = 1 << 24
_NUMBERS: dict[int, np.dtype[Any]] = {4: np.dtype("<u4"), 8: np.dtype("<u8")}
_LENGTH_BYTES = 4
_NOTHING = np.zeros(0, np.uint32)


class Data:
    """Field numbers of DataPageHeader."""

    NUM_VALUES, ENCODING, DEFINITION, REPETITION = 1, 2, 3, 4


class DataV2:
    """Field numbers of DataPageHeaderV2."""

    NUM_VALUES, NUM_NULLS, NUM_ROWS, ENCODING, DEFINITION_BYTES, REPETITION_BYTES, IS_COMPRESSED = 1, 2, 3, 4, 5, 6, 7


@dataclass(frozen=True, slots=True)
class Form:
    """How the pages of a column chunk are to be understood. `width`: bytes of a value, 0 where they differ."""

    kind: str
    width: int
    codec: str
    max_definition: int
    max_repetition: int
    order: Order | None


def form_of(leaf: Any, codec: str) -> Form:
    """From Parquet's own description of a leaf column."""
    kind = leaf.physical_type
    width = leaf.length if kind == "FIXED_LEN_BYTE_ARRAY" else _WIDTH_BYTES.get(kind, 0)
    return Form(kind, width, codec, leaf.max_definition_level, leaf.max_repetition_level, order_of(leaf))


def encoding_of(page: Page) -> int:
    return size_of(page.inner, DataV2.ENCODING if page.kind == DATA_PAGE_V2 else Data.ENCODING)


def can_cut(page: Page, form: Form, *, is_first: bool) -> bool:
    """Whether a page is one of those that can be cut."""
    if (
        not is_known(form.codec)
        or page.values > MAX_PAGE_VALUES
        or (form.kind == "FIXED_LEN_BYTE_ARRAY" and form.width <= 0)
    ):
        return False
    if page.kind == DICTIONARY_PAGE:
        return is_first and size_of(page.inner, Data.ENCODING) in (PLAIN, PLAIN_DICTIONARY) and form.kind != "BOOLEAN"
    if page.kind == DATA_PAGE:
        levels = [(form.max_definition, Data.DEFINITION), (form.max_repetition, Data.REPETITION)]
        if any(top and size_of(page.inner, field) != RLE for top, field in levels):
            return False
    return page.kind in (DATA_PAGE, DATA_PAGE_V2) and _is_cut(encoding_of(page), form)


def _is_cut(encoding: int, form: Form) -> bool:
    if encoding == RLE:
        return form.kind == "BOOLEAN"
    if encoding == BYTE_STREAM_SPLIT:
        return form.width > 0
    return encoding == PLAIN or encoding in BY_DICTIONARY


@contextmanager
def damage_told() -> Iterator[None]:
    """Turns what the kernels say of data that are not theirs into trouble of the shard."""
    try:
        yield
    except NotEncoded:
        raise undecodable() from None


def read_page(file: Any, page: Page) -> memoryview:
    """Header and body as they are stored; the checksum is compared if there is one."""
    file.seek(page.start)
    stored = memoryview(file.read_buffer(page.length + page.stored)).cast("B")
    if len(stored) != page.length + page.stored:
        raise ShardError(Trouble.TRUNCATED, "the file ends within a page")
    told = value_of(page.fields, PageHeader.CRC)
    if isinstance(told, int) and (told ^ zlib.crc32(stored[page.length :])) & 0xFFFFFFFF:
        raise undecodable()
    return stored


# --- taken apart -----------------------------------------------------------------------------------------------------


class Body(NamedTuple):
    """Levels, None where the column has none, and the values as they are encoded."""

    repetition: U32 | None
    definition: U32 | None
    values: memoryview


def taken_apart(page: Page, stored: memoryview, form: Form) -> Body:
    """A data page's body, unfolded."""
    with damage_told():
        if page.kind == DATA_PAGE_V2:
            return _second_version(page, stored[page.length :], form)
        rest = unfolded(stored[page.length :], form.codec, page.unfolded)
        repetition, rest = _levels(rest, form.max_repetition, page.values)
        definition, rest = _levels(rest, form.max_definition, page.values)
    return Body(repetition, definition, rest)


def _levels(data: memoryview, top: int, count: int) -> tuple[U32 | None, memoryview]:
    if not top:
        return None, data
    stop = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
    if len(data) < max(stop, _LENGTH_BYTES):
        raise NotEncoded
    return _checked(hybrid_values(data[_LENGTH_BYTES:stop], top.bit_length(), count), top), data[stop:]


def _checked(levels: U32, top: int) -> U32:
    if len(levels) and levels.max() > top:
        raise NotEncoded
    return levels


def _second_version(page: Page, body: memoryview, form: Form) -> Body:
    first = size_of(page.inner, DataV2.REPETITION_BYTES)
    second = first + size_of(page.inner, DataV2.DEFINITION_BYTES)
    if second > len(body) or second > page.unfolded:
        raise NotEncoded
    levels = []
    for data, top in ((body[:first], form.max_repetition), (body[first:second], form.max_definition)):
        levels.append(_checked(hybrid_values(data, top.bit_length(), page.values), top) if top else None)
    values = body[second:]
    if value_of(page.inner, DataV2.IS_COMPRESSED, True) and page.unfolded > second:
        values = unfolded(values, form.codec, page.unfolded - second)
    return Body(levels[0], levels[1], values)


# --- values that stay ------------------------------------------------------------------------------------------------


class Renumbering(NamedTuple):
    """A dictionary made anew: old index -> new, and the bits of the new ones."""

    places: U32
    bit_width: int


class Cut(NamedTuple):
    """Values that stay, encoded as before. `indices` are set instead of `extremes` where a dictionary holds them."""

    data: Any
    extremes: Extremes = None
    indices: U32 | None = None


def cut_values(
    values: memoryview, encoding: int, kept: Mask, form: Form, entries: int, anew: Renumbering | None
) -> Cut:
    """Of the encoded values those under the mask; `entries` is how many the dictionary has."""
    with damage_told():
        if encoding in BY_DICTIONARY:
            return _cut_indices(values, kept, entries, anew)
        if encoding == RLE:
            return _cut_runs(values, kept, form)
        if form.kind == "BOOLEAN":
            return _cut_bits(values, kept, form)
        if form.width:
            return _cut_fixed(values, encoding, kept, form)
        data, low, high = byte_arrays_kept(values, kept)
    return Cut(data, None if low is None or form.order is None else (low, high))


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


def _cut_indices(values: memoryview, kept: Mask, entries: int, anew: Renumbering | None) -> Cut:
    bit_width, indices = indices_of(values, len(kept), entries)
    indices = indices[kept]
    if anew is not None:
        bit_width = anew.bit_width
    encoded = hybrid_encoded(indices if anew is None else anew.places[indices], bit_width)
    return Cut(bytes([bit_width]) + encoded, indices=indices)


def _cut_runs(values: memoryview, kept: Mask, form: Form) -> Cut:
    stop = _LENGTH_BYTES + int.from_bytes(values[:_LENGTH_BYTES], "little")
    bits = hybrid_values(values[_LENGTH_BYTES:stop], 1, len(kept))[kept]
    encoded = hybrid_encoded(bits, 1)
    return Cut(len(encoded).to_bytes(_LENGTH_BYTES, "little") + encoded, _of_numbers(bits.astype(np.bool_), form))


def _cut_bits(values: memoryview, kept: Mask, form: Form) -> Cut:
    bits = np.unpackbits(np.frombuffer(values, np.uint8), bitorder="little")
    if len(bits) < len(kept):
        raise NotEncoded
    bits = bits[: len(kept)][kept]
    return Cut(np.packbits(bits, bitorder="little").data, _of_numbers(bits.astype(np.bool_), form))


def _cut_fixed(values: memoryview, encoding: int, kept: Mask, form: Form) -> Cut:
    size_bytes = len(kept) * form.width
    if len(values) < size_bytes:
        raise NotEncoded
    raw = np.frombuffer(values[:size_bytes], np.uint8)
    if encoding == BYTE_STREAM_SPLIT:
        split = raw.reshape(form.width, len(kept))[:, kept]
        return Cut(split.tobytes(), _of_numbers(split.T.copy(), form))
    wide = _NUMBERS.get(form.width)  # numpy picks numbers faster than rows of bytes
    stays: npt.NDArray[Any] = raw.reshape(-1, form.width)[kept] if wide is None else raw.view(wide)[kept]
    return Cut(stays.tobytes(), _of_numbers(stays, form))


def _of_numbers(values: npt.NDArray[Any], form: Form) -> Extremes:
    if form.order is None or form.order.dtype is None:
        return None
    return form.order.of_numbers(values.reshape(-1).view(form.order.dtype))


# --- put together ----------------------------------------------------------------------------------------------------


class Counts(NamedTuple):
    """What a page holds: entries (values and nulls), nulls among them, and rows that begin in it."""

    entries: int
    nulls: int
    rows: int


class Made(NamedTuple):
    """A new page: header, body as stored, and its size unfolded with the header."""

    header: bytes
    body: Any
    unfolded: int

    @property
    def stored(self) -> int:
        return len(self.header) + len(self.body)


def put_together(page: Page, body: Body, form: Form, counts: Counts) -> Made:
    """A data page like `page` with other contents; `body.values` are encoded as before. Page statistics go."""
    levels = [_encoded(body.repetition, form.max_repetition), _encoded(body.definition, form.max_definition)]
    if page.kind == DATA_PAGE:
        parts = [part for level in levels if level is not None for part in (len(level).to_bytes(4, "little"), level)]
        contents = b"".join([*parts, body.values])
        inner: Typed = {Data.NUM_VALUES: (I32, counts.entries), Data.ENCODING: page.inner[Data.ENCODING]}
        inner |= {Data.DEFINITION: (I32, RLE), Data.REPETITION: (I32, RLE)}
        return _made(page, inner, folded(contents, form.codec), len(contents))
    first, second = (level or b"" for level in levels)
    inner = {DataV2.ENCODING: page.inner[DataV2.ENCODING], DataV2.NUM_ROWS: (I32, counts.rows)}
    inner |= {DataV2.NUM_VALUES: (I32, counts.entries), DataV2.NUM_NULLS: (I32, counts.nulls)}
    inner |= {DataV2.REPETITION_BYTES: (I32, len(first)), DataV2.DEFINITION_BYTES: (I32, len(second))}
    is_compressed = bool(len(body.values)) and value_of(page.inner, DataV2.IS_COMPRESSED, True)
    inner[DataV2.IS_COMPRESSED] = bool_of(is_compressed)
    values = folded(body.values, form.codec) if is_compressed else body.values
    return _made(page, inner, b"".join([first, second, values]), len(first) + len(second) + len(body.values))


def _encoded(levels: U32 | None, top: int) -> bytes | None:
    return None if levels is None else hybrid_encoded(levels, top.bit_length())


def _made(page: Page, inner: Typed, body: Any, unfolded_bytes: int) -> Made:
    fields: Typed = {PageHeader.TYPE: (I32, page.kind), PageHeader.UNFOLDED: (I32, unfolded_bytes)}
    fields[PageHeader.STORED] = (I32, len(body))
    if PageHeader.CRC in page.fields:
        checksum = zlib.crc32(body)
        fields[PageHeader.CRC] = (I32, checksum - (1 << 32) if checksum >> 31 else checksum)
    where = {DATA_PAGE: PageHeader.DATA, DATA_PAGE_V2: PageHeader.DATA_V2, DICTIONARY_PAGE: PageHeader.DICTIONARY}
    fields[where[page.kind]] = (STRUCT, inner)
    header = packed(fields)
    return Made(header, body, len(header) + unfolded_bytes)


def dictionary_page(page: Page, values: bytes, entries: int, form: Form) -> Made:
    """A dictionary page like `page` with other entries."""
    inner = {**page.inner, Data.NUM_VALUES: (I32, entries)}  # which are as sorted as they were
    return _made(page, inner, folded(values, form.codec), len(values))
