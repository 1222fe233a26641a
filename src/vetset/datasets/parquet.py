"""Parquet behind `ports.Dataset`: LAION's own format, in every spelling of its releases.

In it: facts from the footer, rows streamed by row group, rows looked up where they stand.
Not in it: the checks before (footer, pages), writing back (rewrite), spellings and types (columns).
Rules: columns are read by name, only those asked for, page by page: private memory depends on the batch, the widest
page (pages.MAX_PAGE_BYTES) and the columns read, never on the number of rows or the size of a row group. One thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vetset.config import Settings
from vetset.datasets.columns import map_columns, normalised, sealed_batch
from vetset.datasets.footer import no_arrow_message, opened
from vetset.datasets.location import source_path
from vetset.datasets.rewrite import rewrite
from vetset.datasets.rowgroups import rows_of_group
from vetset.datasets.runs import Rows, check_rows, neighbours, within
from vetset.ports import ByteSink
from vetset.records import Column, RowBatch, Shard, ShardFacts


class Parquet:
    """Shards of a folder that are Parquet files."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self.root = root
        self.run = settings.run
        self.overrides = settings.columns

    def facts(self, shard: Shard) -> ShardFacts:
        """From the footer alone."""
        with self._open(shard) as (_, parquet):
            mapping = self._mapping(parquet)
            lines = "".join(f"{field.name}\x00{field.type}\x00" for field in parquet.schema_arrow)
            digest = hashlib.sha256(lines.encode("utf-8")).hexdigest()
            return ShardFacts(parquet.metadata.num_rows, mapping, digest)

    def batches(self, shard: Shard, columns: frozenset[Column]) -> Iterator[RowBatch]:
        """All rows in order; the rows of every row group and of its pages are held against the footer."""
        with self._open(shard) as (file, parquet):
            read = _Projection(self._mapping(parquet), columns)
            first = 0
            for number in range(parquet.metadata.num_row_groups):
                for batch in rows_of_group(file, parquet, number, read.names, self.run.batch_rows):
                    yield read.row_batch(batch, first)
                    first += batch.num_rows

    def lookup(self, shard: Shard, rows: Rows, columns: frozenset[Column]) -> Iterator[RowBatch]:
        """The named rows, one batch for each run of neighbours in a batch; other row groups are not read."""
        with self._open(shard) as (file, parquet):
            read = _Projection(self._mapping(parquet), columns)
            check_rows(rows, parquet.metadata.num_rows)
            first = 0
            for number in range(parquet.metadata.num_row_groups):
                count = parquet.metadata.row_group(number).num_rows
                here = rows[slice(*np.searchsorted(rows, (first, first + count)))]
                if len(here):
                    group = rows_of_group(file, parquet, number, read.names, self.run.batch_rows)
                    yield from _chosen(group, first, here, read)
                first += count

    def write_without(self, shard: Shard, removed: Rows, sink: ByteSink) -> int:
        """The same file less the removed rows, see `rewrite`."""
        with self._open(shard, extensions=True) as (file, parquet):
            check_rows(removed, parquet.metadata.num_rows)
            return rewrite(file, parquet, removed, sink)

    @contextmanager
    def _open(self, shard: Shard, *, extensions: bool = False) -> Iterator[tuple[Any, Any]]:
        path = source_path(self.root, shard)
        with no_arrow_message():
            file = pa.OSFile(str(path))
        with file:
            yield file, opened(file, self.run, extensions=extensions)

    def _mapping(self, parquet: Any) -> dict[Column, str]:
        with no_arrow_message():
            fields = [(field.name, field.type) for field in parquet.schema_arrow]
        return map_columns(fields, self.overrides)


class _Projection:
    """The columns to read, and the way from what Arrow reads to a RowBatch."""

    def __init__(self, mapping: Mapping[Column, str], columns: frozenset[Column]) -> None:
        self.wanted = {column: name for column, name in mapping.items() if column in columns}
        # With nothing to read Arrow would repeat the footer's count; one column makes it count rows.
        self.names = frozenset(self.wanted.values()) or frozenset([next(iter(mapping.values()))])

    def row_batch(self, batch: Any, first: int) -> RowBatch:
        with no_arrow_message():
            arrays = {column: normalised(batch.column(name), column) for column, name in self.wanted.items()}
            return RowBatch(first, sealed_batch(arrays, batch.num_rows))


def _chosen(group: Iterator[Any], first: int, rows: Rows, read: _Projection) -> Iterator[RowBatch]:
    """Of a row group that starts at row `first`, the rows asked for; reading ends with the last of them."""
    for batch in group:
        for start, stop in neighbours(within(rows, first, batch.num_rows)):
            yield read.row_batch(batch.slice(start, stop - start), first + start)
        first += batch.num_rows
        if first > rows[-1]:
            return
