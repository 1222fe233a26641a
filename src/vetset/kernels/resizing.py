"""Where the original lies in a picture that img2dataset resized, by geometry alone.

In it: the padding of `border`, the squeeze of `fixed`, and what `center_crop` leaves. Not in it: pixels.
Rules: the rounding is img2dataset's (1.47, by albumentations from 1.1 to 2.0, which agree): both sides are multiplied
by size / longest side and rounded half to even, to at least 1; what is missing to a square is padded, the smaller half
above and to the left. A picture that is stored in its original size was not touched (`resize_only_if_bigger`).
Padding is found by the recorded original size, never by colour: it is white or black as the library's version has it.
"""

from __future__ import annotations

from vetset.records import ResizeMode, Stored

Box = tuple[int, int, int, int]

#: Modes under which a square may be a padded picture. Of a picture whose mode nobody recorded, this is the assumption:
#: img2dataset pads unless it is told otherwise.
_MAY_PAD = (ResizeMode.BORDER, None)


def content_box(width: int, height: int, stored: Stored) -> Box | None:
    """(left, top, right, bottom) of the original within the stored picture; None where part of it was cut away.

    All of the picture where there is nothing to undo, or where no original size was recorded to undo it by.
    """
    if width != height or (width, height) == _original(stored):
        return 0, 0, width, height  # no square, no padding and no cut; of its own size, nothing was done
    if stored.mode is ResizeMode.CENTER_CROP:
        return (0, 0, width, height) if _was_square(stored) else None
    if stored.mode in _MAY_PAD and _is_recorded(stored):
        return _within_padding(width, *_original(stored))
    return 0, 0, width, height


def original_ratio(width: int, height: int, stored: Stored) -> tuple[int, int]:
    """(width, height) to which a picture squeezed by `fixed` is brought back; its longest side stays as stored."""
    if stored.mode is not ResizeMode.FIXED or not _is_recorded(stored):
        return width, height
    return _scaled(max(width, height), *_original(stored))


def _original(stored: Stored) -> tuple[int, int]:
    return stored.original_width, stored.original_height


def _is_recorded(stored: Stored) -> bool:
    return stored.original_width > 0 and stored.original_height > 0


def _was_square(stored: Stored) -> bool:
    return 0 < stored.original_width == stored.original_height


def _scaled(size: int, width: int, height: int) -> tuple[int, int]:
    """A picture's sides once its longest is `size`: multiplied in double precision, rounded half to even."""
    scale = size / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _within_padding(size: int, original_width: int, original_height: int) -> Box:
    width, height = _scaled(size, original_width, original_height)
    left, top = (size - width) // 2, (size - height) // 2
    return left, top, left + width, top + height
