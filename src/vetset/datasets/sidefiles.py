"""What lies beside a shard of samples: the Parquet with a line for each download, and what counts its lines.

In it: keys, columns and hints of the lines, and the side files written again without some lines.
Not in it: the samples themselves, how a side file is written (`parquet`, `companions`). Rules: a line is joined to its
sample by `key`; a Parquet without that column is trouble, since a removal could not follow from one to the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from vetset.config import Settings
from vetset.datasets.columns import column_of, sealed_batch
from vetset.datasets.companions import Gone, copy_file, write_stats
from vetset.datasets.location import probe_of, readable
from vetset.datasets.naming import STATS
from vetset.datasets.parquet import Parquet
from vetset.datasets.rowgroups import no_arrow_message, opened, rows_of_group
from vetset.datasets.runs import Rows
from vetset.datasets.stored import SIZES, Hint, hint_of
from vetset.errors import ShardError, Trouble
from vetset.ports import Products
from vetset.records import DIGEST_COLUMNS, Column, RowBatch, Shard

#: The column by which img2dataset's lines and samples belong together.
KEY = "key"


class SideFiles:
    """The side files of shards, by the shard."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self.root = root
        self.run = settings.run
        self.settings = settings.pictures
        self.parquet = Parquet(root, settings, of_samples=True)

    def keys(self, shard: Shard) -> list[bytes | None] | None:
        """The key of every line, or None where there is no side Parquet."""
        side = self._side(shard)
        if side is None:
            return None
        if KEY not in self._names(side):
            raise ShardError(
                Trouble.COLUMN_MISSING,
                "the Parquet beside the shard has no column `key` that joins its lines to samples; if it is none of"
                " img2dataset's, audit it in a folder of its own",
            )
        keys: list[bytes | None] = []
        for batch in self._columns_of(side, (KEY,)):
            with no_arrow_message():
                keys.extend(None if value is None else str(value).encode() for value in batch.column(KEY).to_pylist())
        return keys

    def columns(self, shard: Shard) -> dict[Column, str]:
        side = self._side(shard)
        return {} if side is None else dict(self.parquet.facts(side).columns)

    def batches(self, shard: Shard, columns: frozenset[Column], order: Sequence[Column]) -> Iterator[RowBatch]:
        """All lines, with every column of `order`; one that the Parquet lacks is null."""
        side = self._side(shard)
        for batch in () if side is None else self.parquet.batches(side, columns):
            yield _with(batch, order)

    def lookup(
        self, shard: Shard, rows: Rows, columns: frozenset[Column], order: Sequence[Column]
    ) -> Iterator[RowBatch]:
        side = self._side(shard)
        for batch in () if side is None else self.parquet.lookup(side, rows, columns):
            yield _with(batch, order)

    def hints(self, shard: Shard, lines: int) -> list[Hint]:
        """For each line the digests recorded of its original, and how its picture was stored."""
        side = self._side(shard) if lines else None
        if side is None:
            return []
        names = [name for name in self._names(side) if column_of(name) in DIGEST_COLUMNS or name in SIZES]
        hints: list[Hint] = []
        for batch in self._columns_of(side, names):
            with no_arrow_message():
                lists = {name: batch.column(name).to_pylist() for name in names}
            hints.extend(
                hint_of({name: values[row] for name, values in lists.items()}, self.settings)
                for row in range(batch.num_rows)
            )
        return hints

    def write_without(self, shard: Shard, lines: Rows, others: int, product: Products) -> None:
        """The side files less the lines removed (which may be none), and so many samples without a line."""
        side = self._side(shard)
        if side is not None and len(lines):
            self.parquet.write_without(side, lines, product)
            return
        for path in shard.companions:
            with product(path) as sink:
                if side is None and path.endswith(STATS):
                    write_stats(self.root / path, Gone(others, others), sink)
                elif side is not None:
                    copy_file(self.root / path, sink)
                else:
                    raise ShardError(Trouble.NOT_THE_FORMAT, "a side file of a kind that is not understood")

    def _side(self, shard: Shard) -> Shard | None:
        """The Parquet beside a shard, as a shard of its own with the rest of the side files beside it."""
        for path in shard.companions:
            if path.endswith(".parquet"):
                with readable():
                    size_bytes = (self.root / path).stat().st_size
                    probe = probe_of(self.root / path, size_bytes)
                return Shard(
                    shard.id, path, size_bytes, probe, tuple(name for name in shard.companions if name != path)
                )
        return None

    def _names(self, side: Shard) -> list[str]:
        with opened(self.root / side.path, self.run, extensions=False) as source:
            return list(source.schema.names)

    def _columns_of(self, side: Shard, names: Sequence[str]) -> Iterator[Any]:
        """Arrow batches of the named columns that there are; of no column where there are none."""
        with opened(self.root / side.path, self.run, extensions=False) as source:
            there = frozenset(name for name in names if name in source.schema.names)
            chosen = there or frozenset(source.schema.names[:1])
            for number in range(len(source.footer.groups)):
                yield from rows_of_group(source, number, chosen, self.run.batch_rows)


def _with(batch: RowBatch, order: Sequence[Column]) -> RowBatch:
    """The batch with every column asked for, so that all batches of a shard have the same."""
    record = batch.values.unseal()
    arrays = {
        column: record.column(column.value) if column in batch.values.columns else _nulls(column, batch.rows)
        for column in order
    }
    return RowBatch(batch.first_row, sealed_batch(arrays, batch.rows))


def _nulls(column: Column, rows: int) -> Any:
    kind = pa.int64() if column is Column.HASH else pa.float64() if column is Column.PUNSAFE else pa.large_binary()
    return pa.nulls(rows, kind)
