"""Thrift structs that are read, changed in a few fields, and written again with all the others as they were.

In it: the reader of `compact` with the type kept beside each value, the writer, and the types that we set ourselves.
Not in it: what the fields mean. Rules: fields that nobody here knows are written as they were read; what was read once
is written within the depth that the reader allows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vetset.datasets.compact import Compact
from vetset.kernels import native

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12
_SHORT_LIST = 14  # elements whose count fits into the head
_MOST_DELTA = 15

#: A struct by field number: (type, value). A list's value is (type of its elements, elements).
Typed = dict[int, tuple[int, Any]]


class TypedCompact(Compact):
    """Reads structs as `Typed`."""

    typed = True

    def _fields(self, depth: int) -> Iterator[tuple[int, Any]]:
        for field, kind in self._heads():
            yield field, (kind, self._value(kind, depth))

    def _list(self, depth: int) -> tuple[int, list[Any]]:
        depth = self._deeper(depth)
        kind, count = self._list_head()
        return kind, [self._value(BYTE if kind in (TRUE, FALSE) else kind, depth) for _ in range(count)]


def value_of(fields: Typed, field: int, default: Any = None) -> Any:
    """A field's value without its type."""
    return fields[field][1] if field in fields else default


def items_of(fields: Typed, field: int) -> list[Any]:
    """A list's elements; none where the list is not there."""
    found: list[Any] = value_of(fields, field, (STRUCT, []))[1]
    return found


def number_of(fields: Typed, field: int) -> int:
    """A number, or 0 where there is none."""
    value = value_of(fields, field)
    return value if isinstance(value, int) else 0


def struct_of(fields: Typed, field: int) -> Typed | None:
    """A struct within the struct, or None where there is none."""
    value = value_of(fields, field)
    return value if isinstance(value, dict) else None


def bool_of(value: object) -> tuple[int, bool]:
    """A truth value as a field: its type is the value."""
    return (TRUE, True) if value else (FALSE, False)


def drop(fields: Typed, *numbers: int) -> None:
    """Takes fields out that may not be there."""
    for number in numbers:
        fields.pop(number, None)


def packed(fields: Typed) -> bytes:
    """The struct in Thrift's compact protocol, its fields in ascending order."""
    made: bytes | None = None if native.LIB is None else native.LIB.thrift_packed(fields)
    return packed_of(fields) if made is None else made


def packed_of(fields: Typed) -> bytes:
    """The definition of `packed`, which also writes numbers of more than 64 bits."""
    out = bytearray()
    _put_struct(out, fields)
    return bytes(out)


def _put_struct(out: bytearray, fields: Typed) -> None:
    last = 0
    for field in sorted(fields):
        kind, value = fields[field]
        delta = field - last
        if 0 < delta <= _MOST_DELTA:
            out.append(delta << 4 | kind)
        else:
            out.append(kind)
            _put_number(out, field)
        if kind not in (TRUE, FALSE):
            _put_value(out, kind, value)
        last = field
    out.append(0)


def _put_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in (I16, I32, I64):
        _put_number(out, value)
    elif kind == BINARY:
        _put_varint(out, len(value))
        out += value
    elif kind in (LIST, SET):
        _put_list(out, *value)
    elif kind == STRUCT:
        _put_struct(out, value)
    elif kind == DOUBLE:
        out += value
    else:
        out.append(value)


def _put_list(out: bytearray, kind: int, items: list[Any]) -> None:
    if len(items) <= _SHORT_LIST:
        out.append(len(items) << 4 | kind)
    else:
        out.append(0xF0 | kind)
        _put_varint(out, len(items))
    for item in items:
        _put_value(out, BYTE if kind in (TRUE, FALSE) else kind, item)


def _put_number(out: bytearray, value: int) -> None:
    _put_varint(out, value << 1 if value >= 0 else (-value << 1) - 1)


def _put_varint(out: bytearray, value: int) -> None:
    while value > 0x7F:  # noqa: PLR2004 - the bits of a byte that are not the mark
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
