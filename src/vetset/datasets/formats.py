"""One dataset of shards in different formats.

In it: which format's adapter takes a shard. Not in it: the formats. Rules: a shard's name decides, never its contents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from vetset.config import Settings
from vetset.datasets.delimited import Csv
from vetset.datasets.jsonlines import JsonLines
from vetset.datasets.location import FORMATS, format_of
from vetset.datasets.parquet import Parquet
from vetset.datasets.printable import printable
from vetset.datasets.runs import Rows
from vetset.errors import ShardError, Trouble
from vetset.ports import ByteSink, Dataset
from vetset.records import Column, RowBatch, Shard, ShardFacts

_ADAPTERS: Mapping[str, Callable[[Path, Settings], Dataset]] = {"parquet": Parquet, "csv": Csv, "jsonl": JsonLines}


def adapter_for(path: str) -> str:
    """The format by which a shard is read: parquet, csv or jsonl. ShardError if its name stands for none."""
    kind = format_of(path)
    if kind is None:
        raise ShardError(Trouble.NOT_THE_FORMAT, f"{printable(path)} ends in none of {', '.join(FORMATS)}")
    return kind


class ByFormat:
    """A dataset that hands every shard to the adapter of its format."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self._adapters = {kind: make(root, settings) for kind, make in _ADAPTERS.items()}

    def facts(self, shard: Shard) -> ShardFacts:
        """See ports.Dataset, as for the three below."""
        return self._of(shard).facts(shard)

    def batches(self, shard: Shard, columns: frozenset[Column]) -> Iterator[RowBatch]:
        return self._of(shard).batches(shard, columns)

    def lookup(self, shard: Shard, rows: Rows, columns: frozenset[Column]) -> Iterator[RowBatch]:
        return self._of(shard).lookup(shard, rows, columns)

    def write_without(self, shard: Shard, removed: Rows, sink: ByteSink) -> int:
        return self._of(shard).write_without(shard, removed, sink)

    def _of(self, shard: Shard) -> Dataset:
        return self._adapters[adapter_for(shard.path)]
