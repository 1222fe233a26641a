"""The peers, side by side: what others do to drop the rows whose md5, or whose URL's md5, is on a list.

In it: plain Arrow, DuckDB, Polars and a hashlib loop as functions, and the measuring of a command in a process of its
own. Not in it: vetset (`columns` runs it), and making the data (`data`).
Rules: CPU seconds are of the whole process with its threads and children, start-up and reading of the list included;
every peer may do it in its own best way, one thread each unless told otherwise; all must keep the same rows.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data import BenchData, bench_data, shape_of, shape_options

# --- the peers: rows and list in, Parquet out ----------------------------------------------------------------------


def arrow_copy(data: BenchData, out: Path, threads: int) -> None:
    """The floor: read every file and write it again, dropping nothing."""
    for path in data.files():
        source = pq.ParquetFile(path)
        with pq.ParquetWriter(out / path.name, source.schema_arrow, compression="snappy") as writer:
            for number in range(source.num_row_groups):
                writer.write_table(source.read_row_group(number, use_threads=threads > 1))


def duckdb_anti_joins(data: BenchData, out: Path, threads: int) -> None:
    """Two anti joins with the list, in one query over all files."""
    import duckdb

    connection = duckdb.connect(config={"threads": threads})
    connection.execute(f"CREATE TABLE listed AS SELECT digest FROM '{data.digests_parquet}'")
    connection.execute(f"""
        COPY (
            SELECT r.* FROM read_parquet('{data.rows}/*.parquet') r
            ANTI JOIN listed a ON r.md5 = a.digest
            ANTI JOIN listed b ON md5(r."URL") = b.digest
        ) TO '{out}/all.parquet' (FORMAT parquet, COMPRESSION snappy)""")


def polars_anti_joins(data: BenchData, out: Path, threads: int) -> None:
    """Two anti joins with the list, streaming. POLARS_MAX_THREADS was set before the process began."""
    import polars as pl
    import polars_hash as plh

    if pl.thread_pool_size() != threads:
        raise RuntimeError("Polars has another number of threads than asked for")
    listed = pl.scan_parquet(data.digests_parquet)
    kept = (
        pl.scan_parquet(data.files())
        .join(listed, left_on="md5", right_on="digest", how="anti")
        .with_columns(plh.col("URL").nchash.md5().alias("url_md5"))
        .join(listed, left_on="url_md5", right_on="digest", how="anti")
        .drop("url_md5")
    )
    kept.sink_parquet(out / "all.parquet", compression="snappy", engine="streaming")


def hashlib_loop(data: BenchData, out: Path, threads: int) -> None:
    """What a script does: a set of digests, and a loop over the rows."""
    with data.digests_text.open("rb") as lines:
        listed = {bytes.fromhex(line.decode("ascii")) for line in lines}
    for path in data.files():
        source = pq.ParquetFile(path)
        with pq.ParquetWriter(out / path.name, source.schema_arrow, compression="snappy") as writer:
            for batch in source.iter_batches(65_536, use_threads=threads > 1):
                pairs = zip(batch["URL"].to_pylist(), batch["md5"].to_pylist(), strict=True)
                kept = pa.array([not _listed(url, digest, listed) for url, digest in pairs], pa.bool_())
                writer.write_batch(batch.filter(kept))


def _listed(url: str | None, digest: str | None, listed: set[bytes]) -> bool:
    if digest is not None and bytes.fromhex(digest) in listed:
        return True
    return url is not None and hashlib.md5(url.encode(), usedforsecurity=False).digest() in listed


PEERS: dict[str, Callable[[BenchData, Path, int], None]] = {
    "pyarrow read → write": arrow_copy,
    "DuckDB, 2 anti joins": duckdb_anti_joins,
    "Polars streaming, 2 anti joins": polars_anti_joins,
    "hashlib loop + Python set": hashlib_loop,
}
_BY_NAME = {peer.__name__: peer for peer in PEERS.values()}


# --- measuring a command -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a process and its children cost. Memory is the most that any single one of them had, sampled."""

    cpu_seconds: float
    wall_seconds: float
    peak_rss_bytes: int
    peak_private_bytes: int  # RssAnon: what is not shared with another process or backed by a file
    memory_files_bytes: int = 0  # all anonymous memory files (memfd) of all processes, each file once


@dataclass(slots=True)
class _Peak:
    """Samples a process and its descendants from outside, so that looking costs them nothing."""

    process_id: int
    every_seconds: float = 0.02
    rss_bytes: int = 0
    private_bytes: int = 0
    memory_files: dict[int, int] = field(default_factory=dict)  # inode -> bytes
    ended: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        while not self.ended.wait(self.every_seconds):
            for process_id in _with_descendants(self.process_id):
                memory = _memory(process_id)
                self.rss_bytes = max(self.rss_bytes, memory.get("VmHWM", 0))
                self.private_bytes = max(self.private_bytes, memory.get("RssAnon", 0))
                self.memory_files.update(_memory_files(process_id))


def _with_descendants(process_id: int) -> list[int]:
    found = [process_id]
    for known in found:
        for path in Path(f"/proc/{known}/task").glob("*/children"):
            found.extend(int(child) for child in _text_or_nothing(path).split())
    return found


def _memory(process_id: int) -> dict[str, int]:
    lines = (line.split() for line in _text_or_nothing(Path(f"/proc/{process_id}/status")).splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[-1] == "kB"}


def _memory_files(process_id: int) -> dict[int, int]:
    """The memfds that a process holds open: inode -> bytes of memory in use."""
    found = {}
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended between two looks
        for path in Path(f"/proc/{process_id}/fd").iterdir():
            if "/memfd:" in str(path.readlink()):
                status = path.stat()
                found[status.st_ino] = status.st_blocks * 512
    return found


def _text_or_nothing(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except (FileNotFoundError, ProcessLookupError):  # the process ended between two looks
        return ""


def measure(command: Sequence[str], *, environment: dict[str, str] | None = None) -> Measurement:
    """Runs a command to its end and says what it cost; raises CalledProcessError if it fails."""
    start = time.monotonic()
    # Bytecode is kept, as pip keeps it of what it installs: nobody's sources are compiled anew in each run.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(list(command), env={**inherited, **(environment or {})})
    peak = _Peak(process.pid)
    watcher = threading.Thread(target=peak.watch, daemon=True)
    watcher.start()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall_seconds = time.monotonic() - start
    peak.ended.set()
    watcher.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    memory_files_bytes = sum(peak.memory_files.values())
    return Measurement(_cpu_seconds(usage), wall_seconds, peak.rss_bytes, peak.private_bytes, memory_files_bytes)


def _cpu_seconds(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


@dataclass(frozen=True, slots=True)
class Kept:
    """The rows of an output, whatever their order and their files: how many, and the sum of their ids."""

    rows: int
    id_sum: int


def kept_rows(folder: Path) -> Kept:
    """Reads an output back. The sum is modulo 2^64; ids are random 63-bit numbers, so another set has another sum."""
    tables = [pq.read_table(path, columns=["SAMPLE_ID"]) for path in sorted(folder.glob("*.parquet"))]
    ids: Any = pa.concat_tables(tables)["SAMPLE_ID"].to_numpy()
    return Kept(len(ids), int(ids.astype(np.uint64).sum()))


@dataclass(frozen=True, slots=True)
class Run:
    """A peer, what it cost and what it kept."""

    name: str
    cost: Measurement
    kept: Kept


def run_peer(name: str, folder: Path, *, threads: int = 1, scratch: Path | None = None) -> Run:
    """One peer on the data in a folder, in a process of its own; its output is read back and removed."""
    out = Path(tempfile.mkdtemp(prefix="vetset-bench-", dir=scratch))
    try:
        command = [sys.executable, __file__, "--run", PEERS[name].__name__, str(out), "--folder", str(folder)]
        one = {"POLARS_MAX_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
        cost = measure([*command, "--threads", str(threads)], environment=one)
        return Run(name, cost, kept_rows(out))
    finally:
        shutil.rmtree(out)


def agreed(runs: Sequence[Run]) -> Kept:
    """What all runs kept, the floor aside. Exits with a message if they differ: then no figure means anything."""
    kept = {run.kept for run in runs if PEERS.get(run.name) is not arrow_copy}
    if len(kept) != 1:
        sys.exit("the rows kept differ: " + ", ".join(f"{run.name}: {run.kept.rows:,}" for run in runs))
    return kept.pop()


def medians(runs: Sequence[Run]) -> list[Run]:
    """For each name, in order of appearance, its run with the median CPU seconds (the lower of two)."""
    rounds: dict[str, list[Run]] = {}
    for run in runs:
        rounds.setdefault(run.name, []).append(run)
    return [sorted(of_one, key=lambda run: run.cost.cpu_seconds)[(len(of_one) - 1) // 2] for of_one in rounds.values()]


def table_lines(runs: Sequence[Run], rows: int) -> list[str]:
    """A Markdown table; each run is compared with the floor, which must be among them."""
    floor = min(run.cost.cpu_seconds for run in runs if PEERS.get(run.name) is arrow_copy)
    lines = [
        "| | CPU s | M rows / CPU s | times floor | wall s | peak RSS GB | private GB | rows kept |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        cost = run.cost
        figures = (
            f"{cost.cpu_seconds:.1f}",
            f"{rows / cost.cpu_seconds / 1e6:.2f}",
            f"{cost.cpu_seconds / floor:.1f}",
            f"{cost.wall_seconds:.1f}",
            f"{cost.peak_rss_bytes / 1e9:.2f}",
            f"{cost.peak_private_bytes / 1e9:.2f}",
            f"{run.kept.rows:,}",
        )
        lines.append(f"| {run.name} | {' | '.join(figures)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the peers on the data of the benchmarks.")
    shape_options(parser)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--run", nargs=2, metavar=("PEER", "OUT"), help="run one peer here, unmeasured")
    options = parser.parse_args()
    if options.run:
        pa.set_cpu_count(options.threads)
        data = BenchData.at(options.folder)
        _BY_NAME[options.run[0]](data, Path(options.run[1]), options.threads)
        return
    data = bench_data(options.folder, shape_of(options))
    turns = [name for _ in range(options.rounds) for name in PEERS]  # interleaved, as the machine's mood changes
    runs = [run_peer(name, options.folder, threads=options.threads) for name in turns]
    agreed(runs)
    rows = sum(pq.read_metadata(path).num_rows for path in data.files())
    print(json.dumps({"rows": rows, "threads": options.threads, "rounds": options.rounds}))
    print("\n".join(table_lines(medians(runs), rows)))


if __name__ == "__main__":
    main()
