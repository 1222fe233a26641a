"""Damaged and lying files under the splice: they end in trouble of the shard or in a file, and never in anything else."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vetset.config import Settings
from vetset.datasets import compression, splice
from vetset.datasets.compression import folded, unfolded
from vetset.datasets.extremes import Order, are_touched, renewed, with_nulls
from vetset.datasets.location import find_shards
from vetset.datasets.pagebody import MAX_PAGE_VALUES, can_cut
from vetset.datasets.pages import Page
from vetset.datasets.parquet import Parquet
from vetset.datasets.thrift import BINARY, I32, Typed, TypedCompact, packed
from vetset.datasets.valuecut import Form
from vetset.errors import ShardError
from vetset.kernels import native
from vetset.kernels.encoding import NotEncoded
from vetset.testing.dataset_contract import Collected, into

ROWS = 300


def sample(**options: Any) -> bytes:
    table = pa.table(
        {
            "url": [f"https://canary.example/{row * 31 % 97}" for row in range(ROWS)],
            "n": pa.array([None if row % 5 == 0 else row for row in range(ROWS)], pa.int64()),
            "list": [[row, None] if row % 3 else None for row in range(ROWS)],
            "flag": [row % 2 == 0 for row in range(ROWS)],
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, **{"row_group_size": 100, "data_page_size": 300, **options})
    return sink.getvalue()


SAMPLES = [
    sample(),
    sample(data_page_version="2.0", write_page_index=True),
    sample(use_dictionary=False),
    sample(compression="zstd", dictionary_pagesize_limit=200),
    sample(compression="none", write_page_index=True),
    sample(compression="lz4", use_dictionary=False, data_page_version="2.0"),
]


def cut(folder: Path, data: bytes) -> int | None:
    """Rows written without two of them, or None where the shard has trouble."""
    path = folder / "x.parquet"
    path.write_bytes(data)
    found = find_shards(str(path))
    try:
        return Parquet(found.root, Settings()).write_without(found.shards[0], np.array([3, 150]), into(Collected()))
    except ShardError:
        return None


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    which=st.integers(0, len(SAMPLES) - 1),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
    plain=st.booleans(),
)
def test_any_bytes_changed(tmp_path: Path, which: int, changes: list[tuple[float, int]], plain: bool) -> None:
    data = bytearray(SAMPLES[which])
    for place, value in changes:
        data[int(place * len(data))] = value
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splice, "cuts_quickly", lambda: True)
        if plain:
            patch.setattr(native, "LIB", None)
        assert cut(tmp_path, bytes(data)) in (None, ROWS - 2, *range(ROWS))


@pytest.mark.parametrize("which", range(len(SAMPLES)))
def test_undamaged_they_are_cut(tmp_path: Path, which: int) -> None:
    assert cut(tmp_path, SAMPLES[which]) == ROWS - 2


# --- the page index of strangers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [b"", b"\xff" * 30, b"\x19\x1c", packed({1: (I32, 5)})])
def test_a_page_index_that_cannot_be_read_is_left_out(index: bytes) -> None:
    assert splice.shifted(index, 100) in (None, index, packed({}))


def test_a_page_index_outside_of_the_file_is_left_out() -> None:
    file = io.BytesIO(b"PAR1" + b"x" * 20)
    for at, size in ((2, 5), (4, 0), (4, -1), (10, 100), (2**60, 2), (4, 2**40)):
        chunk: Typed = {4: (I32, at), 5: (I32, size), 6: (I32, at), 7: (I32, size)}
        assert splice.read_indices(file, 24, chunk) == (None, None)
    assert splice.read_indices(file, 24, {4: (12, {}), 5: (I32, 3)}) == (None, None)


# --- memory that is not the file's -----------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["SNAPPY", "GZIP", "BROTLI", "ZSTD", "LZ4_RAW"])
@pytest.mark.parametrize("contents", [b"", b"x", b"xy", b"hello" * 1000], ids=len)
def test_a_page_must_unfold_to_the_size_that_it_tells(codec: str, contents: bytes) -> None:
    """Arrow would leave the rest of its buffer as the memory was, and it would be written as values."""
    stored = folded(contents, codec)
    assert bytes(unfolded(stored, codec, len(contents))) == contents
    for told in (len(contents) - 1, len(contents) + 1, len(contents) + 1000):
        if told >= 0:
            with pytest.raises((ShardError, NotEncoded)):
                unfolded(stored, codec, told)


def test_codecs_that_are_not_known_here() -> None:
    assert [codec for codec in ("UNCOMPRESSED", "SNAPPY", "LZ4", "LZO") if compression.is_known(codec)] == [
        "UNCOMPRESSED",
        "SNAPPY",
    ]


def test_pages_that_claim_too_many_values_are_left_to_arrow() -> None:
    form = Form("INT64", 8, "SNAPPY", 1, 0, None)
    inner: Typed = {1: (I32, 5), 2: (I32, 0), 3: (I32, 3), 4: (I32, 3)}
    for values in (5, MAX_PAGE_VALUES, MAX_PAGE_VALUES + 1):
        page = Page(4, 20, 0, 100, 100, values, {}, inner)
        assert can_cut(page, form, is_first=True) is (values <= MAX_PAGE_VALUES)


def test_a_footer_that_claims_more_rows_than_a_mask_may_have_is_left_to_arrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splice, "MAX_GROUP_ROWS", 50)
    monkeypatch.setattr(splice.Splice, "_group", None)
    assert cut(tmp_path, SAMPLES[0]) == ROWS - 2


# --- Thrift there and back -------------------------------------------------------------------------------------------


def test_footers_are_written_as_they_were_read() -> None:
    for data in SAMPLES:
        footer = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]
        assert packed(TypedCompact(footer).struct()) == footer


fields: st.SearchStrategy[Any] = st.deferred(
    lambda: st.dictionaries(
        st.integers(1, 300),
        st.one_of(
            st.booleans().map(lambda value: (1 if value else 2, value)),
            st.integers(-(2**62), 2**62).map(lambda value: (6, value)),
            st.binary(max_size=9).map(lambda value: (8, value)),
            st.binary(min_size=8, max_size=8).map(lambda value: (7, value)),
            st.lists(st.integers(-9, 9), max_size=20).map(lambda items: (9, (5, items))),
            st.lists(st.sampled_from([1, 2]), max_size=20).map(lambda items: (9, (1, items))),
            st.lists(fields, max_size=2).map(lambda items: (10, (12, items))),
        ),
        max_size=4,
    )
)


@given(fields)
def test_any_struct_is_read_as_it_was_written(struct: Typed) -> None:
    assert TypedCompact(packed(struct)).struct() == struct


# --- bounds ----------------------------------------------------------------------------------------------------------

BYTES, NUMBERS = Order(), Order(np.dtype("<i8"), is_signed=True)


def number(value: int) -> bytes:
    return value.to_bytes(8, "little", signed=True)


@pytest.mark.parametrize(
    ("old", "lost", "order", "touched"),
    [
        ({5: b"zebra/long", 6: b"apple"}, (b"b", b"c"), BYTES, False),
        ({5: b"zebra/long", 6: b"apple"}, (b"apple", b"c"), BYTES, True),
        ({5: b"zebra/long", 6: b"app"}, (b"apple", b"c"), BYTES, True),  # a bound that was shortened
        ({5: b"zebra/lonh", 6: b"apple"}, (b"b", b"zebra/longer"), BYTES, True),  # and one that was raised
        ({5: b"zebra/long", 6: b"apple"}, (b"b", b"zz"), BYTES, True),  # a bound that lies
        ({5: b"zebra/long", 6: b"apple"}, None, BYTES, False),
        ({5: number(9), 6: number(-9)}, (-8, 8), NUMBERS, False),
        ({5: number(9), 6: number(-9)}, (-9, 8), NUMBERS, True),
        ({1: number(9), 2: number(-9)}, (0, 9), NUMBERS, True),
        ({5: b"short", 6: number(-9)}, (0, 1), NUMBERS, True),
        ({5: 7, 6: number(-9)}, (0, 1), NUMBERS, True),
        ({3: 7}, (0, 1), NUMBERS, False),
    ],
)
def test_bounds_that_a_value_that_went_may_have_made(old: Any, lost: Any, order: Order, touched: bool) -> None:
    statistics: Typed = {place: (BINARY, bound) for place, bound in old.items()}
    assert are_touched(statistics, lost, order) is touched


def test_what_is_left_of_statistics() -> None:
    old: Typed = {
        1: (BINARY, number(9)),
        2: (BINARY, number(0)),
        3: (I32, 4),
        4: (I32, 5),
        5: (BINARY, number(9)),
        6: (BINARY, number(0)),
        7: (1, True),
        9: (I32, 1),
    }
    exact = renewed(old, 2, (np.int64(3), np.int64(7)), NUMBERS)
    assert {place: value for place, (_, value) in exact.items()} == {
        1: number(7), 2: number(3), 3: 2, 5: number(7), 6: number(3), 7: True,
    }  # fmt: skip
    assert set(renewed(old, None, None, NUMBERS)) == set()
    assert set(renewed(old, 2, (b"a", b"b"), BYTES)) == {3, 5, 6, 7}
    assert set(renewed(old, 2, (b"a", b"b" * 5000), BYTES)) == {3}
    assert set(with_nulls(old, 2, NUMBERS)) == {1, 2, 3, 5, 6, 7}
    assert set(with_nulls(old, 2, None)) == {3}
