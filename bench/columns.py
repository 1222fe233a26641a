"""The benchmark of the main job: vetset beside the peers, on the same rows and the same list, in one run.

In it: the rounds and the tables. Not in it: what each contender does (`peers`, `audits`), and the data (`data`).
Rules: rounds are interleaved, since the machine's mood changes; what is compared is CPU seconds of the whole process
tree, medians; every contender is run on all files and on the first one alone, and the difference, which holds neither
start-up nor the reading of the list, is given by the million rows. All must keep the same rows, or nothing is printed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from audits import AUDITS, WHOLE, Lists, compiled_lists, run_audit, steps_of
from data import BenchData, Shape, bench_data, shape_of, shape_options
from peers import PEERS, Run, agreed, medians, run_peer
from steps import OTHER, STEPS
from vetset.testing.rows import write_shards

FLOOR = next(iter(PEERS))
NAMES = (*PEERS, *(audit.name for audit in AUDITS))
#: Rows in the one file of each run for memory; more rows must not mean more memory.
MEMORY_ROWS = (4_000_000, 16_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure vetset beside the peers.")
    shape_options(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--also-planted", type=int, nargs="*", default=[40], help="further counts of listed rows")
    parser.add_argument("--no-memory", action="store_true", help="leave out the runs that look at memory")
    options = parser.parse_args()
    shape = shape_of(options)
    _print(_about(shape, options.rounds))
    for planted in dict.fromkeys([*options.also_planted, shape.planted]):
        folder, here = options.folder / f"planted-{planted}", replace(shape, planted=planted)
        data = bench_data(folder, here)
        lists = compiled_lists(options.folder / f"lists-{planted}", data.digests_text)
        first = _first_file(options.folder / f"first-{planted}", data)
        _print(_density(data, here))
        _print(_speed(folder, first, data, lists, options.rounds))
        _print(_steps(data, lists))
    if not options.no_memory:
        _print(_memory(options.folder, data, lists, shape))


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        print(line, flush=True)
    print()


def _about(shape: Shape, rounds: int) -> Iterator[str]:
    packages = ("vetset", "pyarrow", "numpy", "ada-url", "pyrage", "duckdb", "polars", "polars-hash")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    yield f"{shape.files} files of {shape.rows_per_file:,} rows, {shape.digests:,} digests; {rounds} interleaved rounds"
    yield f"Python {platform.python_version()}, {versions}"


def _density(data: BenchData, shape: Shape) -> Iterator[str]:
    yield f"**{shape.planted:,} of {_rows_of(data):,} rows listed**\n"


def _first_file(folder: Path, data: BenchData) -> Path:
    """A folder with the first file of the data and the same digests, as links."""
    shutil.rmtree(folder, ignore_errors=True)
    first = BenchData.at(folder)
    first.rows.mkdir(parents=True)
    source = data.files()[0].absolute()
    (first.rows / source.name).symlink_to(source)
    first.digests_text.symlink_to(data.digests_text.absolute())
    first.digests_parquet.symlink_to(data.digests_parquet.absolute())
    return folder


# --- speed ----------------------------------------------------------------------------------------------------------


def _speed(folder: Path, first: Path, data: BenchData, lists: Lists, rounds: int) -> Iterator[str]:
    whole_runs, first_runs = [], []
    for _ in range(rounds):
        for name in NAMES:
            whole_runs.append(_run(name, folder, lists))
            first_runs.append(_run(name, first, lists))
    for runs in (whole_runs, first_runs):
        agreed([run for run in runs if run.name != WHOLE.name])  # expand takes more rows than a list names
    rows, first_rows = _rows_of(data), _rows_of(BenchData.at(first))
    return _speed_table(medians(whole_runs), medians(first_runs), rows, first_rows)


def _run(name: str, folder: Path, lists: Lists) -> Run:
    for audit in AUDITS:
        if audit.name == name:
            return run_audit(audit, BenchData.at(folder), lists)
    return run_peer(name, folder)


def _rows_of(data: BenchData) -> int:
    return sum(pq.read_metadata(path).num_rows for path in data.files())


def _speed_table(runs: Sequence[Run], first: Sequence[Run], rows: int, first_rows: int) -> Iterator[str]:
    """A line for each contender; `first` are the same on fewer rows."""
    millions = (rows - first_rows) / 1e6
    seconds = {run.name: run.cost.cpu_seconds for run in runs}
    more = {run.name: (seconds[run.name] - run.cost.cpu_seconds) / millions for run in first}
    yield "| | CPU s | times floor | CPU s a further M rows | times floor | wall s | RSS GB | private GB | rows kept |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for run in runs:
        figures = (
            f"{seconds[run.name]:.1f}",
            f"{seconds[run.name] / seconds[FLOOR]:.1f}",
            f"{more[run.name]:.2f}",
            f"{more[run.name] / more[FLOOR]:.1f}",
            f"{run.cost.wall_seconds:.0f}",
            f"{run.cost.peak_rss_bytes / 1e9:.2f}",
            f"{run.cost.peak_private_bytes / 1e9:.2f}",
            f"{run.kept.rows:,}",
        )
        yield f"| {run.name} | {' | '.join(figures)} |"


# --- where the time goes ----------------------------------------------------------------------------------------------


def _steps(data: BenchData, lists: Lists) -> Iterator[str]:
    taken = [steps_of(audit, data, lists) for audit in AUDITS]
    yield f"| CPU s by step | {' | '.join(audit.name for audit in AUDITS)} |"
    yield "|---|---|---|"
    names = dict.fromkeys([*taken[0], *STEPS.values(), OTHER])
    for name in sorted(names, key=lambda step: -taken[-1].get(step, 0.0)):
        yield f"| {name} | {' | '.join(f'{seconds.get(name, 0.0):.1f}' for seconds in taken)} |"
    yield f"| **sum** | {' | '.join(f'**{sum(seconds.values()):.1f}**' for seconds in taken)} |"


# --- memory -----------------------------------------------------------------------------------------------------------


def _memory(folder: Path, data: BenchData, lists: Lists, shape: Shape) -> Iterator[str]:
    """The whole job under the local runner. Private memory is the most that any one process had."""
    yield "| whole job | workers | CPU s | wall s | most private memory of a process MB | lists in memory MB |"
    yield "|---|---|---|---|---|---|"
    entries = 2 * shape.digests
    for count in MEMORY_ROWS:
        yield _memory_line(f"one file of {count:,} rows", _one_file(folder, count, shape.seed), lists, 1)
    yield _memory_line(f"{len(data.files())} files", data, lists, 2)
    on_disk = sum(lists.path(name).stat().st_size for name in WHOLE.lists)
    yield ""
    yield f"On disk the two lists take {on_disk / entries:.2f} bytes an entry; one took"
    yield f"{lists.compiling.cpu_seconds:.1f} CPU s and {lists.compiling.peak_rss_bytes / 1e9:.2f} GB to compile."


def _one_file(folder: Path, rows: int, seed: int) -> BenchData:
    """The first rows of the seed in one file; made anew, and left for the next time."""
    data = BenchData.at(folder / f"one-{rows}-{seed}")
    if not data.files():
        write_shards(data.rows.with_name("partly"), rows, 1, seed=seed)
        data.rows.with_name("partly").rename(data.rows)
    return data


def _memory_line(name: str, data: BenchData, lists: Lists, workers: int) -> str:
    cost = run_audit(WHOLE, data, lists, options=("--runner", "local", "--workers", str(workers))).cost
    private, shared = cost.peak_private_bytes / 1e6, cost.memory_files_bytes / 1e6
    return f"| {name} | {workers} | {cost.cpu_seconds:.0f} | {cost.wall_seconds:.0f} | {private:.0f} | {shared:.0f} |"


if __name__ == "__main__":
    main()
