"""Records of text files, one after the other, each with the bytes of the source it stands in.

In it: physical lines read under a cap and counted, batches of records, look-ups, and the cut by byte ranges.
Not in it: the grammars (delimited, jsonlines).
Rules: a record is held whole, never more; bytes that are no UTF-8 survive exactly (surrogateescape in, and out again);
what is written is the source's own bytes, less the ranges of the removed records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from vetset.datasets.bytesink import BufferedSink
from vetset.datasets.columns import ARROW_TYPE, sealed_batch
from vetset.datasets.location import readable, source_path
from vetset.datasets.runs import Rows, check_rows, outside
from vetset.errors import ShardError, Trouble
from vetset.ports import ByteSink
from vetset.records import Column, RowBatch, Shard

#: A batch ends early when its records pass this; with one record of max_record_bytes more it is the ceiling.
_BATCH_BYTES = 64 * 1024 * 1024
_COPY_BYTES = 1024 * 1024
_BYTE_ORDER_MARK = "\ufeff"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

Value = bytes | int | float | None


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """A row: the bytes [start, stop) of the source, and its values in the order of the columns asked for."""

    start: int
    stop: int
    values: Sequence[Value]


class PhysicalLines:
    """The lines of a binary file as text, with the bytes of the record they belong to counted against a cap.

    `begin` marks where a record starts. A file that ends while a grammar asks for more of a record is TRUNCATED.
    """

    def __init__(self, file: BinaryIO, max_record_bytes: int) -> None:
        self._file = file
        self._max_record_bytes = max_record_bytes
        self.start = 0
        self.position = 0

    def begin(self) -> None:
        self.start = self.position

    def __iter__(self) -> PhysicalLines:
        return self

    def __next__(self) -> str:
        room = self._max_record_bytes - (self.position - self.start)
        with readable():
            line = self._file.readline(room + 1)
        if len(line) > room:
            raise ShardError(Trouble.RECORD_TOO_LARGE, f"a record above max_record_bytes, {self._max_record_bytes}")
        if not line and self.position > self.start:
            raise ShardError(Trouble.TRUNCATED, "the file ends inside quotes")
        if not line:
            raise StopIteration
        text = line.decode("utf-8", "surrogateescape")
        at_start, self.position = self.position == 0, self.position + len(line)
        return text.removeprefix(_BYTE_ORDER_MARK) if at_start else text


@contextmanager
def opened_text(root: Path, shard: Shard) -> Iterator[BinaryIO]:
    """A shard's file at its first byte. Raises ShardError if it is not readable, or is UTF-16."""
    path = source_path(root, shard)
    with readable():
        file = path.open("rb", buffering=_COPY_BYTES)
    with file:
        with readable():
            mark = file.read(2)
            file.seek(0)
        if mark in _UTF16_MARKS:
            raise ShardError(Trouble.NOT_THE_FORMAT, "UTF-16; only UTF-8 is read")
        yield file


def text_bytes(text: str) -> bytes:
    """The bytes that a text came from; a lone surrogate that came from an escape is written as UTF-8 would."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def batches_of(records: Iterable[Record], columns: Sequence[Column], batch_rows: int) -> Iterator[RowBatch]:
    """All records as batches."""
    return _batched(enumerate(records), columns, batch_rows)


def looked_up(records: Iterable[Record], rows: Rows, columns: Sequence[Column], batch_rows: int) -> Iterator[RowBatch]:
    """The named records as batches, one for each run of neighbours or more; reading ends with the last of them."""
    return _batched(_named(records, rows), columns, batch_rows)


def _named(records: Iterable[Record], rows: Rows) -> Iterator[tuple[int, Record]]:
    wanted = _in_order(rows)
    row = next(wanted, None)
    total = 0
    for number, record in enumerate(() if row is None else records):
        total = number + 1
        if number == row:
            yield number, record
            row = next(wanted, None)
            if row is None:
                return
    if row is not None:
        raise outside(total)


def _in_order(rows: Rows) -> Iterator[int]:
    check_rows(rows, np.iinfo(np.int64).max)
    return iter(rows.tolist())


def _batched(numbered: Iterable[tuple[int, Record]], columns: Sequence[Column], batch_rows: int) -> Iterator[RowBatch]:
    held: list[Record] = []
    first = held_bytes = 0
    for number, record in numbered:
        if held and (number != first + len(held) or len(held) >= batch_rows or held_bytes >= _BATCH_BYTES):
            yield _row_batch(first, held, columns)
            held, held_bytes = [], 0
        if not held:
            first = number
        held.append(record)
        held_bytes += record.stop - record.start
    if held:
        yield _row_batch(first, held, columns)


def _row_batch(first: int, records: Sequence[Record], columns: Sequence[Column]) -> RowBatch:
    arrays = {
        column: pa.array([record.values[place] for record in records], ARROW_TYPE[column])
        for place, column in enumerate(columns)
    }
    return RowBatch(first, sealed_batch(arrays, len(records)))


def cut(records: Iterable[Record], removed: Rows, source: BinaryIO, size_bytes: int, sink: ByteSink) -> int:
    """Copies the source's bytes except the removed records'; answers the records that stay."""
    target = BufferedSink(sink)
    wanted = _in_order(removed)
    row = next(wanted, None)
    position = total = 0
    for number, record in enumerate(records):
        total = number + 1
        if number == row:
            _copy(source, position, record.start, target)
            position = record.stop
            row = next(wanted, None)
    if row is not None:
        raise outside(total)
    _copy(source, position, size_bytes, target)
    target.flush()
    return total - len(removed)


def _copy(source: BinaryIO, start: int, stop: int, target: BufferedSink) -> None:
    with readable():
        source.seek(start)
    while start < stop:
        with readable():
            data = source.read(min(_COPY_BYTES, stop - start))
        if not data:
            raise ShardError(Trouble.SOURCE_CHANGED, "the file is shorter than when it was found")
        target.write(data)
        start += len(data)
