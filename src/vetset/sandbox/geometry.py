"""What a shard's resizing left of the originals: whether anything can be told from it, and its padding cut off.

In it: the two questions, answered from what the dataset recorded. Not in it: the shape of the padding (a kernel).
Rules: by geometry, never by colour; a cut that loses part of the original is never taken for the original.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from vetset.kernels.resizing import content_box
from vetset.records import ResizeMode, Stored

U8 = npt.NDArray[np.uint8]


def is_auditable(stored: Stored) -> bool:
    """Whether what is stored is all of the original. A cut to a square is, of what was a square."""
    if stored.mode is not ResizeMode.CENTER_CROP:
        return True
    return 0 < stored.original_width == stored.original_height


def undone(pixels: U8, stored: Stored) -> Iterator[U8]:
    """The picture without its padding; as stored, where there is none; both, where nobody recorded which it is."""
    height, width = pixels.shape[:2]
    if stored.mode is ResizeMode.BORDER:
        yield _cut(pixels, stored)
        return
    yield pixels
    if stored.mode is None and width == height and 0 < stored.original_width != stored.original_height > 0:
        yield _cut(pixels, stored)


def _cut(pixels: U8, stored: Stored) -> U8:
    height, width = pixels.shape[:2]
    left, top, right, bottom = content_box(width, height, stored) or (0, 0, width, height)
    return np.ascontiguousarray(pixels[top:bottom, left:right])
