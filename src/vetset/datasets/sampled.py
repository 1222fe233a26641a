"""Shards of samples behind `ports.Dataset`: a container of pictures by key, and perhaps a Parquet with their lines.

In it: rows, columns, pictures and removals of such a shard, whatever its container. Not in it: the containers
(`samples` for tars, `folder`), the side files (`sidefiles`).
Rules: with a Parquet beside it (img2dataset writes one), rows are its lines in order, those of failed downloads too,
and then samples that have no line; without one, samples in order. Of two lines with one key the first has the sample,
and whichever of them goes takes it along. A container's bodies last until the next batch.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vetset.config import Settings
from vetset.datasets.columns import column_of, known_overrides
from vetset.datasets.jsonlines import value_of
from vetset.datasets.lines import Record, Value, batches_of, looked_up
from vetset.datasets.runs import Rows, check_rows, within
from vetset.datasets.sidefiles import SideFiles
from vetset.datasets.stored import Hint, hint_of
from vetset.errors import ShardError, Trouble
from vetset.ports import Products
from vetset.records import DIGEST_COLUMNS, Column, Picture, RowBatch, Sealed, Shard, ShardFacts

_BATCH_BYTES = 32 * 1024 * 1024
_BATCH_PICTURES = 256
#: Samples whose JSON is looked at to learn which columns there are.
_HEAD_SAMPLES = 1000
_COMPARED = frozenset({Column.URL, *DIGEST_COLUMNS})


class Container(Protocol):
    """What holds samples by key, in order. A sample's own shape is the container's business."""

    @property
    def keys(self) -> Collection[bytes]: ...
    def bodies(self, keys: Sequence[bytes | None]) -> Iterator[tuple[int, bytes | memoryview]]:
        """For each key in turn, the bytes of every picture of its sample, with the key's place; None asks for none."""
        ...

    def json_of(self, key: bytes) -> Mapping[str, Any]:
        """What is recorded beside the sample; nothing where there is none, or it is no object."""
        ...

    def text_of(self, key: bytes, ending: bytes) -> bytes | None:
        """The bytes of a sample's file by its ending."""
        ...

    def write_without(self, keys: Collection[bytes], product: Products) -> None:
        """The container less the samples named."""
        ...


@dataclass(slots=True, repr=False)
class _Rows:
    """The rows of a shard: for each the key of its sample, if it has one; the first `lines` stand in the side Parquet.

    `again` names the samples of lines whose key an earlier line has.
    """

    keys: list[bytes | None]
    lines: int
    again: dict[int, bytes] = field(default_factory=dict)

    def gone(self, removed: Rows) -> set[bytes]:
        """The samples that go with the rows."""
        rows = removed.tolist()
        own = {key for row in rows if (key := self.keys[row]) is not None}
        return own | {self.again[row] for row in rows if row in self.again}


class Sampled(ABC):
    """Shards of samples; a format says how its container is opened."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self.root = root
        self.run = settings.run
        self.pictures_settings = settings.pictures
        self.overrides = known_overrides(settings.columns)
        self.side = SideFiles(root, settings)

    @abstractmethod
    def _opened(self, shard: Shard) -> AbstractContextManager[Container]: ...

    def facts(self, shard: Shard) -> ShardFacts:
        """From what the container says of itself, the footer beside it, and the first samples' JSON."""
        with self._opened(shard) as container:
            rows = self._rows(shard, container)
            columns = self._columns(shard, container, rows)
        spelled = "".join(f"{column}\x00{name}\x00" for column, name in columns.items())
        return ShardFacts(len(rows.keys), columns, hashlib.sha256(spelled.encode("utf-8", "replace")).hexdigest())

    def batches(self, shard: Shard, columns: frozenset[Column]) -> Iterator[RowBatch]:
        """All rows in order: lines of the side Parquet, then samples by their JSON."""
        with self._opened(shard) as container:
            rows = self._rows(shard, container)
            mapping = self._columns(shard, container, rows)
            wanted = [column for column in mapping if column in columns]
            if rows.lines:
                yield from self.side.batches(shard, frozenset(wanted), wanted)
            for batch in batches_of(self._records(container, rows, wanted), wanted, self.run.batch_rows):
                yield RowBatch(batch.first_row + rows.lines, batch.values)

    def lookup(self, shard: Shard, rows: Rows, columns: frozenset[Column]) -> Iterator[RowBatch]:
        """The named rows."""
        with self._opened(shard) as container:
            known = self._rows(shard, container)
            check_rows(rows, len(known.keys))
            mapping = self._columns(shard, container, known)
            wanted = [column for column in mapping if column in columns]
            lines = within(rows, 0, known.lines)
            if len(lines):
                yield from self.side.lookup(shard, lines, frozenset(wanted), wanted)
            others = within(rows, known.lines, len(known.keys) - known.lines)
            if len(others):
                records = self._records(container, known, wanted)
                for batch in looked_up(records, others, wanted, self.run.batch_rows):
                    yield RowBatch(batch.first_row + known.lines, batch.values)

    def pictures(self, shard: Shard) -> Iterator[Sequence[Picture]]:
        """Every picture of every sample, with what is recorded of its original."""
        with self._opened(shard) as container:
            rows = self._rows(shard, container)
            said = self.side.hints(shard, rows.lines)
            yield from _batched(self._pictures(container, rows, said))

    def write_without(self, shard: Shard, removed: Rows, product: Products) -> int:
        """The container without the samples of the removed rows, and its side files without their lines."""
        with self._opened(shard) as container:
            rows = self._rows(shard, container)
            check_rows(removed, len(rows.keys))
            container.write_without(rows.gone(removed), product)
            lines = within(removed, 0, rows.lines)
            self.side.write_without(shard, lines, len(removed) - len(lines), product)
        return len(rows.keys) - len(removed)

    def _rows(self, shard: Shard, container: Container) -> _Rows:
        lines = self.side.keys(shard)
        if lines is None:
            return _Rows(list(container.keys), 0)
        by_name: dict[bytes, bytes] = {}
        for key in container.keys:  # img2dataset's keys are names without a folder
            by_name.setdefault(key.rpartition(b"/")[2], key)
        rows = _Rows([], len(lines))
        taken: set[bytes] = set()
        for number, line in enumerate(lines):
            found = by_name.get(line) if line is not None else None
            if found is not None and found in taken:
                rows.again[number], found = found, None
            rows.keys.append(found)
            if found is not None:
                taken.add(found)
        rows.keys.extend(key for key in container.keys if key not in taken)
        return rows

    def _columns(self, shard: Shard, container: Container, rows: _Rows) -> dict[Column, str]:
        """Ours and the dataset's spelling: of the side Parquet first, then of the samples' JSON."""
        found = self.side.columns(shard) if rows.lines else {}
        for key in rows.keys[rows.lines : rows.lines + _HEAD_SAMPLES]:
            if key is None:
                continue
            for name in container.json_of(key):
                column = self._column_of(name)
                if column is not None:
                    found.setdefault(column, name)
            if Column.TEXT not in found and container.text_of(key, b"txt") is not None:
                found[Column.TEXT] = "txt"
        return {column: found[column] for column in Column if column in found}

    def _column_of(self, name: str) -> Column | None:
        """The column that a name in a sample's JSON spells; the settings' word comes first, as with columns."""
        for column, spelling in self.overrides.items():
            if spelling == name:
                return column
        known = column_of(name)
        return None if known in self.overrides else known

    def _records(self, container: Container, rows: _Rows, wanted: Sequence[Column]) -> Iterator[Record]:
        """What the samples without a line record, each as long as its JSON."""
        for key in rows.keys[rows.lines :]:
            said = {} if key is None else self._ours(container.json_of(key))
            values: list[Value] = []
            for column in wanted:
                value = value_of(column, said.get(column))
                if value is None and column is Column.TEXT and key is not None:
                    value = container.text_of(key, b"txt")
                values.append(value)
            yield Record(0, 1024, values)

    def _ours(self, tree: Mapping[str, Any]) -> dict[Column, Any]:
        """What an object records under any spelling of our columns."""
        found: dict[Column, Any] = {}
        for name, value in tree.items():
            column = self._column_of(name)
            if column is None or value is None:
                continue
            if column in _COMPARED and found.setdefault(column, value) != value:
                raise ShardError(Trouble.COLUMN_AMBIGUOUS, f"the JSON of a sample has two values that read as {column}")
            found.setdefault(column, value)
        return found

    def _pictures(self, container: Container, rows: _Rows, said: Sequence[Hint]) -> Iterator[Picture]:
        known, hint = -1, None
        for row, body in container.bodies(rows.keys):
            if row != known or hint is None:
                known, hint = row, self._hint(container, rows.keys[row], said[row] if row < len(said) else None)
            yield Picture(row, Sealed(body), *hint)

    def _hint(self, container: Container, key: bytes | None, line: Hint | None) -> Hint:
        """What is recorded of the original: by the line, or else by the sample's JSON."""
        return line or hint_of({} if key is None else container.json_of(key), self.pictures_settings)


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
