"""The kernels over columns beside what one would write in Python: membership in a list, digests, keyed hashes, forms.

`python bench/kernels.py`: one thread, CPU seconds, the least of interleaved rounds. Addresses are synthetic, of about
a hundred characters as LAION's are; the list holds random digests, and one probe in a hundred is listed.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ada_url
import numpy as np
import pyarrow as pa

from vetset import kernels
from vetset.kernels import native
from vetset.records import Column, Sealed, SealedBatch, UrlForm

KEY = bytes(range(32))


@dataclass(frozen=True)
class Table:
    """Keys as a compiled list holds them; what `positions_in` asks of a `ports.KeyTable`."""

    heads: Any
    tails: Any
    words: Any

    @property
    def count(self) -> int:
        return len(self.heads)


def table_of(keys: Any) -> Table:
    ranked, _ = kernels.sorted_keys(keys)
    return Table(kernels.heads_of(ranked), np.ascontiguousarray(ranked[:, 8:]), kernels.filter_words(ranked))


def spent(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--keys", type=int, default=10_000_000)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    random = np.random.default_rng(7)
    rows = chosen.rows
    addresses = [
        f"https://p{number % 997}.example/{number * 7919 % 1000003:08x}/longer/path/{number:024x}-picture.jpg".encode()
        for number in range(rows)
    ]
    array = pa.array(addresses, pa.large_binary())
    batch = SealedBatch(pa.record_batch([array], names=["url"]))
    sealed = Sealed(array)
    keys = random.integers(0, 256, (chosen.keys, 16), np.uint8)
    table = table_of(keys)
    probes = random.integers(0, 256, (rows, 16), np.uint8)
    probes[::100] = keys[random.integers(0, chosen.keys, len(probes[::100]))]
    digests = kernels.Digests(probes, np.ones(rows, np.bool_))
    listed = {row.tobytes() for row in keys}
    asked = [row.tobytes() for row in probes]
    found = [asked[row] in listed for row in range(rows)]
    if (kernels.positions_in(table, digests) >= 0).tolist() != found:  # type: ignore[arg-type]
        raise SystemExit("the answers differ")
    works: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        f"membership in {chosen.keys:,} digests, against a set": (
            lambda: kernels.positions_in(table, digests),  # type: ignore[arg-type]
            lambda: [value in listed for value in asked],
        ),
        "md5 of addresses, against a hashlib loop": (
            lambda: kernels.digests_of(sealed, "md5", 16),
            lambda: [hashlib.md5(value).digest() for value in addresses],
        ),
        "sha256 of addresses, against a hashlib loop": (
            lambda: kernels.digests_of(sealed, "sha256", 32),
            lambda: [hashlib.sha256(value).digest() for value in addresses],
        ),
        "keyed hashes, against a hashlib loop": (
            lambda: kernels.keyed_hashes(batch, Column.URL, KEY),
            lambda: [hashlib.blake2b(value, key=KEY, digest_size=8).digest() for value in addresses],
        ),
        "form whatwg, against ada-url for each": (
            lambda: kernels.url_values(batch, UrlForm.WHATWG),
            lambda: [ada_url.URL(value.decode()).href for value in addresses],
        ),
    }
    best: dict[str, tuple[float, float]] = {}
    for _ in range(chosen.rounds):
        for name, (ours, theirs) in works.items():
            mine, other = spent(ours), spent(theirs)
            known = best.get(name, (mine, other))
            best[name] = min(known[0], mine), min(known[1], other)
    print(f"native: {native.LIB is not None}; {rows:,} values\n")
    print("| work | million values a CPU second | the other | times |")
    print("|---|--:|--:|--:|")
    for name, (mine, other) in best.items():
        print(f"| {name} | {rows / mine / 1e6:.1f} | {rows / other / 1e6:.2f} | {other / mine:.1f} |")


if __name__ == "__main__":
    main()
