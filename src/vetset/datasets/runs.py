"""Row numbers, sorted and distinct, against stretches of a shard's rows.

In it: which rows of an array fall into a stretch, in runs of neighbours, and which rows of a stretch stay.
Not in it: what the rows hold. Rules: numbers count from the start of the shard; places from the start of the stretch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from vetset.errors import ShardError, Trouble

Rows = npt.NDArray[np.int64]


def within(rows: Rows, first: int, count: int) -> Rows:
    """Places in the stretch of `count` rows from `first` that the rows name."""
    low, high = np.searchsorted(rows, (first, first + count))
    places: Rows = rows[low:high] - first
    return places


def neighbours(places: Rows) -> Iterator[tuple[int, int]]:
    """Runs of places that follow each other, as (start, stop)."""
    if not len(places):
        return
    breaks = np.flatnonzero(np.diff(places) != 1) + 1
    for run in np.split(places, breaks):
        yield int(run[0]), int(run[-1]) + 1


def kept(removed: Rows, first: int, count: int) -> npt.NDArray[np.bool_]:
    """(count,) the rows of the stretch that are not removed."""
    mask = np.ones(count, np.bool_)
    mask[within(removed, first, count)] = False
    return mask


def check_rows(rows: Rows, total: int) -> None:
    """Raises ShardError unless the rows are ascending, distinct and in the shard."""
    if len(rows) and (rows[0] < 0 or rows[-1] >= total or (np.diff(rows) <= 0).any()):
        raise outside(total)


def outside(total: int) -> ShardError:
    """What to raise for rows that are no rows of the shard: the books of whoever asked are wrong."""
    return ShardError(Trouble.BOOKS, f"rows asked for that are out of order or not among {total}")
