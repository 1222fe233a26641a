"""A Parquet file less some rows is the same file in everything else."""

from __future__ import annotations

import io
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vetset.config import Settings
from vetset.datasets import rewrite, splice
from vetset.datasets.location import find_shards
from vetset.datasets.parquet import Parquet
from vetset.errors import ShardError, SinkError, Trouble
from vetset.testing.dataset_contract import Collected, into


def without(folder: Path, data: bytes, removed: list[int], sink: Any = None) -> bytes:
    path = folder / "source.parquet"
    path.write_bytes(data)
    found = find_shards(str(path))
    sink = sink or Collected()
    Parquet(found.root, Settings()).write_without(found.shards[0], np.array(removed, np.int64), into(sink))
    return bytes(sink.data)


def written(table: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def read(data: bytes) -> Any:
    return pq.ParquetFile(pa.BufferReader(data))


URLS = pa.array([f"u{number}" for number in range(6)])
KEEP = [0, 2, 5]
REMOVE = [1, 3, 4]


# --- when it fails ---------------------------------------------------------------------------------------------------------


class Failing(Collected):
    """A sink that fails at one write and must not be written to again."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def write(self, data: bytes | memoryview) -> int:
        assert len(self.parts) <= self.at, "written to after it failed"
        super().write(data)
        if len(self.parts) > self.at:
            raise SinkError("write", "clean/x", 28)
        return len(data)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_sink_that_fails_ends_it_with_the_sinks_own_error(tmp_path: Path, at: int) -> None:
    noise = np.random.default_rng(0).bytes(3_000_000)
    table = pa.table(
        {"url": ["u"] * 30, "noise": [noise[start : start + 100_000] for start in range(0, 3_000_000, 100_000)]}
    )
    with pytest.raises(SinkError) as caught:
        without(tmp_path, written(table, row_group_size=5), [1], Failing(at))
    assert caught.value.error_number == 28


def test_a_shard_that_breaks_halfway_ends_it(tmp_path: Path) -> None:
    table = pa.table({"url": [f"https://canary.example/{number}" for number in range(1000)]})
    data = bytearray(
        written(table, row_group_size=500, use_dictionary=False, compression="none", write_page_checksum=True)
    )
    at = data.index(b"canary.example/750")
    data[at] ^= 1
    with pytest.raises(ShardError) as caught:
        without(tmp_path, bytes(data), [1])
    assert caught.value.trouble is Trouble.NOT_THE_FORMAT
    assert "canary" not in str(caught.value)


def test_books_that_do_not_balance_are_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (rewrite, splice):
        monkeypatch.setattr(module, "kept", lambda _removed, _first, count: np.ones(count, np.bool_))
    with pytest.raises(ShardError) as caught:
        without(tmp_path, written(pa.table({"url": URLS})), REMOVE)
    assert caught.value.trouble is Trouble.BOOKS


# --- what stays --------------------------------------------------------------------------------------------------------------


def nan(payload: int) -> float:
    number: float = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000000 | payload))[0]
    return number


NESTED = pa.struct([pa.field("a", pa.int32(), nullable=False), pa.field("b", pa.list_(pa.string()))])
COLUMNS: dict[str, Any] = {
    "bool": pa.array([True, None, False, True, None, True]),
    "int8": pa.array([1, None, -3, 4, 5, 6], pa.int8()),
    "uint32": pa.array([2**32 - 1, None, 0, 1, 2, 3], pa.uint32()),
    "uint64": pa.array([2**64 - 1, None, 0, 1, 2, 3], pa.uint64()),
    "half": pa.array([1.5, None, 0, 1, 2, 3], pa.float16()),
    "float": pa.array([float("nan"), None, -0.0, 1, 2, 3], pa.float32()),
    "double": pa.array([nan(7), None, nan(9), -0.0, 1.0, nan(11)]),
    "decimal": pa.array([Decimal("1.50"), None, Decimal("-9.99"), None, None, Decimal(0)], pa.decimal128(5, 2)),
    "wide decimal": pa.array([Decimal(10) ** 40, None, 1, 2, 3, 4], pa.decimal256(50, 0)),
    "date": pa.array([0, None, 1, 2, 3, 40000], pa.date32()),
    "time": pa.array([0, None, 1, 2, 3, 4], pa.time64("ns")),
    "nanoseconds": pa.array([2**62 + 1, None, 1, 2, 3, 4], pa.timestamp("ns")),
    "zoned": pa.array([0, None, 1, 2, 3, 4], pa.timestamp("us", "Europe/Vienna")),
    "seconds": pa.array([0, None, 1, 2, 3, 4], pa.timestamp("s")),
    "duration": pa.array([0, None, 1, 2, 3, 4], pa.duration("ms")),
    "text": pa.array(["", None, "🚲", "a\x00b", "é", "x"]),
    "large text": pa.array(["", None, "🚲", "b", "é", "x"], pa.large_string()),
    "text view": pa.array(["", None, "🚲", "b", "é", "x" * 40], pa.string_view()),
    "bytes": pa.array([b"", None, b"\xff", b"b", b"c", b"d"]),
    "fixed": pa.array([b"abcd", None, b"\xff\xff\xff\xff", b"efgh", b"ijkl", b"mnop"], pa.binary(4)),
    "dictionary": pa.array(["x", None, "y", "x", "y", "z"]).dictionary_encode(),
    "list": pa.array([[1, None], None, [], [2], [3], [4, 5, 6]], pa.list_(pa.int16())),
    "large list": pa.array([["a"], None, [], ["b"], ["c"], [None]], pa.large_list(pa.string())),
    "fixed list": pa.array([[1, 2], None, [3, 4], [5, None], [6, 7], [8, 9]], pa.list_(pa.float32(), 2)),
    "struct": pa.array(
        [{"a": 1, "b": ["x"]}, None, {"a": 2, "b": None}, {"a": 3, "b": []}, None, {"a": 4, "b": [None]}], NESTED
    ),
    "map": pa.array(
        [[("k", 1)], None, [], [("l", None)], [("m", 2), ("n", 3)], [("o", 4)]], pa.map_(pa.string(), pa.int32())
    ),
    "nothing": pa.nulls(6),
    "json": pa.array(["{}", None, "[1]", "2", "3", "4"]).cast(pa.json_()),
    "uuid": pa.array([bytes(range(16)), None, bytes(16), bytes(16), bytes(16), b"\xff" * 16], pa.uuid()),
}


def bits(table: Any, name: str) -> list[Any]:
    column = table.column(name)
    if pa.types.is_time64(column.type) or pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())  # Python's own times have no nanoseconds
    cells = column.to_pylist()
    return [struct.pack("<d", cell) if isinstance(cell, float) else cell for cell in cells]


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("store_schema", [True, False])
def test_every_kind_of_column(tmp_path: Path, name: str, store_schema: bool) -> None:
    data = written(pa.table({"url": URLS, name: COLUMNS[name]}), row_group_size=4, store_schema=store_schema)
    result = read(without(tmp_path, data, REMOVE))
    source = read(data)
    assert result.schema_arrow.equals(source.schema_arrow, check_metadata=True)
    assert result.schema.equals(source.schema)
    assert bits(result.read(), name) == [bits(source.read(), name)[place] for place in KEEP]
    assert (b"ARROW:schema" in (result.metadata.metadata or {})) is store_schema


def test_metadata_of_file_and_fields_and_nullability(tmp_path: Path) -> None:
    fields = [
        pa.field("url", pa.string(), nullable=False, metadata={"PARQUET:field_id": "7", "note": "é"}),
        pa.field("n", pa.int64(), metadata={"PARQUET:field_id": "3"}),
    ]
    schema = pa.schema(fields, metadata={"pandas": '{"index_columns": []}', "huggingface": "{}", "empty": ""})
    data = written(pa.table([URLS, list(range(6))], schema=schema))
    result, source = read(without(tmp_path, data, REMOVE)), read(data)
    assert result.schema_arrow.equals(schema, check_metadata=True)
    assert result.metadata.metadata == source.metadata.metadata
    assert str(result.schema).splitlines()[1:] == str(source.schema).splitlines()[1:]


def test_codecs_dictionaries_and_statistics_column_by_column(tmp_path: Path) -> None:
    table = pa.table({"url": URLS, "a": ["x"] * 6, "b": [[1]] * 6, "c": [1.5] * 6, "d": [1] * 6})
    codecs = {"url": "zstd", "a": "snappy", "b.list.element": "gzip", "c": "none", "d": "lz4"}
    data = written(
        table,
        compression=codecs,
        use_dictionary=["a", "b.list.element"],
        write_statistics=["url"],
        write_page_index=True,
        row_group_size=2,
    )
    result, source = read(without(tmp_path, data, REMOVE)).metadata, read(data).metadata
    for place in range(source.num_columns):
        one, other = source.row_group(0).column(place), result.row_group(0).column(place)
        for trait in ("path_in_schema", "compression", "has_dictionary_page", "is_stats_set", "has_offset_index"):
            assert getattr(one, trait) == getattr(other, trait), trait


def test_old_spellings_of_nested_columns_timestamps_and_decimals(tmp_path: Path) -> None:
    table = pa.table({"url": URLS, "t": COLUMNS["nanoseconds"], "d": COLUMNS["decimal"], "l": COLUMNS["list"]})
    for options in (
        {"use_deprecated_int96_timestamps": True},
        {"store_decimal_as_integer": True},
        {"use_compliant_nested_type": False},
        {"version": "1.0", "coerce_timestamps": "us", "allow_truncated_timestamps": True},
    ):
        data = written(table, **options)
        result, source = read(without(tmp_path, data, REMOVE)), read(data)
        assert result.schema.equals(source.schema)
        assert result.read().equals(source.read().take(KEEP))


def test_sorting_columns_are_still_told(tmp_path: Path) -> None:
    sorting = [pq.SortingColumn(1, descending=True, nulls_first=True)]
    data = written(pa.table({"url": URLS, "n": [6, 5, 4, 3, 2, 1]}), sorting_columns=sorting)
    assert list(read(without(tmp_path, data, REMOVE)).metadata.row_group(0).sorting_columns) == sorting


def test_all_rows_removed_leaves_a_valid_file(tmp_path: Path) -> None:
    data = written(pa.table({"url": URLS, "n": list(range(6))}), row_group_size=2)
    result = read(without(tmp_path, data, list(range(6))))
    assert (result.metadata.num_rows, result.num_row_groups) == (0, 0)
    assert result.schema_arrow.equals(read(data).schema_arrow, check_metadata=True)


def test_a_dictionary_column_stays_one_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewrite, "_BATCH_ROWS", 10)
    words = pa.array([f"w{number % 7}" for number in range(100)]).dictionary_encode()
    data = written(pa.table({"url": [f"u{number}" for number in range(100)], "w": words}))
    result = read(without(tmp_path, data, [0, 50]))
    assert result.schema_arrow.field("w").type == words.type
    assert result.metadata.row_group(0).column(1).has_dictionary_page
    assert result.read().column("w").to_pylist() == [
        word for place, word in enumerate(words.to_pylist()) if place not in {0, 50}
    ]


def test_a_row_group_beyond_the_ceiling_comes_out_as_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewrite, "GROUP_BYTES", 5000)
    monkeypatch.setattr(rewrite, "_BATCH_ROWS", 10)
    table = pa.table({"url": [f"{number:0100}" for number in range(200)]})
    data = written(table, use_dictionary=False, column_encoding="DELTA_BYTE_ARRAY")  # which only Arrow writes anew
    result = read(without(tmp_path, data, [7]))
    sizes = [result.metadata.row_group(number).num_rows for number in range(result.num_row_groups)]
    assert len(sizes) > 2
    assert max(sizes) <= 60
    assert result.read().equals(pa.concat_tables([table.slice(0, 7), table.slice(8)]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.none() | st.binary(), st.none() | st.floats(), st.none() | st.lists(st.none() | st.text("ab"))), min_size=1, max_size=12),
    data=st.data(),
    group_rows=st.integers(1, 5),
)  # fmt: skip
def test_any_rows_the_rest_is_the_same(tmp_path: Path, rows: list[Any], data: st.DataObject, group_rows: int) -> None:
    removed = sorted(data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=1)))
    kinds = {"url": pa.string(), "b": pa.binary(), "f": pa.float64(), "l": pa.list_(pa.string())}
    table = pa.table(
        [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), kinds.values(), strict=True)],
        names=list(kinds),
    )
    source = written(table, row_group_size=group_rows)
    result = without(tmp_path, source, removed)
    assert result == without(tmp_path, source, removed)
    left = table.take(pa.array([place for place in range(len(rows)) if place not in removed], pa.int64()))
    for name in kinds:
        assert bits(read(result).read(), name) == bits(left, name)
