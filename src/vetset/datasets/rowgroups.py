"""The rows of one Parquet row group, streamed and counted.

In it: batches as Arrow reads them. Not in it: which columns are ours, and what becomes of the rows.
Rules: the pages are counted before the rows are read, the rows while they are; both must meet the footer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vetset.datasets.footer import check_pages, no_arrow_message
from vetset.errors import ShardError, Trouble


def rows_of_group(file: Any, parquet: Any, number: int, names: frozenset[str] | None, batch_rows: int) -> Iterator[Any]:
    """Arrow record batches of at most `batch_rows` rows with the named top-level columns, or all (None)."""
    check_pages(file, parquet.metadata, number, names)
    with no_arrow_message():
        columns = None if names is None else sorted(names)
        batches = parquet.iter_batches(batch_rows, row_groups=[number], columns=columns, use_threads=False)
    rows = 0
    while True:
        with no_arrow_message():
            batch = next(batches, None)
        if batch is None:
            break
        rows += batch.num_rows
        yield batch
    expected = parquet.metadata.row_group(number).num_rows
    if rows != expected:
        raise ShardError(Trouble.COUNTS_DISAGREE, f"row group {number}: {rows} rows read, {expected} in the footer")
