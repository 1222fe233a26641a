"""Digests: of one value, of a column of values, and as a column records them in hex."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from vetset.kernels.url import FORM_OF
from vetset.records import DIGEST_COLUMNS, WIDTH_BYTES, Column, Sealed, SealedBatch, UrlForm

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


def _stacked(values: Sequence[bytes | None], width_bytes: int, malformed: int = 0) -> Digests:
    present = np.fromiter((value is not None for value in values), np.bool_, len(values))
    nothing = bytes(width_bytes)
    joined = b"".join([nothing if value is None else value for value in values])
    data = np.frombuffer(joined, np.uint8).reshape(len(values), width_bytes)
    return Digests(data, present, malformed)


_HEX_VALUE: U8 = np.full(256, 255, np.uint8)


for _digit, _character in enumerate(b"0123456789abcdef"):
    _HEX_VALUE[_character] = _digit
for _digit, _character in enumerate(b"ABCDEF"):
    _HEX_VALUE[_character] = 10 + _digit


def recorded_digests(batch: SealedBatch, column: Column) -> Digests:
    """The digests that a column records, as `hex_digest_of` defines them."""
    width_bytes = WIDTH_BYTES[DIGEST_COLUMNS[column]]
    array = batch.unseal().column(column.value)
    quick = _aligned_hex(array, 2 * width_bytes)
    if quick is not None:
        return quick
    values = array.to_pylist()
    digests = [hex_digest_of(value, width_bytes) for value in values]
    malformed = sum(1 for value, digest in zip(values, digests, strict=True) if value and digest is None)
    return _stacked(digests, width_bytes, malformed)


def _aligned_hex(array: Any, digits: int) -> Digests | None:
    """The usual case, all rows present with the right number of hex digits, without a loop over rows."""
    if array.null_count or len(array) == 0 or not pc.all(pc.equal(pc.binary_length(array), digits)).as_py():
        return None
    _, offsets, data = array.buffers()
    start = np.frombuffer(offsets, np.int64, offset=8 * array.offset, count=1)[0]
    characters = np.frombuffer(data, np.uint8, offset=int(start), count=len(array) * digits)
    nibbles = _HEX_VALUE[characters].reshape(len(array), digits)
    high, low = nibbles[:, 0::2], nibbles[:, 1::2]
    if nibbles.max() == 255:  # noqa: PLR2004 - the table's mark for "no hex digit"
        return None
    return Digests(((high << 4) | low).astype(np.uint8), np.ones(len(array), np.bool_))


def blank_rows(batch: SealedBatch, column: Column) -> int:
    """How many rows are null or empty in a text column."""
    lengths = pc.fill_null(pc.binary_length(batch.unseal().column(column.value)), 0)
    return int(pc.sum(pc.equal(lengths, 0)).as_py() or 0)


def url_values(batch: SealedBatch, form: UrlForm) -> Sealed[list[bytes | None]]:
    """The URL column under a form; None where the value is null or has no such form."""
    form_of = FORM_OF[form]
    return Sealed([None if value is None else form_of(value) for value in blobs(batch, Column.URL)])


_QUICK_DIGEST: dict[str, Callable[[bytes], Any]] = {
    "md5": partial(hashlib.md5, usedforsecurity=False),
    "sha1": partial(hashlib.sha1, usedforsecurity=False),
    "sha256": hashlib.sha256,
}


def digests_of(values: Sealed[list[bytes | None]], algorithm: str, width_bytes: int) -> Digests:
    """The digest of every value that is there."""
    make = _QUICK_DIGEST[algorithm]
    return _stacked([None if value is None else make(value).digest() for value in values.unseal()], width_bytes)


def key_at(digests: Digests, row: int) -> Sealed[bytes]:
    """The digest of one row, sealed."""
    return Sealed(digests.data[row].tobytes())
