"""Synthetic pictures: pixels from a number, and their JPEG bytes. Nothing in them is of anything.

In it: shapes and slopes of colour with enough detail for a PDQ of full quality, and the edits that a copy goes through.
Not in it: any picture of the world, and any decoding. Rules: the same number gives the same bytes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import simplejpeg

U8 = npt.NDArray[np.uint8]

_BLOBS = 36


def picture(number: int, *, width: int = 320, height: int = 240) -> U8:
    """(height, width, 3) RGB pixels that no other number gives, nor anything near them."""
    random = np.random.default_rng([2024, number])
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    canvas = np.zeros((height, width, 3), np.float32)
    for _ in range(_BLOBS):
        left, top = random.uniform(0, width), random.uniform(0, height)
        across, down = random.uniform(0.05, 0.3, 2) * (width, height)
        inside = np.exp(-(((x - left) / across) ** 2 + ((y - top) / down) ** 2) * 2)
        canvas += inside[:, :, None] * random.uniform(-140, 200, 3).astype(np.float32)
    canvas += random.normal(0, 3, canvas.shape)
    return np.clip(canvas + 90, 0, 255).astype(np.uint8)


def jpeg(pixels: U8, *, quality: int = 90) -> bytes:
    """The pixels as a JPEG file."""
    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=quality, colorspace="RGB")
    return encoded


def turned(pixels: U8, quarters: int) -> U8:
    """Turned anticlockwise by so many quarters."""
    return np.ascontiguousarray(np.rot90(pixels, quarters))


def mirrored(pixels: U8) -> U8:
    """Left and right exchanged."""
    return np.ascontiguousarray(pixels[:, ::-1])
