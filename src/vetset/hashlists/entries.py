"""What a list says of its keys: entry id, category and source, as one Arrow table ordered by table and position.

In it: building, writing, reading and checking that table. Not in it: the keys.
Rules: only keys of which something is said have lines; a key may have several; the same inputs give the same bytes
whatever their order. An entry is looked up for hits only, and is never listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vetset.hashlists.gathering import Keys
from vetset.hashlists.layout import NotCanonical, Shape
from vetset.records import ListEntry

_WORDS = pa.dictionary(pa.int32(), pa.large_string())
SCHEMA = pa.schema(
    [
        ("position", pa.int64()),  # of the key in its table
        ("entry_id", pa.large_string()),
        ("category", _WORDS),
        ("source", _WORDS),
    ]
)


def table_of(keys: Keys, positions: npt.NDArray[np.int64]) -> pa.Table:
    """What is said of a table's keys: distinct lines in order; `positions` are those of the keys as they came."""
    places = np.frombuffer(keys.places, np.int64)
    table = pa.table(
        {
            "position": positions[places],
            "entry_id": pa.array(keys.entry_ids, pa.large_string()),
            "category": pa.array(keys.categories, pa.large_string()),
            "source": pa.array(keys.sources, pa.large_string()),
        }
    )
    distinct = table.group_by(SCHEMA.names).aggregate([])
    return distinct.sort_by([(name, "ascending") for name in SCHEMA.names])


def encoded(tables: Sequence[pa.Table]) -> pa.Buffer | None:
    """The tables one after another as an Arrow IPC stream of one batch; None if they hold nothing."""
    table = pa.concat_tables(tables) if tables else None
    if table is None or not table.num_rows:
        return None
    columns = [
        _in_words(table.column(field.name)) if field.type == _WORDS else table.column(field.name) for field in SCHEMA
    ]
    batch = pa.table(columns, schema=SCHEMA).combine_chunks().to_batches()[0]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _in_words(column: Any) -> Any:
    """Dictionary-encoded with the words in order, so that who came first leaves no trace."""
    words = pc.unique(column).sort()
    return pa.chunked_array([pa.DictionaryArray.from_arrays(pc.index_in(column, words).combine_chunks(), words)])


def decoded(data: memoryview) -> pa.RecordBatch:
    """The table as views over `data`. Raises NotCanonical if there is anything but one batch of the schema."""
    try:
        with pa.ipc.open_stream(pa.py_buffer(data)) as stream:
            batches = list(stream) if stream.schema == SCHEMA else []
    except (pa.ArrowException, OSError):
        raise NotCanonical("entries that cannot be read") from None
    if len(batches) != 1:
        raise NotCanonical("entries of another shape")
    return batches[0]


def check(batch: pa.RecordBatch, shapes: Sequence[Shape]) -> None:
    """Raises NotCanonical unless every table's lines are ordered and speak of keys that it has."""
    try:
        batch.validate(full=True)
    except pa.ArrowException:
        raise NotCanonical("entries that are not sound") from None
    if batch.num_rows != sum(shape.entries for shape in shapes) or any(column.null_count for column in batch.columns):
        raise NotCanonical("another number of entries than the header's")
    positions = positions_of(batch)
    start = 0
    for shape in shapes:
        own = positions[start : start + shape.entries]
        start += shape.entries
        if len(own) and (own[0] < 0 or own[-1] >= shape.count or (own[1:] < own[:-1]).any()):
            raise NotCanonical("entries out of order")


def positions_of(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """The column of positions, as a view."""
    positions: npt.NDArray[np.int64] = batch.column("position").to_numpy()
    return positions


def lines_of(batch: pa.RecordBatch, start: int, stop: int) -> list[ListEntry]:
    """The lines from `start` on, before `stop`."""
    rows = batch.slice(start, stop - start).to_pylist()
    return [ListEntry(row["entry_id"], row["category"], row["source"]) for row in rows]
