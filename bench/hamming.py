"""Near search beside faiss: every key within 31 bits of a query, on lists with the bit statistics of real PDQ.

    python -m bench.hamming [--counts 1000000 10000000] [--lists words crops] [--rounds 5] [--pictures DIR]

In it: lists, queries, contenders, the table.
Rules: one thread, CPU seconds, contenders take turns in each round and the median is shown; the index is searched where
production has it, in a sealed memory file of ordinary pages; what is found must be what comparing all pairs finds, pair
by pair, and every planted query must be found, or nothing is printed.

Lists: `words` draws each of a key's eight 32-bit words from the PDQ of pictures and their crops (about 14,000), which
gives real bits and crowded buckets; `crops` are the PDQ of random crops of those pictures, in eight orientations, near
to each other as real lists are; `uniform` are random bits. Queries: 500 of the list's own kind, and 200 keys of the
list with 0 to 31 bits turned over.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
from PIL import Image

from vetset import kernels
from vetset.hashlists.nearness import build_near, map_near
from vetset.kernels import native
from vetset.records import Signal
from vetset.testing.lists import MemoryTable

U8 = npt.NDArray[np.uint8]
Answer = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]

BENIGN = Path(__file__).parent.parent.parent / "shared" / "data" / "benign"
RADIUS_BITS = 31
LONGEST = 320  # pixels: PDQ looks at 64 x 64
QUALITY_FLOOR = 50
CROPS_OF_EACH = 7
OWN_KIND, PLANTED = 500, 200
#: Above so many keys a peer answers every tenth query only, and the slowest peer none.
MANY = 2_000_000
MULTIHASH = "faiss IndexBinaryMultiHash 16 x 16, nflip 1"


# --- lists and queries ------------------------------------------------------------------------------------------------


def pictures(folder: Path) -> list[U8]:
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in {".jpg", ".jpeg", ".png"}:
            with Image.open(path) as image:
                small = image.convert("RGBA").convert("RGB")
            small.thumbnail((LONGEST, LONGEST))
            found.append(np.asarray(small))
    return found


def a_crop(pixels: U8, random: np.random.Generator) -> U8:
    height, width = (max(16, int(side * random.uniform(0.35, 1.0))) for side in pixels.shape[:2])
    height, width = min(height, pixels.shape[0]), min(width, pixels.shape[1])
    top = int(random.integers(0, pixels.shape[0] - height + 1))
    left = int(random.integers(0, pixels.shape[1] - width + 1))
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def pool_of(shown: list[U8], random: np.random.Generator) -> U8:
    prints = []
    for pixels in shown:
        for piece in [pixels, *(a_crop(pixels, random) for _ in range(CROPS_OF_EACH - 1))]:
            turned, quality = kernels.pdq(piece)
            if quality >= QUALITY_FLOOR:
                prints.append(turned[0])
    return np.array(prints)


def words(pool: U8, count: int, random: np.random.Generator) -> U8:
    parts = pool.view(np.uint32).reshape(-1, 8)
    drawn = [parts[random.integers(0, len(parts), count), place] for place in range(8)]
    return np.stack(drawn, axis=1).view(np.uint8).reshape(count, 32)


def crops(shown: list[U8], count: int, random: np.random.Generator) -> U8:
    keys = np.empty((count + 8, 32), np.uint8)
    filled = 0
    while filled < count:
        turned, quality = kernels.pdq(a_crop(shown[int(random.integers(len(shown)))], random))
        if quality >= QUALITY_FLOOR:
            keys[filled : filled + 8] = turned
            filled += 8
    return keys[:count]


def turned_over(keys: U8, random: np.random.Generator) -> U8:
    """The keys with 0 to 31 bits turned over, every second one with at most 2 of them in 16 neighbours."""
    bits = np.unpackbits(keys, axis=1)
    for number, row in enumerate(bits):
        count = number % (RADIUS_BITS + 1)
        spread = (np.arange(32) % 16) * 16 + random.integers(0, 8, 32) + 8 * (np.arange(32) // 16)
        chosen = random.permutation(256)[:count] if number % 2 else random.permutation(spread)[:count]
        row[chosen] ^= 1
    return np.packbits(bits, axis=1)


@dataclass(frozen=True, slots=True)
class Case:
    """A list and what is asked of it; the last `PLANTED` queries are near to a key."""

    name: str
    keys: U8
    queries: U8


def case_of(name: str, count: int, shown: list[U8]) -> Case:
    random = np.random.default_rng(7)
    if name == "crops":
        made = crops(shown, count + OWN_KIND, random)
        made = made[random.permutation(len(made))]
    elif name == "words":
        made = words(pool_of(shown, random), count + OWN_KIND, random)
    else:
        made = random.integers(0, 256, (count + OWN_KIND, 32), np.uint8)
    keys, _ = kernels.sorted_keys(made[OWN_KIND:])
    planted = turned_over(keys[random.integers(0, len(keys), PLANTED)], random)
    return Case(name, keys, np.concatenate([made[:OWN_KIND], planted]))


# --- contenders -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Contender:
    """Something that was built and can be asked; `every` thins the queries of one that is too slow for all."""

    name: str
    ask: Callable[[U8], Answer]
    build_seconds: float
    bytes_per_key: float
    every: int = 1
    seconds: list[float] = field(default_factory=list)

    def round(self, queries: U8) -> Answer:
        asked = np.ascontiguousarray(queries[:: self.every])
        started = time.process_time()
        answer = self.ask(asked)
        self.seconds.append((time.process_time() - started) / len(asked))
        return answer

    @property
    def microseconds(self) -> float:
        return statistics.median(self.seconds) * 1e6


def vetset(keys: U8) -> Contender:
    heads, tails = kernels.heads_of(keys), np.ascontiguousarray(keys[:, 8:])
    table = MemoryTable(Signal.PDQ, frozenset(), 32, heads, tails, np.zeros(1, np.uint64))
    started = time.process_time()
    memory = build_near([table], RADIUS_BITS)
    spent = time.process_time() - started
    if memory is None:
        raise SystemExit("no index was built")
    near = map_near(memory, [table])[0]
    os.close(memory)
    each = (heads.nbytes + tails.nbytes + len(near.index)) / len(keys)
    return Contender("vetset", lambda queries: near.within(queries, RADIUS_BITS), spent, each)


def by_faiss(name: str, index: Any, keys: U8, every: int) -> Contender:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # so that what was freed before is not taken for nothing
    before, started = resident_bytes(), time.process_time()
    index.add(keys)
    spent = time.process_time() - started
    each = max(32.0, (resident_bytes() - before) / len(keys))

    def ask(queries: U8) -> Answer:
        limits, distances, positions = index.range_search(queries, RADIUS_BITS + 1)  # faiss takes less than the radius
        asked = np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64)))
        order = np.lexsort((positions, asked))
        return asked[order], positions[order].astype(np.int64), distances[order].astype(np.int64)

    return Contender(name, ask, spent, each, every)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def contenders(keys: U8, *, slowest: bool) -> Iterator[Contender]:
    every = 10 if len(keys) > MANY else 1
    yield vetset(keys)
    yield by_faiss("faiss IndexBinaryFlat", faiss.IndexBinaryFlat(256), keys, every)
    if slowest or len(keys) <= MANY:
        hashed = faiss.IndexBinaryMultiHash(256, 16, 16)  # as threatexchange sets it up
        hashed.nflip = 1
        yield by_faiss(MULTIHASH, hashed, keys, every)


# --- the rounds -------------------------------------------------------------------------------------------------------


def must_agree(case: Case, every: int, answers: list[Answer]) -> None:
    """All found the same pairs, and every planted query was found."""
    first = [column[answers[0][0] % every == 0] for column in answers[0]]
    first[0] = first[0] // every
    for answer in answers[1:]:
        for column, other in zip(first, answer, strict=True):
            if not np.array_equal(column, other):
                raise SystemExit(f"{case.name}: the contenders found different keys")
    planted = set(range(OWN_KIND, OWN_KIND + PLANTED))
    if not planted <= set(answers[0][0].tolist()):
        raise SystemExit(f"{case.name}: a planted query was not found")


def table_of(case: Case, rounds: int, *, slowest: bool) -> Iterator[str]:
    built = list(contenders(case.keys, slowest=slowest))
    every = max(contender.every for contender in built)
    for _ in range(rounds):
        answers = [contender.round(case.queries) for contender in built]
        must_agree(case, every, answers)
    own = built[0].microseconds
    for contender in built:
        yield (
            f"| {case.name} | {len(case.keys):,} | {contender.name} | {contender.microseconds:,.1f} "
            f"| {contender.microseconds / own:.1f} | {contender.bytes_per_key:.0f} | {contender.build_seconds:.1f} "
            f"| {len(answers[0][0])} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure near search beside faiss.")
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--lists", nargs="+", default=["words", "crops"], choices=["words", "crops", "uniform"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=Path, default=BENIGN)
    parser.add_argument("--slowest", action="store_true", help="ask the slowest peer of large lists too")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    packages = ", ".join(f"{name} {version(name)}" for name in ("vetset", "faiss-cpu", "numpy"))
    kernel = "native" if native.LIB is not None else "plain"
    print(f"Python {platform.python_version()}, {packages}, {kernel} kernels; {options.rounds} interleaved rounds\n")
    print("| list | keys | | µs a query | times vetset | bytes a key, with its own 32 | build, CPU s | pairs found |")
    print("|---|---|---|---|---|---|---|---|")
    shown = pictures(options.pictures) if set(options.lists) & {"words", "crops"} else []
    for count in options.counts:
        for name in options.lists:
            for line in table_of(case_of(name, count, shown), options.rounds, slowest=options.slowest):
                print(line, flush=True)


if __name__ == "__main__":
    main()
