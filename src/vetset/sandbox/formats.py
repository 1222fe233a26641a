"""What a file is, by its first bytes and headers alone: format, where it ends, and what hides in it or behind it.

In it: reading of headers over the bytes, bounded by their length. Not in it: any decoder. Rules: names and recorded
types are never asked, since a polyglot lies with them; whatever is cut short ends the reading and is no error here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

Body = bytes | memoryview

_PNG_START = b"\x89PNG\r\n\x1a\n"


class Format(StrEnum):
    """What is decoded here; everything else is `unsupported` (reference: threats, F2)."""

    JPEG = "jpeg"
    PNG = "png"
    GIF = "gif"
    WEBP = "webp"


def format_of(body: Body) -> Format | None:
    """By the first bytes. Of JPEG two are enough: libjpeg skips what stands before the next marker."""
    head = bytes(body[:16])
    if head[:2] == b"\xff\xd8":
        return Format.JPEG
    if head[:8] == _PNG_START:
        return Format.PNG
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return Format.GIF
    return Format.WEBP if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


# --- JPEG ---------------------------------------------------------------------------------------------------------

_JPEG_START = b"\xff\xd8\xff"
_SCAN = 0xDA
_APPLICATION = range(0xE0, 0xF0)
#: Start-of-frame markers; of these baseline, extended and progressive Huffman are what the quick decoder takes.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_QUICK_FRAMES = frozenset((0xC0, 0xC1, 0xC2))
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD9)))
_MOST_SEGMENTS = 4096


@dataclass(slots=True)
class Jpeg:
    """What the segments before the first scan say. A size of 0 is one that was not found."""

    width: int = 0
    height: int = 0
    quick: bool = False  # 8 bits, Huffman, grey or YCbCr: what two decoders are known to agree on
    exif: bytes = b""
    xmp: bytes = b""
    embedded: tuple[tuple[int, int], ...] = ()  # where a JPEG file begins inside an application segment, and its end
    scan: int = 0  # where the first scan begins


def jpeg_of(body: Body) -> Jpeg:
    """Walks the segments before the first scan."""
    found = Jpeg()
    colours, adobe, plain_frame = 0, -1, False
    embedded: list[tuple[int, int]] = []
    for marker, start, end in _segments(body):
        if marker in _FRAMES and end - start >= 6 and not found.width:  # noqa: PLR2004 - the fixed part of the frame
            found.height = int.from_bytes(body[start + 1 : start + 3], "big")
            found.width = int.from_bytes(body[start + 3 : start + 5], "big")
            colours = body[start + 5]
            plain_frame = marker in _QUICK_FRAMES and body[start] == 8  # noqa: PLR2004 - bits
            names = bytes(body[start + 6 : end : 3])
            plain_frame = plain_frame and names != b"RGB"
        elif marker == 0xEE and bytes(body[start : start + 5]) == b"Adobe" and end - start >= 12:  # noqa: PLR2004
            adobe = body[start + 11]
        elif marker in _APPLICATION:
            _application(bytes(body[start:end]), start, found, embedded)
        elif marker == _SCAN:
            found.scan = end
    found.quick = plain_frame and (colours == 1 or (colours == 3 and adobe != 0))  # noqa: PLR2004
    found.embedded = tuple(embedded)
    return found


def _application(segment: bytes, start: int, found: Jpeg, embedded: list[tuple[int, int]]) -> None:
    if segment[:6] == b"Exif\0\0" and not found.exif:
        found.exif = segment[6:]
    elif segment[:29] == b"http://ns.adobe.com/xap/1.0/\0":
        found.xmp = segment[29:]
    place = segment.find(_JPEG_START)
    while place >= 0:
        embedded.append((start + place, start + len(segment)))
        place = segment.find(_JPEG_START, place + 1)


def _segments(body: Body) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of the contents of each segment up to and with the first scan's header."""
    at, size = 2, len(body)
    for _ in range(_MOST_SEGMENTS):
        while at < size and body[at] != 0xFF:  # noqa: PLR2004 - what is no marker is skipped, as libjpeg does
            at += 1
        while at < size and body[at] == 0xFF:  # noqa: PLR2004 - fill bytes
            at += 1
        if at + 3 > size:
            return
        marker = body[at]
        if marker in _STANDALONE or marker == 0:
            at += 1
            continue
        end = at + 1 + int.from_bytes(body[at + 1 : at + 3], "big")
        if end < at + 3 or end > size:
            return
        yield marker, at + 3, end
        if marker == _SCAN:
            return
        at = end


def embedded_jpegs(metadata: bytes, most: int) -> list[bytes]:
    """JPEG files inside a block of metadata, from their start to the block's end."""
    places: list[bytes] = []
    place = metadata.find(_JPEG_START)
    while place >= 0 and len(places) < most:
        places.append(metadata[place:])
        place = metadata.find(_JPEG_START, place + 1)
    return places


# --- PNG ----------------------------------------------------------------------------------------------------------

#: Chunks that say nothing of the pixels as they are read here, and that may be bombs.
_TEXT = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_XMP = b"XML:com.adobe.xmp\0\0"  # uncompressed, as it stands at the start of an iTXt chunk


def without_text(body: bytes) -> bytes:
    """A PNG file less its text and profiles, but for plain XMP. What is no row of chunks stays as it is."""
    if not any(name in body for name in _TEXT):
        return body
    kept, at = [body[:8]], 8
    while at + 12 <= len(body):
        end = at + 12 + int.from_bytes(body[at : at + 4], "big")
        if end > len(body):
            break
        if body[at + 4 : at + 8] not in _TEXT or body.startswith(_XMP, at + 8):
            kept.append(body[at:end])
        at = end
    return b"".join([*kept, body[at:]])


# --- what follows a picture ---------------------------------------------------------------------------------------

#: How the pictures begin that are looked for behind another. In a JPEG's scan FF is followed by 00 or a restart marker
#: only, so that the first never stands there; the second is made to stand nowhere by chance (PNG, 5.2).
_STARTS = (_JPEG_START, _PNG_START)
_MOST_COUNTED_FRAMES = 10_000


def further_pictures(body: bytes, start: int, most: int) -> list[int]:
    """Where JPEG and PNG files begin from `start` on: MPO's other pictures, and whatever else was appended.

    At most `most` of them, in order; none where `start` is 0, which stands for an end that was not found.
    """
    places: list[int] = []
    at = start
    while at and len(places) < most:
        found = [place for place in (body.find(begins, at) for begins in _STARTS) if place >= 0]
        if not found:
            break
        places.append(min(found))
        at = places[-1] + 3
    return places


def end_of(body: bytes, kind: Format) -> int:
    """Where a file of a format other than JPEG ends by its own structure; 0 where that is not to be told."""
    if kind is Format.PNG:
        return _png_end(body)
    if kind is Format.WEBP:
        length = 8 + int.from_bytes(body[4:8], "little")
        return length if length <= len(body) else 0
    frames_end = _walk_gif(body, _MOST_COUNTED_FRAMES)[1]
    return frames_end + 1 if body[frames_end : frames_end + 1] == b"\x3b" else 0


def _png_end(body: bytes) -> int:
    at = 8
    while at + 12 <= len(body):
        end = at + 12 + int.from_bytes(body[at : at + 4], "big")
        if end > len(body):
            return 0
        if body[at + 4 : at + 8] == b"IEND":
            return end
        at = end
    return 0


# --- animations ---------------------------------------------------------------------------------------------------


def gif_frames(body: bytes, most: int) -> int:
    """How many pictures a GIF file holds, counted block by block; at most `most`."""
    return _walk_gif(body, most)[0]


def _walk_gif(body: bytes, most: int) -> tuple[int, int]:
    """Pictures counted, and where the walk over the blocks ended."""
    if len(body) < 13:  # noqa: PLR2004 - the fixed header
        return 0, len(body)
    at = 13 + _table_bytes(body[10])
    frames = 0
    while at < len(body) and frames < most:
        kind = body[at]
        if kind == 0x2C and at + 10 < len(body):  # noqa: PLR2004 - an image descriptor
            frames += 1
            at = _after_blocks(body, at + 11 + _table_bytes(body[at + 9]))
        elif kind == 0x21:  # noqa: PLR2004 - an extension
            at = _after_blocks(body, at + 2)
        elif kind == 0:
            at += 1
        else:
            break
    return frames, at


def _table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_blocks(body: bytes, at: int) -> int:
    while at < len(body) and body[at]:
        at += body[at] + 1
    return at + 1
