"""Digests: of one value, of a column of values, and as a column records them in hex."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vetset.kernels import native
from vetset.records import DIGEST_COLUMNS, WIDTH_BYTES, Column, Sealed, SealedBatch, Signal

_Hash = Callable[[bytes | memoryview], Any]
try:
    # CPython's own MD5: for values as short as these it takes half the time of OpenSSL's, which sets up more for each.
    from _md5 import md5 as _md5  # type: ignore[import-not-found]
except ImportError:  # builds with OpenSSL's alone
    _md5 = partial(hashlib.md5, usedforsecurity=False)

U8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


#: Digests of no bytes at all: what a failed download leaves behind. They are never a reason to spread.
EMPTY_DIGESTS = frozenset(hashlib.new(name, b"", usedforsecurity=False).digest() for name in ("md5", "sha1", "sha256"))


def digest_of(value: bytes, algorithm: str) -> bytes:
    """The digest by its standard name: md5 (RFC 1321), sha1, sha256 (FIPS 180-4)."""
    return hashlib.new(algorithm, value, usedforsecurity=False).digest()


def hex_digest_of(value: bytes | None, width_bytes: int) -> bytes | None:
    """A recorded digest: hex digits of any case, exactly the width, ASCII space around it allowed; else None."""
    if value is None:
        return None
    text = value.strip(b" \t\r\n")
    if len(text) != 2 * width_bytes or not re.fullmatch(rb"[0-9A-Fa-f]+", text):
        return None
    return bytes.fromhex(text.decode("ascii"))


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Digests:
    """A column of digests: `data` (rows, width_bytes) and `present` (rows); absent rows hold zeros.

    `malformed` counts rows that hold something that is no digest; null and empty values are not malformed.
    """

    data: U8
    present: Mask
    malformed: int = 0


def blobs(batch: SealedBatch, column: Column) -> list[bytes | None]:
    values: list[bytes | None] = batch.unseal().column(column.value).to_pylist()
    return values


_NO_DIGIT = 255
_HEX_VALUE: U8 = np.full(256, _NO_DIGIT, np.uint8)
for _digit, _character in enumerate(b"0123456789abcdef"):
    _HEX_VALUE[_character] = _digit
for _digit, _character in enumerate(b"ABCDEF"):
    _HEX_VALUE[_character] = 10 + _digit


def recorded_digests(batch: SealedBatch, column: Column) -> Digests:
    """The digests that a column records, as `hex_digest_of` defines them."""
    width_bytes = WIDTH_BYTES[DIGEST_COLUMNS[column]]
    array = batch.unseal().column(column.value)
    if native.LIB is not None and len(array):
        return _unhexed(native.LIB, array, width_bytes)
    lengths = pc.fill_null(pc.binary_length(array), 0).to_numpy()
    right = lengths == 2 * width_bytes
    data, present = _of_hex_digits(array.filter(pa.array(right)), width_bytes)
    if not right.all():
        data, present = _spread(data, right), _spread(present, right)
        _add_unusual(array, (lengths > 0) & ~right, data, present)
    return Digests(data, present, int((lengths > 0).sum()) - int(present.sum()))


def _unhexed(lib: ModuleType, array: Any, width_bytes: int) -> Digests:
    """The same natively; values that are neither a digest as it stands nor empty are looked at one by one."""
    _, offsets, characters = array.buffers()
    marks, data = np.zeros(len(array), np.uint8), np.zeros((len(array), width_bytes), np.uint8)
    lib.column_unhex(offsets, characters or b"", array.offset, marks, data)
    present, unusual = marks == 1, marks == 2  # noqa: PLR2004 - native/digest.c names the marks
    if array.null_count:  # what lies under a null is nobody's value
        valid = array.is_valid().to_numpy(zero_copy_only=False)
        present, unusual = present & valid, unusual & valid
        data[~present] = 0
    filled = int(present.sum() + unusual.sum())
    if unusual.any():
        _add_unusual(array, unusual, data, present)
    return Digests(data, present, filled - int(present.sum()))


def _of_hex_digits(array: Any, width_bytes: int) -> tuple[U8, Mask]:
    """Digests, and which are any, of values that all have the right length, without a loop over rows."""
    if not len(array):
        return np.zeros((0, width_bytes), np.uint8), np.zeros(0, np.bool_)
    _, offsets, data = array.buffers()
    start = int(np.frombuffer(offsets, np.int64, offset=8 * array.offset, count=1)[0])
    characters = np.frombuffer(data, np.uint8, offset=start, count=len(array) * 2 * width_bytes)
    nibbles = _HEX_VALUE[characters].reshape(len(array), 2 * width_bytes)
    digests: U8 = (nibbles[:, 0::2] << np.uint8(4)) | nibbles[:, 1::2]
    if nibbles.max() < _NO_DIGIT:
        return digests, np.ones(len(array), np.bool_)
    whole = nibbles.max(axis=1) < _NO_DIGIT
    digests[~whole] = 0
    return digests, whole


def _spread(values: Any, mask: Mask) -> Any:
    """An array whose rows under the mask are the values, in order, and zeros elsewhere."""
    spread = np.zeros((len(mask), *values.shape[1:]), values.dtype)
    spread[mask] = values
    return spread


def _add_unusual(array: Any, rows: Mask, data: U8, present: Mask) -> None:
    """Adds the digests of some rows, one by one: there may be space around them."""
    for row, value in zip(np.flatnonzero(rows).tolist(), array.filter(pa.array(rows)).to_pylist(), strict=True):
        digest = hex_digest_of(value, data.shape[1])
        if digest is not None:
            data[row], present[row] = np.frombuffer(digest, np.uint8), True


def blank_rows(batch: SealedBatch, column: Column) -> int:
    """How many rows are null or empty in a text column."""
    lengths = pc.fill_null(pc.binary_length(batch.unseal().column(column.value)), 0)
    return int(pc.sum(pc.equal(lengths, 0)).as_py() or 0)


_QUICK_DIGEST: dict[str, _Hash] = {
    "md5": _md5,
    "sha1": partial(hashlib.sha1, usedforsecurity=False),
    "sha256": hashlib.sha256,
}


def digests_of(
    values: Sealed[Any], algorithm: str, width_bytes: int, known: tuple[Sealed[Any], Digests] | None = None
) -> Digests:
    """The digest of every value of an Arrow array of bytes that is there.

    `known` is another array of as many values with its digests: they serve wherever the two arrays are equal.
    """
    array = values.unseal()
    present = array.is_valid().to_numpy(zero_copy_only=False)
    if native.LIB is not None and len(array):
        return Digests(_quickly(native.LIB, array, algorithm, width_bytes, present, known), present)
    if known is None:
        return Digests(_spread(_made(array.drop_null(), algorithm, width_bytes), present), present)
    same = pc.fill_null(pc.equal(array, known[0].unseal()), False).to_numpy(zero_copy_only=False)
    fresh = present & ~same
    data = np.where(same[:, None], known[1].data, np.uint8(0))
    data[fresh] = _made(array.filter(pa.array(fresh)), algorithm, width_bytes)
    return Digests(data, present)


def _quickly(
    lib: ModuleType,
    array: Any,
    algorithm: str,
    width_bytes: int,
    present: Mask,
    known: tuple[Sealed[Any], Digests] | None,
) -> U8:
    _, offsets, values = array.buffers()
    fresh, data = present, np.zeros((len(array), width_bytes), np.uint8)
    if known is not None:
        same = _same(lib, array, known[0].unseal()) & present & known[1].present
        if same.all():
            return known[1].data
        np.copyto(data, known[1].data, where=same[:, None])
        fresh = present & ~same
    lib.column_digests(algorithm, offsets, values or b"", array.offset, fresh, data)
    return data


def _same(lib: ModuleType, one: Any, other: Any) -> Mask:
    """Where two arrays hold the same bytes, nulls aside."""
    if len(one) != len(other):
        raise ValueError("the digests known are of another column")
    (_, offsets, values), (_, other_offsets, other_values) = one.buffers(), other.buffers()
    same = np.empty(len(one), np.bool_)
    lib.column_same(offsets, values or b"", one.offset, other_offsets, other_values or b"", other.offset, same)
    return same


_LEAST_BODIES = 8


def digests_of_bodies(bodies: Sequence[bytes | memoryview]) -> Mapping[Signal, U8]:
    """(bodies, width_bytes) md5, sha1 and sha256 of each."""
    return {signal: _of_bodies(bodies, signal) for signal in DIGEST_COLUMNS.values()}


def _of_bodies(bodies: Sequence[bytes | memoryview], signal: Signal) -> U8:
    digests = np.empty((len(bodies), WIDTH_BYTES[signal]), np.uint8)
    # md5 has as many lanes as it has instructions for: of few bodies most would be idle.
    if native.LIB is not None and (signal is not Signal.MD5 or len(bodies) >= _LEAST_BODIES):
        native.LIB.body_digests(signal.value, bodies, digests)
        return digests
    for place, body in enumerate(bodies):
        made = hashlib.new(signal.value, body, usedforsecurity=False)
        digests[place] = np.frombuffer(made.digest(), np.uint8)
    return digests


def _made(array: Any, algorithm: str, width_bytes: int) -> U8:
    make = _QUICK_DIGEST[algorithm]
    joined = b"".join([make(value).digest() for value in array.to_pylist()])
    return np.frombuffer(joined, np.uint8).reshape(len(array), width_bytes)


def key_at(digests: Digests, row: int) -> Sealed[bytes]:
    """The digest of one row, sealed."""
    return Sealed(digests.data[row].tobytes())
