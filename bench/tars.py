"""Reading pictures out of webdataset tars, with and without md5, beside webdataset and the standard library.

`python bench/tars.py`: two tars of 10,000 samples (a picture of some 20 kB, text, json), from the page cache, one
thread; CPU seconds of interleaved rounds, the least of each. All contenders must give the same pictures.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np

from vetset import kernels
from vetset.datasets.samples import opened_tar
from vetset.records import Signal

SAMPLES = 10_000
PICTURE_BYTES = 20_700


def write_tars(folder: Path, samples: int) -> list[Path]:
    """Bytes that look like pictures to a reader of tars; nobody decodes them."""
    random = np.random.default_rng(5)
    paths = []
    for number in range(2):
        path = folder / f"{number:05d}.tar"
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for row in range(samples):
                key = f"{number:05d}{row:04d}"
                size = int(random.integers(PICTURE_BYTES // 2, PICTURE_BYTES * 3 // 2))
                body = b"\xff\xd8\xff" + random.bytes(size)
                text = json.dumps({"url": f"https://a.example/{key}", "key": key}).encode()
                for ending, data in (("jpg", body), ("txt", b"a caption"), ("json", text)):
                    member = tarfile.TarInfo(f"{key}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        paths.append(path)
    return paths


def ours(paths: list[Path]) -> Iterator[list[bytes | memoryview]]:
    for path in paths:
        with opened_tar(path) as archive:
            bodies = [body for sample in archive.samples.values() for body in archive.pictures(sample)]
            for first in range(0, len(bodies), 256):
                yield bodies[first : first + 256]
            del bodies


def by_webdataset(paths: list[Path]) -> Iterator[list[bytes | memoryview]]:
    import webdataset

    dataset = webdataset.WebDataset([str(path) for path in paths], shardshuffle=False, empty_check=False)
    for sample in dataset:
        yield [sample["jpg"]]


def by_tarfile(paths: list[Path]) -> Iterator[list[bytes | memoryview]]:
    for path in paths:
        with tarfile.open(path, "r|") as tar:
            for member in tar:
                if member.name.endswith(".jpg"):
                    stream = tar.extractfile(member)
                    yield [stream.read() if stream else b""]


def listed(bodies: Iterator[list[bytes | memoryview]]) -> int:
    return sum(len(body) for batch in bodies for body in batch)


def digested(bodies: Iterator[list[bytes | memoryview]]) -> int:
    """The sum of all digests as numbers: the same whatever the order."""
    total = 0
    for batch in bodies:
        rows = kernels.digests_of_bodies(batch)[Signal.MD5] if len(batch) > 1 else None
        digests = [row.tobytes() for row in rows] if rows is not None else [hashlib.md5(batch[0]).digest()]
        total += sum(int.from_bytes(digest, "big") for digest in digests)
    return total


def md5_only(bodies: Iterator[list[bytes | memoryview]]) -> int:
    """As `digested`, by the native kernel for md5 alone."""
    from vetset.kernels import native

    total = 0
    for batch in bodies:
        out = np.empty((len(batch), 16), np.uint8)
        if native.LIB is None:
            return digested(bodies)
        native.LIB.body_digests("md5", batch, out)
        total += sum(int.from_bytes(row.tobytes(), "big") for row in out)
    return total


def spent(work: Callable[[], int]) -> tuple[float, int]:
    started = time.process_time()
    answer = work()
    return time.process_time() - started, answer


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--samples", type=int, default=SAMPLES)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    readers = {"vetset": ours, "webdataset": by_webdataset, "tarfile, streamed": by_tarfile}
    with tempfile.TemporaryDirectory() as folder:
        paths = write_tars(Path(folder), chosen.samples)
        best: dict[tuple[str, str], float] = {}
        answers: dict[str, set[int]] = {}
        for _ in range(chosen.rounds):
            for name, reader in readers.items():
                works = {"list": listed, "md5": md5_only if reader is ours else digested}
                for what, work in works.items():
                    seconds, answer = spent(lambda work=work, reader=reader: work(reader(paths)))  # type: ignore[misc]
                    best[name, what] = min(best.get((name, what), seconds), seconds)
                    answers.setdefault(what, set()).add(answer)
        if any(len(found) != 1 for found in answers.values()):
            raise SystemExit("the contenders read different pictures")
    print(f"webdataset {version('webdataset')}, {2 * chosen.samples:,} samples\n")
    print("| reader | pictures/s, listed | pictures/s, with md5 | vetset is so many times quicker, with md5 |")
    print("|---|--:|--:|--:|")
    for name in readers:
        rates = [2 * chosen.samples / best[name, what] for what in ("list", "md5")]
        print(f"| {name} | {rates[0]:,.0f} | {rates[1]:,.0f} | {best[name, 'md5'] / best['vetset', 'md5']:.1f} |")


if __name__ == "__main__":
    main()
