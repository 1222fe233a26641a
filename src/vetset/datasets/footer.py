"""What a Parquet file says of itself, checked before any of it is believed.

In it: the frame (magic, footer length), the caps, the counts and places in the footer, and the translation of Arrow's
exceptions into ours.
Not in it: rows. Rules: nothing large is allocated on a footer's word; Arrow's messages quote values, so none passes;
a file that is not what it says ends in a ShardError and never in fewer rows (threats F6).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vetset.config import RunSettings
from vetset.datasets.pages import values_in_chunk
from vetset.errors import ShardError, Trouble

_MAGIC, _ENCRYPTED_MAGIC = b"PAR1", b"PARE"
_TAIL_BYTES = 8
_SMALLEST_FILE_BYTES = len(_MAGIC) + _TAIL_BYTES
_BUFFER_BYTES = 1024 * 1024


@contextmanager
def no_arrow_message() -> Iterator[None]:
    """Turns whatever Arrow raises into a ShardError that says nothing of the contents."""
    try:
        yield
    except MemoryError:
        raise ShardError(Trouble.OUT_OF_MEMORY) from None
    except OSError as error:
        if error.errno:
            raise ShardError(Trouble.UNREADABLE, os.strerror(error.errno)) from None
        raise ShardError(Trouble.NOT_THE_FORMAT, "a part of the file cannot be decoded") from None
    except (pa.ArrowException, ValueError, TypeError, LookupError, NotImplementedError):
        raise ShardError(Trouble.NOT_THE_FORMAT, "a part of the file cannot be decoded") from None


def opened(file: Any, run: RunSettings, *, extensions: bool) -> Any:
    """An Arrow ParquetFile over a file, its footer checked. `extensions`: whether canonical extension types are kept.

    Streams pages through a buffer instead of holding column chunks, so memory does not grow with a row group.
    """
    _check_frame(file, run.max_footer_bytes)
    with no_arrow_message():
        parquet = pq.ParquetFile(
            file,
            pre_buffer=False,
            buffer_size=_BUFFER_BYTES,
            page_checksum_verification=True,
            arrow_extensions_enabled=extensions,
        )
        _check_groups(parquet.metadata, run.max_row_group_bytes)
    return parquet


def _check_frame(file: Any, max_footer_bytes: int) -> None:
    size_bytes = file.size()
    head, tail = _ends(file, size_bytes)
    if _ENCRYPTED_MAGIC in (head, tail[4:]):
        raise ShardError(Trouble.ENCRYPTED)
    if head != _MAGIC:
        raise ShardError(Trouble.NOT_THE_FORMAT, "no Parquet file: it does not start with PAR1")
    if size_bytes < _SMALLEST_FILE_BYTES or tail[4:] != _MAGIC:
        raise ShardError(Trouble.TRUNCATED, "the file does not end as Parquet does")
    footer_bytes = int.from_bytes(tail[:4], "little")
    if footer_bytes > size_bytes - _SMALLEST_FILE_BYTES:
        raise ShardError(Trouble.TRUNCATED, "the footer is longer than the file")
    if footer_bytes > max_footer_bytes:
        raise ShardError(
            Trouble.RECORD_TOO_LARGE, f"footer of {footer_bytes} bytes, max_footer_bytes {max_footer_bytes}"
        )


def _ends(file: Any, size_bytes: int) -> tuple[bytes, bytes]:
    with no_arrow_message():
        file.seek(0)
        head = file.read(len(_MAGIC))
        file.seek(max(0, size_bytes - _TAIL_BYTES))
        return head, file.read(_TAIL_BYTES)


def _check_groups(metadata: Any, max_row_group_bytes: int) -> None:
    rows = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = _columns_of(group)
        rows += _whole(group.num_rows)
        size_bytes = max(group.total_byte_size, sum(_whole(column.total_uncompressed_size) for column in columns))
        if size_bytes > max_row_group_bytes:
            raise ShardError(
                Trouble.RECORD_TOO_LARGE,
                f"row group {number} of {size_bytes} bytes, max_row_group_bytes {max_row_group_bytes}",
            )
        _check_counts(metadata, group.num_rows, columns)
    if rows != metadata.num_rows:
        raise ShardError(Trouble.COUNTS_DISAGREE, f"row groups of {rows} rows in a file of {metadata.num_rows}")


def _check_counts(metadata: Any, rows: int, columns: Iterable[Any]) -> None:
    for place, column in enumerate(columns):
        if metadata.schema.column(place).max_repetition_level == 0 and column.num_values != rows:
            raise ShardError(Trouble.COUNTS_DISAGREE, f"a column of {column.num_values} values in {rows} rows")


def _columns_of(group: Any) -> list[Any]:
    """A row group's column chunks. Arrow cannot give those that are encrypted in a file with a readable footer."""
    try:
        return [group.column(place) for place in range(group.num_columns)]
    except (pa.ArrowException, OSError):
        raise ShardError(Trouble.ENCRYPTED, "a column's metadata cannot be read") from None


def _whole(count: int) -> int:
    if count < 0:
        raise ShardError(Trouble.COUNTS_DISAGREE, "the footer holds a negative count")
    return count


def check_pages(file: Any, metadata: Any, number: int, names: frozenset[str] | None) -> None:
    """Compares the values that the pages of a row group hold with the footer; for top-level columns, or all (None)."""
    group = metadata.row_group(number)
    end = file.size() - _TAIL_BYTES
    for column in _columns_of(group):
        if names is not None and column.path_in_schema not in names:
            continue
        values = _values_in(file, column, end)
        if values != column.num_values:
            raise ShardError(Trouble.COUNTS_DISAGREE, f"pages of {values} values, the footer says {column.num_values}")


def _values_in(file: Any, column: Any, end: int) -> int:
    if not _whole(column.total_compressed_size):
        return 0
    start = _start_of(column)
    stop = start + column.total_compressed_size
    if start < len(_MAGIC) or stop > end:
        raise ShardError(Trouble.TRUNCATED, "a column lies outside of the file")
    with no_arrow_message():
        return values_in_chunk(file, start, stop, end)


def _start_of(column: Any) -> int:
    """Where a chunk's first page stands. Writers put 0 for a page that is not there; 0 if none is."""
    dictionary = column.dictionary_page_offset if column.has_dictionary_page else 0
    return min((place for place in (dictionary, column.data_page_offset) if place), default=0)
