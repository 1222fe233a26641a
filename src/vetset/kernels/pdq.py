"""PDQ: 256 bits that stay close while a picture is edited harmlessly, in all eight orientations, and its quality.

In it: the definition, in the order of operations of the reference (facebook/ThreatExchange, pdq/cpp, as the package
pdqhash 0.2.8 calls it), so that every bit is the reference's. Not in it: decoding, distances.
Rules: single precision throughout, but for the luma of RGB, which is made in double and rounded once; a picture under
5 pixels on a side has a hash of zeros and quality 0. The hash is 32 bytes, coefficient 255 first (words high to low).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vetset.kernels import native

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

#: How the pixels were made that a PDQ was computed from; stamped on what rests on it.
PDQ_VARIANT_RGB = "rgb"
PDQ_VARIANT_LUMA = "luma"
VARIANTS = (PDQ_VARIANT_RGB, PDQ_VARIANT_LUMA)

PDQ_BYTES = 32
ORIENTATIONS = 8
LEAST_PIXELS = 5
_SIDE = 64
_BITS_SIDE = 16
_PASSES = 2


def pdq(pixels: U8) -> tuple[U8, int]:
    """(8, 32) bytes and the quality, 0 to 100, of pixels as (height, width, 3) RGB or (height, width) luma.

    Orientations in the reference's order: as it is, turned by 90, 180, 270 degrees anticlockwise, flipped top to
    bottom, mirrored, transposed, transposed at the other diagonal.
    """
    _check(pixels)
    lib = native.LIB
    if lib is None or pixels.shape[0] < LEAST_PIXELS or pixels.shape[1] < LEAST_PIXELS:
        return pdq_of(pixels)
    prints = np.empty((ORIENTATIONS, PDQ_BYTES), np.uint8)
    colours = pixels.shape[2] if pixels.ndim == 3 else 1  # noqa: PLR2004 - height, width, colours
    quality: int = lib.pdq(np.ascontiguousarray(pixels), pixels.shape[0], pixels.shape[1], colours, prints)
    return prints, quality


def _check(pixels: U8) -> None:
    shape = pixels.shape
    if pixels.dtype != np.uint8 or not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)):  # noqa: PLR2004
        raise ValueError("PDQ is computed of (height, width, 3) or (height, width) pixels of 8 bits")


def pdq_of(pixels: U8) -> tuple[U8, int]:
    """The definition of `pdq`."""
    _check(pixels)
    height, width = pixels.shape[:2]
    if height < LEAST_PIXELS or width < LEAST_PIXELS:
        return np.zeros((ORIENTATIONS, PDQ_BYTES), np.uint8), 0
    small = _decimated(_blurred(luma_of(pixels)))
    coefficients = _cosines(small)
    prints = np.stack([_bits(turned) for turned in _orientations(coefficients)])
    return prints, _quality(small)


def luma_of(pixels: U8) -> F32:
    """(height, width) luma by ITU-R BT.601, made in double precision; pixels of one channel are luma already."""
    if pixels.ndim == 2:  # noqa: PLR2004
        return pixels.astype(np.float32)
    red, green, blue = (pixels[:, :, place].astype(np.float64) for place in range(3))
    luma: F32 = (red * 0.299 + green * 0.587 + blue * 0.114).astype(np.float32)
    return luma


def _window(length: int) -> int:
    return (length + 2 * _SIDE - 1) // (2 * _SIDE)


def _blurred(luma: F32) -> F32:
    """Two passes of a box along rows and then columns: a tent of twice the window."""
    for _ in range(_PASSES):
        luma = _boxed(luma.T, _window(luma.shape[1])).T
        luma = _boxed(luma, _window(luma.shape[0]))
    return luma


def _boxed(lines: F32, window: int) -> F32:
    """Means along the first axis, by a running sum that adds what enters and then takes off what leaves."""
    length, half = len(lines), (window + 2) // 2
    boxed = np.empty_like(lines)
    total = np.zeros(lines.shape[1], np.float32)
    count, right, left = 0, 0, 0
    for _ in range(half - 1):
        total = total + lines[right]
        count, right = count + 1, right + 1
    for place in range(length):
        if right < length:
            total = total + lines[right]
            count, right = count + 1, right + 1
        if count > window or (right == length and place + half > length):
            total = total - lines[left]
            count, left = count - 1, left + 1
        boxed[place] = total / np.float32(count)
    return boxed


def _decimated(luma: F32) -> F32:
    rows = _centres(luma.shape[0])
    columns = _centres(luma.shape[1])
    return np.ascontiguousarray(luma[rows][:, columns])


def _centres(length: int) -> list[int]:
    return [int((place + 0.5) * length / _SIDE) for place in range(_SIDE)]


def _quality(small: F32) -> int:
    """How much there is to see: steps between neighbours, each rounded towards zero."""
    total = 0
    for steps in (small[:-1] - small[1:], small[:, :-1] - small[:, 1:]):
        rounded = (steps * np.float32(100) / np.float32(255)).astype(np.int32)
        total += int(np.abs(rounded).sum())
    return min(100, total // 90)


def _matrix() -> F32:
    rows, columns = np.mgrid[1 : _BITS_SIDE + 1, 0:_SIDE]
    scale = np.float32(np.sqrt(2.0 / _SIDE))
    matrix: F32 = (np.float64(scale) * np.cos((np.pi / 2 / _SIDE) * rows * (2 * columns + 1))).astype(np.float32)
    return matrix


def _cosines(small: F32) -> F32:
    """(16, 16) the lowest coefficients of a cosine transform but the constant ones, summed in order."""
    matrix = _matrix()
    half = np.zeros((_BITS_SIDE, _SIDE), np.float32)
    for place in range(_SIDE):
        half = half + matrix[:, place, None] * small[None, place]
    whole = np.zeros((_BITS_SIDE, _BITS_SIDE), np.float32)
    for place in range(_SIDE):
        whole = whole + half[:, place, None] * matrix[None, :, place]
    return whole


def _orientations(coefficients: F32) -> list[F32]:
    """The coefficients of the turned and mirrored pictures: signs and a transposition."""
    rows, columns = np.indices(coefficients.shape)
    odd_row, odd_column = rows % 2 == 1, columns % 2 == 1
    by_column = np.where(odd_column, coefficients, -coefficients)
    by_row = np.where(odd_row, coefficients, -coefficients)
    by_both = np.where(odd_row ^ odd_column, -coefficients, coefficients)
    return [coefficients, by_column.T, by_both, by_row.T, by_row, by_column, coefficients.T, by_both.T]


def _bits(coefficients: F32) -> U8:
    """One bit a coefficient: whether it lies above the 128th smallest."""
    flat = np.ascontiguousarray(coefficients).reshape(-1)
    middle = np.sort(flat)[(len(flat) - 1) // 2]
    return np.packbits((flat > middle)[::-1])
