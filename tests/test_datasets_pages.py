"""Thrift's compact protocol and the walk over page headers, against an encoder of our own and against noise."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset.config import RunSettings
from vetset.datasets.compact import Compact, NotCompact
from vetset.datasets.footer import read_footer
from vetset.datasets.pages import MAX_HEADER_BYTES, MAX_PAGE_BYTES, values_in_chunk
from vetset.errors import ShardError, Trouble


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        value, out = value >> 7, out + bytes([value & 127 | 128])
    return out + bytes([value])


def number(value: int) -> bytes:
    return varint((value << 1) ^ (value >> 63))


def encoded(value: Any) -> tuple[int, bytes]:
    """The compact type and bytes of a value."""
    if isinstance(value, bool):
        return (1 if value else 2), b""
    if isinstance(value, int):
        return 6, number(value)
    if isinstance(value, bytes):
        return 8, varint(len(value)) + value
    if isinstance(value, list):
        kind = encoded(value[0])[0] if value else 12
        head = bytes([len(value) << 4 | kind]) if len(value) < 15 else bytes([0xF0 | kind]) + varint(len(value))
        return 9, head + b"".join(encoded(item)[1] for item in value)
    return 12, struct(value)


def struct(fields: dict[int, Any]) -> bytes:
    out, last = b"", 0
    for field, value in sorted(fields.items()):
        kind, body = encoded(value)
        delta = field - last
        out += (bytes([delta << 4 | kind]) if 0 < delta < 16 else bytes([kind]) + number(field)) + body
        last = field
    return out + b"\x00"


def page(
    values: int,
    body: bytes = b"body",
    *,
    unfolded: int | None = None,
    stored: int | None = None,
    version: int = 1,
    **more: Any,
) -> bytes:
    header: dict[int, Any] = {
        1: 0 if version == 1 else 3,
        2: len(body) if unfolded is None else unfolded,
        3: len(body) if stored is None else stored,
    }
    header[5 if version == 1 else 8] = {1: values, 2: 0, 3: 3, 4: 3, **more}
    return struct(header) + body


def dictionary(values: int) -> bytes:
    return struct({1: 2, 2: 4, 3: 4, 7: {1: values, 2: 0}}) + b"body"


def counted(data: bytes, *, start: int = 0, stop: int | None = None, limit: int | None = None) -> int:
    return values_in_chunk(
        io.BytesIO(data), start, len(data) if stop is None else stop, len(data) if limit is None else limit
    )


def trouble(data: bytes, **places: int) -> Trouble:
    with pytest.raises(ShardError) as caught:
        counted(data, **places)
    return caught.value.trouble


# --- pages that lie ------------------------------------------------------------------------------------------------------


def test_a_page_that_reaches_beyond_the_data() -> None:
    assert trouble(page(5, stored=5)) is Trouble.TRUNCATED
    assert trouble(page(5, stored=2**40)) is Trouble.TRUNCATED
    assert trouble(page(5) + page(6), limit=len(page(5)) + 5) in {Trouble.TRUNCATED, Trouble.NOT_THE_FORMAT}


def test_a_page_that_unfolds_to_too_much() -> None:
    assert counted(page(5, unfolded=MAX_PAGE_BYTES)) == 5
    assert trouble(page(5, unfolded=MAX_PAGE_BYTES + 1)) is Trouble.RECORD_TOO_LARGE
    assert trouble(page(5, unfolded=2**31 - 1)) is Trouble.RECORD_TOO_LARGE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\xff" * 50,
        struct({1: 0, 2: 4, 3: 4}) + b"body",
        struct({1: 0, 2: 4, 3: -4}),
        page(-1),
        struct({2: 4, 3: 4, 5: {1: 1}}) + b"body",
        struct({1: 0, 2: b"4", 3: 4, 5: {1: 1}}) + b"body",
        struct({1: 0, 2: 4, 3: 4, 5: 7}) + b"body",
    ],
)
def test_headers_that_are_none(data: bytes) -> None:
    assert trouble(data, stop=max(1, len(data))) is Trouble.NOT_THE_FORMAT


def test_a_header_without_end_is_not_read_for_ever() -> None:
    long = b"\x18" + varint(MAX_HEADER_BYTES) + bytes(MAX_HEADER_BYTES + 10)
    assert trouble(long) is Trouble.NOT_THE_FORMAT


@given(st.binary(max_size=200))
def test_noise_ends_as_a_number_or_as_trouble(data: bytes) -> None:
    try:
        outcome: int | Trouble = counted(data)
    except ShardError as error:
        outcome = error.trouble
    if isinstance(outcome, int):
        assert outcome >= 0
    else:
        assert outcome in {Trouble.NOT_THE_FORMAT, Trouble.TRUNCATED, Trouble.RECORD_TOO_LARGE}


# --- pages that are right ------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=40), st.sampled_from([1, 2])), max_size=6),
    st.booleans(),
    st.binary(max_size=9),
)
def test_values_add_up(pages: list[tuple[int, bytes, int]], with_dictionary: bool, before: bytes) -> None:
    chunk = (dictionary(9) if with_dictionary else b"") + b"".join(
        page(count, body, version=version) for count, body, version in pages
    )
    data = before + chunk + b"what follows"
    assert counted(data, start=len(before), stop=len(before) + len(chunk)) == sum(count for count, _, _ in pages)


def test_a_header_longer_than_the_first_look() -> None:
    statistics = {5: {1: b"m" * 5000, 2: b"n" * 70_000}}
    header = struct({1: 0, 2: 4, 3: 4, 5: {1: 12, 2: 0, 3: 3, 4: 3} | statistics})
    assert counted(header + b"body" + page(3)) == 15


VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=20),
    lambda inner: (
        st.dictionaries(st.integers(1, 300), inner, max_size=4)
        | st.lists(st.integers(0, 99), max_size=20)
        | st.lists(st.dictionaries(st.integers(1, 20), inner, max_size=2), max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.integers(1, 300), VALUES, max_size=5), st.binary(max_size=5))
def test_a_struct_comes_back_and_tells_where_it_ends(fields: dict[int, Any], after: bytes) -> None:
    data = struct(fields)
    reader = Compact(data + after)
    assert reader.struct() == fields
    assert reader.place == len(data)


@given(st.dictionaries(st.integers(1, 300), VALUES, min_size=1, max_size=5), st.data())
def test_a_struct_cut_short_is_never_a_struct(fields: dict[int, Any], data: st.DataObject) -> None:
    whole = struct(fields)
    with pytest.raises(IndexError):
        Compact(whole[: data.draw(st.integers(0, len(whole) - 1))]).struct()


def test_depth_and_width_are_bounded() -> None:
    with pytest.raises(NotCompact):
        Compact(b"\x1c" * 1000).struct()
    with pytest.raises(NotCompact):
        Compact(b"\x19\x19" * 1000).struct()
    with pytest.raises(NotCompact):
        Compact(b"\x16" + b"\xff" * 20).struct()
    with pytest.raises(IndexError):
        Compact(b"\x18" + varint(2**60)).struct()
    with pytest.raises(IndexError):
        Compact(b"\x19\xfc" + varint(2**60)).struct()


# --- the footer agrees with Arrow's reading of it -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_dictionary": False, "compression": "none"},
        {"compression": "zstd", "data_page_version": "2.0", "write_page_index": True, "row_group_size": 30},
    ],
)
def test_our_reading_of_a_footer_is_arrows(options: dict[str, Any]) -> None:
    table = pa.table(
        {
            "url": [f"u{row}" for row in range(100)],
            "n": list(range(100)),
            "l": [[row] * (row % 3) for row in range(100)],
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    file = pa.BufferReader(sink.getvalue())
    footer = read_footer(file, RunSettings())
    metadata = pq.read_metadata(pa.BufferReader(sink.getvalue()))
    assert (footer.rows, len(footer.groups)) == (metadata.num_rows, metadata.num_row_groups)
    for place, group in enumerate(footer.groups):
        for number_, chunk in enumerate(group.chunks):
            told = metadata.row_group(place).column(number_)
            assert chunk.path == told.path_in_schema
            assert (chunk.kind, chunk.codec, chunk.values) == (told.physical_type, told.compression, told.num_values)
            assert (chunk.unfolded_bytes, chunk.stored_bytes) == (
                told.total_uncompressed_size,
                told.total_compressed_size,
            )
            assert chunk.start == (told.dictionary_page_offset or told.data_page_offset)
            assert chunk.has_dictionary == told.has_dictionary_page
            assert chunk.has_statistics == told.is_stats_set
            assert chunk.has_page_index == told.has_offset_index
            assert values_in_chunk(file, chunk.start, chunk.start + chunk.stored_bytes, footer.end) == chunk.values
