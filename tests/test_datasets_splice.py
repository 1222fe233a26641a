"""A Parquet file put together of row groups copied and cut: the same as Arrow's filter, and nothing left of what went."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from vetset.config import Settings
from vetset.datasets import pagebody, rewrite, splice
from vetset.datasets.location import find_shards
from vetset.datasets.pages import pages_in_chunk
from vetset.datasets.parquet import Parquet
from vetset.kernels import native
from vetset.testing.dataset_contract import Collected, into

GONE = "https://canary.example/gone-"
CODECS = ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]


@pytest.fixture(params=["native", "plain", "arrow"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the native kernels, with those that define them, and as it is without native ones: cut by Arrow."""
    if request.param == "native" and native.LIB is None:
        pytest.skip("no native kernels here")
    if request.param != "native":
        monkeypatch.setattr(native, "LIB", None)
    monkeypatch.setattr(splice, "cuts_quickly", lambda: request.param != "arrow")
    return str(request.param)


def written(table: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def without(folder: Path, data: bytes, removed: list[int]) -> bytes:
    path = folder / "source.parquet"
    path.write_bytes(data)
    found = find_shards(str(path))
    sink = Collected()
    Parquet(found.root, Settings()).write_without(found.shards[0], np.array(removed, np.int64), into(sink))
    return bytes(sink.data)


def read(data: bytes) -> Any:
    return pq.ParquetFile(pa.BufferReader(data))


def left(table: Any, removed: list[int]) -> Any:
    mask = np.ones(table.num_rows, np.bool_)
    mask[removed] = False
    return table.filter(pa.array(mask))


def same(one: Any, other: Any) -> bool:
    """Equal to the bit: NaN equals itself, and -0.0 is not 0.0."""
    return all(bits(one.column(name)) == bits(other.column(name)) for name in other.column_names)


def bits(column: Any) -> list[Any]:
    cells = column.to_pylist()
    return [struct.pack("<d", cell) if isinstance(cell, float) else cell for cell in cells]


def chunks(data: bytes) -> Iterator[tuple[int, Any, bytes]]:
    """Number of the row group, metadata and bytes of each column chunk."""
    metadata = read(data).metadata
    for number in range(metadata.num_row_groups):
        for place in range(metadata.num_columns):
            chunk = metadata.row_group(number).column(place)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            yield number, chunk, data[start : start + chunk.total_compressed_size]


def all_contents(data: bytes) -> bytes:
    """The file, and all its pages unfolded."""
    parts = [data]
    file = io.BytesIO(data)
    for _, chunk, stored in chunks(data):
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        for page in pages_in_chunk(file, start, start + len(stored), len(data)):
            body = data[page.start + page.length : page.stop]
            parts.append(body)
            codec = chunk.compression.lower().replace("lz4", "lz4_raw")
            levels = 0
            if page.kind == 3:
                levels = page.inner[5][1] + page.inner[6][1]
            if codec != "uncompressed" and (page.kind != 3 or page.inner.get(7, (1, True))[1]):
                parts.append(bytes(pa.Codec(codec).decompress(body[levels:], decompressed_size=page.unfolded - levels)))
    return b"".join(parts)


# --- what goes is gone -----------------------------------------------------------------------------------------------


def canaries(rows: int, removed: list[int]) -> Any:
    """Every kind of place in which a value might survive: bounds, dictionaries of every sort, nested columns."""
    urls = [f"https://example.org/{number * 7919 % rows:06}/picture.jpg" for number in range(rows)]
    numbers = [number % 1000 for number in range(rows)]
    for place, row in enumerate(removed):
        urls[row] = GONE + str(place)
        numbers[row] = 77_777_777_777_777 if place % 2 else -77_777_777_777_777
    few = [GONE + "few" if row in removed else f"w{row % 5}" for row in range(rows)]
    return pa.table(
        {
            "url": urls,
            "first": ["\x00" + url if row in removed else url for row, url in enumerate(urls)],
            "last": ["\U0010ffff" + url if row in removed else url for row, url in enumerate(urls)],
            "few": few,
            "category": pa.array(few).dictionary_encode(),
            "number": numbers,
            "list": [[url, None] if row % 3 else None for row, url in enumerate(urls)],
            "struct": [{"u": url, "n": number} for url, number in zip(urls, numbers, strict=True)],
            "fixed": pa.array([url.encode()[:24].ljust(24) for url in urls], pa.binary(24)),
            "bytes": pa.array([url.encode() for url in urls]),
        }
    )


OPTIONS: list[dict[str, Any]] = [
    {},
    {"use_dictionary": False},
    {"write_page_index": True},
    {"data_page_version": "2.0", "write_page_index": True},
    {"dictionary_pagesize_limit": 3000},
    {"dictionary_pagesize_limit": 3000, "data_page_version": "2.0"},
    {"compression": "none", "write_page_checksum": True},
    {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options)) or "plain")
@pytest.mark.parametrize("removed", [[7], [0, 499, 500, 777], list(range(500, 1000))], ids=["one", "some", "a-group"])
def test_no_value_that_went_is_left_in_any_page_bound_or_dictionary(
    tmp_path: Path, kernels: str, options: dict[str, Any], removed: list[int]
) -> None:
    options = dict(options)
    table = canaries(1500, removed)
    if "column_encoding" in options:
        table = table.select(["url", "first", "last", "few", "bytes"])
    data = written(table, row_group_size=500, data_page_size=2000, **options)
    assert b"gone-" in all_contents(data)
    result = without(tmp_path, data, removed)
    contents = all_contents(result)
    assert b"canary" not in contents
    assert b"gone-" not in contents
    for number in (77_777_777_777_777, -77_777_777_777_777):
        assert struct.pack("<q", number) not in contents
    assert same(read(result).read(), left(table, removed))
    assert read(result).schema_arrow.equals(read(data).schema_arrow, check_metadata=True)


def test_a_shared_dictionary_gives_nothing_away_in_a_group_that_loses_nothing(tmp_path: Path, kernels: str) -> None:
    words = pa.array([GONE if row == 3 else f"w{row % 4}" for row in range(100)]).dictionary_encode()
    table = pa.table({"url": [str(row) for row in range(100)], "word": words})
    data = written(table, row_group_size=20, compression="none")
    assert data.count(GONE.encode()) > 2  # Arrow writes the whole dictionary into every row group
    result = without(tmp_path, data, [3])
    assert GONE.encode() not in result
    assert same(read(result).read(), left(table, [3]))
    assert read(result).schema_arrow.field("word").type == words.type
    assert read(result).metadata.row_group(3).column(1).has_dictionary_page


@pytest.mark.parametrize("options", OPTIONS[:6], ids=lambda options: "-".join(map(str, options)) or "plain")
def test_nothing_is_left_where_arrow_writes_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """As it does where its schema would be another than the source's, or the source's readers need a certain writer."""
    monkeypatch.setattr(splice, "cuts_quickly", lambda: False)
    monkeypatch.setattr(rewrite._Arrow, "writes_same_schema", lambda _: False)
    removed = [0, 499, 777]
    table = canaries(1500, removed)
    data = written(table, row_group_size=500, data_page_size=2000, **options)
    result = without(tmp_path, data, removed)
    assert b"gone-" not in all_contents(result)
    assert same(read(result).read(), left(table, removed))
    assert read(result).schema_arrow.equals(read(data).schema_arrow, check_metadata=True)
    assert read(result).metadata.metadata == read(data).metadata.metadata


def test_dictionaries_anywhere_in_a_type_are_given_up_when_arrow_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splice, "cuts_quickly", lambda: False)
    words = pa.array([GONE if row == 3 else f"w{row % 4}" for row in range(60)]).dictionary_encode()
    offsets = pa.array(range(61), pa.int32())
    table = pa.table(
        {
            "url": [str(row) for row in range(60)],
            "list": pa.ListArray.from_arrays(offsets, words),
            "large": pa.LargeListArray.from_arrays(offsets.cast(pa.int64()), words),
            "struct": pa.StructArray.from_arrays([words], ["w"]),
        }
    )
    data = written(table, compression="none")
    result = without(tmp_path, data, [3])
    assert GONE.encode() not in result
    assert read(result).schema_arrow.equals(read(data).schema_arrow)
    assert read(result).read().to_pylist() == left(table, [3]).to_pylist()


# --- what stays ------------------------------------------------------------------------------------------------------


def test_row_groups_that_lose_nothing_are_copied_byte_for_byte(tmp_path: Path, kernels: str) -> None:
    rng = np.random.default_rng(1)
    table = pa.table({"url": [rng.bytes(20).hex() for _ in range(400)], "n": rng.integers(0, 9, 400)})
    data = written(table, row_group_size=100, write_page_index=True, write_page_checksum=True)
    result = without(tmp_path, data, [150, *range(300, 400)])
    before = [stored for number, _, stored in chunks(data) if number in (0, 2)]
    after = [stored for number, _, stored in chunks(result) if number in (0, 2)]
    assert before == after
    assert read(result).num_row_groups == 3
    assert [read(result).metadata.row_group(number).num_rows for number in range(3)] == [100, 99, 100]
    for number, chunk, _ in chunks(result):
        assert chunk.has_offset_index, number
        assert chunk.has_column_index, number


def test_the_footer_keeps_what_it_said_of_the_file(tmp_path: Path, kernels: str) -> None:
    fields = [
        pa.field("url", pa.string(), nullable=False, metadata={"PARQUET:field_id": "7"}),
        pa.field("n", pa.int8()),
    ]
    schema = pa.schema(fields, metadata={"pandas": '{"index_columns": []}', "note": "é"})
    data = written(pa.table([[str(row) for row in range(90)], list(range(90))], schema=schema), row_group_size=30)
    result = read(without(tmp_path, data, [4, 5]))
    source = read(data)
    assert result.schema.equals(source.schema)
    assert result.metadata.metadata == source.metadata.metadata
    assert result.metadata.created_by == source.metadata.created_by
    assert result.metadata.format_version == source.metadata.format_version


TYPES: list[Any] = [
    pa.bool_(), pa.int8(), pa.int32(), pa.int64(), pa.uint32(), pa.uint64(), pa.float32(), pa.float64(), pa.string(), pa.binary(),
    pa.binary(3), pa.date32(), pa.decimal128(9, 2), pa.list_(pa.string()), pa.list_(pa.int64()),
    pa.struct([pa.field("a", pa.int32(), nullable=False), pa.field("b", pa.list_(pa.string()))]),
]  # fmt: skip


def cells(kind: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - a table of types
    """Values of a type, few enough to repeat."""
    if pa.types.is_boolean(kind):
        return st.booleans()
    if pa.types.is_floating(kind):
        return st.sampled_from([0.0, -0.0, 1.5, -2.0, float("nan"), float("inf")])
    if pa.types.is_date(kind):
        return st.integers(0, 3)
    if pa.types.is_integer(kind):
        top = 2**7 if kind == pa.int8() else 2**31
        return st.sampled_from([0, 1, 2, 3, top - 1, *([] if "uint" in str(kind) else [-top])])
    if pa.types.is_decimal(kind):
        return st.integers(-9999, 9999)
    if pa.types.is_string(kind):
        return st.sampled_from(["", "a", "b", "é", "ab" * 30, "zz"])
    if kind == pa.binary(3):
        return st.binary(min_size=3, max_size=3)
    if pa.types.is_binary(kind):
        return st.binary(max_size=5)
    if pa.types.is_list(kind):
        return st.lists(st.none() | cells(kind.value_type), max_size=3)
    return st.fixed_dictionaries({"a": st.integers(0, 3), "b": st.none() | cells(pa.list_(pa.string()))})


@st.composite
def tables(draw: st.DrawFn) -> Any:
    """A table whose columns repeat a few drawn values over many rows."""
    rows = draw(st.sampled_from([1, 2, 9, 40, 200]))
    kinds = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=4))
    columns: dict[str, Any] = {"url": [f"u{row}" for row in range(rows)]}
    for place, kind in enumerate(kinds):
        nullable = draw(st.booleans())
        pool = draw(st.lists((st.none() | cells(kind)) if nullable else cells(kind), min_size=1, max_size=12))
        step = draw(st.integers(1, 7))
        columns[f"c{place}"] = pa.array([pool[row * step // 3 % len(pool)] for row in range(rows)], kind)
    return pa.table(columns)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(table=tables(), data=st.data())
def test_any_file_without_any_rows_is_what_arrow_filters(tmp_path: Path, table: Any, data: st.DataObject) -> None:
    options = {
        "compression": data.draw(st.sampled_from(CODECS)),
        "use_dictionary": data.draw(st.booleans()),
        "data_page_version": data.draw(st.sampled_from(["1.0", "2.0"])),
        "data_page_size": data.draw(st.sampled_from([1, 64, 1 << 20])),
        "write_batch_size": data.draw(st.sampled_from([1, 7, 1024])),
        "dictionary_pagesize_limit": data.draw(st.sampled_from([30, 1 << 20])),
        "row_group_size": data.draw(st.sampled_from([1, 7, 50, 1000])),
        "write_page_index": data.draw(st.booleans()),
        "write_page_checksum": data.draw(st.booleans()),
        "use_byte_stream_split": data.draw(st.sampled_from([False, ["c0"]])),
    }
    if options["use_byte_stream_split"]:
        kind = table.schema.field("c0").type
        fits = pa.types.is_primitive(kind) and not pa.types.is_boolean(kind)
        options |= {"use_dictionary": False} if fits else {"use_byte_stream_split": False}
    values_per_stretch = data.draw(st.sampled_from([1, 8, pagebody.VALUES_PER_STRETCH]))
    rows = table.num_rows
    removed = sorted(data.draw(st.sets(st.integers(0, rows - 1), min_size=1, max_size=rows)))
    source = written(table, **options)
    assume(is_readable(source))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splice, "cuts_quickly", lambda: True)
        patch.setattr(pagebody, "VALUES_PER_STRETCH", values_per_stretch)
        result = without(tmp_path, source, removed)
    expected = left(table, removed)
    assert same(read(result).read(), expected)
    check_statistics(result, expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splice, "cuts_quickly", lambda: True)
        patch.setattr(pagebody, "VALUES_PER_STRETCH", values_per_stretch)
        patch.setattr(native, "LIB", None)
        assert without(tmp_path, source, removed) == result, "the kernels that define it write other bytes"
        patch.setattr(splice, "cuts_quickly", lambda: False)
        by_arrow = without(tmp_path, source, removed)
    assert same(read(by_arrow).read(), expected)
    check_statistics(by_arrow, expected)


def is_readable(data: bytes) -> bool:
    """With pages of a few bytes pyarrow 26 writes empty pages of lists, which it then cannot read."""
    try:
        read(data).read()
    except pa.ArrowInvalid:
        return False
    return True


def check_statistics(data: bytes, table: Any) -> None:
    """Null counts are exact, and bounds are those of the rows that are there."""
    metadata = read(data).metadata
    first = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        truth = read(written(table.slice(first, group.num_rows), compression="none")).metadata.row_group(0)
        for place in range(metadata.num_columns):
            found, expected = group.column(place).statistics, truth.column(place).statistics
            assert group.column(place).num_values == truth.column(place).num_values
            if found is not None:
                assert found.null_count == expected.null_count
                if found.has_min_max:
                    assert (found.min_raw, found.max_raw) == (expected.min_raw, expected.max_raw)
        first += group.num_rows
    assert first == table.num_rows


def test_arrow_writes_what_cannot_be_cut_and_it_stands_among_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    groups = rewrite._Arrow.groups

    def counted(self: Any, number: int, first: int, target: Any) -> Any:
        calls.append(number)
        return groups(self, number, first, target)

    monkeypatch.setattr(rewrite._Arrow, "groups", counted)
    table = pa.table({"url": [f"https://example.org/{row}" for row in range(300)], "n": list(range(300))})
    data = written(
        table,
        row_group_size=100,
        use_dictionary=False,
        column_encoding={"url": "DELTA_BYTE_ARRAY"},
        write_page_index=True,
    )
    result = without(tmp_path, data, [150])
    assert calls == [1]
    assert [stored for number, _, stored in chunks(data) if number != 1] == [
        stored for number, _, stored in chunks(result) if number != 1
    ]
    assert same(read(result).read(), left(table, [150]))
    assert all(chunk.has_offset_index for _, chunk, _ in chunks(result))
