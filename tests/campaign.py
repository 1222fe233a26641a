"""The crash campaign as one command: `python -m tests.campaign [--quick] [--seed N] [--part PART] [--write-readme]`.

In it: how much of each kind is tried, the counts as a table, and the table's place in the README. Not in it: faults.
Rules: any loss ends the command with 1 and says by which seed and fault it is seen again; what was not tried in full is
said with its numbers.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random

from tests.crash_case import crash_case
from tests.crash_chain import run_chain
from tests.crash_command import (
    SERIAL,
    WORKERS,
    Command,
    interrupt,
    kill_coordinator,
    kill_worker,
)
from tests.crash_points import KINDS, Points, torn_lengths
from tests.faults import Fault, Operation

README = Path(__file__).parents[1] / "README.md"
_PLACE = re.compile(r"(<!-- campaign -->\n).*?(<!-- /campaign -->)", re.DOTALL)
#: Products of the case's run after which signals are sent; it ends with about ninety.
MOMENTS = (1, 10, 25, 40, 60, 80)


@dataclass(frozen=True)
class Row:
    """A line of the table: what was tried how often, and each loss in words."""

    what: str
    tried: int
    note: str = ""
    losses: tuple[str, ...] = ()
    seconds: float = 0.0


Part = Callable[[], Row]


# --- the parts --------------------------------------------------------------------------------------------------------


def points(name: str, share: int, shares: int, *, quick: bool) -> Row:
    """All points of a job's operations, or of one share of them; `quick` is every ninth operation at five lengths."""

    def chosen(at: int, operation: Operation) -> Iterator[Fault]:
        own = case.operations * share // shares <= at < case.operations * (share + 1) // shares
        if not own or (quick and at % 9):
            return
        for torn in few_lengths(operation) if quick else reversed(torn_lengths(operation)):
            yield from (Fault(at, kind, torn) for kind in KINDS)

    with crash_case(name) as case:
        search = Points(case, chosen)
        losses = tried_once(search.run)
    counts = search.counts
    same = counts["same files as before"] + counts["same files once swept"]
    note = f"{counts['recovered to the end']:,} recovered to the end, {same:,} at the same files as one of these"
    return Row(f"points of {name}", sum(counts[kind] for kind in KINDS), note, losses)


def few_lengths(operation: Operation) -> list[int]:
    length = operation.length
    return sorted({0, 1, length // 2, length - 1, length}) if length else [0]


def tried_once(attempt: Callable[[], object]) -> tuple[str, ...]:
    try:
        attempt()
    except AssertionError as loss:
        return (str(loss),)
    return ()


def chains(name: str, seeds: Sequence[int]) -> Row:
    struck, losses = 0, []
    with crash_case(name) as case:
        for seed in seeds:
            try:
                struck += run_chain(case, seed)
            except AssertionError as loss:
                losses.append(str(loss))
    note = f"seeds {seeds[0]} to {seeds[-1]}, {struck:,} faults struck"
    return Row(f"chains of {name}", len(seeds), note, tuple(losses))


def injections(runner: Sequence[str], tries: int, seed: int) -> Row:
    """System calls of the shipped command that change a file, drawn by the seed: each killed at, and made to fail."""
    losses: list[str] = []
    with crash_case() as case:
        command = Command(case, runner)
        calls = command.calls()
        drawn = Random(seed).sample(calls, min(tries, len(calls)))
        for call in drawn:
            for what in ("KILL", "ENOSPC", "EIO"):
                losses += tried_once(partial(command.struck, replace(call, what=what)))
    note = f"{len(drawn)} of {len(calls)} calls, seed {seed}: KILL, ENOSPC and EIO at each"
    return Row(f"system calls, {' '.join(runner)}", 3 * len(drawn), note, tuple(losses))


def signals(moments: Sequence[int]) -> Row:
    losses: list[str] = []
    with crash_case() as case:
        command = Command(case, WORKERS)
        for send in (kill_coordinator, kill_worker, interrupt):
            for products in moments:
                losses += tried_once(partial(command.signalled, products, send))
    return Row("signals", 3 * len(moments), "SIGKILL of coordinator, of a worker, Ctrl-C", tuple(losses))


def parts_of(name: str, seed: int, *, quick: bool) -> list[Part]:
    shares = 1 if quick else 4
    audits = [partial(points, "audit", share, shares, quick=quick) for share in range(shares)]
    known: dict[str, list[Part]] = {
        "points": [*audits, partial(points, "close", 0, 1, quick=quick), partial(points, "clean", 0, 1, quick=quick)],
        "pictures": [
            *(partial(points, "pictures", share, shares, quick=quick) for share in range(shares)),
            partial(points, "pictures clean", 0, 1, quick=quick),
            partial(chains, "pictures", range(seed, seed + (20 if quick else 1000))),
            partial(chains, "pictures clean", range(seed, seed + (10 if quick else 250))),
        ],
        "chains": [
            partial(chains, "audit", range(seed, seed + (40 if quick else 2000))),
            partial(chains, "clean", range(seed, seed + (20 if quick else 500))),
        ],
        "syscalls": [
            partial(injections, SERIAL, 4 if quick else 80, seed),
            partial(injections, WORKERS, 1 if quick else 6, seed),
            partial(signals, MOMENTS[2:3] if quick else MOMENTS),
        ],
    }
    return [part for key, parts in known.items() if name in {key, "all"} for part in parts]


def timed(part: Part) -> Row:
    """In a process of its own, so that the clock of its processor is the part's, children included."""
    started, row = os.times(), part()
    spent = sum(now - then for now, then in zip(os.times()[:4], started[:4], strict=True))
    return replace(row, seconds=spent)


# --- the command --------------------------------------------------------------------------------------------------


def main() -> int:
    options = options_of()
    started = time.monotonic()
    parts = parts_of(options.part, options.seed, quick=options.quick)
    context = get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=context, max_tasks_per_child=1) as pool:
        rows = []
        for row in pool.map(timed, parts):
            rows.append(row)
            print(line_of(row), flush=True)  # noqa: T201 - this is a command
    minutes = (time.monotonic() - started) / 60
    table = table_of(merged(rows), minutes, options.jobs)
    print(f"\n{table}")  # noqa: T201
    for row in rows:
        for loss in row.losses:
            print(f"LOSS in {row.what}: {loss}", file=sys.stderr)  # noqa: T201
    if options.write_readme:
        text = README.read_text("utf-8")
        README.write_text(_PLACE.sub(lambda found: f"{found[1]}{table}{found[2]}", text), "utf-8")
    return 1 if any(row.losses for row in rows) else 0


def options_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few of each, in about a minute")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", choices=("points", "pictures", "chains", "syscalls", "all"), default="all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--write-readme", action="store_true", help="put the table into README.md")
    return parser.parse_args()


def merged(rows: Sequence[Row]) -> list[Row]:
    """Shares of the same thing as one line; their notes hold counts in the same order."""
    together: dict[str, Row] = {}
    for row in rows:
        before = together.get(row.what)
        if before is not None:
            row = Row(  # noqa: PLW2901
                row.what,
                before.tried + row.tried,
                summed(before.note, row.note),
                before.losses + row.losses,
                before.seconds + row.seconds,
            )
        together[row.what] = row
    return list(together.values())


def summed(one: str, other: str) -> str:
    """The note with the sums of its numbers."""
    more = iter(re.findall(r"[\d,]*\d", other))
    return re.sub(
        r"[\d,]*\d", lambda found: f"{int(found[0].replace(',', '')) + int(next(more).replace(',', '')):,}", one
    )


def line_of(row: Row) -> str:
    return f"| {row.what} | {row.tried:,} | {len(row.losses)} | {row.note} | {row.seconds:.0f} s |"


def table_of(rows: Sequence[Row], minutes: float, jobs: int) -> str:
    head = "| what | tried | losses | of these | processor time |\n|---|---:|---:|---|---:|\n"
    total = Row("together", sum(row.tried for row in rows), "", sum((row.losses for row in rows), ()))
    total = replace(total, seconds=sum(row.seconds for row in rows))
    lines = "".join(f"{line_of(row)}\n" for row in (*rows, total))
    return f"{head}{lines}\nTook about {max(minutes, 1):.0f} minutes with {jobs} processes.\n"


if __name__ == "__main__":
    sys.exit(main())
