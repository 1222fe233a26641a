"""Mutated pictures by the hundred thousand through sandboxed children, counted by outcome.

    python -m tests.campaign_pictures --files 1000000 [--processes 2] [--seed 1]

Seeds are the shared data (benign, formats, malformed); mutations are flipped bits, cut ends, pieces exchanged between
files, edited lengths and repeated stretches. Every file must end in a named outcome; a death or an alarm is printed with
the seed that makes the file again. At the end a table: files by outcome, deaths, alarms, growth of the worker.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from tests.sandboxes import files_under, pictures_of, sandbox
from vetset.sandbox.formats import format_of

BATCH = 500
MOST_SEED_BYTES = 200_000
TROUBLES = ("sandbox_death", "sandbox_alarm", "internal_error")


@dataclass
class Found:
    outcomes: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)
    grown_bytes: int = 0
    views: int = 0

    @property
    def alarms(self) -> int:
        return self.outcomes["sandbox_alarm"]


def seeds() -> tuple[list[bytes], list[bytes]]:
    """Files to mutate: sound ones of the formats that are decoded, and broken or odd ones."""
    sound = _small([*files_under("formats", "pdq"), *files_under("benign")[::20]])
    return [body for body in sound if format_of(body)], _small(files_under("malformed"))


def _small(paths: list[Path]) -> list[bytes]:
    bodies = [path.read_bytes() for path in paths if path.stat().st_size <= MOST_SEED_BYTES]
    return [body for body in bodies if len(body) > 16]


def mutated(number: int, sound: list[bytes], broken: list[bytes]) -> bytes:
    """File `number` of the campaign: the same for the same number and seeds."""
    chance = random.Random(number)
    body = bytearray(chance.choice(sound if chance.random() < 0.7 else broken))
    head = bytes(body[:12])
    for _ in range(chance.choice((1, 1, 2, 4))):
        _mutate(body, chance, sound)
    if chance.random() < 0.9:  # else most would end at the first bytes
        body[:12] = head
    return _with_sums(bytes(body)) if chance.random() < 0.7 else bytes(body)


def _with_sums(body: bytes) -> bytes:
    """A PNG with its checks made right again, so that what was changed reaches the decoder."""
    if not body.startswith(b"\x89PNG"):
        return body
    whole, at = [body[:8]], 8
    while at + 12 <= len(body):
        length = int.from_bytes(body[at : at + 4], "big")
        if at + 12 + length > len(body):
            break
        checked = body[at + 4 : at + 8 + length]
        whole += [body[at : at + 4], checked, zlib.crc32(checked).to_bytes(4, "big")]
        at += 12 + length
    return b"".join([*whole, body[at:]])


def _mutate(body: bytearray, chance: random.Random, bodies: list[bytes]) -> None:
    if len(body) < 8:
        return
    at = _place(body, chance)
    kind = chance.randrange(6)
    if kind == 0:
        for _ in range(chance.choice((1, 3, 10))):
            place = _place(body, chance)
            body[place] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del body[at:]
    elif kind == 2:
        other = chance.choice(bodies)
        start = chance.randrange(len(other))
        body[at : at + chance.randrange(200)] = other[start : start + chance.randrange(2000)]
    elif kind == 3:
        width = chance.choice((1, 2, 4))
        value = chance.choice((0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)) & ((1 << 8 * width) - 1)
        body[at : at + width] = value.to_bytes(width, chance.choice(("big", "little")))
    elif kind == 4:
        body[at:at] = body[at : at + chance.randrange(1000)] * chance.choice((1, 2, 8))
    else:
        del body[at : at + chance.randrange(1, 300)]


def _place(body: bytearray, chance: random.Random) -> int:
    """Half of the time near the start, where headers stand."""
    return chance.randrange(min(len(body), 256) if chance.random() < 0.5 else len(body))


def _part(first: int, files: int, timeout_seconds: int) -> Found:
    (sound, broken), found = seeds(), Found()
    before = 0
    with sandbox(timeout_seconds=timeout_seconds) as room:
        for start in range(first, first + files, BATCH):
            numbers = range(start, min(start + BATCH, first + files))
            answers = room.decode(pictures_of(mutated(number, sound, broken) for number in numbers))
            for number, answer in zip(numbers, answers, strict=True):
                found.outcomes[answer.outcome.value] += 1
                found.views += len(answer.views)
                if answer.outcome.value in TROUBLES:
                    found.troubles.append(f"{answer.outcome.value}: file {number}")
            before = before or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found.grown_bytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return found


def campaign(*, files: int, processes: int, seed: int, timeout_seconds: int = 10) -> Found:
    """Files `seed * 10**9` and on, in order, shared out over processes."""
    first = seed * 10**9
    if processes == 1:
        return _part(first, files, timeout_seconds)
    whole = Found()
    share = -(-files // processes)
    parts = [(first + at, min(share, files - at), timeout_seconds) for at in range(0, files, share)]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for part in pool.map(_part, *zip(*parts, strict=True)):
            whole.outcomes += part.outcomes
            whole.troubles += part.troubles
            whole.grown_bytes = max(whole.grown_bytes, part.grown_bytes)
            whole.views += part.views
    return whole


def table(found: Found, seconds: float) -> Iterator[str]:
    yield "| outcome | files |"
    yield "|---|--:|"
    for outcome, count in found.outcomes.most_common():
        yield f"| {outcome} | {count:,} |"
    yield f"| all | {found.outcomes.total():,} |"
    yield ""
    yield f"views {found.views:,}; growth of a worker {found.grown_bytes / 2**20:.1f} MiB; {seconds:.0f} s"
    yield from found.troubles


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--files", type=int, default=1_000_000)
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--timeout", type=int, default=10)
    asked = options.parse_args()
    started = time.monotonic()
    found = campaign(files=asked.files, processes=asked.processes, seed=asked.seed, timeout_seconds=asked.timeout)
    for line in table(found, time.monotonic() - started):
        sys.stdout.write(f"{line}\n")
    return 1 if found.troubles else 0


if __name__ == "__main__":
    sys.exit(main())
