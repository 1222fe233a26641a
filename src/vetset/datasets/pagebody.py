"""A data page taken apart and put together again: levels and values, folded and unfolded.

In it: both versions of data pages, and the dictionary page. Not in it: encodings of values (`valuecut`), which rows
stay, and where the page goes (`chunks`). See apache/parquet-format, README.md: Data Pages.
Rules: `can_cut` decides from headers alone, before a byte is written; what then does not hold what its header tells is
damage; a page's own statistics are not kept.
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import numpy as np

from vetset.datasets import compression
from vetset.datasets.pages import DATA_PAGE, DATA_PAGE_V2, DICTIONARY_PAGE, Page, PageHeader, size_of
from vetset.datasets.rowgroups import undecodable
from vetset.datasets.thrift import I32, STRUCT, Typed, bool_of, packed, value_of
from vetset.datasets.valuecut import PLAIN, PLAIN_DICTIONARY, RLE, Cut, Form, damage_told, is_known, joined, without
from vetset.errors import ShardError, Trouble
from vetset.kernels import snappy
from vetset.kernels.encoding import I64, U32, NotEncoded, hybrid_encoded, hybrid_values

#: Levels are held as 32-bit numbers while a page is cut, and runs make many of few bytes.
MAX_PAGE_VALUES = 1 << 24
_LENGTH_BYTES = 4
_RUN, _LONGEST_VARINT = 0, 5
#: With more stretches than one in so many values it takes less to compress anew, and the page becomes smaller.
VALUES_PER_STRETCH = 128


class Data:
    """Field numbers of DataPageHeader."""

    NUM_VALUES, ENCODING, DEFINITION, REPETITION = 1, 2, 3, 4


class DataV2:
    """Field numbers of DataPageHeaderV2."""

    NUM_VALUES, NUM_NULLS, NUM_ROWS, ENCODING, DEFINITION_BYTES, REPETITION_BYTES, IS_COMPRESSED = 1, 2, 3, 4, 5, 6, 7


def encoding_of(page: Page) -> int:
    return size_of(page.inner, DataV2.ENCODING if page.kind == DATA_PAGE_V2 else Data.ENCODING)


def can_cut(page: Page, form: Form, *, is_first: bool) -> bool:
    """Whether a page is one of those that can be cut."""
    if not compression.is_known(form.codec) or page.values > MAX_PAGE_VALUES:
        return False
    if page.kind == DICTIONARY_PAGE:
        return is_first and size_of(page.inner, Data.ENCODING) in (PLAIN, PLAIN_DICTIONARY) and is_known(PLAIN, form)
    if page.kind == DATA_PAGE:
        levels = [(form.max_definition, Data.DEFINITION), (form.max_repetition, Data.REPETITION)]
        if any(top and size_of(page.inner, field) != RLE for top, field in levels):
            return False
    return page.kind in (DATA_PAGE, DATA_PAGE_V2) and is_known(encoding_of(page), form)


def read_page(file: Any, page: Page) -> memoryview:
    """Header and body as they are stored; the checksum is compared if there is one."""
    file.seek(page.start)
    stored = np.empty(page.length + page.stored, np.uint8).data
    if file.readinto(stored) != len(stored):
        raise ShardError(Trouble.TRUNCATED, "the file ends within a page")
    told = value_of(page.fields, PageHeader.CRC)
    if isinstance(told, int) and (told ^ zlib.crc32(stored[page.length :])) & 0xFFFFFFFF:
        raise undecodable()
    return stored


# --- taken apart -----------------------------------------------------------------------------------------------------


class Body(NamedTuple):
    """Levels and values of a page. Repetition is None where the column has none, definition also where all entries have
    values. `folded` is the compressed part of the page, `whole` the same unfolded, `at` the values' place in it;
    `marks` are for cutting it.
    """

    repetition: U32 | None
    definition: U32 | None
    folded: memoryview
    whole: memoryview
    at: int
    marks: snappy.Marks = snappy.NO_MARKS

    @property
    def values(self) -> memoryview:
        return self.whole[self.at :]


def taken_apart(page: Page, stored: memoryview, form: Form) -> Body:
    """A data page's body, unfolded; or a dictionary page's, if the form has no levels."""
    body = stored[page.length :]
    with damage_told():
        if page.kind == DATA_PAGE_V2:
            return _second_version(page, body, form)
        whole, marks = compression.unfolded_to_cut(body, form.codec, page.unfolded)
        start, middle = _stretch(whole, 0, form.max_repetition)
        repetition = _levels(whole[start:middle], form.max_repetition, page.values)
        start, at = _stretch(whole, middle, form.max_definition)
        definition = _definition(whole[start:at], form.max_definition, page.values)
    return Body(repetition, definition, body, whole, at, marks)


def _stretch(data: memoryview, at: int, top: int) -> tuple[int, int]:
    """Where the levels at a place start, after their length, and where they end."""
    if not top:
        return at, at
    start = at + _LENGTH_BYTES
    stop = start + int.from_bytes(data[at:start], "little")
    if len(data) < max(start, stop):
        raise NotEncoded
    return start, stop


def _levels(data: memoryview, top: int, count: int) -> U32 | None:
    if not top:
        return None
    levels = hybrid_values(data, top.bit_length(), count)
    if len(levels) and levels.max() > top:
        raise NotEncoded
    return levels


def _definition(data: memoryview, top: int, count: int) -> U32 | None:
    """Levels, or None if all are the highest: which is so in most pages, and told by one run."""
    if not top or _is_one_run(data, top, count):
        return None
    levels = _levels(data, top, count)
    return None if levels is None or (levels == top).all() else levels


def _is_one_run(data: memoryview, top: int, count: int) -> bool:
    head = place = 0
    for byte in data[:_LONGEST_VARINT]:
        head |= (byte & 0x7F) << 7 * place
        place += 1
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
            break
    value = data[place : place + (top.bit_length() + 7) // 8]
    return head & 1 == _RUN and head >> 1 >= count and int.from_bytes(value, "little") == top


def _second_version(page: Page, body: memoryview, form: Form) -> Body:
    first = size_of(page.inner, DataV2.REPETITION_BYTES)
    second = first + size_of(page.inner, DataV2.DEFINITION_BYTES)
    if second > len(body) or second > page.unfolded:
        raise NotEncoded
    repetition = _levels(body[:first], form.max_repetition, page.values)
    definition = _definition(body[first:second], form.max_definition, page.values)
    values, marks = body[second:], snappy.NO_MARKS
    if _is_compressed(page) and page.unfolded > second:
        values, marks = compression.unfolded_to_cut(values, form.codec, page.unfolded - second)
    return Body(repetition, definition, body[second:], values, 0, marks)


def _is_compressed(page: Page) -> bool:
    return page.kind == DATA_PAGE or bool(value_of(page.inner, DataV2.IS_COMPRESSED, True))


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


def put_together(page: Page, body: Body, form: Form, counts: Counts, cut: Cut) -> Made:
    """A data page like `page`, with the levels of `body` and of its values what the cut leaves."""
    repetition = _encoded(body.repetition, form.max_repetition, counts.entries)
    definition = _encoded(body.definition, form.max_definition, counts.entries)
    if page.kind == DATA_PAGE:
        both = (level for level in (repetition, definition) if level)
        levels = b"".join(len(level).to_bytes(_LENGTH_BYTES, "little") + level for level in both)
        inner: Typed = {Data.NUM_VALUES: (I32, counts.entries), Data.ENCODING: page.inner[Data.ENCODING]}
        inner |= {Data.DEFINITION: (I32, RLE), Data.REPETITION: (I32, RLE)}
        return _made(page, inner, *_folded(levels, body, form, counts, cut))
    inner = {DataV2.ENCODING: page.inner[DataV2.ENCODING], DataV2.NUM_ROWS: (I32, counts.rows)}
    inner |= {DataV2.NUM_VALUES: (I32, counts.entries), DataV2.NUM_NULLS: (I32, counts.nulls)}
    inner |= {DataV2.REPETITION_BYTES: (I32, len(repetition)), DataV2.DEFINITION_BYTES: (I32, len(definition))}
    if _is_compressed(page) and counts.nulls < counts.entries:
        inner[DataV2.IS_COMPRESSED] = bool_of(True)
        values, size_bytes = _folded(b"", body, form, counts, cut)
    else:
        inner[DataV2.IS_COMPRESSED] = bool_of(False)
        values = _contents(b"", body, cut)
        size_bytes = len(values)
    whole = b"".join([repetition, definition, values])
    return _made(page, inner, whole, len(repetition) + len(definition) + size_bytes)


def _folded(levels: bytes, body: Body, form: Form, counts: Counts, cut: Cut) -> tuple[Any, int]:
    """Levels and values that stay, compressed, and their size before that."""
    is_sparse = cut.gone is not None and len(cut.gone) * VALUES_PER_STRETCH <= counts.entries - counts.nulls
    if form.codec == "SNAPPY" and cut.gone is not None and is_sparse:
        gone = _with_levels(cut.gone, body.at)
        made = snappy.cut(body.folded, body.whole, levels, gone, body.marks)
        if made is not None:
            return made, len(levels) + len(body.whole) - int((gone[:, 1] - gone[:, 0]).sum())
    contents = _contents(levels, body, cut)
    return compression.folded(contents, form.codec), len(contents)


def _with_levels(gone: I64, at: int) -> I64:
    """Stretches that go in the values, in what holds levels and values: the old levels go too."""
    return joined(np.array([[0, at]], np.int64), gone + at) if at else gone


def _contents(levels: bytes, body: Body, cut: Cut) -> bytes:
    if cut.gone is None:
        return levels + (cut.made or b"")
    return levels + without(body.values, cut.gone)


def _encoded(levels: U32 | None, top: int, count: int) -> bytes:
    """Levels encoded; all of them the highest if there are none but there should be."""
    if not top:
        return b""
    return hybrid_encoded(np.full(count, top, np.uint32) if levels is None else levels, top.bit_length())


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


def dictionary_page(page: Page, body: Body, form: Form, entries: int, cut: Cut) -> Made:
    """A dictionary page like `page` with the entries that the cut leaves, which are as sorted as they were."""
    values, size_bytes = _folded(b"", body, form, Counts(entries, 0, 0), cut)
    return _made(page, {**page.inner, Data.NUM_VALUES: (I32, entries)}, values, size_bytes)
