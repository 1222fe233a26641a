"""Values picked out of their pages: the same as Arrow reads, from nothing but the pages that hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vetset.config import RunSettings, Settings
from vetset.datasets import chunks, pagebody, picking
from vetset.datasets.location import find_shards
from vetset.datasets.pagebody import Body
from vetset.datasets.pages import Page
from vetset.datasets.parquet import Parquet
from vetset.datasets.picking import picked
from vetset.datasets.rowgroups import opened, rows_of_group
from vetset.errors import ShardError
from vetset.kernels import native
from vetset.records import Column

KINDS = [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()]


@pytest.fixture(params=["native", "plain"], autouse=True)
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the native kernels, and with those that define them."""
    if request.param == "native" and native.LIB is None:
        pytest.skip("no native kernels here")
    if request.param == "plain":
        monkeypatch.setattr(native, "LIB", None)
    monkeypatch.setattr(picking, "cuts_quickly", lambda: True)


def by_arrow(path: Path, number: int, places: Any) -> Any:
    """The slow way: the whole row group, and of it the places."""
    with opened(path, RunSettings(), extensions=False) as source:
        batches = list(rows_of_group(source, number, None, 1000))
        return pa.Table.from_batches(batches).take(pa.array(places)).combine_chunks()


def by_pages(path: Path, number: int, places: Any) -> Any:
    with opened(path, RunSettings(), extensions=False) as source:
        return picked(source, number, source.schema.names, np.array(places, np.int64))


def same(one: Any, other: Any) -> bool:
    """Equal in type and to the byte; text that is no UTF-8 cannot be compared as text."""
    if one.schema.names != other.schema.names or one.schema.types != other.schema.types:
        return False
    widths = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}
    return all(
        one.column(name).cast(widths.get(kind, kind)).to_pylist()
        == other.column(name).cast(widths.get(kind, kind)).to_pylist()
        for name, kind in zip(one.schema.names, one.schema.types, strict=True)
    )


values = st.one_of(st.none(), st.sampled_from([b"", b"a", b"ab", b"https://example.org/1"]), st.binary(max_size=40))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.lists(st.tuples(values, values), min_size=1, max_size=120),
    kinds=st.tuples(st.sampled_from(KINDS[2:]), st.sampled_from(KINDS)),
    options=st.fixed_dictionaries(
        {
            "compression": st.sampled_from(["none", "snappy", "gzip", "zstd", "brotli", "lz4"]),
            "use_dictionary": st.booleans(),
            "data_page_size": st.sampled_from([1, 64, 1 << 20]),
            "write_batch_size": st.sampled_from([1, 7, 1024]),
            "dictionary_pagesize_limit": st.sampled_from([16, 1 << 20]),
            "data_page_version": st.sampled_from(["1.0", "2.0"]),
            "write_page_checksum": st.booleans(),
            "row_group_size": st.sampled_from([1, 50, 1000]),
        }
    ),
    data=st.data(),
)
def test_what_is_picked_is_what_arrow_reads(
    tmp_path: Path, cells: list[tuple[Any, Any]], kinds: tuple[Any, Any], options: dict[str, Any], data: st.DataObject
) -> None:
    columns = [
        pa.array(column, pa.large_binary() if pa.types.is_large_string(kind) else pa.binary())
        if kind in KINDS[:2]
        else pa.array(column, kind)
        for column, kind in zip(zip(*cells, strict=True), kinds, strict=True)
    ]
    columns = [column.view(kind) for column, kind in zip(columns, kinds, strict=True)]
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(columns, names=["one", "two"]), path, **options)
    metadata = pq.read_metadata(path)
    number = data.draw(st.integers(0, metadata.num_row_groups - 1))
    rows = metadata.row_group(number).num_rows
    places = sorted(data.draw(st.sets(st.integers(0, rows - 1), min_size=1)))
    found = by_pages(path, number, places)
    assert found is not None
    assert same(pa.Table.from_batches([found]), by_arrow(path, number, places))


def file_of(path: Path, rows: int = 3000, **options: Any) -> Path:
    urls = [f"https://example.org/{number}" for number in range(rows)]
    digests = [f"{number:032x}" for number in range(rows)]
    options = {"data_page_size": 2000, "write_batch_size": 50, "use_dictionary": False} | options
    pq.write_table(pa.table({"url": urls, "md5": digests}), path, **options)
    return path


def test_only_pages_that_hold_a_row_are_unfolded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unfolded = []
    whole = pagebody.taken_apart

    def noted(page: Page, *rest: Any) -> Body:
        unfolded.append(page.start)
        return whole(page, *rest)

    monkeypatch.setattr(chunks, "taken_apart", noted)
    path = file_of(tmp_path / "x.parquet")
    assert by_pages(path, 0, [5, 6, 2900]).column("url").to_pylist() == [
        f"https://example.org/{number}" for number in (5, 6, 2900)
    ]
    assert len(unfolded) == 4  # two pages of either column
    assert len(set(unfolded)) == 4


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2, 3]),
        pa.array([["a"], ["b"], []]),
        pa.array(["a", "b", "a"]).dictionary_encode(),
        pa.array([b"abc"] * 3, pa.binary(3)),
        pa.array([{"inner": "a"}] * 3),
    ],
)
def test_other_columns_are_left_to_arrow(tmp_path: Path, column: Any) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"one": ["a", "b", "c"], "two": column}), path)
    assert by_pages(path, 0, [0, 2]) is None


def test_columns_of_one_name_are_left_to_arrow(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table([["a"], ["b"]], names=["one", "one"]), path)
    assert by_pages(path, 0, [0]) is None


def test_other_encodings_are_left_to_arrow(tmp_path: Path) -> None:
    path = file_of(tmp_path / "x.parquet", column_encoding={"url": "DELTA_BYTE_ARRAY"})
    assert by_pages(path, 0, [0]) is None


def test_without_quick_kernels_all_is_left_to_arrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picking, "cuts_quickly", lambda: False)
    assert by_pages(file_of(tmp_path / "x.parquet"), 0, [0]) is None


def test_a_look_up_gives_the_same_rows_either_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file_of(tmp_path / "x.parquet", row_group_size=700)
    found = find_shards(str(path))
    rows = np.array([0, 1, 2, 699, 700, 1500, 2999], np.int64)

    def looked_up() -> list[tuple[int, Any]]:
        batches = Parquet(found.root, Settings()).lookup(found.shards[0], rows, frozenset({Column.URL, Column.MD5}))
        return [(batch.first_row, batch.values.unseal().to_pydict()) for batch in batches]

    by_page = looked_up()
    monkeypatch.setattr(picking, "cuts_quickly", lambda: False)
    assert by_page == looked_up()
    assert [first for first, _ in by_page] == [0, 699, 700, 1500, 2999]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), version=st.sampled_from(["1.0", "2.0"]))
def test_any_byte_changed_is_damage_or_other_values_and_nothing_else(
    tmp_path: Path, place: float, value: int, version: str
) -> None:
    path = file_of(tmp_path / "x.parquet", 200, use_dictionary=["url"], data_page_version=version, compression="snappy")
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] = value
    path.write_bytes(data)
    try:
        found = by_pages(path, 0, [0, 7, 199])
    except ShardError:
        return
    assert found is None or found.num_rows == 3
