"""The benchmark of the clean step alone: a Parquet file less rows that are given, beside pyarrow's ways to write one.

In it: the file (LAION-like rows, made once from a seed), the contenders, the table. Not in it: screening (`columns`).
Rules: CPU seconds of this process, which reads and writes with one thread; rounds are interleaved, medians are printed;
each way takes its output through a file of its own and, where it is vetset's, through the ledger's sink with its digest
and its sync, as in an audit. What vetset wrote is compared with Arrow's filter before anything is printed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vetset.config import Settings
from vetset.datasets.location import find_shards
from vetset.datasets.rewrite import rewrite
from vetset.datasets.rowgroups import opened
from vetset.kernels import native
from vetset.ledger import Sink
from vetset.testing.rows import write_shards

Rows = npt.NDArray[np.int64]

FOLDER = Path(__file__).parent / "data" / "clean"
#: One row in so many is removed; 0 for none.
RATES = {"none": 0, "one in a million": 1_000_000, "one in 100,000": 100_000, "one in 740": 740, "one in 50": 50}


class Bench:
    """A file of rows, and the ways to write it again."""

    def __init__(self, path: Path, out: Path) -> None:
        self.path = path
        self.out = out
        self.rows = pq.read_metadata(path).num_rows

    def removed(self, one_in: int) -> Rows:
        """Rows chosen from a seed, spread over the file."""
        if not one_in:
            return np.zeros(0, np.int64)
        count = max(1, self.rows // one_in)
        return np.sort(np.random.default_rng(one_in).choice(self.rows, count, replace=False)).astype(np.int64)

    def read_write(self, _: Rows) -> None:
        """The floor: every row group read and written."""
        source = pq.ParquetFile(self.path)
        with pq.ParquetWriter(self.out / "floor.parquet", source.schema_arrow, compression="snappy") as writer:
            for number in range(source.num_row_groups):
                writer.write_table(source.read_row_group(number, use_threads=False))

    def read_filter_write(self, removed: Rows) -> None:
        """What a script does."""
        source, first = pq.ParquetFile(self.path), 0
        with pq.ParquetWriter(self.out / "filter.parquet", source.schema_arrow, compression="snappy") as writer:
            for number in range(source.num_row_groups):
                table = source.read_row_group(number, use_threads=False)
                mask = np.ones(table.num_rows, np.bool_)
                low, high = np.searchsorted(removed, (first, first + table.num_rows))
                mask[removed[low:high] - first] = False
                writer.write_table(table.filter(pa.array(mask)))
                first += table.num_rows

    def vetset(self, removed: Rows) -> None:
        """The clean step's writing: a copy where nothing goes, else the splice."""
        sink = Sink(self.out)
        if not len(removed):
            sink.copy("vetset.parquet", self.path)
            return
        shard = find_shards(str(self.path)).shards[0]
        with (
            sink.product("vetset.parquet") as stream,
            opened(self.path.parent / shard.path, Settings().run, extensions=True) as source,
        ):
            rewrite(source, removed, stream)

    def check(self, removed: Rows) -> None:
        """vetset's file is Arrow's filter of the source."""
        mask = np.ones(self.rows, np.bool_)
        mask[removed] = False
        if not pq.read_table(self.out / "vetset.parquet").equals(pq.read_table(self.path).filter(pa.array(mask))):
            sys.exit("vetset kept other rows than Arrow's filter")

    @property
    def size_ratio(self) -> float:
        """vetset's file to the source."""
        return (self.out / "vetset.parquet").stat().st_size / self.path.stat().st_size


def cpu_seconds(work: Callable[[Rows], None], removed: Rows) -> float:
    start = time.process_time()
    work(removed)
    return time.process_time() - start


def table(bench: Bench, rounds: int) -> Iterator[str]:
    """A line for each rate."""
    yield "| rows removed | read → write | read → filter → write | vetset clean | times read → write | times its size |"
    yield "|---|---|---|---|---|---|"
    for name, one_in in RATES.items():
        removed = bench.removed(one_in)
        ways = (bench.read_write, bench.read_filter_write, bench.vetset)
        taken = [[cpu_seconds(way, removed) for way in ways] for _ in range(rounds)]
        bench.check(removed)
        floor, script, ours = (statistics.median(way) for way in zip(*taken, strict=True))
        yield f"| {name} | {floor:.2f} | {script:.2f} | {ours:.2f} | {ours / floor:.2f} | {bench.size_ratio:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the clean step alone beside pyarrow.")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain", action="store_true", help="without the native kernels")
    options = parser.parse_args()
    if options.plain:
        native.LIB = None
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    folder = options.folder / str(options.rows)
    if not folder.is_dir():
        write_shards(folder, options.rows, 1, seed=1)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("vetset", "pyarrow", "numpy"))
    print(f"{options.rows:,} rows, {options.rounds} interleaved rounds, CPU seconds; native: {native.LIB is not None}")
    print(f"Python {platform.python_version()}, {versions}\n")
    with tempfile.TemporaryDirectory(prefix="vetset-bench-") as out:
        for line in table(Bench(next(folder.glob("*.parquet")), Path(out)), options.rounds):
            print(line, flush=True)


if __name__ == "__main__":
    main()
