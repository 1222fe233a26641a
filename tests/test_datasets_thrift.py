"""Thrift's compact protocol natively: the same structs, places, errors and bytes as the definition in Python."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset.datasets.compact import Compact, NotCompact
from vetset.datasets.thrift import BINARY, BYTE, DOUBLE, I64, LIST, STRUCT, TRUE, TypedCompact, packed, packed_of
from vetset.kernels import native

pytestmark = pytest.mark.skipif(native.LIB is None, reason="no native kernels here")


def footer() -> bytes:
    """A real footer, with everything a writer puts into one."""
    file = io.BytesIO()
    columns = {"a": pa.array([1, None, 3] * 50), "b": pa.array(["x" * 40, None, "z"] * 50), "c": [1.5] * 150}
    pq.write_table(pa.table(columns), file, row_group_size=40, write_page_index=True)
    data = file.getvalue()
    return data[-8 - int.from_bytes(data[-8:-4], "little") : -8]


FOOTER = footer()


def read(kind: type[Compact], data: bytes, place: int) -> tuple[Any, int] | str:
    """A struct and the place behind it, or the name of the error."""
    reader = kind(data)
    reader.place = place
    try:
        fields = reader.struct()
    except (NotCompact, IndexError) as error:
        return type(error).__name__
    return fields, reader.place


def both(action: Callable[[], Any]) -> tuple[Any, Any]:
    """What an action answers with the native kernels, and without."""
    quick = action()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "LIB", None)
        return quick, action()


def types_of(value: Any) -> Any:
    """A value with the type of each part, since 1 equals True."""
    if isinstance(value, dict):
        return {key: types_of(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [types_of(item) for item in value]
    return type(value)


@pytest.mark.parametrize("kind", [Compact, TypedCompact])
def test_a_real_footer_reads_the_same(kind: type[Compact]) -> None:
    quick, plain = both(lambda: read(kind, FOOTER, 0))
    assert quick == plain
    assert types_of(quick) == types_of(plain)
    assert quick[1] == len(FOOTER)


@pytest.mark.parametrize("kind", [Compact, TypedCompact])
@given(st.binary(max_size=60), st.integers(0, 5))
def test_any_bytes_read_the_same(kind: type[Compact], data: bytes, place: int) -> None:
    quick, plain = both(lambda: read(kind, data, place if place <= len(data) else 0))
    assert quick == plain
    assert types_of(quick) == types_of(plain)


@pytest.mark.parametrize("kind", [Compact, TypedCompact])
@given(st.integers(0, len(FOOTER) - 1), st.binary(min_size=1, max_size=4), st.integers(0, len(FOOTER)))
def test_a_damaged_footer_reads_the_same(kind: type[Compact], at: int, change: bytes, stop: int) -> None:
    data = FOOTER[:at] + change + FOOTER[at + len(change) :]
    for piece in (data, data[:stop]):
        quick, plain = both(lambda piece=piece: read(kind, piece, 0))  # type: ignore[misc]
        assert quick == plain


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x16" + b"\xff" * 9 + b"\x7f\x00", -(2**69)),  # 70 bits, the most that a number here may have
        (b"\x16" + b"\xfe" * 9 + b"\x01\x00", "number"),
        (b"\x16" + b"\xff" * 10 + b"\x01\x00", "NotCompact"),
        (b"\x1c" * 17 + b"\x00" * 18, "NotCompact"),
        (b"\x1c" * 16 + b"\x00" * 17, "struct"),
        (b"\x19\x1f\x00", "NotCompact"),  # a list of one thing of no type
        (b"\x19\x0f\x00", "list"),  # a list of none of it
        (b"\x1b\x00", "NotCompact"),  # a map, which Parquet does not have
        (b"\x06\x01\x02\x16\x04\x00", "number"),  # a field told by a number of its own, below zero
        (b"", "IndexError"),
    ],
)
def test_the_edges_read_the_same(data: bytes, what: Any) -> None:
    for kind in (Compact, TypedCompact):
        quick, plain = both(lambda kind=kind: read(kind, data, 0))  # type: ignore[misc]
        assert quick == plain
        assert isinstance(quick, str) == (what in ("NotCompact", "IndexError"))
    if isinstance(what, int):
        assert Compact(data).struct() == {1: what}


def test_a_place_beyond_the_data_is_their_end() -> None:
    quick, plain = both(lambda: read(Compact, b"\x00", 9))
    assert quick == plain == "IndexError"


def test_it_writes_what_it_reads() -> None:
    fields = TypedCompact(FOOTER).struct()
    quick, plain = both(lambda: packed(fields))
    assert quick == plain == FOOTER


NUMBERS = st.integers(-(2**70), 2**70) | st.integers(-200, 200)
TYPED = st.recursive(
    st.tuples(st.just(I64), NUMBERS)
    | st.tuples(st.just(BINARY), st.binary(max_size=200))
    | st.tuples(st.just(BYTE), st.integers(0, 255))
    | st.tuples(st.just(DOUBLE), st.binary(min_size=8, max_size=8))
    | st.tuples(st.just(TRUE), st.just(True))
    | st.tuples(st.just(LIST), st.tuples(st.just(TRUE), st.lists(st.integers(1, 2), max_size=20)))
    | st.tuples(st.just(LIST), st.tuples(st.just(I64), st.lists(NUMBERS, max_size=20))),
    lambda inner: st.tuples(st.just(STRUCT), st.dictionaries(st.integers(-9, 400), inner, max_size=4)),
    max_leaves=12,
)


@given(st.dictionaries(st.integers(-9, 400) | st.integers(-(2**40), 2**40), TYPED, max_size=6))
def test_any_struct_is_written_the_same(fields: dict[int, Any]) -> None:
    assert packed(fields) == packed_of(fields)


@pytest.mark.parametrize(
    "fields",
    [
        {1: (I64, "text")},
        {1: (BINARY, 7)},
        {1: (STRUCT, 7)},
        {1: (LIST, (I64, 7))},
        {1: 7},
        {"a": (I64, 1)},
        {1: (BYTE, 256)},
    ],
)
def test_what_is_no_struct_is_refused_either_way(fields: dict[Any, Any]) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        packed(fields)
