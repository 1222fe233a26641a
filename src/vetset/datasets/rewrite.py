"""A Parquet file written again without some of its rows.

In it: what the new file takes from the old (schema and all metadata, row groups, codecs, dictionaries, statistics,
page index, order), and the writing, batch by batch, into a byte sink.
Not in it: what removes a row. Not kept, because no reader's result depends on them: Bloom filters, page sizes, the
compression level, encodings other than dictionary.
Rules: the bytes are a function of the source and the removed rows; the rows in memory never pass GROUP_BYTES, for
which a row group above it comes out as several; a group that loses all its rows is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vetset.datasets.bytesink import BufferedSink
from vetset.datasets.footer import no_arrow_message
from vetset.datasets.rowgroups import rows_of_group
from vetset.datasets.runs import Rows, kept
from vetset.errors import ShardError, Trouble
from vetset.ports import ByteSink

#: pyarrow writes a row group in one call, so its rows are gathered first; beyond this size (as Arrow counts it) the
#: group is cut. LAION's row groups of a million rows stay below it.
GROUP_BYTES = 256 * 1024 * 1024
# Not the run's batch_rows: a setting that changes no result must not decide where a group is cut.
_BATCH_ROWS = 16384
_DICTIONARY_ENCODINGS = frozenset({"PLAIN_DICTIONARY", "RLE_DICTIONARY"})


def rewrite(file: Any, parquet: Any, removed: Rows, sink: ByteSink) -> int:
    """Writes the rows that are not removed (ascending, distinct, in range); answers how many. ShardError BOOKS if off.

    The sink's own error (SinkError) comes out as it is.
    """
    target = BufferedSink(sink)
    try:
        written = _written(file, parquet, removed, target)
        target.flush()
    finally:
        target.silence()  # pyarrow writes a footer even when it is torn down after a failure
    if written != parquet.metadata.num_rows - len(removed):
        raise ShardError(Trouble.BOOKS, f"{written} rows written of {parquet.metadata.num_rows} less {len(removed)}")
    return written


def _written(file: Any, parquet: Any, removed: Rows, target: BufferedSink) -> int:
    with no_arrow_message():
        writer = pq.ParquetWriter(target, parquet.schema_arrow, **options_of(parquet))
    written = first = 0
    for number in range(parquet.metadata.num_row_groups):
        for table in _kept_tables(file, parquet, number, removed, first):
            with no_arrow_message():
                writer.write_table(table, max(1, table.num_rows))
            written += table.num_rows
        first += parquet.metadata.row_group(number).num_rows
    with no_arrow_message():
        writer.close()
    return written


def _kept_tables(file: Any, parquet: Any, number: int, removed: Rows, first: int) -> Iterator[Any]:
    """The rows of a row group that stay, in one table or, above GROUP_BYTES, in several."""
    held: list[Any] = []
    held_bytes = 0
    for batch in rows_of_group(file, parquet, number, None, _BATCH_ROWS):
        mask = kept(removed, first, batch.num_rows)
        first += batch.num_rows
        with no_arrow_message():
            part = batch if mask.all() else batch.filter(pa.array(mask))
        if part.num_rows:
            held.append(part)
            held_bytes += part.nbytes
        if held_bytes >= GROUP_BYTES:
            yield _table(held, parquet)
            held, held_bytes = [], 0
    if held or not parquet.metadata.row_group(number).num_rows:
        yield _table(held, parquet)


def _table(batches: list[Any], parquet: Any) -> Any:
    """One table; dictionaries of its batches made one, so that a dictionary column stays one in the file."""
    with no_arrow_message():
        return pa.Table.from_batches(batches, parquet.schema_arrow).unify_dictionaries()


def options_of(parquet: Any) -> dict[str, Any]:
    """The writer's options that bring back what the source's footer tells of how it was written."""
    metadata = parquet.metadata
    leaves = [metadata.schema.column(place) for place in range(metadata.num_columns)]
    options: dict[str, Any] = {
        "version": "2.6",  # the only one that keeps every timestamp unit and unsigned type as it is
        "store_schema": b"ARROW:schema" in (metadata.metadata or {}),
        "use_deprecated_int96_timestamps": any(leaf.physical_type == "INT96" for leaf in leaves),
        "store_decimal_as_integer": any(_is_integer_decimal(leaf) for leaf in leaves),
        "use_compliant_nested_type": not any(".list.item" in leaf.path for leaf in leaves),
    }
    return options | _options_of_groups(metadata)


def _is_integer_decimal(leaf: Any) -> bool:
    return leaf.logical_type.type == "DECIMAL" and leaf.physical_type in {"INT32", "INT64"}


def _options_of_groups(metadata: Any) -> dict[str, Any]:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(place) for group in groups for place in range(group.num_columns)]
    if not chunks:
        return {}
    by_dictionary = {chunk.path_in_schema for chunk in chunks if _DICTIONARY_ENCODINGS.intersection(chunk.encodings)}
    with_statistics = {chunk.path_in_schema for chunk in chunks if chunk.is_stats_set}
    return {
        "compression": {chunk.path_in_schema: _codec(chunk.compression) for chunk in reversed(chunks)},
        "use_dictionary": sorted(by_dictionary) or False,
        "write_statistics": sorted(with_statistics) or False,
        "write_page_index": any(chunk.has_offset_index for chunk in chunks),
        "sorting_columns": groups[0].sorting_columns or None,
    }


def _codec(name: str) -> str:
    """The writer's word for a footer's codec; LZ4's old framing is written in the new one, LZ4_RAW."""
    return "none" if name == "UNCOMPRESSED" else name.partition("_")[0].lower()
