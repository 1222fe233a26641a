"""Webdataset tars behind `ports.Dataset`: a row is a sample, with what its JSON or the Parquet beside it records.

In it: rows of a tar, their columns and pictures, and the tar written again with its side files.
Not in it: members and keys (`members`, `samples`), the counts of a side file (`sidefiles`).
Rules: with a Parquet beside it (img2dataset writes one), rows are its lines in order, those of failed downloads too,
and then samples that have no line; without one, samples in order. Never extracts, never unpickles; bodies are views of
a mapping, so memory does not grow with the tar.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vetset.config import Settings
from vetset.datasets.columns import column_of
from vetset.datasets.jsonlines import value_of
from vetset.datasets.lines import Record, Value, batches_of, looked_up
from vetset.datasets.location import source_path
from vetset.datasets.runs import Rows, check_rows, within
from vetset.datasets.samples import Archive, Sample, opened_tar, write_tar_without
from vetset.datasets.sidefiles import SideFiles
from vetset.datasets.stored import Hint, hint_of
from vetset.ports import Products
from vetset.records import Column, Picture, RowBatch, Sealed, Shard, ShardFacts

_BATCH_BYTES = 32 * 1024 * 1024
_BATCH_PICTURES = 256
#: Samples whose JSON is looked at to learn which columns there are.
_HEAD_SAMPLES = 1000


@dataclass(slots=True, repr=False)
class _Rows:
    """The rows of a shard: for each its sample, if it has one; the first `lines` stand in the side Parquet."""

    samples: list[Sample | None]
    lines: int


class Webdataset:
    """Shards that are tars of samples."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self.root = root
        self.run = settings.run
        self.pictures_settings = settings.pictures
        self.side = SideFiles(root, settings)

    def facts(self, shard: Shard) -> ShardFacts:
        """From the headers of the tar, the footer beside it, and the first samples' JSON."""
        with self._opened(shard) as archive:
            rows = self._rows(shard, archive)
            columns = self._columns(shard, archive, rows)
        spelled = "".join(f"{column}\x00{name}\x00" for column, name in columns.items())
        return ShardFacts(len(rows.samples), columns, hashlib.sha256(spelled.encode("utf-8", "replace")).hexdigest())

    def batches(self, shard: Shard, columns: frozenset[Column]) -> Iterator[RowBatch]:
        """All rows in order: lines of the side Parquet, then samples by their JSON."""
        with self._opened(shard) as archive:
            rows = self._rows(shard, archive)
            mapping = self._columns(shard, archive, rows)
            wanted = [column for column in mapping if column in columns]
            if rows.lines:
                yield from self.side.batches(shard, frozenset(wanted), wanted)
            for batch in batches_of(self._records(archive, rows, mapping, wanted), wanted, self.run.batch_rows):
                yield RowBatch(batch.first_row + rows.lines, batch.values)

    def lookup(self, shard: Shard, rows: Rows, columns: frozenset[Column]) -> Iterator[RowBatch]:
        """The named rows."""
        with self._opened(shard) as archive:
            known = self._rows(shard, archive)
            check_rows(rows, len(known.samples))
            mapping = self._columns(shard, archive, known)
            wanted = [column for column in mapping if column in columns]
            lines = within(rows, 0, known.lines)
            if len(lines):
                yield from self.side.lookup(shard, lines, frozenset(wanted), wanted)
            others = within(rows, known.lines, len(known.samples) - known.lines)
            if len(others):
                records = self._records(archive, known, mapping, wanted)
                for batch in looked_up(records, others, wanted, self.run.batch_rows):
                    yield RowBatch(batch.first_row + known.lines, batch.values)

    def pictures(self, shard: Shard) -> Iterator[Sequence[Picture]]:
        """Every picture of every sample, with what is recorded of its original."""
        with self._opened(shard) as archive:
            rows = self._rows(shard, archive)
            said = self.side.hints(shard, rows.lines)
            yield from _batched(self._pictures(archive, rows, said))

    def write_without(self, shard: Shard, removed: Rows, product: Products) -> int:
        """The tar without the samples of the removed rows, and its side files without their lines."""
        with self._opened(shard) as archive:
            rows = self._rows(shard, archive)
            check_rows(removed, len(rows.samples))
            gone = [sample for row in removed.tolist() if (sample := rows.samples[row]) is not None]
            with product(shard.path) as sink:
                write_tar_without(archive, {sample.key for sample in gone}, sink)
            self.side.write_without(shard, within(removed, 0, rows.lines), product)
        return len(rows.samples) - len(removed)

    def oddities(self, shard: Shard) -> Mapping[str, int]:
        """Members that are no regular file, by kind; repeated names."""
        with self._opened(shard) as archive:
            return {name: count for name, count in sorted(archive.oddities.items()) if count}

    # --- rows --------------------------------------------------------------------------------------------------------

    def _opened(self, shard: Shard) -> Any:
        return opened_tar(source_path(self.root, shard))

    def _rows(self, shard: Shard, archive: Archive) -> _Rows:
        keys = self.side.keys(shard)
        if keys is None:
            return _Rows(list(archive.samples.values()), 0)
        by_name: dict[bytes, Sample] = {}
        for sample in archive.samples.values():  # img2dataset's keys are names without a folder
            by_name.setdefault(sample.key.rpartition(b"/")[2], sample)
        rows: list[Sample | None] = []
        taken: set[bytes] = set()
        for key in keys:
            found = by_name.get(key) if key is not None else None
            rows.append(None if found is None or found.key in taken else found)
            if found is not None:
                taken.add(found.key)
        rows.extend(sample for sample in archive.samples.values() if sample.key not in taken)
        return _Rows(rows, len(keys))

    def _columns(self, shard: Shard, archive: Archive, rows: _Rows) -> dict[Column, str]:
        """Ours and the dataset's spelling: of the side Parquet first, then of the samples' JSON."""
        found = self.side.columns(shard) if rows.lines else {}
        for sample in [sample for sample in rows.samples[rows.lines :] if sample is not None][:_HEAD_SAMPLES]:
            for name in archive.json_of(sample):
                column = column_of(name)
                if column is not None:
                    found.setdefault(column, name)
            if Column.TEXT not in found and archive.text_of(sample, b"txt") is not None:
                found[Column.TEXT] = "txt"
        return {column: found[column] for column in Column if column in found}

    def _records(
        self, archive: Archive, rows: _Rows, mapping: Mapping[Column, str], wanted: Sequence[Column]
    ) -> Iterator[Record]:
        """What the samples without a line record, each as long as its JSON."""
        for sample in rows.samples[rows.lines :]:
            said = {} if sample is None else _ours(archive.json_of(sample))
            values: list[Value] = []
            for column in wanted:
                value = value_of(column, said.get(column))
                if value is None and column is Column.TEXT and sample is not None:
                    value = archive.text_of(sample, b"txt")
                values.append(value)
            yield Record(0, 1024, values)

    def _pictures(self, archive: Archive, rows: _Rows, said: Sequence[Hint]) -> Iterator[Picture]:
        for row, sample in enumerate(rows.samples):
            if sample is None:
                continue
            bodies = list(archive.pictures(sample))
            if bodies:
                hint = said[row] if row < len(said) else hint_of(archive.json_of(sample), self.pictures_settings)
                yield from (Picture(row, Sealed(body), *hint) for body in bodies)


def _ours(tree: Mapping[str, Any]) -> dict[Column, Any]:
    """What an object records under any spelling of our columns."""
    return {column: value for name, value in tree.items() if (column := column_of(name)) is not None}


def _batched(pictures: Iterator[Picture]) -> Iterator[list[Picture]]:
    held: list[Picture] = []
    held_bytes = 0
    for picture in pictures:
        size_bytes = len(picture.body.unseal())
        if held and (len(held) >= _BATCH_PICTURES or held_bytes + size_bytes > _BATCH_BYTES):
            yield held
            held, held_bytes = [], 0
        held.append(picture)
        held_bytes += size_bytes
    if held:
        yield held
