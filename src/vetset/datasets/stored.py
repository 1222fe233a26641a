"""What a dataset records of a picture's original: its digests, its size, and how it came to be stored as it is.

In it: img2dataset's words for it, from a line or a JSON object. Not in it: files. Rules: what is recorded is believed
for nothing but where to look and what to compare; what is not recorded is unknown, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vetset.config import PictureSettings
from vetset.datasets.columns import column_of
from vetset.kernels import hex_digest_of
from vetset.records import DIGEST_COLUMNS, WIDTH_BYTES, ResizeMode, Signal, Stored

Hint = tuple[Mapping[Signal, bytes], Stored]

SIZES = ("width", "height", "original_width", "original_height")
_MOST_PIXELS = 2**31


def hint_of(said: Mapping[str, Any], settings: PictureSettings) -> Hint:
    """The digests recorded of an original, and how its picture was stored."""
    recorded: dict[Signal, bytes] = {}
    for name, value in said.items():
        column = column_of(name)
        signal = None if column is None else DIGEST_COLUMNS.get(column)
        digest = hex_digest_of(value.encode(), WIDTH_BYTES[signal]) if signal and isinstance(value, str) else None
        if signal is not None and digest is not None:
            recorded[signal] = digest
    return recorded, stored_of(said, settings)


def stored_of(said: Mapping[str, Any], settings: PictureSettings) -> Stored:
    """How a picture was stored, from what its line or JSON says and the settings add.

    img2dataset records sizes but no resize mode; where it encoded nothing anew, it records no sizes either.
    """
    width, height, before, tall = (_whole(said.get(name)) for name in SIZES)
    if settings.resize_mode != "auto":
        mode = ResizeMode(settings.resize_mode)
        return Stored(mode, before, tall, intact=settings.intact and mode is ResizeMode.NO)
    if before and (width, height) == (before, tall):
        return Stored(ResizeMode.NO, before, tall)
    return Stored(None, before, tall, intact=settings.intact)


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value < _MOST_PIXELS else 0  # NaN fails too
