"""What lies beside a Parquet with a line for each row: embeddings and img2dataset's counts, written without some rows.

In it: which writer a companion takes, and the counts of `_stats.json` taken anew. Not in it: the Parquet itself.
Rules: where no row goes a companion is copied byte for byte; counts become those of the lines that are left where the
Parquet tells a status, and are lowered by what went where it does not; whatever else a stats file says stays.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vetset.datasets.embeddings import write_array_without
from vetset.datasets.location import readable
from vetset.datasets.naming import STATS
from vetset.datasets.rowgroups import ParquetSource, no_arrow_message, rows_of_group
from vetset.datasets.runs import Rows, within
from vetset.errors import ShardError, Trouble
from vetset.ports import ByteSink, Products
from vetset.records import Shard

STATUS, ERROR = "status", "error_message"
#: Counts of a stats file, and the status of the lines each is of (img2dataset 1.47, logger.write_stats).
_COUNTS = {"successes": "success", "failed_to_download": "failed_to_download", "failed_to_resize": "failed_to_resize"}
#: By what happened to a download: `success`, or the message of its error (downloader.download_shard).
_BY_EVENT = "status_dict"
MAX_STATS_BYTES = 1024 * 1024
_COPY_BYTES = 4 * 1024 * 1024


@dataclass(slots=True, repr=False)
class Gone:
    """How many lines there were and how many go: all, by status, and by what happened. `by_status` None: not told."""

    total: int
    removed: int
    statuses: Counter[Any] | None = None  # of the lines that stay
    events: Counter[Any] = field(default_factory=Counter)  # of the lines that go


def write_companions_without(
    root: Path, shard: Shard, source: ParquetSource, batch_rows: int, removed: Rows, product: Products
) -> None:
    """The companions of a Parquet shard less the removed rows (which are not none)."""
    stats = any(path.endswith(STATS) for path in shard.companions)
    gone = gone_from(source, batch_rows, removed) if stats else Gone(source.footer.rows, len(removed))
    for path in shard.companions:
        with product(path) as sink:
            if path.endswith(STATS):
                write_stats(root / path, gone, sink)
            elif path.endswith(".npy"):
                write_array_without(root / path, source.footer.rows, removed, sink)
            else:
                raise ShardError(Trouble.NOT_THE_FORMAT, "a companion of a kind that is not understood")


def copy_file(path: Path, sink: ByteSink) -> None:
    """A file as it is, in pieces."""
    with readable():
        file = path.open("rb")
    with file:
        while piece := _piece(file):
            sink.write(piece)


def _piece(file: Any) -> bytes:
    with readable():
        return bytes(file.read(_COPY_BYTES))


def gone_from(source: ParquetSource, batch_rows: int, removed: Rows) -> Gone:
    """What the removal takes from the counts, from the columns in which img2dataset keeps what happened."""
    gone = Gone(source.footer.rows, len(removed))
    if STATUS not in source.schema.names:
        return gone
    gone.statuses = Counter()
    first = 0
    for statuses, errors in _events(source, batch_rows):
        gone.statuses.update(statuses)
        for place in within(removed, first, len(statuses)).tolist():
            gone.statuses[statuses[place]] -= 1
            gone.events[statuses[place] if statuses[place] == "success" else errors[place]] += 1
        first += len(statuses)
    return gone


def _events(source: ParquetSource, batch_rows: int) -> Iterator[tuple[Sequence[Any], Sequence[Any]]]:
    names = frozenset({STATUS, ERROR} & set(source.schema.names))
    for number in range(len(source.footer.groups)):
        for batch in rows_of_group(source, number, names, batch_rows):
            with no_arrow_message():
                statuses = _texts(batch.column(STATUS))
                yield statuses, _texts(batch.column(ERROR)) if ERROR in names else [None] * len(statuses)


def _texts(array: Any) -> list[str | None]:
    return [value if isinstance(value, str) else None for value in array.to_pylist()]


def write_stats(path: Path, gone: Gone, sink: ByteSink) -> None:
    """A stats file counted anew; what is no object of counts, or goes on beyond a mebibyte, is copied as it is."""
    with readable(), path.open("rb") as file:
        text = file.read(MAX_STATS_BYTES + 1)
    tree = _tree(text) if len(text) <= MAX_STATS_BYTES else None
    if tree is None or not gone.removed:
        copy_file(path, sink)
    else:
        sink.write(json.dumps({**tree, **_fresh(tree, gone)}, indent=4).encode("utf-8"))


def _tree(text: bytes) -> dict[str, Any] | None:
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return tree if isinstance(tree, dict) else None


def _fresh(tree: Mapping[str, Any], gone: Gone) -> dict[str, Any]:
    """The counts that a stats file has, as they are without what went."""
    if gone.statuses is None:
        known = {name: tree[name] for name in ("count", "successes") if _is_count(tree.get(name))}
        return {name: max(0, value - gone.removed) for name, value in known.items()}
    fresh: dict[str, Any] = {"count": gone.total - gone.removed}
    fresh.update({name: gone.statuses[status] for name, status in _COUNTS.items()})
    events = tree.get(_BY_EVENT)
    if isinstance(events, dict):
        fresh[_BY_EVENT] = _lowered(events, gone.events)
    return {name: value for name, value in fresh.items() if name in tree}


def _lowered(events: Mapping[str, Any], removed: Counter[Any]) -> dict[str, Any]:
    """Counts by event; one that comes to nothing goes, since its name tells of what went."""
    touched = {name: value - removed[name] for name, value in events.items() if removed[name] and _is_count(value)}
    return {name: touched.get(name, value) for name, value in events.items() if touched.get(name, 1) > 0}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
