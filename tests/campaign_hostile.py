"""Every hostile behaviour again and again, in a network of its own: `python -m tests.campaign_hostile [--rounds 20]`.

Prints a table of outcomes, and every fault: an outcome that is not the right one, a deadline or a cap that was passed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests import networks
from tests.hostility import faults, rounds
from vetset.testing.hostile_web import BEHAVIOURS


def campaign(count: int) -> int:
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    longest, grown = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        for number, done in enumerate(rounds(Path(folder), count)):
            counts.update(answer.outcome.value for answer in done.answers)
            wrong += [f"round {number}: {fault}" for fault in faults(done)]
            longest = max(longest, *(answer.seconds for answer in done.answers))
            grown = max(grown, done.grown_bytes if number else 0)  # the first round loads what it needs
    lines = ["| outcome | answers |", "|---|--:|", *(f"| {name} | {n:,} |" for name, n in counts.most_common()), ""]
    lines.append(
        f"{len(BEHAVIOURS)} behaviours, {count} times each: {len(wrong)} faults; "
        f"longest {longest:.1f} s; most growth of memory {grown / 2**20:.1f} MiB"
    )
    sys.stdout.write("\n".join([*lines, *wrong]) + "\n")
    return 1 if wrong else 0


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.inside:
        return campaign(asked.rounds)
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "tests.campaign_hostile", "--inside", "--rounds", str(asked.rounds)]
        return networks.run_shown(words, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
