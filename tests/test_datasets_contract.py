"""The contract suite over every format, on rows that Hypothesis makes up."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vetset.config import RunSettings, Settings
from vetset.datasets.formats import ByFormat
from vetset.datasets.location import find_shards
from vetset.ports import Dataset
from vetset.records import Column
from vetset.testing.dataset_contract import (
    Row,
    Subject,
    Written,
    check_dataset,
    check_lookup,
    check_reading,
    check_writing,
)

ALL = frozenset(Column)
SPELLED = {
    Column.URL: "URL", Column.TEXT: "TEXT", Column.MD5: "md5", Column.SHA1: "SHA1",
    Column.SHA256: "sha256hash", Column.HASH: "hash", Column.NSFW: "NSFW", Column.PUNSAFE: "punsafe",
}  # fmt: skip
KINDS = {Column.HASH: pa.int64(), Column.PUNSAFE: pa.float32()}


class Files:
    """Writes each shard into a folder of its own."""

    def __init__(self, folder: Path, ending: str) -> None:
        self.folder = folder
        self.ending = ending
        self._numbers = itertools.count()

    def place(self, data: bytes, batch_rows: int = 3) -> Written:
        path = self.folder / f"{next(self._numbers)}{self.ending}"
        path.write_bytes(data)
        found = find_shards(str(path))
        return Written(ByFormat(found.root, Settings(run=RunSettings(batch_rows=batch_rows))), found.shards[0], data)

    def reopen(self, data: bytes) -> Written:
        return self.place(data)


def as_text(value: object) -> Any:
    return value.decode() if isinstance(value, bytes) else value


class ParquetSubject(Files):
    columns = ALL

    def __init__(self, folder: Path, *, group_rows: int = 3, **options: Any) -> None:
        super().__init__(folder, ".parquet")
        self.group_rows = group_rows
        self.options = options

    def write(self, rows: Sequence[Row], *, batch_rows: int) -> Written:
        table = pa.table(
            {
                "SAMPLE_ID": pa.array(range(len(rows)), pa.int64()),
                **{
                    SPELLED[column]: pa.array(
                        [as_text(row.get(column)) for row in rows], KINDS.get(column, pa.string())
                    )
                    for column in Column
                },
                "WIDTH": pa.array([float(number) for number in range(len(rows))], pa.float64()),
            }
        )
        sink = io.BytesIO()
        pq.write_table(table, sink, row_group_size=self.group_rows, **self.options)
        return self.place(sink.getvalue(), batch_rows)

    def whole(self, data: bytes) -> list[object]:
        return [repr(row) for row in pq.read_table(pa.BufferReader(data)).to_pylist()]  # repr: NaN is like NaN


class CsvSubject(Files):
    columns = ALL - {Column.SHA1}

    def __init__(
        self, folder: Path, *, delimiter: str = ",", terminator: str = "\r\n", ending: str = ".csv", start: bytes = b""
    ) -> None:
        super().__init__(folder, ending)
        self.delimiter = delimiter
        self.terminator = terminator
        self.start = start

    def write(self, rows: Sequence[Row], *, batch_rows: int) -> Written:
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=self.delimiter, lineterminator=self.terminator)
        columns = sorted(self.columns)
        writer.writerow(["number", *(SPELLED[column] for column in columns), "other"])
        for number, row in enumerate(rows):
            writer.writerow([number, *(as_text(row.get(column)) for column in columns), f"other, {number}"])
        return self.place(self.start + text.getvalue().encode(), batch_rows)

    def whole(self, data: bytes) -> list[object]:
        text = io.StringIO(data.decode("utf-8-sig"), newline="")
        rows: list[object] = [row for row in csv.reader(text, delimiter=self.delimiter) if row]
        return rows[1:]


class JsonSubject(Files):
    columns = ALL

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, ".jsonl")

    def write(self, rows: Sequence[Row], *, batch_rows: int) -> Written:
        lines = [
            json.dumps({"n": number, **{SPELLED[column]: as_text(row.get(column)) for column in Column}})
            for number, row in enumerate(rows)
        ]
        return self.place("".join(f"{line}\n" for line in lines).encode(), batch_rows)

    def whole(self, data: bytes) -> list[object]:
        return [repr(json.loads(line)) for line in data.splitlines()]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
URLS = st.one_of(
    TEXT, st.sampled_from(["", "https://example.org/a.jpg", "http://ex.org/🚲?q=naïve#f", "a\nb", 'q"u,o;t\te'])
)
HEX = st.one_of(st.sampled_from(["", "not hex"]), st.binary(min_size=16, max_size=16).map(bytes.hex))
CELLS: dict[Column, st.SearchStrategy[Any]] = {
    Column.HASH: st.integers(-(2**63), 2**63 - 1),
    Column.PUNSAFE: st.floats(width=32),
    **{column: HEX.map(str.encode) for column in (Column.MD5, Column.SHA1, Column.SHA256)},
    **{column: URLS.map(str.encode) for column in (Column.URL, Column.TEXT, Column.NSFW)},
}
WRITTEN_AS_TEXT = CELLS | {Column.PUNSAFE: st.floats(width=32, allow_nan=False)}  # text keeps no NaN's payload
ROWS = st.lists(st.fixed_dictionaries({column: st.none() | cells for column, cells in CELLS.items()}), max_size=10)
# CSV knows no null: an empty field is an empty text, and no number.
JSON_ROWS = st.lists(
    st.fixed_dictionaries({column: st.none() | cells for column, cells in WRITTEN_AS_TEXT.items()}), max_size=10
)


def csv_cells(column: Column) -> st.SearchStrategy[Any]:
    """CSV knows no null: an empty field is an empty text, and no number.

    The plain reader that checks ends records at bare carriage returns; tests/test_datasets_lines.py has those.
    """
    cells = WRITTEN_AS_TEXT[column]
    if column in {Column.HASH, Column.PUNSAFE}:
        return st.none() | cells
    return cells.map(lambda cell: cell.replace(b"\r", b""))


CSV_ROWS = st.lists(st.fixed_dictionaries({column: csv_cells(column) for column in Column}), max_size=10)
OFTEN = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@OFTEN
@given(
    rows=ROWS,
    group_rows=st.integers(1, 5),
    codec=st.sampled_from(["snappy", "zstd", "lz4", "none"]),
    dictionary=st.booleans(),
)
def test_parquet(tmp_path: Path, rows: list[Row], group_rows: int, codec: str, dictionary: bool) -> None:
    check_dataset(ParquetSubject(tmp_path, group_rows=group_rows, compression=codec, use_dictionary=dictionary), rows)


@OFTEN
@given(rows=ROWS, version=st.sampled_from(["1.0", "2.0"]))
def test_parquet_pages_of_either_version(tmp_path: Path, rows: list[Row], version: str) -> None:
    subject = ParquetSubject(
        tmp_path,
        data_page_version=version,
        data_page_size=1,
        write_batch_size=1,
        write_page_index=True,
        write_page_checksum=True,
    )
    check_dataset(subject, rows)


@OFTEN
@given(
    rows=CSV_ROWS,
    shape=st.sampled_from([(",", ".csv"), (";", ".csv"), ("\t", ".csv"), ("\t", ".tsv")]),
    terminator=st.sampled_from(["\n", "\r\n"]),
    start=st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
def test_csv(tmp_path: Path, rows: list[Row], shape: tuple[str, str], terminator: str, start: bytes) -> None:
    delimiter, ending = shape
    check_dataset(CsvSubject(tmp_path, delimiter=delimiter, ending=ending, terminator=terminator, start=start), rows)


@OFTEN
@given(rows=JSON_ROWS)
def test_json_lines(tmp_path: Path, rows: list[Row]) -> None:
    if rows:
        check_dataset(JsonSubject(tmp_path), rows)


def test_json_lines_without_rows_have_no_columns(tmp_path: Path) -> None:
    written = JsonSubject(tmp_path).write([], batch_rows=3)
    assert written.dataset.facts(written.shard).columns == {}
    assert list(written.dataset.batches(written.shard, ALL)) == []


# --- the suite itself: an adapter that errs is caught ------------------------------------------------------------------

SOME: list[Row] = [{Column.URL: b"https://example.org/%d" % number, Column.HASH: number} for number in range(5)]


class Erring(ParquetSubject):
    """Hands out a dataset that errs in one way."""

    def __init__(self, folder: Path, dataset: type) -> None:
        super().__init__(folder)
        self.dataset = dataset

    def place(self, data: bytes, batch_rows: int = 3) -> Written:
        written = super().place(data, batch_rows)
        return replace(written, dataset=self.dataset(written.dataset))


class Through:
    def __init__(self, inner: Dataset) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class LosesARow(Through):
    def batches(self, shard: Any, columns: Any) -> Any:
        return itertools.islice(self.inner.batches(shard, columns), 1)


class ShiftsALookup(Through):
    def lookup(self, shard: Any, rows: Any, columns: Any) -> Any:
        return (replace(batch, first_row=batch.first_row + 1) for batch in self.inner.lookup(shard, rows, columns))


class RemovesAnother(Through):
    def write_without(self, shard: Any, removed: Any, sink: Any) -> int:
        return self.inner.write_without(shard, removed + 1, sink)


class Miscounts(Through):
    def write_without(self, shard: Any, removed: Any, sink: Any) -> int:
        return self.inner.write_without(shard, removed, sink) + 1


def test_the_suite_catches_lost_rows(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="row numbers"):
        check_reading(Erring(tmp_path, LosesARow), SOME)


def test_the_suite_catches_a_shifted_lookup(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="row numbers"):
        check_lookup(Erring(tmp_path, ShiftsALookup), SOME, (1, 3))


def test_the_suite_catches_wrong_counts(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="rows written"):
        check_writing(Erring(tmp_path, Miscounts), SOME, (1,))


def test_the_suite_catches_the_wrong_row_removed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="all columns"):
        check_writing(Erring(tmp_path, RemovesAnother), SOME, (1,))


def test_the_suite_names_no_value(tmp_path: Path) -> None:
    other: list[Row] = [{**row, Column.URL: b"https://canary.example/"} for row in SOME]

    class Mixed(ParquetSubject):
        def write(self, rows: Sequence[Row], *, batch_rows: int) -> Written:
            return super().write(other[: len(rows)], batch_rows=batch_rows)

    with pytest.raises(AssertionError) as caught:
        check_reading(Mixed(tmp_path), SOME)
    assert str(caught.value) == "dataset contract: row 0, column url"


def test_every_subject_is_one(tmp_path: Path) -> None:
    subjects: list[Subject] = [ParquetSubject(tmp_path), CsvSubject(tmp_path), JsonSubject(tmp_path)]
    for subject in subjects:
        check_writing(
            subject,
            [
                {**row, Column.TEXT: b"", Column.NSFW: b"", Column.MD5: b"", Column.SHA1: b"", Column.SHA256: b""}
                for row in SOME
            ],
            (0, 4),
        )
