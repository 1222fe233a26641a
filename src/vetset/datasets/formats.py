"""One dataset of shards in different formats.

In it: which format's adapter takes a shard, and what holds for all of them. Not in it: the formats.
Rules: a shard's name decides, never its contents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from vetset.config import Settings
from vetset.datasets.delimited import Csv
from vetset.datasets.folder import PictureFolder
from vetset.datasets.jsonlines import JsonLines
from vetset.datasets.naming import FOLDER, FORMATS, format_of
from vetset.datasets.parquet import Parquet
from vetset.datasets.printable import printable
from vetset.datasets.runs import Rows
from vetset.datasets.webdataset import Webdataset
from vetset.errors import ShardError, Trouble
from vetset.ports import Products
from vetset.records import Column, Picture, RowBatch, Shard, ShardFacts


class RowFormat(Protocol):
    """What a format has to do; see `ports.Dataset`, of which it is the part that differs."""

    def facts(self, shard: Shard) -> ShardFacts: ...
    def batches(self, shard: Shard, columns: frozenset[Column]) -> Iterator[RowBatch]: ...
    def lookup(self, shard: Shard, rows: Rows, columns: frozenset[Column]) -> Iterator[RowBatch]: ...
    def write_without(self, shard: Shard, removed: Rows, product: Products) -> int: ...


class PictureFormat(RowFormat, Protocol):
    """A format that may hold pictures."""

    def pictures(self, shard: Shard) -> Iterator[Sequence[Picture]]: ...


_ROW_FORMATS: Mapping[str, Callable[[Path, Settings], RowFormat]] = {"csv": Csv, "jsonl": JsonLines}
_PICTURE_FORMATS: Mapping[str, Callable[[Path, Settings], PictureFormat]] = {
    "parquet": Parquet,
    "webdataset": Webdataset,
}


def adapter_for(path: str) -> str:
    """The format by which a shard is read, by its name. ShardError if that stands for none."""
    kind = format_of(path)
    if kind is None:
        raise ShardError(Trouble.NOT_THE_FORMAT, f"{printable(path)} ends in none of {', '.join(FORMATS)}")
    return kind


class ByFormat:
    """A dataset that hands every shard to the adapter of its format."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self._folders = PictureFolder(root, settings)
        self._with_pictures = {kind: make(root, settings) for kind, make in _PICTURE_FORMATS.items()}
        self._with_pictures[FOLDER] = self._folders
        self._adapters: dict[str, RowFormat] = {kind: make(root, settings) for kind, make in _ROW_FORMATS.items()}
        self._adapters.update(self._with_pictures)

    def facts(self, shard: Shard) -> ShardFacts:
        """See ports.Dataset, as for all below."""
        return self._of(shard).facts(shard)

    def batches(self, shard: Shard, columns: frozenset[Column]) -> Iterator[RowBatch]:
        return self._of(shard).batches(shard, columns)

    def lookup(self, shard: Shard, rows: Rows, columns: frozenset[Column]) -> Iterator[RowBatch]:
        return self._of(shard).lookup(shard, rows, columns)

    def files(self, shard: Shard) -> Sequence[str]:
        return self._folders.files(shard) if adapter_for(shard.path) == FOLDER else (shard.path, *shard.companions)

    def pictures(self, shard: Shard) -> Iterator[Sequence[Picture]]:
        adapter = self._with_pictures.get(adapter_for(shard.path))
        return iter(()) if adapter is None else adapter.pictures(shard)

    def oddities(self, shard: Shard) -> Mapping[str, int]:
        adapter = self._of(shard)
        return adapter.oddities(shard) if isinstance(adapter, Webdataset) else {}

    def write_without(self, shard: Shard, removed: Rows, product: Products) -> int:
        return self._of(shard).write_without(shard, removed, product)

    def _of(self, shard: Shard) -> RowFormat:
        return self._adapters[adapter_for(shard.path)]
