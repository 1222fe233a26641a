"""A Parquet file without some rows, put together of row groups that are copied, cut, or written by another hand.

In it: what becomes of each row group, and the footer and the page index made anew around them.
Not in it: pages (`chunks`), and the writing by Arrow of row groups that cannot be cut (`rewrite`).
Rules: what the footer says of the file stays, fields that nobody here knows too; what lies between the column chunks is
not copied; Bloom filters go, since they answer for values that are gone; sizes and places are those of the new file; a
row group that loses nothing is copied byte for byte, unless a dictionary of its holds an entry that no row uses: that
entry may be a value that goes elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vetset.datasets.chunks import Cutting, Source, Written, entries_used, write_copy
from vetset.datasets.compact import NotCompact
from vetset.datasets.extremes import ColumnIndex, Order, Statistics, are_touched, boundary_order, renewed, with_nulls
from vetset.datasets.footer import Chunk, ColumnChunk, ColumnMetaData, FileMetaData, RowGroup
from vetset.datasets.pages import MAX_HEADER_BYTES, Page, pages_in_chunk
from vetset.datasets.rowgroups import ParquetSource
from vetset.datasets.runs import Rows, kept
from vetset.datasets.thrift import (
    BINARY,
    FALSE,
    I16,
    I32,
    I64,
    LIST,
    STRUCT,
    TRUE,
    Typed,
    TypedCompact,
    drop,
    items_of,
    number_of,
    packed,
    struct_of,
    value_of,
)
from vetset.datasets.valuecut import form_of
from vetset.errors import ShardError, Trouble
from vetset.kernels import native
from vetset.kernels.encoding import Mask

MAGIC = b"PAR1"
#: One byte for each row of a group is held while it is cut; LAION's largest have some millions.
MAX_GROUP_ROWS = 1 << 26


def cuts_quickly() -> bool:
    """Without the native kernels pages can be cut too, but Arrow writes a row group anew in a third of the time."""
    return native.LIB is not None


class Index:
    """Field numbers of OffsetIndex and PageLocation."""

    LOCATIONS = 1
    OFFSET, STORED, FIRST_ROW = 1, 2, 3


@dataclass(slots=True)
class NewGroup:
    """A row group of the new file: its footer entry, and for each chunk the two parts of its page index, if any."""

    fields: Typed
    rows: int
    column_indices: list[bytes | None]
    offset_indices: list[bytes | None]


#: Writes the rows that stay of a row group, by its number and first row, and answers the groups that came of it.
ByOtherHand = Callable[[int, int], list[NewGroup]]


class _Stretch(NamedTuple):
    """A row group: its number, the number of its first row, its rows, and whether it keeps them all."""

    number: int
    first: int
    rows: int
    is_whole: bool


class Splice:
    """The file being written. `source` was checked; `target` has `write` and `tell`."""

    def __init__(self, source: ParquetSource, removed: Rows, target: Any) -> None:
        self._source = source
        self._removed = removed
        self._target = target
        self._footer = typed_footer(source)
        self._leaves = source.leaves

    def write(self, by_other_hand: ByOtherHand) -> int:
        """Writes the file; answers its rows."""
        self._target.write(MAGIC)
        groups: list[NewGroup] = []
        for stretch in self._stretches():
            parts = self._parts(stretch.number)
            if self._must_leave(stretch, parts):
                groups += by_other_hand(stretch.number, stretch.first)
            else:
                groups.append(self._group(stretch, parts))
        write_end(self._target, self._footer, groups)
        return sum(group.rows for group in groups)

    def needs_other_hand(self) -> bool:
        """Whether some row group cannot be done here; looks at page headers alone."""
        return any(self._must_leave(stretch, self._parts(stretch.number)) for stretch in self._stretches())

    def _stretches(self) -> Iterator[_Stretch]:
        """The row groups of which rows stay, and those that never had any."""
        first = 0
        for number, group in enumerate(self._source.footer.groups):
            low, high = np.searchsorted(self._removed, (first, first + group.rows))
            if high - low < group.rows or not group.rows:
                yield _Stretch(number, first, group.rows, is_whole=bool(low == high))
            first += group.rows

    def _parts(self, number: int) -> list[Source]:
        """The chunks of a row group with their pages."""
        chunks = self._source.footer.groups[number].chunks
        return [part_of(self._source, chunk, leaf) for chunk, leaf in zip(chunks, self._leaves, strict=True)]

    def _must_leave(self, stretch: _Stretch, parts: list[Source]) -> bool:
        """Whether a row group cannot be done here: odd pages, or ones that would have to be cut and cannot."""
        if stretch.rows > MAX_GROUP_ROWS or not (stretch.is_whole or cuts_quickly()):
            return True
        chunks = self._source.footer.groups[stretch.number].chunks
        if any(part.is_odd(chunk.start + chunk.stored_bytes) for part, chunk in zip(parts, chunks, strict=True)):
            return True
        return any(not part.can_be_cut() for part in parts if part.dictionary is not None or not stretch.is_whole)

    def _group(self, stretch: _Stretch, parts: list[Source]) -> NewGroup:
        keep = kept(self._removed, stretch.first, stretch.rows)
        old = items_of(self._footer, FileMetaData.ROW_GROUPS)[stretch.number]
        new = NewGroup(dict(old), int(np.count_nonzero(keep)), [], [])
        chunks = []
        for part, chunk in zip(parts, items_of(old, RowGroup.COLUMNS), strict=True):
            used = entries_used(part, keep)
            if stretch.is_whole and used.all():
                chunks.append(self._copied(part, chunk, new))
            else:
                chunks.append(self._cut(part, chunk, new, keep, used))
        _put_group(new, chunks)
        return new

    def _copied(self, part: Source, chunk: Typed, new: NewGroup) -> Typed:
        old_start = part.pages[0].start if part.pages else 0
        shift = write_copy(part, self._target) - old_start
        column_index, offset_index = read_indices(self._source.file, self._source.footer.end, chunk)
        new.column_indices.append(column_index)
        new.offset_indices.append(shifted(offset_index, shift))
        return moved(chunk, shift)

    def _cut(self, part: Source, chunk: Typed, new: NewGroup, keep: Mask, used: Mask) -> Typed:
        has_places = ColumnChunk.OFFSET_INDEX in chunk
        cutting = Cutting(part, keep, used, with_places=has_places)
        written = cutting.write(self._target)
        has_extremes = ColumnChunk.COLUMN_INDEX in chunk
        new.column_indices.append(_column_index(written, part.form.order) if has_places and has_extremes else None)
        new.offset_indices.append(_offset_index(written) if has_places else None)
        renewed_chunk = _renewed_chunk(chunk, written)
        meta = value_of(renewed_chunk, ColumnChunk.META_DATA)
        _put_statistics(meta, cutting, written, part.form.order, is_lost=not has_places)
        return renewed_chunk


def typed_footer(source: ParquetSource) -> Typed:
    """The footer with all its fields; it was read before, so that it can be."""
    file, end = source.file, source.footer.end
    file.seek(end)
    return TypedCompact(file.read(file.size() - end)).struct()


def part_of(source: ParquetSource, chunk: Chunk, leaf: Any) -> Source:
    """A chunk with its pages, which are counted against the footer."""
    pages = list(pages_of(source.file, chunk, source.footer.end))
    part = Source(source.file, pages, form_of(leaf, chunk.codec, with_extremes=chunk.has_statistics))
    values = sum(page.values for page in part.data_pages)
    if values != chunk.values:
        raise ShardError(Trouble.COUNTS_DISAGREE, f"pages of {values} values, the footer says {chunk.values}")
    return part


def pages_of(file: Any, chunk: Chunk, end: int) -> Iterator[Page]:
    """A chunk's pages; their headers must stand inside of it."""
    if not chunk.stored_bytes:
        return
    stop = chunk.start + chunk.stored_bytes
    if chunk.start < len(MAGIC) or stop > end:
        raise ShardError(Trouble.TRUNCATED, "a column lies outside of the data")
    yield from pages_in_chunk(file, chunk.start, stop, end)


# --- a chunk's metadata ----------------------------------------------------------------------------------------------


def moved(chunk: Typed, shift: int) -> Typed:
    """The footer's entry of a chunk whose pages now stand `shift` further."""
    meta = dict(value_of(chunk, ColumnChunk.META_DATA))
    for place in (ColumnMetaData.DATA_AT, ColumnMetaData.INDEX_AT, ColumnMetaData.DICTIONARY_AT):
        if number_of(meta, place):  # writers put 0 for a page that is not there
            meta[place] = (I64, number_of(meta, place) + shift)
    return _without_places(chunk, meta)


def _without_places(chunk: Typed, meta: Typed) -> Typed:
    """The entry with new metadata; what tells of places outside of the chunk is taken out, the page index set later."""
    drop(meta, *ColumnMetaData.BLOOM_FILTER)
    new = {**chunk, ColumnChunk.META_DATA: (STRUCT, meta), ColumnChunk.FILE_OFFSET: (I64, 0)}  # deprecated: always 0
    drop(new, *ColumnChunk.PAGE_INDEX)
    return new


def _put_statistics(meta: Typed, cutting: Cutting, written: Written, order: Order | None, *, is_lost: bool) -> None:
    """The statistics of a chunk that was cut. `is_lost`: the extremes that were found are of what went."""
    old = struct_of(meta, ColumnMetaData.STATISTICS)
    if old is None:
        return
    nulls: int | None = written.nulls
    if not written.is_all_read:
        nulls = number_of(old, Statistics.NULL_COUNT) - written.nulls_lost
    if nulls is not None and not 0 <= nulls <= written.entries:
        nulls = None
    if is_lost and not are_touched(old, written.extremes, order):
        new = with_nulls(old, nulls, order)
    else:
        new = renewed(old, nulls, cutting.extremes() if is_lost else written.extremes, order)
    meta[ColumnMetaData.STATISTICS] = (STRUCT, new)


def _renewed_chunk(chunk: Typed, written: Written) -> Typed:
    old = value_of(chunk, ColumnChunk.META_DATA)
    meta = dict(old)
    drop(meta, ColumnMetaData.INDEX_AT, ColumnMetaData.DICTIONARY_AT, *ColumnMetaData.ABOUT_VALUES)
    meta[ColumnMetaData.NUM_VALUES] = (I64, written.entries)
    meta[ColumnMetaData.UNFOLDED] = (I64, written.unfolded)
    meta[ColumnMetaData.STORED] = (I64, written.stored)
    meta[ColumnMetaData.DATA_AT] = (I64, written.data_at or 0)
    if written.dictionary_at is not None:
        meta[ColumnMetaData.DICTIONARY_AT] = (I64, written.dictionary_at)
    if ColumnMetaData.ENCODING_STATS in old:
        counts = {kind: written.kinds.count(kind) for kind in sorted(set(written.kinds))}
        items = [{1: (I32, kind), 2: (I32, encoding), 3: (I32, count)} for (kind, encoding), count in counts.items()]
        meta[ColumnMetaData.ENCODING_STATS] = (LIST, (STRUCT, items))
    return _without_places(chunk, meta)


def _put_group(new: NewGroup, chunks: list[Typed]) -> None:
    """What a row group's entry says of its chunks, rows and sizes."""
    metas = [value_of(chunk, ColumnChunk.META_DATA) for chunk in chunks]
    new.fields[RowGroup.COLUMNS] = (LIST, (STRUCT, chunks))
    new.fields[RowGroup.NUM_ROWS] = (I64, new.rows)
    new.fields[RowGroup.TOTAL_BYTES] = (I64, sum(value_of(meta, ColumnMetaData.UNFOLDED) for meta in metas))
    if RowGroup.STORED in new.fields:
        new.fields[RowGroup.STORED] = (I64, sum(value_of(meta, ColumnMetaData.STORED) for meta in metas))
    if RowGroup.FILE_OFFSET in new.fields:
        new.fields[RowGroup.FILE_OFFSET] = (I64, start_of(metas[0]) if metas else 0)


def start_of(meta: Typed) -> int:
    """Where a chunk's first page stands."""
    start: int = number_of(meta, ColumnMetaData.DICTIONARY_AT) or number_of(meta, ColumnMetaData.DATA_AT)
    return start


# --- the page index --------------------------------------------------------------------------------------------------


def read_indices(file: Any, end: int, chunk: Typed) -> tuple[bytes | None, bytes | None]:
    """Column index and offset index as they stand in the file; None for one that is not there or cannot be."""
    found: list[bytes | None] = []
    for place, size in (
        (ColumnChunk.COLUMN_INDEX, ColumnChunk.COLUMN_INDEX_BYTES),
        (ColumnChunk.OFFSET_INDEX, ColumnChunk.OFFSET_INDEX_BYTES),
    ):
        at, size_bytes = number_of(chunk, place), number_of(chunk, size)
        if at < len(MAGIC) or not 0 < size_bytes <= MAX_HEADER_BYTES or at + size_bytes > end:
            found.append(None)
            continue
        file.seek(at)
        found.append(file.read(size_bytes))
    return found[0], found[1]


def shifted(offset_index: bytes | None, shift: int) -> bytes | None:
    """An offset index for pages that stand `shift` further; None if it cannot be read: it is no more than a help."""
    if offset_index is None:
        return None
    try:
        fields = TypedCompact(offset_index).struct()
        for location in items_of(fields, Index.LOCATIONS):
            location[Index.OFFSET] = (I64, value_of(location, Index.OFFSET) + shift)
        return packed(fields)
    except (NotCompact, IndexError, TypeError, KeyError, AttributeError):
        return None


def _offset_index(written: Written) -> bytes:
    locations = [
        {
            Index.OFFSET: (I64, page.start),
            Index.STORED: (I32, page.stored),
            Index.FIRST_ROW: (I64, page.first_row),
        }
        for page in written.pages
    ]
    return packed({Index.LOCATIONS: (LIST, (STRUCT, locations))})


def _column_index(written: Written, order: Order | None) -> bytes | None:
    """Bounds of each page; None where those of one are not known."""
    extremes = [page.extremes for page in written.pages if not page.is_null_page]
    known = [pair for pair in extremes if pair is not None]
    if order is None or len(known) < len(extremes):
        return None
    bounds = [(b"", b"") if page.extremes is None else order.encoded(page.extremes) for page in written.pages]
    return packed(
        {
            ColumnIndex.NULL_PAGES: (LIST, (TRUE, [TRUE if page.is_null_page else FALSE for page in written.pages])),
            ColumnIndex.MIN_VALUES: (LIST, (BINARY, [low for low, _ in bounds])),
            ColumnIndex.MAX_VALUES: (LIST, (BINARY, [high for _, high in bounds])),
            ColumnIndex.BOUNDARY_ORDER: (I32, boundary_order(known)),
            ColumnIndex.NULL_COUNTS: (LIST, (I64, [page.nulls for page in written.pages])),
        }
    )


# --- the end of the file ---------------------------------------------------------------------------------------------


def write_end(target: Any, footer: Typed, groups: list[NewGroup]) -> None:
    """The page index, and the old footer with the new row groups."""
    chunks = [
        (chunk, column_index, offset_index)
        for group in groups
        for chunk, column_index, offset_index in zip(
            items_of(group.fields, RowGroup.COLUMNS), group.column_indices, group.offset_indices, strict=True
        )
    ]
    for chunk, column_index, _ in chunks:
        _put_index(target, chunk, column_index, ColumnChunk.COLUMN_INDEX, ColumnChunk.COLUMN_INDEX_BYTES)
    for chunk, _, offset_index in chunks:
        _put_index(target, chunk, offset_index, ColumnChunk.OFFSET_INDEX, ColumnChunk.OFFSET_INDEX_BYTES)
    for place, group in enumerate(groups):
        if RowGroup.ORDINAL in group.fields:
            group.fields[RowGroup.ORDINAL] = (I16, place)
    new = dict(footer)
    new[FileMetaData.NUM_ROWS] = (I64, sum(group.rows for group in groups))
    new[FileMetaData.ROW_GROUPS] = (LIST, (STRUCT, [group.fields for group in groups]))
    end = packed(new)
    target.write(end + len(end).to_bytes(4, "little") + MAGIC)


def _put_index(target: Any, chunk: Typed, index: bytes | None, place: int, size: int) -> None:
    if index is not None:
        chunk[place] = (I64, target.tell())
        chunk[size] = (I32, len(index))
        target.write(index)
