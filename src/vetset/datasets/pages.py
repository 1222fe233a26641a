"""The page headers of a Parquet column chunk: where its pages lie, and how many values are really there.

In it: a walk from header to header (apache/parquet-format, parquet.thrift: PageHeader).
Not in it: pages' contents, which Arrow decodes, or `pagebody` where rows are cut out.
Why it is needed: Arrow believes a footer that claims fewer rows than there are, and gives that many; rows would be
hidden and nobody told (threats F6).
Rules: every place is checked against the file before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from vetset.datasets.compact import NotCompact
from vetset.datasets.thrift import Typed, TypedCompact, value_of
from vetset.errors import ShardError, Trouble

#: A page may unfold to this much; every column being read holds one page at a time, so it is part of the ceiling.
MAX_PAGE_BYTES = 256 * 1024 * 1024
#: Statistics may make a header long; Arrow's own limit is 16 MiB too.
MAX_HEADER_BYTES = 16 * 1024 * 1024
_FIRST_LOOK_BYTES = 512

DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2 = 0, 2, 3


class PageHeader:
    """Field numbers."""

    TYPE, UNFOLDED, STORED, CRC, DATA, DICTIONARY, DATA_V2 = 1, 2, 3, 4, 5, 7, 8


#: The field that holds the rest of the header, by type of page; their first field is the number of values.
_INNER = {DATA_PAGE: PageHeader.DATA, DATA_PAGE_V2: PageHeader.DATA_V2, DICTIONARY_PAGE: PageHeader.DICTIONARY}
_NUM_VALUES = 1


class RandomAccess(Protocol):
    """What of a file the walk needs."""

    def seek(self, position: int, /) -> object: ...
    def read(self, nbytes: int, /) -> bytes: ...


class Page(NamedTuple):
    """A page's place and header: `length` is the header's, `inner` what belongs to its type, `values` what it holds."""

    start: int
    length: int
    kind: int
    unfolded: int
    stored: int
    values: int
    fields: Typed
    inner: Typed

    @property
    def stop(self) -> int:
        return self.start + self.length + self.stored


def values_in_chunk(file: RandomAccess, start: int, stop: int, limit: int) -> int:
    """Values in the data pages whose headers stand in [start, stop); no page may reach beyond `limit`.

    Raises ShardError TRUNCATED, NOT_THE_FORMAT, or RECORD_TOO_LARGE for a page above `MAX_PAGE_BYTES`.
    """
    pages = pages_in_chunk(file, start, stop, limit)
    return sum(page.values for page in pages if page.kind in (DATA_PAGE, DATA_PAGE_V2))


def pages_in_chunk(file: RandomAccess, start: int, stop: int, limit: int) -> Iterator[Page]:
    """The pages themselves, dictionary and unknown ones too; errors as `values_in_chunk`."""
    while start < stop:
        fields, length = _header_at(file, start, limit)
        page = _page(start, length, fields)
        if page.stop > limit:
            raise ShardError(Trouble.TRUNCATED, "a page reaches beyond the data")
        if page.unfolded > MAX_PAGE_BYTES:
            raise ShardError(Trouble.RECORD_TOO_LARGE, f"a page unfolds to more than {MAX_PAGE_BYTES} bytes")
        yield page
        start = page.stop


def _page(start: int, length: int, fields: Typed) -> Page:
    kind = size_of(fields, PageHeader.TYPE)
    inner: Typed = {}
    if kind in _INNER:
        inner = value_of(fields, _INNER[kind])
        if not isinstance(inner, dict):
            raise _malformed()
    values = size_of(inner, _NUM_VALUES) if inner or kind in _INNER else 0
    unfolded, stored = size_of(fields, PageHeader.UNFOLDED), size_of(fields, PageHeader.STORED)
    return Page(start, length, kind, unfolded, stored, values, fields, inner)


def size_of(fields: Typed, field: int) -> int:
    """A number that must be there and not below zero."""
    value: Any = value_of(fields, field)
    if not isinstance(value, int) or value < 0:
        raise _malformed()
    return value


def _malformed() -> ShardError:
    return ShardError(Trouble.NOT_THE_FORMAT, "a page header cannot be read")


def _header_at(file: RandomAccess, start: int, limit: int) -> tuple[Typed, int]:
    """A page header's fields and its length; most are under 100 bytes, so the look widens only if it must."""
    look = _FIRST_LOOK_BYTES
    while True:
        file.seek(start)
        data = file.read(min(look, MAX_HEADER_BYTES, limit - start))
        reader = TypedCompact(data)
        try:
            return reader.struct(), reader.place
        except NotCompact:
            raise _malformed() from None
        except IndexError:
            if len(data) < look:
                raise _malformed() from None
        look *= 16
