"""Where the original lies in a picture that img2dataset resized, by geometry alone.

In it: the padding of mode `border`. Not in it: pixels, and whether a mode can be undone at all.
Rules: the rounding is img2dataset's (1.47, through albumentations 1.x): the longest side becomes the size, the other is
scaled and rounded half to even, and what is missing to a square is padded, the smaller half above or to the left.
"""

from __future__ import annotations

from vetset.records import Stored


def content_box(width: int, height: int, stored: Stored) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the original in a padded picture; all of it where no original size is recorded.

    A picture that is not square was not padded, and neither was one of a square original.
    """
    before, tall = stored.original_width, stored.original_height
    if before <= 0 or tall <= 0 or width != height or before == tall:
        return 0, 0, width, height
    scale = width / max(before, tall)
    across, down = (min(width, max(1, round(length * scale))) for length in (before, tall))
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + across, top + down
