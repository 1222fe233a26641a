"""What lies beside a shard of samples: the Parquet with a line for each download, and the counts of `_stats.json`.

In it: keys, columns and hints of the lines, and both files written again without some lines.
Not in it: the samples themselves. Rules: a line is joined to its sample by `key`; a Parquet without that column is no
side file of samples; counts of a stats file follow what is left, and whatever else it says stays.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from vetset.config import Settings
from vetset.datasets.columns import column_of, sealed_batch
from vetset.datasets.location import probe_of, readable
from vetset.datasets.parquet import Parquet
from vetset.datasets.rowgroups import no_arrow_message, opened, rows_of_group
from vetset.datasets.runs import Rows, kept
from vetset.datasets.stored import SIZES, Hint, hint_of
from vetset.errors import ShardError, Trouble
from vetset.ports import Products
from vetset.records import DIGEST_COLUMNS, Column, RowBatch, Shard

#: Columns of img2dataset's side files that are used beside ours.
KEY, STATUS = "key", "status"
STATS = "_stats.json"
#: Counts of a stats file, and the status of the lines each is of (img2dataset 1.47, logger.write_stats).
_COUNTS = {"successes": "success", "failed_to_download": "failed_to_download", "failed_to_resize": "failed_to_resize"}
MAX_STATS_BYTES = 1024 * 1024


class SideFiles:
    """The side files of shards, by the shard."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self.root = root
        self.run = settings.run
        self.settings = settings.pictures
        self.parquet = Parquet(root, settings)

    def keys(self, shard: Shard) -> list[bytes | None] | None:
        """The key of every line, or None where there is no side Parquet with keys."""
        side = self._side(shard)
        if side is None:
            return None
        keys: list[bytes | None] = []
        for batch in self._columns_of(side, (KEY,)):
            if KEY not in batch.schema.names:
                return None
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

    def write_without(self, shard: Shard, removed: Rows, product: Products) -> None:
        """The side files less the lines removed (which may be none)."""
        side = self._side(shard)
        statuses = self._statuses(side) if side is not None else []
        for path in shard.companions:
            if side is not None and path == side.path:
                self._write_parquet(side, removed, product)
            elif path.endswith(STATS):
                left = [
                    status for status, stays in zip(statuses, kept(removed, 0, len(statuses)), strict=True) if stays
                ]
                with product(path) as sink:
                    sink.write(self._stats(path, left, len(removed)))
            else:
                raise ShardError(Trouble.NOT_THE_FORMAT, "a side file of a kind that is not understood")

    def _write_parquet(self, side: Shard, removed: Rows, product: Products) -> None:
        if len(removed):
            self.parquet.write_without(side, removed, product)
            return
        with product(side.path) as sink, readable(), (self.root / side.path).open("rb") as file:
            while piece := file.read(4 * 1024 * 1024):
                sink.write(piece)

    def _stats(self, path: str, statuses: Sequence[Any], removed: int) -> bytes:
        """A stats file counted anew; what is no object of counts is copied as it is."""
        with readable():
            text = (self.root / path).read_bytes()[: MAX_STATS_BYTES + 1]
        try:
            tree = json.loads(text)
        except (ValueError, RecursionError):
            tree = None
        if not isinstance(tree, dict) or len(text) > MAX_STATS_BYTES:
            return text
        if statuses:
            of = Counter(statuses)
            fresh = {"count": len(statuses), **{name: of[status] for name, status in _COUNTS.items()}}
        else:
            gone = {name: tree.get(name, 0) for name in ("count", "successes")}
            fresh = {name: max(0, value - removed) for name, value in gone.items() if isinstance(value, int)}
        tree.update({name: value for name, value in fresh.items() if name in tree})
        return json.dumps(tree, indent=4).encode("utf-8")

    def _statuses(self, side: Shard) -> list[Any]:
        if STATUS not in self._names(side):
            return []
        found: list[Any] = []
        for batch in self._columns_of(side, (STATUS,)):
            with no_arrow_message():
                found.extend(batch.column(STATUS).to_pylist())
        return found

    def _side(self, shard: Shard) -> Shard | None:
        """The Parquet beside a shard, as a shard of its own."""
        for path in shard.companions:
            if path.endswith(".parquet"):
                with readable():
                    size_bytes = (self.root / path).stat().st_size
                    return Shard(shard.id, path, size_bytes, probe_of(self.root / path, size_bytes))
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
