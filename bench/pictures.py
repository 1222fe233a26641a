"""Pictures: bytes to digests and PDQ, beside Pillow, pdqhash and hashlib, and beside the floor of decoding.

    python bench/photos.py WALLPAPERS PHOTOS        the photo set, once; see there
    python bench/pictures.py PHOTOS [--rounds 3]

In it: four measurements, all in process and on one core. Not in it: the sandbox, which is a row of the whole job's.
Rules: CPU seconds; in each round every way takes its turn on each picture before the next picture comes; a picture
counts with the least of its rounds. Digests are md5, sha1 and sha256 on both sides; PDQ is of one view. vetset takes
its digests of BATCH bodies at a time, as its pipeline does; each picture counts with its share. The floor is what no
hashing of pictures can do without: decoding the Huffman codes (luma at an eighth of the size, the least that
libjpeg-turbo can be asked for), and hashlib's digests. PDQ alone takes pixels that have just been decoded.
Both sides' answers are compared: PDQ of RGB must be equal, and of luma within 4 bits where the quality is 50 or more.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pdqhash
import simplejpeg
from PIL import Image

from photos import pictures
from vetset import kernels

Way = Callable[[Any], Any]
BATCH = 128
EIGHTH = {"min_height": 1, "min_width": 1, "min_factor": 8}
ALGORITHMS = (hashlib.md5, hashlib.sha1, hashlib.sha256)


def digests(body: bytes) -> list[bytes]:
    return [algorithm(body).digest() for algorithm in ALGORITHMS]


def common(body: bytes) -> Any:
    """Pillow, pdqhash and hashlib, as it is commonly done."""
    pixels = np.asarray(Image.open(BytesIO(body)).convert("RGB"))
    return digests(body), pdqhash.compute(pixels)


def ours(colours: str) -> Way:
    """Decoding and PDQ; the digests are taken of a batch."""

    def way(body: bytes) -> Any:
        pixels = simplejpeg.decode_jpeg(body, colours)
        return kernels.pdq(pixels if colours == "RGB" else pixels[:, :, 0])

    return way


def floor(body: bytes) -> Any:
    return digests(body), simplejpeg.decode_jpeg(body, "GRAY", **EIGHTH)


def pdq_of(colours: str, compute: Way) -> Way:
    """Measured from the pixels on; `prepared` decodes them before each turn."""

    def way(pixels: np.ndarray) -> Any:
        return compute(pixels)

    way.colours = colours  # type: ignore[attr-defined]
    return way


def prepared(way: Way, body: bytes) -> Any:
    colours = getattr(way, "colours", None)
    if colours is None:
        return body
    pixels = simplejpeg.decode_jpeg(body, colours)
    return pixels if colours == "RGB" else pixels[:, :, 0]


WAYS: dict[str, Way] = {
    "Pillow + pdqhash + hashlib": common,
    "vetset, exact RGB": ours("RGB"),
    "vetset, luma": ours("GRAY"),
    "floor: Huffman + hashlib": floor,
    "pdqhash alone": pdq_of("RGB", pdqhash.compute),
    "PDQ alone, exact RGB": pdq_of("RGB", kernels.pdq),
    "PDQ alone, luma": pdq_of("GRAY", kernels.pdq),
}

WITH_DIGESTS = ("vetset, exact RGB", "vetset, luma")

#: What is divided by what, with the least that counts and the goal.
RATIOS = (
    ("bytes → digests + PDQ, exact RGB", "Pillow + pdqhash + hashlib", "vetset, exact RGB", 3.0, 3.6),
    ("the same, luma", "Pillow + pdqhash + hashlib", "vetset, luma", 4.0, 4.6),
    ("the same, luma, against the floor", "floor: Huffman + hashlib", "vetset, luma", 0.75, 0.9),
    ("PDQ alone, exact RGB", "pdqhash alone", "PDQ alone, exact RGB", 15, 22),
    ("PDQ alone, luma", "pdqhash alone", "PDQ alone, luma", 40, 64),
)


def shares_of_digests(bodies: list[bytes], rounds: int) -> float:
    """CPU seconds a picture that vetset's digests take, in batches; each batch counts with the least of its rounds."""
    total = 0.0
    for first in range(0, len(bodies), BATCH):
        turns = []
        for _ in range(rounds):
            start = time.process_time()
            kernels.digests_of_bodies(bodies[first : first + BATCH])
            turns.append(time.process_time() - start)
        total += min(turns)
    return total / len(bodies)


def measured(bodies: list[bytes], rounds: int) -> dict[str, float]:
    """CPU seconds a picture by each way."""
    least = {name: np.full(len(bodies), np.inf) for name in WAYS}
    for _ in range(rounds):
        for place, body in enumerate(bodies):
            for name, way in WAYS.items():
                subject = prepared(way, body)
                start = time.process_time()
                way(subject)
                least[name][place] = min(least[name][place], time.process_time() - start)
    means = {name: float(seconds.mean()) for name, seconds in least.items()}
    digests_each = shares_of_digests(bodies, rounds)
    whole = {name: mean + digests_each if name in WITH_DIGESTS else mean for name, mean in means.items()}
    return whole | {"vetset's digests, of these": digests_each}


def compared(bodies: list[bytes]) -> tuple[int, int]:
    """How many pictures differ in RGB, and by how many bits luma does at most where there is quality."""
    different = apart = 0
    for body in bodies:
        prints, quality = ours("RGB")(body)
        said = kernels.digests_of_bodies([body])
        expected, (vector, expected_quality) = common(body)
        same = [digest.tobytes() for digest in said.values()] == expected
        different += not same or quality != expected_quality or (prints[0] != np.packbits(vector)).any()
        if quality >= 50:
            luma, _ = ours("GRAY")(body)
            apart = max(apart, int(np.bitwise_count(prints[0] ^ luma[0]).sum()))
    return different, apart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--every", type=int, default=1, help="take only every so many-th picture")
    options = parser.parse_args()
    bodies = pictures(options.photos)[:: options.every]
    different, apart = compared(bodies)
    seconds = measured(bodies, options.rounds)
    print(f"{len(bodies)} JPEGs, mean {np.mean([len(body) for body in bodies]) / 1000:.0f} KB. ", end="")
    print(f"RGB: {different} differ. Luma: at most {apart} bits from RGB at quality 50 or more.\n")
    print("| way | ms a picture |\n|---|--:|")
    for name, each in seconds.items():
        print(f"| {name} | {each * 1000:.3f} |")
    print("\n| work | ratio | bar | goal |\n|---|--:|--:|--:|")
    for work, peer, own, bar, goal in RATIOS:
        print(f"| {work} | {seconds[peer] / seconds[own]:.2f} | {bar} | {goal} |")
    packages = ("Pillow", "pdqhash", "simplejpeg", "numpy")
    print("\n" + ", ".join(f"{name} {version(name)}" for name in packages) + f", Python {platform.python_version()}")


if __name__ == "__main__":
    main()
