"""The page headers of a Parquet column chunk: how many values are really there.

In it: a walk from header to header, in Thrift's compact protocol (apache/thrift, thrift-compact-protocol.md;
apache/parquet-format, parquet.thrift: PageHeader).
Not in it: pages' contents, which Arrow decodes. Why it is needed: Arrow believes a footer that claims fewer rows than
there are, and gives that many; rows would be hidden and nobody told (threats F6).
Rules: every length is checked against the file before it is used; nothing is allocated by a length that was read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from vetset.errors import ShardError, Trouble

#: A page may unfold to this much; every column being read holds one page at a time, so it is part of the ceiling.
MAX_PAGE_BYTES = 256 * 1024 * 1024
#: Statistics may make a header long; Arrow's own limit is 16 MiB too.
MAX_HEADER_BYTES = 16 * 1024 * 1024
_FIRST_LOOK_BYTES = 512
_MAX_DEPTH = 8

# Thrift compact types that a field may have.
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_LONG_LIST = 15  # the count of a list that gives its length apart
_VARINTS = frozenset({4, 5, 6})

# PageHeader's fields, and the page types that hold values.
_TYPE, _UNFOLDED, _STORED, _DATA_HEADER, _DATA_HEADER_V2 = 1, 2, 3, 5, 8
_DATA_PAGE, _DATA_PAGE_V2 = 0, 3
_NUM_VALUES = 1


class RandomAccess(Protocol):
    """What of a file the walk needs."""

    def seek(self, position: int) -> object: ...
    def read(self, nbytes: int) -> bytes: ...


def values_in_chunk(file: RandomAccess, start: int, stop: int, limit: int) -> int:
    """Values in the data pages whose headers stand in [start, stop); no page may reach beyond `limit`.

    Raises ShardError TRUNCATED, NOT_THE_FORMAT, or RECORD_TOO_LARGE for a page above `MAX_PAGE_BYTES`.
    """
    values = 0
    while start < stop:
        header, length = _header_at(file, start, limit)
        start += length + _size(header, _STORED)
        if start > limit:
            raise ShardError(Trouble.TRUNCATED, "a page reaches beyond the data")
        if _size(header, _UNFOLDED) > MAX_PAGE_BYTES:
            raise ShardError(Trouble.RECORD_TOO_LARGE, f"a page unfolds to more than {MAX_PAGE_BYTES} bytes")
        values += _values(header)
    return values


def _values(header: dict[int, Any]) -> int:
    inner = {_DATA_PAGE: _DATA_HEADER, _DATA_PAGE_V2: _DATA_HEADER_V2}.get(header.get(_TYPE, -1))
    if inner is None:
        return 0
    if not isinstance(header.get(inner), dict):
        raise _malformed()
    return _size(header[inner], _NUM_VALUES)


def _size(fields: dict[int, Any], field: int) -> int:
    value = fields.get(field)
    if not isinstance(value, int) or value < 0:
        raise _malformed()
    return value


def _malformed() -> ShardError:
    return ShardError(Trouble.NOT_THE_FORMAT, "a page header cannot be read")


def _header_at(file: RandomAccess, start: int, limit: int) -> tuple[dict[int, Any], int]:
    """A page header's fields and its length; most are under 100 bytes, so the look widens only if it must."""
    look = _FIRST_LOOK_BYTES
    while True:
        file.seek(start)
        data = file.read(min(look, limit - start))
        reader = _Compact(data)
        try:
            return reader.struct(), reader.place
        except IndexError:
            if len(data) < look or look >= MAX_HEADER_BYTES:
                raise _malformed() from None
        look *= 16


class _Compact:
    """Reads one Thrift struct from bytes. IndexError when they end too early, ShardError for what is no struct."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > _MAX_DEPTH:
            raise _malformed()
        return dict(self._fields(depth))

    def _fields(self, depth: int) -> Iterator[tuple[int, Any]]:
        field = 0
        while head := self._byte():
            delta, kind = head >> 4, head & 0x0F
            field = field + delta if delta else self._number()
            yield field, self._value(kind, depth)

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind in _VARINTS:
            return self._number()
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            return self._skipped_list(depth)
        lengths = {_BYTE: 1, _DOUBLE: 8}
        if kind != _BINARY and kind not in lengths:
            raise _malformed()
        self._skip(self._varint() if kind == _BINARY else lengths[kind])
        return None

    def _skipped_list(self, depth: int) -> None:
        head = self._byte()
        count, kind = head >> 4, head & 0x0F
        for _ in range(self._varint() if count == _LONG_LIST else count):
            # In a list a boolean takes a byte of its own; every element takes one at least, so the data bound the loop.
            self._value(_BYTE if kind in (_TRUE, _FALSE) else kind, depth + 1)

    def _byte(self) -> int:
        value = self.data[self.place]
        self.place += 1
        return value

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the continuation bit
                return value
        raise _malformed()

    def _number(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _skip(self, length: int) -> None:
        self.place += length
        if self.place > len(self.data):
            raise IndexError
