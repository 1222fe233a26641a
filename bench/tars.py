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
from itertools import islice
from pathlib import Path

import numpy as np

from vetset.config import Settings
from vetset.datasets.location import find_shards
from vetset.datasets.samples import opened_tar
from vetset.datasets.webdataset import Webdataset
from vetset.kernels import native
from vetset.records import Reach

Digests = Callable[[list[bytes | memoryview]], list[bytes]]

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
    """As the pipeline reads them, but for what JSON records."""
    for path in paths:
        with opened_tar(path) as archive:
            bodies = archive.bodies(np.arange(len(archive.keys)))
            while batch := [body for _, body in islice(bodies, 256)]:
                yield batch
                del batch  # no view outlives the mapping


def whole_shards(paths: list[Path]) -> Iterator[list[bytes | memoryview]]:
    """As the pipeline reads them: `Dataset.pictures`, with what each sample's JSON records."""
    found = find_shards(str(paths[0].parent), Reach.LOCAL)
    dataset = Webdataset(found.root, Settings())
    for shard in found.shards:
        for batch in dataset.pictures(shard):
            yield [picture.body.unseal() for picture in batch]


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


def by_hashlib(batch: list[bytes | memoryview]) -> list[bytes]:
    return [hashlib.md5(body).digest() for body in batch]


def by_kernel(batch: list[bytes | memoryview]) -> list[bytes]:
    """The kernel of `digests_of_bodies`, for md5 alone."""
    if native.LIB is None:
        return by_hashlib(batch)
    out = np.empty((len(batch), 16), np.uint8)
    native.LIB.body_digests("md5", batch, out)
    digests = out.tobytes()
    return [digests[at : at + 16] for at in range(0, len(digests), 16)]


def digested(bodies: Iterator[list[bytes | memoryview]], digests_of: Digests) -> int:
    """The sum of all digests as numbers: the same whatever the order."""
    return sum(int.from_bytes(digest, "big") for batch in bodies for digest in digests_of(batch))


def spent(work: Callable[[], int]) -> tuple[float, int]:
    started = time.process_time()
    answer = work()
    return time.process_time() - started, answer


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--samples", type=int, default=SAMPLES)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    readers = {
        "vetset": (ours, by_kernel),
        "vetset, with what JSON records": (whole_shards, by_kernel),
        "webdataset": (by_webdataset, by_hashlib),
        "tarfile, streamed": (by_tarfile, by_hashlib),
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = write_tars(Path(folder), chosen.samples)
        best: dict[tuple[str, str], float] = {}
        answers: dict[str, set[int]] = {}
        for _ in range(chosen.rounds):
            for name, (reader, digests_of) in readers.items():
                works = {
                    "list": lambda reader=reader: listed(reader(paths)),
                    "md5": lambda reader=reader, digests_of=digests_of: digested(reader(paths), digests_of),
                }
                for what, work in works.items():
                    seconds, answer = spent(work)
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
