"""Parquet behind `ports.Dataset`: LAION's own format, in every spelling of its releases.

In it: facts from the footer, rows streamed by row group, rows looked up where they stand.
Not in it: the checks before (footer, pages, rowgroups), writing back (rewrite), spellings and types (columns).
Rules: columns are read by name, only those asked for, page by page: private memory depends on the batch, the widest
page (pages.MAX_PAGE_BYTES) and the columns read, never on the number of rows or the size of a row group. One thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from vetset.config import Settings
from vetset.datasets.columns import map_columns, normalised, sealed_batch
from vetset.datasets.companions import write_companions_without
from vetset.datasets.location import source_path
from vetset.datasets.picking import picked
from vetset.datasets.picturecolumn import picture_columns, pictures_of
from vetset.datasets.rewrite import rewrite
from vetset.datasets.rowgroups import ParquetSource, no_arrow_message, opened, rows_of_group
from vetset.datasets.runs import Rows, check_rows, neighbours, within
from vetset.ports import Products
from vetset.records import Column, Picture, RowBatch, Shard, ShardFacts


class Parquet:
    """Shards of a folder that are Parquet files. `of_samples`: they have the lines of pictures that lie beside them."""

    def __init__(self, root: Path, settings: Settings, *, of_samples: bool = False) -> None:
        self.root = root
        self.of_samples = of_samples
        self.run = settings.run
        self.overrides = settings.columns
        self.pictures_settings = settings.pictures

    def facts(self, shard: Shard) -> ShardFacts:
        """From the footer alone."""
        with self._open(shard) as source:
            mapping = self._mapping(source)
            lines = "".join(f"{field.name}\x00{field.type}\x00" for field in source.schema)
            return ShardFacts(source.footer.rows, mapping, hashlib.sha256(lines.encode("utf-8")).hexdigest())

    def batches(self, shard: Shard, columns: frozenset[Column]) -> Iterator[RowBatch]:
        """All rows in order; the rows of every row group and of its pages are held against the footer."""
        with self._open(shard) as source:
            read = _Projection(source, self._mapping(source), columns)
            first = 0
            for number in range(len(source.footer.groups)):
                for batch in rows_of_group(source, number, read.names, self.run.batch_rows):
                    yield read.row_batch(batch, first)
                    first += batch.num_rows

    def lookup(self, shard: Shard, rows: Rows, columns: frozenset[Column]) -> Iterator[RowBatch]:
        """The named rows, one batch for each run of neighbours in a batch; other row groups are not read, and of these
        only the pages that hold the rows, where `picking` can.
        """
        with self._open(shard) as source:
            read = _Projection(source, self._mapping(source), columns)
            check_rows(rows, source.footer.rows)
            first = 0
            for number, group in enumerate(source.footer.groups):
                places = within(rows, first, group.rows)
                if len(places):
                    yield from self._of_group(source, number, read, first, places)
                first += group.rows

    def _of_group(
        self, source: ParquetSource, number: int, read: _Projection, first: int, places: Rows
    ) -> Iterator[RowBatch]:
        """Rows of a row group that starts at row `first`."""
        batch = picked(source, number, sorted(read.names), places)
        if batch is None:
            batches = rows_of_group(source, number, read.names, self.run.batch_rows)
            yield from _chosen(batches, first, places + first, read)
            return
        arrays, at = read.arrays(batch), 0
        for start, stop in neighbours(places):
            run = {column: array.slice(at, stop - start) for column, array in arrays.items()}
            yield RowBatch(first + start, sealed_batch(run, stop - start))
            at += stop - start

    def pictures(self, shard: Shard) -> Iterator[Sequence[Picture]]:
        """The pictures of a column of bytes, if there is one; see `picturecolumn`."""
        with self._open(shard) as source:
            yield from pictures_of(source, self.pictures_settings)

    def write_without(self, shard: Shard, removed: Rows, product: Products) -> int:
        """The same file less the removed rows, see `rewrite`, and what lies beside it, see `companions`."""
        with self._open(shard, extensions=True) as source:
            check_rows(removed, source.footer.rows)
            with product(shard.path) as sink:
                written = rewrite(source, removed, sink)
            write_companions_without(self.root, shard, source, self.run.batch_rows, removed, product)
            return written

    def _open(self, shard: Shard, *, extensions: bool = False) -> AbstractContextManager[ParquetSource]:
        return opened(source_path(self.root, shard), self.run, extensions=extensions)

    def _mapping(self, source: ParquetSource) -> dict[Column, str]:
        columns = [(field.name, field.type) for field in source.schema]
        with_pictures = self.of_samples or bool(picture_columns(source.schema))
        return map_columns(columns, self.overrides, with_pictures=with_pictures)


class _Projection:
    """The columns to read, and the way from what Arrow reads to a RowBatch."""

    def __init__(self, source: ParquetSource, mapping: Mapping[Column, str], columns: frozenset[Column]) -> None:
        self.wanted = {column: name for column, name in mapping.items() if column in columns}
        # With nothing to read Arrow would repeat the footer's count; one column makes it count rows.
        self.names = frozenset(self.wanted.values()) or frozenset(
            [next(iter(mapping.values()), source.schema.names[0])]
        )

    def arrays(self, batch: Any) -> dict[Column, Any]:
        """The wanted columns in the types of a RowBatch."""
        with no_arrow_message():
            return {column: normalised(batch.column(name), column) for column, name in self.wanted.items()}

    def row_batch(self, batch: Any, first: int) -> RowBatch:
        with no_arrow_message():
            return RowBatch(first, sealed_batch(self.arrays(batch), batch.num_rows))


def _chosen(group: Iterator[Any], first: int, rows: Rows, read: _Projection) -> Iterator[RowBatch]:
    """Of a row group that starts at row `first`, the rows asked for; reading ends with the last of them."""
    for batch in group:
        for start, stop in neighbours(within(rows, first, batch.num_rows)):
            yield read.row_batch(batch.slice(start, stop - start), first + start)
        first += batch.num_rows
        if first > rows[-1]:
            return
