"""The command `demo`: its options and its exit status. The demo itself is `vetset.demo`."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from vetset.cli.progress import Progress
from vetset.cli.streams import say


@click.command(short_help="A whole audit on rows made on the spot.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("vetset-demo"), show_default=True, help="A new folder."
)
@click.option("--rows", type=click.IntRange(2_000), default=200_000, show_default=True, help="Rows to write.")
@click.option("--workers", type=click.IntRange(0), default=0, help="Worker processes; 0 is one for each core.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def demo(out: Path, rows: int, workers: int, *, quiet: bool) -> int:
    """Write synthetic rows and lists with known plants, audit and clean them, and check every row against the plants.

    Opens nothing, sends nothing; every address is under a reserved name and every digest invented.
    """
    from vetset.demo import run_demo

    with Progress(sys.stderr, quiet=quiet, clock=time.monotonic) as watcher:
        result = run_demo(out, rows=rows, workers=workers, watcher=watcher, now=datetime.now(UTC), clock=time.monotonic)
    for line in result.lines:
        say(line)
    return 0 if result.as_planted else 1
