"""The page headers of a Parquet column chunk: how many values are really there.

In it: a walk from header to header (apache/parquet-format, parquet.thrift: PageHeader).
Not in it: pages' contents, which Arrow decodes. Why it is needed: Arrow believes a footer that claims fewer rows than
there are, and gives that many; rows would be hidden and nobody told (threats F6).
Rules: every place is checked against the file before it is used.
"""

from __future__ import annotations

from typing import Any, Protocol

from vetset.datasets.compact import Compact, Fields, NotCompact
from vetset.errors import ShardError, Trouble

#: A page may unfold to this much; every column being read holds one page at a time, so it is part of the ceiling.
MAX_PAGE_BYTES = 256 * 1024 * 1024
#: Statistics may make a header long; Arrow's own limit is 16 MiB too.
MAX_HEADER_BYTES = 16 * 1024 * 1024
_FIRST_LOOK_BYTES = 512

# PageHeader's fields, and the page types that hold values.
_TYPE, _UNFOLDED, _STORED, _DATA_HEADER, _DATA_HEADER_V2 = 1, 2, 3, 5, 8
_DATA_PAGE, _DATA_PAGE_V2 = 0, 3
_NUM_VALUES = 1


class RandomAccess(Protocol):
    """What of a file the walk needs."""

    def seek(self, position: int, /) -> object: ...
    def read(self, nbytes: int, /) -> bytes: ...


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


def _values(header: Fields) -> int:
    inner = {_DATA_PAGE: _DATA_HEADER, _DATA_PAGE_V2: _DATA_HEADER_V2}.get(_size(header, _TYPE))
    if inner is None:
        return 0
    fields = header.get(inner)
    if not isinstance(fields, dict):
        raise _malformed()
    return _size(fields, _NUM_VALUES)


def _size(fields: Fields, field: int) -> int:
    value: Any = fields.get(field)
    if not isinstance(value, int) or value < 0:
        raise _malformed()
    return value


def _malformed() -> ShardError:
    return ShardError(Trouble.NOT_THE_FORMAT, "a page header cannot be read")


def _header_at(file: RandomAccess, start: int, limit: int) -> tuple[Fields, int]:
    """A page header's fields and its length; most are under 100 bytes, so the look widens only if it must."""
    look = _FIRST_LOOK_BYTES
    while True:
        file.seek(start)
        data = file.read(min(look, MAX_HEADER_BYTES, limit - start))
        reader = Compact(data)
        try:
            return reader.struct(), reader.place
        except NotCompact:
            raise _malformed() from None
        except IndexError:
            if len(data) < look:
                raise _malformed() from None
        look *= 16
