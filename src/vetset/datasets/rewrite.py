"""A Parquet file written again without some of its rows.

In it: what is written by Arrow, which knows every encoding, and what it takes from the old file (schema and metadata,
codecs, dictionaries, statistics, page index, order). Not in it: what removes a row, and the splicing of a file out of
row groups copied and cut (`splice`), which comes first and costs a fraction.
Rules: the bytes are a function of the source and the removed rows; no value that goes stays anywhere in the file, in a
dictionary or as a bound neither; the rows in memory never pass GROUP_BYTES, for which a row group above it comes out
as several if Arrow writes it; a group that loses all its rows is dropped.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vetset.datasets.bytesink import BufferedSink
from vetset.datasets.footer import ColumnChunk, FileMetaData, RowGroup
from vetset.datasets.rowgroups import ParquetSource, no_arrow_message, rows_of_group
from vetset.datasets.runs import Rows, kept, neighbours
from vetset.datasets.splice import MAGIC, NewGroup, Splice, moved, read_indices, shifted, start_of, typed_footer
from vetset.datasets.thrift import I64, Typed, TypedCompact, drop, items_of, number_of, value_of
from vetset.errors import ShardError, Trouble
from vetset.ports import ByteSink

#: pyarrow writes a row group in one call, so its rows are gathered first; beyond this size (as Arrow counts it) the
#: group is cut. LAION's row groups of a million rows stay below it.
GROUP_BYTES = 256 * 1024 * 1024
# Not the run's batch_rows: a setting that changes no result must not decide where a group is cut.
_BATCH_ROWS = 16384

#: The key of the file's metadata under which Arrow keeps its own schema.
_ARROW_SCHEMA = b"ARROW:schema"
_LISTS = [(pa.types.is_list, pa.list_), (pa.types.is_large_list, pa.large_list)]


def rewrite(source: ParquetSource, removed: Rows, sink: ByteSink) -> int:
    """Writes the rows that are not removed (ascending, distinct, in range); answers how many. ShardError BOOKS if off.

    The sink's own error (SinkError) comes out as it is.
    """
    target = BufferedSink(sink)
    try:
        written = _written(source, removed, target)
        target.flush()
    finally:
        target.silence()  # pyarrow writes a footer even when it is torn down after a failure
    if written != source.footer.rows - len(removed):
        raise ShardError(Trouble.BOOKS, f"{written} rows written of {source.footer.rows} less {len(removed)}")
    return written


def _written(source: ParquetSource, removed: Rows, target: BufferedSink) -> int:
    splice = Splice(source, removed, target)
    arrow = _Arrow(source, removed)
    if arrow.writes_same_schema() or not splice.needs_other_hand():
        return splice.write(lambda number, first: arrow.groups(number, first, target))
    return arrow.whole(target)


class _Arrow:
    """The writing by Arrow of row groups, or of the whole file where its schema would not be the same to the bit."""

    def __init__(self, source: ParquetSource, removed: Rows) -> None:
        self._source = source
        self._removed = removed
        self._schema, self._told = plain_schema(source)
        self._options = options_of(source) | ({} if self._told is None else {"store_schema": False})

    def _writer(self, target: Any) -> Any:
        with no_arrow_message():
            return pq.ParquetWriter(target, self._schema, **self._options)

    def writes_same_schema(self) -> bool:
        """Whether Arrow's row groups can stand among the source's."""
        empty = io.BytesIO()
        with no_arrow_message():
            self._writer(empty).close()
        data = empty.getvalue()
        footer_bytes = int.from_bytes(data[-8:-4], "little")
        theirs = TypedCompact(data[-8 - footer_bytes : -8]).struct()
        ours = typed_footer(self._source)
        return not _is_old(ours) and _physical(ours) == _physical(theirs)

    def whole(self, target: BufferedSink) -> int:
        """The whole file."""
        writer = self._writer(target)
        written = first = 0
        for number, group in enumerate(self._source.footer.groups):
            written += self._write(writer, number, first)
            first += group.rows
        with no_arrow_message():
            if self._told is not None:
                writer.add_key_value_metadata({_ARROW_SCHEMA: self._told})
            writer.close()
        return written

    def groups(self, number: int, first: int, target: BufferedSink) -> list[NewGroup]:
        """One row group of the source, as the one or more groups that come of it, within a file of another's."""
        body = _Body(target)
        writer = self._writer(body)
        self._write(writer, number, first)
        body.cut()
        with no_arrow_message():
            writer.close()
        return body.groups()

    def _write(self, writer: Any, number: int, first: int) -> int:
        written = 0
        for table in self._kept_tables(number, first):
            with no_arrow_message():
                writer.write_table(table, max(1, table.num_rows))
            written += table.num_rows
            del table  # or it would stay while the next one is gathered
        return written

    def _kept_tables(self, number: int, first: int) -> Iterator[Any]:
        """The rows of a row group that stay, in one table or, above GROUP_BYTES, in several."""
        held: list[Any] = []
        held_bytes = 0
        for batch in rows_of_group(self._source, number, None, _BATCH_ROWS):
            mask = kept(self._removed, first, batch.num_rows)
            first += batch.num_rows
            with no_arrow_message():
                parts = [batch] if mask.all() else _chosen(batch, mask)
            held += parts
            held_bytes += sum(part.nbytes for part in parts)
            if held_bytes >= GROUP_BYTES:
                yield self._table(held)
                held, held_bytes = [], 0
        if held or not self._source.footer.groups[number].rows:
            yield self._table(held)

    def _table(self, batches: list[Any]) -> Any:
        """One table; dictionaries given up, since they hold what rows bore that went. Parquet makes them anew."""
        with no_arrow_message():
            table = pa.Table.from_batches(batches, self._source.schema)
            columns = [
                column if column.type == field.type else column.cast(field.type)
                for column, field in zip(table.columns, self._schema, strict=True)
            ]
            return pa.Table.from_arrays(columns, schema=self._schema)


class _Body:
    """A file for Arrow of which only the pages reach the target: the head is left out, the end kept for itself."""

    def __init__(self, target: BufferedSink) -> None:
        self._target = target
        self._shift = target.tell() - len(MAGIC)
        self._position = 0
        self._cut_at: int | None = None
        self._end = io.BytesIO()
        self.closed = False

    def write(self, data: bytes | memoryview) -> int:
        view = memoryview(data).cast("B")
        if self._cut_at is not None:
            self._end.write(view)
        else:
            self._target.write(view[max(0, len(MAGIC) - self._position) :])
        self._position += len(view)
        return len(view)

    def cut(self) -> None:
        """From here on it is the end: the page index and the footer."""
        self._cut_at = self._position
        self._end.write(MAGIC)  # so that it looks like a file that lost its middle

    def groups(self) -> list[NewGroup]:
        """The row groups, with their places in the target."""
        data = self._end.getvalue()
        footer_bytes = int.from_bytes(data[-8:-4], "little")
        footer = TypedCompact(data[-8 - footer_bytes : -8]).struct()
        return [self._group(group) for group in items_of(footer, FileMetaData.ROW_GROUPS)]

    def _group(self, fields: Typed) -> NewGroup:
        new = NewGroup(fields, value_of(fields, RowGroup.NUM_ROWS), [], [])
        chunks = items_of(fields, RowGroup.COLUMNS)
        for place, chunk in enumerate(chunks):
            column_index, offset_index = self._indices(chunk)
            new.column_indices.append(column_index)
            new.offset_indices.append(shifted(offset_index, self._shift))
            chunks[place] = moved(chunk, self._shift)
        if chunks and RowGroup.FILE_OFFSET in fields:
            kind = fields[RowGroup.FILE_OFFSET][0]
            fields[RowGroup.FILE_OFFSET] = (kind, start_of(value_of(chunks[0], ColumnChunk.META_DATA)))
        return new

    def _indices(self, chunk: Typed) -> tuple[bytes | None, bytes | None]:
        """From the end, which starts where the file was cut."""
        lost = (self._cut_at or 0) - len(MAGIC)
        near = dict(chunk)
        for place in (ColumnChunk.COLUMN_INDEX, ColumnChunk.OFFSET_INDEX):
            near[place] = (I64, number_of(chunk, place) - lost)
        return read_indices(self._end, self._position - lost, near)


def _chosen(batch: Any, mask: npt.NDArray[np.bool_]) -> list[Any]:
    """The rows under the mask. Arrow cannot filter all types (string views in pyarrow 26); slicing does for any."""
    if not mask.any():
        return []
    try:
        return [batch.filter(pa.array(mask))]
    except NotImplementedError:
        return [batch.slice(start, stop - start) for start, stop in neighbours(np.flatnonzero(mask))]


def plain_schema(source: ParquetSource) -> tuple[Any, bytes | None]:
    """The schema with values instead of dictionaries, and, if it has become another, how the file tells its own."""
    with no_arrow_message():
        schema = pa.schema([_plain(field) for field in source.schema], source.schema.metadata)
        if schema.equals(source.schema):
            return source.schema, None
        told: bytes = source.arrow.metadata.metadata[_ARROW_SCHEMA]  # which alone can ask for dictionaries
        return schema, told


def _plain(field: Any) -> Any:
    """A field without dictionaries in its type."""
    kind = field.type
    if pa.types.is_dictionary(kind):
        return _plain(field.with_type(kind.value_type))
    if pa.types.is_struct(kind):
        return field.with_type(pa.struct([_plain(kind.field(place)) for place in range(kind.num_fields)]))
    if pa.types.is_map(kind):
        return field.with_type(pa.map_(_plain(kind.key_field), _plain(kind.item_field), kind.keys_sorted))
    for is_list, made in _LISTS:
        if is_list(kind):
            return field.with_type(made(_plain(kind.value_field)))
    if pa.types.is_fixed_size_list(kind):
        return field.with_type(pa.list_(_plain(kind.value_field), kind.list_size))
    return field


def _is_old(footer: Typed) -> bool:
    """Written by a version of parquet-cpp (1.x) whose files readers treat otherwise, because of its errors."""
    writer = value_of(footer, FileMetaData.CREATED_BY)
    return isinstance(writer, bytes) and writer.startswith(b"parquet-cpp version")


def _physical(footer: Typed) -> list[Any]:
    """What of a schema decides how pages are read; the root's name and field ids do not."""
    elements = [dict(element) for element in items_of(footer, FileMetaData.SCHEMA)]
    for element in elements:
        drop(element, 9)
    drop(elements[0], 3, 4)
    return elements


def options_of(source: ParquetSource) -> dict[str, Any]:
    """The writer's options that bring back what the source's footer tells of how it was written."""
    options: dict[str, Any] = {
        "version": "2.6",  # the only one that keeps every timestamp unit and unsigned type as it is
        "store_schema": _ARROW_SCHEMA in (source.arrow.metadata.metadata or {}),
        "use_deprecated_int96_timestamps": any(leaf.physical_type == "INT96" for leaf in source.leaves),
        "store_decimal_as_integer": any(_is_integer_decimal(leaf) for leaf in source.leaves),
        "use_compliant_nested_type": not any(".list.item" in leaf.path for leaf in source.leaves),
    }
    return options | _options_of_groups(source)


def _is_integer_decimal(leaf: Any) -> bool:
    return leaf.logical_type.type == "DECIMAL" and leaf.physical_type in {"INT32", "INT64"}


def _options_of_groups(source: ParquetSource) -> dict[str, Any]:
    chunks = [chunk for group in source.footer.groups for chunk in group.chunks]
    if not chunks:
        return {}
    by_dictionary = {chunk.path for chunk in chunks if chunk.has_dictionary}
    with_statistics = {chunk.path for chunk in chunks if chunk.has_statistics}
    return {
        "compression": {chunk.path: _codec(chunk.codec) for chunk in reversed(chunks)},  # the first row group's counts
        "use_dictionary": sorted(by_dictionary) or False,
        "write_statistics": sorted(with_statistics) or False,
        "write_page_index": any(chunk.has_page_index for chunk in chunks),
        "sorting_columns": source.arrow.metadata.row_group(0).sorting_columns or None,
    }


def _codec(name: str) -> str:
    """The writer's word for a footer's codec; LZ4's old framing is written in the new one, LZ4_RAW."""
    return "none" if name == "UNCOMPRESSED" else name.partition("_")[0].lower()
