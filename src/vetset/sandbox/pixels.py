"""From a picture as Pillow holds it to RGB pixels: the canonical conversion of every mode, and transparency filled.

In it: the conversions. Not in it: files, views. Rules: transparency is dropped, not blended, unless a colour is given,
as `convert("RGB")` does for most trainers; 16 bits are brought to 8 by their high byte; grey is three equal channels;
ICC profiles are not applied, as PDQ's reference applies none. A large picture is converted in bands, so that
never more than two copies of it are in memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

U8 = npt.NDArray[np.uint8]

_BAND_PIXELS = 1 << 22

WHITE, BLACK = 255, 0


def rgb_of(image: Image.Image) -> U8:
    """(height, width, 3), transparency dropped."""
    if image.mode in _WIDE:
        return _grey(image, shift=8)
    return _in_bands(image, "RGB")


def clipped_of(image: Image.Image) -> U8 | None:
    """Of 16-bit grey: what Pillow's own conversion makes of it, all above 255 white. None for other modes."""
    return _grey(image, shift=0) if image.mode in _WIDE else None


_WIDE = frozenset(("I;16", "I;16B", "I;16L", "I;16N", "I"))


def _grey(image: Image.Image, *, shift: int) -> U8:
    narrow = np.clip(np.asarray(image) >> shift, 0, 255).astype(np.uint8)
    return np.repeat(narrow[:, :, None], 3, axis=2)


def _in_bands(image: Image.Image, mode: str) -> U8:
    pixels = np.empty((image.height, image.width, len(mode)), np.uint8)
    for top, band in _bands(image):
        pixels[top : top + band.height] = np.asarray(band.convert(mode))
    return pixels


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    if image.width * image.height <= _BAND_PIXELS:
        yield 0, image
        return
    rows = max(1, _BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))


def is_transparent(image: Image.Image) -> bool:
    """Whether any pixel is not opaque."""
    if not image.has_transparency_data or image.mode in _WIDE:
        return False
    return any(np.asarray(band.convert("RGBA"))[:, :, 3].min() < 255 for _, band in _bands(image))  # noqa: PLR2004


def filled(image: Image.Image, grey: int) -> U8:
    """The picture over a plain ground; img2dataset stores transparent pictures over white (reference: datasets)."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top, band in _bands(image):
        rgba = np.asarray(band.convert("RGBA"))
        alpha = rgba[:, :, 3:].astype(np.uint16)
        blended = (rgba[:, :, :3] * alpha + np.uint16(grey) * (255 - alpha) + 127) // 255
        pixels[top : top + band.height] = blended
    return pixels
