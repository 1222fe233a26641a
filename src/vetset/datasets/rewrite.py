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

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vetset.datasets.bytesink import BufferedSink
from vetset.datasets.rowgroups import ParquetSource, no_arrow_message, rows_of_group
from vetset.datasets.runs import Rows, kept, neighbours
from vetset.errors import ShardError, Trouble
from vetset.ports import ByteSink

#: pyarrow writes a row group in one call, so its rows are gathered first; beyond this size (as Arrow counts it) the
#: group is cut. LAION's row groups of a million rows stay below it.
GROUP_BYTES = 256 * 1024 * 1024
# Not the run's batch_rows: a setting that changes no result must not decide where a group is cut.
_BATCH_ROWS = 16384


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
    with no_arrow_message():
        writer = pq.ParquetWriter(target, source.schema, **options_of(source))
    written = first = 0
    for number, group in enumerate(source.footer.groups):
        for table in _kept_tables(source, number, removed, first):
            with no_arrow_message():
                writer.write_table(table, max(1, table.num_rows))
            written += table.num_rows
            del table  # or it would stay while the next one is gathered
        first += group.rows
    with no_arrow_message():
        writer.close()
    return written


def _kept_tables(source: ParquetSource, number: int, removed: Rows, first: int) -> Iterator[Any]:
    """The rows of a row group that stay, in one table or, above GROUP_BYTES, in several."""
    held: list[Any] = []
    held_bytes = 0
    for batch in rows_of_group(source, number, None, _BATCH_ROWS):
        mask = kept(removed, first, batch.num_rows)
        first += batch.num_rows
        with no_arrow_message():
            parts = [batch] if mask.all() else _chosen(batch, mask)
        held += parts
        held_bytes += sum(part.nbytes for part in parts)
        if held_bytes >= GROUP_BYTES:
            yield _table(held, source)
            held, held_bytes = [], 0
    if held or not source.footer.groups[number].rows:
        yield _table(held, source)


def _chosen(batch: Any, mask: npt.NDArray[np.bool_]) -> list[Any]:
    """The rows under the mask. Arrow cannot filter all types (string views in pyarrow 26); slicing does for any."""
    if not mask.any():
        return []
    try:
        return [batch.filter(pa.array(mask))]
    except NotImplementedError:
        return [batch.slice(start, stop - start) for start, stop in neighbours(np.flatnonzero(mask))]


def _table(batches: list[Any], source: ParquetSource) -> Any:
    """One table; dictionaries of its batches made one, so that a dictionary column stays one in the file."""
    with no_arrow_message():
        return pa.Table.from_batches(batches, source.schema).unify_dictionaries()


def options_of(source: ParquetSource) -> dict[str, Any]:
    """The writer's options that bring back what the source's footer tells of how it was written."""
    options: dict[str, Any] = {
        "version": "2.6",  # the only one that keeps every timestamp unit and unsigned type as it is
        "store_schema": b"ARROW:schema" in (source.arrow.metadata.metadata or {}),
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
