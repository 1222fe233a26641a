"""JSON lines behind `ports.Dataset`: one object a line.

In it: objects and their keys. Not in it: byte ranges and batches (lines).
Rules: a blank line is kept and is no row; a line that is no JSON object is a row of nulls; a value of another type than
its column's is null. The columns are those of the first records; a record that comes later with a column that they
lack, or spells one otherwise, stops the shard, because its values would be compared with nothing and nobody told.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from vetset.config import Settings
from vetset.datasets.columns import column_of, map_columns
from vetset.datasets.lines import (
    PhysicalLines,
    Record,
    Value,
    batches_of,
    cut,
    looked_up,
    opened_text,
    text_bytes,
)
from vetset.datasets.printable import printable
from vetset.datasets.runs import Rows
from vetset.errors import ShardError, Trouble
from vetset.ports import Products
from vetset.records import Column, RowBatch, Shard, ShardFacts

_HEAD_RECORDS = 1000
_INT64 = range(-(2**63), 2**63)
_MAX_KEYS_REMEMBERED = 10_000


class JsonLines:
    """Shards that are JSON lines (also named ndjson)."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self.root = root
        self.run = settings.run
        self.overrides = settings.columns

    def facts(self, shard: Shard) -> ShardFacts:
        """From the first records; how many rows there are only reading can tell. A file without rows has no columns."""
        head = [_object_of(line) for _, _, line in islice(self._lines(shard), _HEAD_RECORDS)]
        mapping = self._mapping(head) if head else {}
        spelled = "".join(f"{column}\x00{name}\x00" for column, name in mapping.items())
        return ShardFacts(None, mapping, hashlib.sha256(spelled.encode("utf-8", "surrogatepass")).hexdigest())

    def batches(self, shard: Shard, columns: frozenset[Column]) -> Iterator[RowBatch]:
        """All rows in order."""
        mapping = self.facts(shard).columns
        wanted = [column for column in mapping if column in columns]
        return batches_of(self._records(shard, mapping, wanted), wanted, self.run.batch_rows)

    def lookup(self, shard: Shard, rows: Rows, columns: frozenset[Column]) -> Iterator[RowBatch]:
        """The named rows; text is read from its start up to the last of them."""
        mapping = self.facts(shard).columns
        wanted = [column for column in mapping if column in columns]
        return looked_up(self._records(shard, mapping, wanted), rows, wanted, self.run.batch_rows)

    def write_without(self, shard: Shard, removed: Rows, product: Products) -> int:
        """The source's bytes, blank lines included, less the removed lines'."""
        records = (Record(start, stop, ()) for start, stop, _ in self._lines(shard))
        with opened_text(self.root, shard) as source, product(shard.path) as sink:
            return cut(records, removed, source, shard.size_bytes, sink)

    def _mapping(self, head: Iterable[dict[str, Any] | None]) -> dict[Column, str]:
        keys = dict.fromkeys(key for row in head if row is not None for key in row)
        if not keys and all(row is None for row in head):
            raise ShardError(Trouble.NOT_THE_FORMAT, "none of the first lines is a JSON object")
        # A key that the settings name may first come in a later record.
        keys |= dict.fromkeys(name for name in self.overrides.values() if name)
        return map_columns([(key, None) for key in keys], self.overrides, from_schema=False)

    def _lines(self, shard: Shard) -> Iterator[tuple[int, int, str]]:
        """Start, stop and text of every line that is a row."""
        with opened_text(self.root, shard) as file:
            lines = PhysicalLines(file, self.run.max_record_bytes)
            for line in _begun(lines):
                if line.strip():
                    yield lines.start, lines.position, line

    def _records(self, shard: Shard, mapping: Mapping[Column, str], wanted: list[Column]) -> Iterator[Record]:
        keys = _Keys(mapping, self.overrides)
        fields = [(column, mapping[column]) for column in wanted]
        for start, stop, line in self._lines(shard):
            row = _object_of(line) or {}
            keys.check(row)
            yield Record(start, stop, [value_of(column, row.get(name)) for column, name in fields])


class _Keys:
    """Watches that no record brings a column that the first records did not announce."""

    def __init__(self, mapping: Mapping[Column, str], overrides: Mapping[str, str]) -> None:
        self._mapping = mapping
        self._overrides = overrides
        self._seen: set[str] = set()

    def check(self, row: Mapping[str, Any]) -> None:
        for key in row.keys() - self._seen:
            column = column_of(key)
            if column is not None and column not in self._overrides and self._mapping.get(column) != key:
                raise ShardError(
                    Trouble.COLUMN_AMBIGUOUS if column in self._mapping else Trouble.COLUMN_MISSING,
                    f"key {printable(key)} comes only after the first {_HEAD_RECORDS} records;"
                    f" name it in the settings: [columns] {column} = …",
                )
            if len(self._seen) < _MAX_KEYS_REMEMBERED:
                self._seen.add(key)


def _begun(lines: PhysicalLines) -> Iterator[str]:
    while True:
        lines.begin()
        line = next(lines, None)
        if line is None:
            return
        yield line


def _object_of(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def value_of(column: Column, value: Any) -> Value:
    """The value if it has its column's type, else None: a number in the place of a URL is no URL."""
    if column is Column.PUNSAFE:
        return _number(value)
    if column is Column.HASH:
        whole = isinstance(value, int) and not isinstance(value, bool) and value in _INT64
        return value if whole else None
    return text_bytes(value) if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return None
