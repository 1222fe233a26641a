"""Pictures for the tests of PDQ: the shared ones by either decoder, and generated ones; and the peer's answer."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pdqhash
from hypothesis import strategies as st
from PIL import Image

U8 = np.ndarray

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
KINDS = ("noise", "flat", "slopes", "levels", "walk", "blocks")


def shared_pictures(*folders: str) -> list[Path]:
    """Every picture there, by name."""
    endings = {".jpg", ".jpeg", ".png"}
    return sorted(path for folder in folders for path in (SHARED / folder).rglob("*") if path.suffix.lower() in endings)


def decoded(path: Path) -> U8:
    with warnings.catch_warnings(), Image.open(path) as picture:
        warnings.simplefilter("ignore", UserWarning)  # transparency in palettes: any rule will do, if it is the same
        return np.asarray(picture.convert("RGB"))


def as_luma(rgb: U8) -> U8:
    return np.asarray(Image.fromarray(rgb).convert("L"))


def peer(pixels: U8) -> tuple[U8, int]:
    """What pdqhash says of the same pixels; luma is given to it as three equal channels."""
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    vectors, quality = pdqhash.compute_dihedral(np.ascontiguousarray(pixels))
    return np.stack([np.packbits(vector) for vector in vectors]), int(quality)


def made(kind: str, height: int, width: int, seed: int) -> U8:
    """(height, width, 3) pixels of one kind of content."""
    rng = np.random.default_rng(seed)
    shape = (height, width, 3)
    if kind == "noise":
        return rng.integers(0, 256, shape, np.uint8)
    if kind == "flat":
        return np.broadcast_to(rng.integers(0, 256, 3, np.uint8), shape).copy()
    if kind == "levels":
        return (rng.integers(0, 3, shape) * rng.integers(1, 128)).astype(np.uint8)
    if kind == "walk":
        return (128 + np.cumsum(rng.integers(-3, 4, shape), axis=1)).astype(np.uint8)
    if kind == "blocks":
        coarse = rng.integers(0, 256, (1 + height // 16, 1 + width // 16, 3), np.uint8)
        return coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
    rows, columns = np.mgrid[:height, :width]
    slope = rows * rng.uniform(-2, 2) + columns * rng.uniform(-2, 2)
    return np.asarray((slope[:, :, None] + rng.integers(0, 256, 3)).astype(np.int64).astype(np.uint8))


def pictures(least: int = 1, most: int = 200) -> st.SearchStrategy[U8]:
    return st.builds(
        made, st.sampled_from(KINDS), st.integers(least, most), st.integers(least, most), st.integers(0, 2**32 - 1)
    )


def bits_apart(one: U8, other: U8) -> int:
    return int(np.bitwise_count(one ^ other).sum())
