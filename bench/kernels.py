"""The kernels over columns beside what they replace: membership against a Python set, digests against loops of hashlib.

    python bench/kernels.py [--rounds 5] [--digests 10000000] [--rows 200000]

CPU seconds of this process, one thread; the contenders take turns in every round, and the least of each counts. Values
are made from a seed: URLs of about 108 characters, digests at random; one probe in a hundred is a hit, then every one.
Every contender must give the same answers, or nothing is printed.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data import random_digests
from vetset import kernels
from vetset.kernels import native
from vetset.records import Column, Sealed, SealedBatch, Signal, UrlForm
from vetset.testing.lists import MemoryTable

KEY = b"k" * 32
Works = Mapping[str, Callable[[], Any]]


def least(works: Works, rounds: int) -> dict[str, float]:
    """The least CPU seconds of each, in turns; exits where their answers differ."""
    found: dict[str, float] = {}
    answers: dict[str, Any] = {}
    for _ in range(rounds):
        for name, work in works.items():
            started = time.process_time()
            answers[name] = work()
            found[name] = min(found.get(name, 1e9), time.process_time() - started)
    first, *others = answers.values()
    if not all(np.array_equal(first, other) for other in others):
        sys.exit(f"{', '.join(works)}: the answers differ")
    return found


def plainly(work: Callable[[], Any]) -> Callable[[], Any]:
    """The same by the plain kernels."""

    def working() -> Any:
        lib, native.LIB = native.LIB, None
        try:
            return work()
        finally:
            native.LIB = lib

    return working


def lines(title: str, count: int, seconds: Mapping[str, float], what: str) -> Iterator[str]:
    """One table row a contender; ratios are to the first."""
    reference = next(iter(seconds.values()))
    for name, spent in seconds.items():
        yield f"| {title} | {name} | {count / spent / 1e6:.2f} M {what}/s | {reference / spent:.1f} |"


# --- membership -------------------------------------------------------------------------------------------------------


def membership(digests: int, probes: int, rounds: int) -> Iterator[str]:
    keys = kernels.sorted_keys(random_digests(digests, 1))[0]
    heads, tails = kernels.heads_of(keys), np.ascontiguousarray(keys[:, 8:])
    table = MemoryTable(Signal.MD5, frozenset(), 16, heads, tails, kernels.filter_words(keys))
    listed = {key.tobytes() for key in keys}
    for share in (0.01, 1.0):
        asked = random_digests(probes, 2)
        hits = np.flatnonzero(np.random.default_rng(3).random(probes) < share)
        asked[hits] = keys[np.random.default_rng(4).integers(0, len(keys), len(hits))]
        values, column = [row.tobytes() for row in asked], kernels.Digests(asked, np.ones(probes, np.bool_))
        works: Works = {
            "Python set": lambda values=values: np.array([value in listed for value in values]),
            "vetset": lambda column=column: kernels.positions_in(table, column) >= 0,
        }
        yield from lines(f"{share:.0%} hits in {len(keys):,} digests", probes, least(works, rounds), "probes")


# --- strings ----------------------------------------------------------------------------------------------------------


def urls(rows: int) -> list[bytes]:
    lengths = np.random.default_rng(1).integers(20, 120, rows).tolist()
    return [
        f"https://images{n % 977}.example.org/{n:010d}/{'pictures-and-more/' * 9}"[: length + 33].encode() + b"a.jpg"
        for n, length in enumerate(lengths)
    ]


def digest_loop(values: list[bytes], name: str) -> Callable[[], Any]:
    make = getattr(hashlib, name)
    return lambda: np.frombuffer(b"".join([make(value).digest() for value in values]), np.uint8).reshape(
        len(values), -1
    )


def strings(rows: int, rounds: int) -> Iterator[str]:
    values = urls(rows)
    array = pa.array(values, pa.large_binary())
    sealed, batch = Sealed(array), SealedBatch(pa.record_batch([array], names=[Column.URL.value]))
    for signal, width_bytes in ((Signal.MD5, 16), (Signal.SHA1, 20), (Signal.SHA256, 32)):
        works: Works = {
            "loop of hashlib": digest_loop(values, signal.value),
            "vetset": lambda name=signal.value, width=width_bytes: kernels.digests_of(sealed, name, width).data,
        }
        yield from lines(f"{signal.value} of URLs", rows, least(works, rounds), "values")

    def hashes() -> Any:
        return kernels.keyed_hashes(batch, Column.URL, KEY)

    seconds = least({"vetset, plain (loop of BLAKE2b)": plainly(hashes), "vetset": hashes}, rounds)
    yield from lines("keyed hashes of URLs", rows, seconds, "values")
    for form in (UrlForm.TX, UrlForm.WHATWG):

        def made(form: UrlForm = form) -> Any:
            return pc.binary_length(kernels.url_values(batch, form).unseal()).to_numpy(zero_copy_only=False)

        seconds = least({"vetset, plain (regular expression)": plainly(made), "vetset": made}, rounds)
        yield from lines(f"form {form.value} of URLs", rows, seconds, "values")


def hex_text(rows: int, rounds: int) -> Iterator[str]:
    texts = [row.tobytes().hex().encode() for row in random_digests(rows, 5)]
    batch = SealedBatch(pa.record_batch([pa.array(texts, pa.large_binary())], names=[Column.MD5.value]))
    works: Works = {
        "loop of bytes.fromhex": lambda: np.frombuffer(
            b"".join([bytes.fromhex(text.decode("ascii")) for text in texts]), np.uint8
        ).reshape(rows, 16),
        "vetset": lambda: kernels.recorded_digests(batch, Column.MD5).data,
    }
    yield from lines("hex digests read", rows, least(works, rounds), "values")


def bodies(rounds: int) -> Iterator[str]:
    sizes = np.random.default_rng(6).integers(8_000, 40_000, 500).tolist()
    made = [np.random.default_rng(size).bytes(size) for size in sizes]
    signals = (Signal.MD5, Signal.SHA1, Signal.SHA256)
    works: Works = {
        "loop of hashlib": lambda: np.concatenate([digest_loop(made, signal.value)() for signal in signals], axis=1),
        "vetset": lambda: np.concatenate([*kernels.digests_of_bodies(made).values()], axis=1),
    }
    seconds = least(works, rounds)
    for name, spent in seconds.items():
        ratio = next(iter(seconds.values())) / spent
        yield f"| md5 + sha1 + sha256 of 8 to 40 kB | {name} | {sum(sizes) / spent / 1e9:.2f} GB/s | {ratio:.1f} |"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--digests", type=int, default=10_000_000)
    options.add_argument("--probes", type=int, default=1_000_000)
    options.add_argument("--rows", type=int, default=200_000)
    asked = options.parse_args()
    print("| work | by | speed | times the first |")
    print("|---|---|--:|--:|")
    for part in (
        strings(asked.rows, asked.rounds),
        hex_text(asked.rows, asked.rounds),
        bodies(asked.rounds),
        membership(asked.digests, asked.probes, asked.rounds),
    ):
        for line in part:
            print(line, flush=True)
    names = ", ".join(f"{name} {version(name)}" for name in ("numpy", "pyarrow"))
    instructions = ", ".join(native.LIB.instructions()) if native.LIB else "no native kernels"
    print(f"\nPython {platform.python_version()}, {names}; {instructions}.")


if __name__ == "__main__":
    main()
