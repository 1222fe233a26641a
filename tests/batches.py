"""Batches of rows from plain values, as the datasets give them: for tests of kernels and stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from vetset.records import Column, RowBatch, Sealed, SealedBatch

TYPES: Mapping[Column, pa.DataType] = {
    column: {Column.HASH: pa.int64(), Column.PUNSAFE: pa.float64()}.get(column, pa.large_binary()) for column in Column
}

#: Tokens that no code of ours holds: whatever prints one has printed a value of a row.
CANARY = b"canary-7f3a9c51e2"

#: Digests in hex of no bytes at all: what a failed download leaves behind.
EMPTY_MD5 = b"d41d8cd98f00b204e9800998ecf8427e"
EMPTY_SHA1 = b"da39a3ee5e6b4b0d3255bfef95601890afd80709"
EMPTY_SHA256 = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def sealed(*, before: int = 0, after: int = 0, **columns: Any) -> SealedBatch:
    """A sealed batch of the given columns; `before` and `after` rows are cut off again, so that buffers have offsets."""
    arrays = {}
    for name, values in columns.items():
        padding = 1.5 if name == Column.PUNSAFE else 7 if name == Column.HASH else b"padding"
        padded = [padding] * before + list(values) + [padding] * after
        arrays[name] = pa.array(padded, TYPES[Column(name)]).slice(before, len(values))
    return SealedBatch(pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays)))


def values_of(*values: bytes | None) -> Sealed[Any]:
    """Values as the kernels pass them on: a sealed array."""
    return Sealed(pa.array(values, pa.large_binary()))


def batch(first_row: int = 0, **columns: Any) -> RowBatch:
    return RowBatch(first_row, sealed(**columns))


def paddings() -> st.SearchStrategy[dict[str, int]]:
    """Rows to cut off around a batch: most batches that datasets give are slices."""
    return st.fixed_dictionaries({"before": st.integers(0, 3), "after": st.integers(0, 2)})
