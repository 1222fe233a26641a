"""PDQ's two ways in C on many pictures: how often the fused way is taken, would be wrong alone, and is wrong.

    python bench/margins.py FOLDER... [--count 100000] [--seed 0]

In it: pieces of the pictures in the folders, resized, with noise, posterised, flattened, in RGB and luma, each by the
exact way, by the fused way alone, and by whichever is taken. Not in it: pdqhash, with which the tests compare.
Rules: the last column must be 0. It is what the margins of native/pdq.c are for; they are measured, not proven.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vetset.kernels import native

LIB: Any = native.LIB
EITHER_WAY, EXACT_WAY, FUSED_WAY = range(3)


def edited(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A piece of a picture at another size, as a dataset might hold it, or as nobody would draw it."""
    height, width = pixels.shape[:2]
    down, across = rng.integers(max(1, height // 2), height + 1), rng.integers(max(1, width // 2), width + 1)
    top, left = rng.integers(height - down + 1), rng.integers(width - across + 1)
    size = tuple(int(np.exp(rng.uniform(np.log(64), np.log(900)))) for _ in range(2))
    piece = Image.fromarray(pixels[top : top + down, left : left + across])
    made = np.asarray(piece.resize(size, Image.Resampling(int(rng.integers(0, 6)))))
    kind = rng.integers(5)
    if kind == 0:
        return np.clip(made + rng.normal(0, rng.uniform(0, 20), made.shape), 0, 255).astype(np.uint8)
    if kind == 1:
        step = int(rng.integers(2, 128))
        return (made // step * step).astype(np.uint8)
    if kind == 2:
        return (made.astype(np.uint16) * int(rng.integers(1, 60)) // 100 + int(rng.integers(0, 100))).astype(np.uint8)
    return made


def by(pixels: np.ndarray, how: int) -> tuple[bytes, int, bool]:
    prints = np.empty((8, 32), np.uint8)
    height, width, colours = (*pixels.shape, 1)[:3]
    quality, fused = LIB.pdq(np.ascontiguousarray(pixels), height, width, colours, prints, 0, how)
    return prints.tobytes(), quality, bool(fused)


def counted(pictures: list[np.ndarray], count: int, seed: int) -> dict[str, np.ndarray]:
    """For each variant: pictures, those by the fused way, those where it alone is wrong, those where the answer is."""
    rng = np.random.default_rng(seed)
    totals = {"rgb": np.zeros(4, int), "luma": np.zeros(4, int)}
    for _ in range(count):
        rgb = np.ascontiguousarray(edited(pictures[rng.integers(len(pictures))], rng))
        for variant, pixels in (("rgb", rgb), ("luma", np.asarray(Image.fromarray(rgb).convert("L")))):
            exact, fused, either = (by(pixels, how) for how in (EXACT_WAY, FUSED_WAY, EITHER_WAY))
            totals[variant] += 1, either[2], fused[:2] != exact[:2], either[:2] != exact[:2]
    return totals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    paths = sorted(path for folder in options.folders for path in folder.rglob("*") if path.suffix in {".jpg", ".png"})
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    print("| variant | pictures | fused way taken | it alone differs | the answer differs |\n|---|--:|--:|--:|--:|")
    for variant, (all_, fused, alone, wrong) in counted(pictures, options.count, options.seed).items():
        print(f"| {variant} | {all_} | {fused / all_:.1%} | {alone} | {wrong} |")


if __name__ == "__main__":
    main()
