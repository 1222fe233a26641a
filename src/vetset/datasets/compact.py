"""Thrift's compact protocol, as much of it as Parquet's metadata needs (apache/thrift, thrift-compact-protocol.md).

In it: one struct read from bytes into plain numbers, bytes, lists and dicts by field number.
Not in it: what the fields mean. Why it is here: pyarrow ends the whole process on some metadata that it cannot read
(a column chunk that is encrypted or missing), so a file's metadata is looked at by this first.
Rules: nothing is allocated by a length that was read; every element costs at least a byte, so the data bound all loops;
native/thrift.c reads the same structs, and what is written here in Python defines what it must answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, ClassVar

from vetset.kernels import native

_MAX_DEPTH = 16

# Types that a field or an element may have.
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_VARINTS = (4, 5, 6)
_DOUBLE_BYTES = 8
_LONG_LIST = 15  # the count of a list that gives its length apart
_CONTINUED = 0x80

Fields = dict[int, Any]


class NotCompact(Exception):  # noqa: N818 - it says what the data are
    """The data are no struct. IndexError instead says that they end before the struct does."""


class Compact:
    """Reads structs one after the other; `place` is where the next one starts."""

    typed: ClassVar[bool] = False  # whether each value comes with its type

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    @cached_property
    def _read(self) -> dict[int, Callable[[int], Any]]:
        return {
            _TRUE: lambda _: True,
            _FALSE: lambda _: False,
            _BYTE: lambda _: self._byte(),
            _DOUBLE: lambda _: self._bytes(_DOUBLE_BYTES),
            _BINARY: lambda _: self._bytes(self._varint()),
            _LIST: self._list,
            _SET: self._list,
            _STRUCT: self._struct,
            **dict.fromkeys(_VARINTS, lambda _: self._number()),
        }

    def struct(self) -> Fields:
        """A struct's values by field number; the last of a number that comes twice. NotCompact or IndexError."""
        if native.LIB is None:
            return self._struct(0)
        try:
            fields, self.place = native.LIB.thrift_read(self.data, self.place, self.typed)
        except ValueError:
            raise NotCompact from None
        found: Fields = fields
        return found

    def _struct(self, depth: int) -> Fields:
        return dict(self._fields(self._deeper(depth)))

    def _fields(self, depth: int) -> Iterator[tuple[int, Any]]:
        for field, kind in self._heads():
            yield field, self._value(kind, depth)

    def _heads(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field; the value must be read before the next is asked for."""
        field = 0
        while head := self._byte():
            delta = head >> 4
            field = field + delta if delta else self._number()
            yield field, head & 0x0F

    def _value(self, kind: int, depth: int) -> Any:
        read = self._read.get(kind)
        if read is None:
            raise NotCompact
        return read(depth)

    def _list(self, depth: int) -> Any:
        depth = self._deeper(depth)
        kind, count = self._list_head()
        kind = _BYTE if kind in (_TRUE, _FALSE) else kind  # in a list a boolean takes a byte of its own
        return [self._value(kind, depth) for _ in range(count)]

    def _list_head(self) -> tuple[int, int]:
        head = self._byte()
        count = head >> 4
        return head & 0x0F, self._varint() if count == _LONG_LIST else count

    def _deeper(self, depth: int) -> int:
        if depth > _MAX_DEPTH:
            raise NotCompact
        return depth + 1

    def _byte(self) -> int:
        value = self.data[self.place]
        self.place += 1
        return value

    def _bytes(self, length: int) -> bytes:
        stop = self.place + length
        if stop > len(self.data):
            raise IndexError
        value = self.data[self.place : stop]
        self.place = stop
        return value

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & _CONTINUED:
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift > 63:  # noqa: PLR2004 - bits of the widest number
                raise NotCompact
        return value | byte << shift

    def _number(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
