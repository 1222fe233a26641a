"""The views of a file: every picture that it holds or stands for, as RGB pixels (reference: threats, P4).

In it: which views a file of each format has, and how they are decoded. Not in it: fingerprints, confinement.
Rules: sizes are checked on headers before anything is decoded; the first view is what most trainers see, and its
failure is the file's; a later view that cannot be decoded is left out, but one that would cost too much is told.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import ExifTags, GifImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from vetset.records import Stored, View
from vetset.sandbox import geometry
from vetset.sandbox.formats import (
    Format,
    Jpeg,
    embedded_jpegs,
    end_of,
    format_of,
    further_pictures,
    gif_frames,
    jpeg_of,
    without_text,
)
from vetset.sandbox.pixels import BLACK, WHITE, clipped_of, filled, is_transparent, rgb_of

U8 = npt.NDArray[np.uint8]
Views = Iterator[tuple[View, U8]]

#: What the decoders raise at a file that is not what it says it is.
UNDECODABLE = (
    OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, AttributeError, AssertionError,
    RuntimeError, ArithmeticError, BufferError, struct.error, zlib.error,
)  # fmt: skip

_MOST_FRAMES = 4  # sampled beside the first
_MOST_EMBEDDED = 2
#: An animation is looked through to its last sampled frame; this much of it at most, and so many frames.
_MOST_ANIMATED_PIXELS = 256 * 1024 * 1024
_MOST_COUNTED_FRAMES = 10_000
_LEAST_FRAME_PIXELS = 4096  # what a frame costs however small it is


class Unsupported(Exception):  # noqa: N818 - a fact about a file
    """No format that is decoded here."""


class Damaged(Exception):  # noqa: N818 - a fact about a file
    """No sound file. Where some decoders make a picture of it all the same, what they see has been given."""


class TooLarge(Exception):  # noqa: N818 - a fact about a file
    """More pixels than may be decoded."""


@dataclass(frozen=True, slots=True)
class Looking:
    """How files are looked at."""

    max_pixels: int = 100_000_000
    luma: bool = False  # JPEG's own luma instead of RGB, where it has one


def views_of(body: bytes | memoryview, stored: Stored, looking: Looking) -> Views:
    """The views of a file, the first one first; decoded one by one, as they are asked for.

    Raises Unsupported, TooLarge or Damaged; what broke after a first view ends the views and is no error.
    """
    Image.MAX_IMAGE_PIXELS = looking.max_pixels // 2  # Pillow refuses at twice that
    kind = format_of(body)
    if kind is None:
        raise Unsupported
    given = False
    try:
        for seen in _jpeg(body, stored, looking) if kind is Format.JPEG else _other(body, kind, stored, looking):
            given = True
            yield seen
            del seen  # a large picture leaves no room for two
    except Image.DecompressionBombError:
        raise TooLarge from None
    except UNDECODABLE:
        if not given:
            raise Damaged from None


def _first(pixels: U8, stored: Stored) -> Views:
    for picture in geometry.undone(pixels, stored):
        yield View.FIRST, picture


def _must_fit(width: int, height: int, looking: Looking) -> None:
    if width * height > looking.max_pixels:
        raise TooLarge


def _unless_broken(view: View, decode: Callable[[], U8]) -> Views:
    """A view that is not the first: left out where it cannot be decoded."""
    try:
        pixels = decode()
    except UNDECODABLE:
        return
    yield view, pixels


# --- JPEG ---------------------------------------------------------------------------------------------------------


def _jpeg(body: bytes | memoryview, stored: Stored, looking: Looking) -> Views:
    heads = jpeg_of(body)
    try:
        pixels = _pixels_of(body, heads, looking)
    except UNDECODABLE:
        if heads.quick:
            yield from _first(_quick(body, "RGB", strict=False), stored)
            raise Damaged from None
        raise
    yield from _first(pixels, stored)
    yield from _oriented(pixels, _orientation(heads.exif, heads.xmp))
    for start, end in heads.embedded[:_MOST_EMBEDDED]:
        yield from _unless_broken(View.THUMBNAIL, lambda part=body[start:end]: _jpeg_pixels(part, looking))  # type: ignore[misc]
    del pixels
    yield from _appended(bytes(body), heads.scan, looking)


def _appended(body: bytes, start: int, looking: Looking) -> Views:
    """Pictures that begin behind the first one: MPO's others, and what was appended to a file of any format."""
    for place in further_pictures(body, start, _MOST_FRAMES):
        yield from _unless_broken(View.FRAME, lambda part=body[place:]: _further(part, looking))  # type: ignore[misc]


def _further(body: bytes, looking: Looking) -> U8:
    if format_of(body) is Format.JPEG:
        return _jpeg_pixels(body, looking)
    return rgb_of(_opened(PngImagePlugin.PngImageFile, without_text(body), looking))


def _jpeg_pixels(body: bytes | memoryview, looking: Looking) -> U8:
    return _pixels_of(body, jpeg_of(body), looking)


def _pixels_of(body: bytes | memoryview, heads: Jpeg, looking: Looking) -> U8:
    """RGB as Pillow gives it, or luma; by the quick decoder where the two are known to agree."""
    _must_fit(heads.width, heads.height, looking)
    if heads.quick:
        try:
            return _quick(body, "GRAY" if looking.luma else "RGB")
        except ValueError:  # it is strict; Pillow goes on after small faults, as trainers do
            return _by_pillow(body, looking)
    return _by_pillow(body, looking)


def _quick(body: bytes | memoryview, colours: str, *, strict: bool = True) -> U8:
    """Not strict: what is missing is grey, as OpenCV and so img2dataset go on with a file that was cut short."""
    pixels: U8 = simplejpeg.decode_jpeg(body, colours, strict=strict)
    return pixels[:, :, 0] if colours == "GRAY" else pixels


def _by_pillow(body: bytes | memoryview, looking: Looking) -> U8:
    return rgb_of(_opened(JpegImagePlugin.JpegImageFile, body, looking))


# --- the other formats --------------------------------------------------------------------------------------------

_READERS: dict[Format, type[ImageFile.ImageFile]] = {
    Format.PNG: PngImagePlugin.PngImageFile,
    Format.GIF: GifImagePlugin.GifImageFile,
    Format.WEBP: WebPImagePlugin.WebPImageFile,
}


def _opened(reader: type[ImageFile.ImageFile], body: bytes | memoryview, looking: Looking) -> ImageFile.ImageFile:
    """The file's first picture, decoded."""
    image = reader(io.BytesIO(body))
    _must_fit(*image.size, looking)
    image.load()
    return image


def _other(body: bytes | memoryview, kind: Format, stored: Stored, looking: Looking) -> Views:
    image = _opened(_READERS[kind], without_text(bytes(body)) if kind is Format.PNG else body, looking)
    exif, xmp = _metadata(image)
    pixels = rgb_of(image)
    yield from _first(pixels, stored)
    yield from _oriented(pixels, _orientation(exif, xmp))
    del pixels  # a large picture leaves no room for two more
    clipped = clipped_of(image)
    if clipped is not None:
        yield from _first(clipped, stored)
    if is_transparent(image):
        yield View.ON_WHITE, filled(image, WHITE)
        yield View.ON_BLACK, filled(image, BLACK)
    for part in embedded_jpegs(exif, _MOST_EMBEDDED):
        yield from _unless_broken(View.THUMBNAIL, lambda part=part: _jpeg_pixels(part, looking))  # type: ignore[misc]
    yield from _appended(bytes(body), end_of(bytes(body), kind), looking)
    yield from _frames(image, _count(image, body, kind))


def _metadata(image: ImageFile.ImageFile) -> tuple[bytes, bytes]:
    exif, xmp = image.info.get("exif", b""), image.info.get("xmp", b"")
    return (exif if isinstance(exif, bytes) else b"").removeprefix(b"Exif\0\0"), xmp if isinstance(xmp, bytes) else b""


def _count(image: ImageFile.ImageFile, body: bytes | memoryview, kind: Format) -> int:
    """How many pictures the file holds, by its headers."""
    if kind is Format.GIF:
        return gif_frames(bytes(body), _MOST_COUNTED_FRAMES + 1)
    return int(getattr(image, "n_frames", 1))


def _frames(image: ImageFile.ImageFile, count: int) -> Views:
    """Later frames, evenly spread, the last among them. Raises TooLarge after those that it may go as far as."""
    affordable = 1 + _MOST_ANIMATED_PIXELS // max(image.width * image.height, _LEAST_FRAME_PIXELS)
    within = min(count, affordable, _MOST_COUNTED_FRAMES)
    for number in sorted({round((within - 1) * part / _MOST_FRAMES) for part in range(1, _MOST_FRAMES + 1)} - {0}):
        try:
            image.seek(number)
            image.load()
        except UNDECODABLE:  # the file is shorter than its headers say
            break
        yield View.FRAME, rgb_of(image)
        if is_transparent(image):
            yield View.FRAME, filled(image, WHITE)
    if within < count:
        raise TooLarge


# --- orientation --------------------------------------------------------------------------------------------------

_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
_TURNS: dict[int, Callable[[U8], U8]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels, 1),
}


def _oriented(pixels: U8, orientation: int) -> Views:
    turn = _TURNS.get(orientation)
    if turn is not None:
        yield View.ORIENTED, np.ascontiguousarray(turn(pixels))


def _orientation(exif: bytes, xmp: bytes) -> int:
    """1 to 8 as EXIF or, failing that, XMP says; 1 where neither can be read."""
    if exif:
        block = Image.Exif()
        try:
            block.load(b"Exif\0\0" + exif)
            value = block.get(ExifTags.Base.Orientation, 1)
        except UNDECODABLE:
            value = None
        if isinstance(value, int) and value in range(1, 9):
            return value
    match = _XMP_ORIENTATION.search(xmp)
    return int(match[1]) if match else 1
