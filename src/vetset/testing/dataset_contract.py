"""What every `ports.Dataset` must do, as functions that an adapter's tests call.

In it: the laws of reading, looking up and writing back, over rows that the caller makes up.
Not in it: any format, any test runner. Rules: a breach raises AssertionError with counts and row numbers, never with
a value; every row given here is synthetic.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vetset.ports import ByteSink, Dataset, Products
from vetset.records import Column, RowBatch, Shard

Value = bytes | int | float | None
Row = Mapping[Column, Value]


@dataclass(frozen=True, slots=True)
class Written:
    """A shard that was written: how to read it, and the bytes it consists of."""

    dataset: Dataset
    shard: Shard
    data: bytes


class Subject(Protocol):
    """The adapter under test, with the means to make shards for it."""

    columns: frozenset[Column]

    def write(self, rows: Sequence[Row], *, batch_rows: int) -> Written:
        """A new shard with these rows, with columns of the subject's own beside them where the format has columns."""
        ...

    def reopen(self, data: bytes) -> Written:
        """A shard of these bytes."""
        ...

    def whole(self, data: bytes) -> list[object]:
        """Every row of a shard's bytes with all its columns, read without the adapter, in comparable form."""
        ...


class Collected:
    """A byte sink that keeps what it is given."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes | memoryview) -> int:
        self.parts.append(bytes(data))
        return len(data)

    @property
    def data(self) -> bytes:
        return b"".join(self.parts)


def into(sink: ByteSink) -> Products:
    """Products of which there is one, whose bytes go into the sink."""
    return lambda _: nullcontext(sink)


BATCH_ROWS = (1, 2, 3, 1000)


def check_reading(subject: Subject, rows: Sequence[Row]) -> None:
    """Batches are the rows written, in order, whatever the size of a batch; facts agree with them."""
    for batch_rows in BATCH_ROWS:
        written = subject.write(rows, batch_rows=batch_rows)
        facts = written.dataset.facts(written.shard)
        _expect(facts.rows in {None, len(rows)}, "facts: rows")
        batches = list(written.dataset.batches(written.shard, subject.columns))
        _expect(all(0 < batch.rows <= batch_rows for batch in batches), "size of a batch")
        _expect_rows(batches, list(enumerate(rows)), subject.columns)


def check_projection(subject: Subject, rows: Sequence[Row]) -> None:
    """Only the asked columns come, and their values do not depend on which others do; none at all still counts rows."""
    written = subject.write(rows, batch_rows=2)
    for column in sorted(subject.columns):
        batches = list(written.dataset.batches(written.shard, frozenset({column})))
        _expect_rows(batches, list(enumerate(rows)), frozenset({column}))
    counted = sum(batch.rows for batch in written.dataset.batches(written.shard, frozenset()))
    _expect(counted == len(rows), "rows counted without columns")


def check_lookup(subject: Subject, rows: Sequence[Row], numbers: Iterable[int]) -> None:
    """A look-up gives the named rows, as batches gave them."""
    wanted = sorted(set(numbers))
    for batch_rows in BATCH_ROWS:
        written = subject.write(rows, batch_rows=batch_rows)
        asked = np.array(wanted, np.int64)
        batches = list(written.dataset.lookup(written.shard, asked, subject.columns))
        _expect_rows(batches, [(number, rows[number]) for number in wanted], subject.columns)


def check_writing(subject: Subject, rows: Sequence[Row], numbers: Iterable[int]) -> bytes:
    """What is written is the rest of the rows, all their columns the same, twice the same bytes; gives those."""
    removed = sorted(set(numbers))
    written = subject.write(rows, batch_rows=2)
    sink, again = Collected(), Collected()
    count = written.dataset.write_without(written.shard, np.array(removed, np.int64), into(sink))
    written.dataset.write_without(written.shard, np.array(removed, np.int64), into(again))
    _expect(sink.data == again.data, "bytes of a second writing")
    _expect(count == len(rows) - len(removed), "rows written")
    left = [row for number, row in enumerate(rows) if number not in set(removed)]
    before = subject.whole(written.data)
    _expect(len(before) == len(rows), "rows of the source, read without the adapter")
    expected = [row for number, row in enumerate(before) if number not in set(removed)]
    _expect(subject.whole(sink.data) == expected, "all columns of the rows that stay")
    reopened = subject.reopen(sink.data)
    batches = list(reopened.dataset.batches(reopened.shard, subject.columns))
    _expect_rows(batches, list(enumerate(left)), subject.columns)
    return sink.data


def check_files(dataset: Dataset, shard: Shard, numbers: Iterable[int]) -> list[str]:
    """Products are among the shard's files, each once, in their order, companions among them; gives their names."""
    files = list(dataset.files(shard))
    _expect(len(set(files)) == len(files), "a file named twice")
    _expect(set(shard.companions) <= set(files), "companions among the files")
    written: list[str] = []

    def product(name: str) -> AbstractContextManager[Collected]:
        written.append(name)
        return nullcontext(Collected())

    dataset.write_without(shard, np.array(sorted(set(numbers)), np.int64), product)
    _expect([name for name in files if name in set(written)] == written, "products in the order of files")
    _expect(set(shard.companions) <= set(written), "companions among the products")
    return written


def check_dataset(subject: Subject, rows: Sequence[Row]) -> None:
    """Every law, with nothing, the first, the last, every second and all rows looked up and removed."""
    check_reading(subject, rows)
    check_projection(subject, rows)
    check_lookup(subject, rows, ())
    if not rows:
        return
    for numbers in ((0,), (len(rows) - 1,), range(0, len(rows), 2), range(len(rows))):
        check_lookup(subject, rows, numbers)
        check_writing(subject, rows, numbers)


def _expect(holds: bool, what: str) -> None:  # noqa: FBT001 - a condition is what it takes
    if not holds:
        raise AssertionError(f"dataset contract: {what}")


def _expect_rows(batches: Sequence[RowBatch], rows: Sequence[tuple[int, Row]], columns: frozenset[Column]) -> None:
    read = [pair for batch in batches for pair in _rows_of(batch)]
    _expect(all(batch.values.columns == columns for batch in batches), "columns of a batch")
    _expect([number for number, _ in read] == [number for number, _ in rows], "row numbers")
    for (number, row), (_, expected) in zip(read, rows, strict=True):
        for column in columns:
            _expect(_bits(row[column]) == _bits(expected.get(column)), f"row {number}, column {column}")


def _rows_of(batch: RowBatch) -> Iterable[tuple[int, Row]]:
    record = batch.values.unseal()
    values = {column: record.column(column.value).to_pylist() for column in batch.values.columns}
    for place in range(batch.rows):
        yield batch.first_row + place, {column: cells[place] for column, cells in values.items()}


def _bits(value: Value) -> Value:
    """A number as its bits, so that NaN equals itself and the zeros differ."""
    return struct.pack("<d", value) if isinstance(value, float) else value
