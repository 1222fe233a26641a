"""Parquet as Arrow reads it: a file opened after its footer was checked, and the rows of a row group.

In it: the meeting of our reading of the footer with Arrow's, streaming, counting, and the translation of Arrow's
exceptions. Not in it: which columns are ours, and what becomes of the rows.
Rules: Arrow's messages quote values, so none passes; pages are counted before rows are read and rows while they are,
and both must meet the footer; pages come through a buffer, so that memory does not grow with a row group.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vetset.config import RunSettings
from vetset.datasets.footer import Footer, Group, check_pages, read_footer
from vetset.errors import ShardError, Trouble

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
        raise undecodable() from None
    except (pa.ArrowException, ValueError, TypeError, LookupError, NotImplementedError):
        raise undecodable() from None


def undecodable() -> ShardError:
    """What to raise for contents that are not what their headers say."""
    return ShardError(Trouble.NOT_THE_FORMAT, "a part of the file cannot be decoded")


@dataclass(frozen=True, slots=True)
class ParquetSource:
    """An open file: `arrow` is pyarrow's ParquetFile, `schema` its Arrow schema with all metadata."""

    file: Any
    footer: Footer
    arrow: Any
    schema: Any

    @property
    def leaves(self) -> list[Any]:
        """Parquet's own description of each leaf column, in the order of a row group's chunks."""
        parquet_schema = self.arrow.schema
        return [parquet_schema.column(place) for place in range(len(parquet_schema))]


@contextmanager
def opened(path: Path, run: RunSettings, *, extensions: bool) -> Iterator[ParquetSource]:
    """A Parquet file, checked. `extensions`: whether Arrow's own extension types (JSON, UUID) are kept as such."""
    with no_arrow_message():
        file = pa.OSFile(str(path))
    with file:
        with no_arrow_message():
            footer = read_footer(file, run)
            file.seek(0)
            arrow = pq.ParquetFile(
                file,
                pre_buffer=False,
                buffer_size=_BUFFER_BYTES,
                page_checksum_verification=True,
                arrow_extensions_enabled=extensions,
            )
            source = ParquetSource(file, footer, arrow, arrow.schema_arrow)
            _check_same(source)
        yield source


def _check_same(source: ParquetSource) -> None:
    """Arrow read the same footer as we did, and every row group has every column of the schema."""
    groups, metadata = source.footer.groups, source.arrow.metadata
    if (metadata.num_row_groups, metadata.num_rows) != (len(groups), source.footer.rows):
        raise ShardError(Trouble.COUNTS_DISAGREE, "the footer reads in two ways")
    leaves = [(leaf.path, leaf.physical_type, leaf.max_repetition_level == 0) for leaf in source.leaves]
    for group in groups:
        _check_group(group, leaves)


def _check_group(group: Group, leaves: list[tuple[str, str, bool]]) -> None:
    if [(chunk.path, chunk.kind) for chunk in group.chunks] != [(path, kind) for path, kind, _ in leaves]:
        raise ShardError(Trouble.NOT_THE_FORMAT, "a row group has other columns than the schema")
    for chunk, (_, _, flat) in zip(group.chunks, leaves, strict=True):
        if flat and chunk.values != group.rows:
            raise ShardError(Trouble.COUNTS_DISAGREE, f"a column of {chunk.values} values in {group.rows} rows")


def rows_of_group(source: ParquetSource, number: int, names: frozenset[str] | None, batch_rows: int) -> Iterator[Any]:
    """Arrow record batches of at most `batch_rows` rows with the named top-level columns, or all (None)."""
    with no_arrow_message():
        check_pages(source.file, source.footer, number, names)
        columns = None if names is None else sorted(names)
        batches = source.arrow.iter_batches(batch_rows, row_groups=[number], columns=columns, use_threads=False)
    rows = 0
    while True:
        with no_arrow_message():
            batch = next(batches, None)
        if batch is None:
            break
        rows += batch.num_rows
        yield batch
    expected = source.footer.groups[number].rows
    if rows != expected:
        raise ShardError(Trouble.COUNTS_DISAGREE, f"row group {number}: {rows} rows read, {expected} in the footer")
