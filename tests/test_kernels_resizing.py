"""Where the original lies in what img2dataset stored: against pictures resized and padded by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vetset.kernels import content_box, original_ratio
from vetset.records import ResizeMode, Stored

SIDES = st.integers(1, 5000)
SIZES = st.integers(1, 600)
WHOLE_MODES = [ResizeMode.NO, ResizeMode.KEEP_RATIO, ResizeMode.KEEP_RATIO_LARGEST, ResizeMode.FIXED]


def half_even(numerator: float) -> int:
    """The rounding of albumentations 1.1, by its own words: a half goes to the even neighbour."""
    below = int(numerator)
    if numerator - below == 0.5:
        return below + below % 2
    return below + (numerator - below > 0.5)


def padded(width: int, height: int, size: int, only_if_bigger: bool = False) -> np.ndarray:
    """A stored picture by mode `border` as img2dataset makes it: 1 where the original is, 0 where padding is."""
    if only_if_bigger and max(width, height) <= size:
        return np.ones((height, width), np.uint8)
    scale = size / float(max(width, height))
    rows, columns = (max(1, half_even(side * scale)) for side in (height, width))
    picture = np.zeros((size, size), np.uint8)
    top, left = int((size - rows) / 2.0), int((size - columns) / 2.0)
    picture[top : top + rows, left : left + columns] = 1
    return picture


def box_of_ones(picture: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@given(SIDES, SIDES, SIZES, st.booleans())
@example(300, 200, 256, False)
@example(512, 255, 256, False)  # 127.5: a half, to the even side
@example(512, 257, 256, False)  # 128.5
@example(5000, 1, 16, False)  # a side that rounds to nothing stays 1
@example(256, 256, 256, True)
@example(255, 100, 256, True)
def test_padding_is_found_where_it_is(width: int, height: int, size: int, only_if_bigger: bool) -> None:
    picture = padded(width, height, size, only_if_bigger)
    stored = Stored(ResizeMode.BORDER, width, height)
    box = content_box(picture.shape[1], picture.shape[0], stored)
    assert box == box_of_ones(picture)
    left, top, right, bottom = box
    assert picture[top:bottom, left:right].all()
    assert picture.sum() == (bottom - top) * (right - left)


@given(SIDES, SIDES, SIZES)
def test_a_square_of_which_nobody_recorded_the_mode_is_taken_as_padded(width: int, height: int, size: int) -> None:
    assert content_box(size, size, Stored(None, width, height)) == content_box(
        size, size, Stored(ResizeMode.BORDER, width, height)
    )


def test_known_boxes() -> None:
    assert content_box(256, 256, Stored(ResizeMode.BORDER, 640, 480)) == (0, 32, 256, 224)
    assert content_box(256, 256, Stored(ResizeMode.BORDER, 480, 640)) == (32, 0, 224, 256)
    assert content_box(256, 256, Stored(ResizeMode.BORDER, 1000, 331)) == (0, 85, 256, 170)
    assert content_box(256, 256, Stored(ResizeMode.BORDER, 1000, 332)) == (0, 85, 256, 170)
    assert content_box(256, 256, Stored(ResizeMode.BORDER, 700, 700)) == (0, 0, 256, 256)


def test_an_original_smaller_than_the_size_was_left_alone() -> None:
    assert content_box(120, 80, Stored(ResizeMode.BORDER, 120, 80)) == (0, 0, 120, 80)
    assert content_box(80, 80, Stored(ResizeMode.BORDER, 80, 80)) == (0, 0, 80, 80)
    assert content_box(80, 80, Stored(ResizeMode.CENTER_CROP, 80, 80)) == (0, 0, 80, 80)
    assert content_box(120, 80, Stored(ResizeMode.CENTER_CROP, 120, 80)) == (0, 0, 120, 80)


@pytest.mark.parametrize("mode", WHOLE_MODES)
@given(width=SIDES, height=SIDES, before=SIDES, tall=SIDES)
def test_other_modes_store_all_of_it(mode: ResizeMode, width: int, height: int, before: int, tall: int) -> None:
    assert content_box(width, height, Stored(mode, before, tall)) == (0, 0, width, height)


@pytest.mark.parametrize("mode", [None, *(mode for mode in ResizeMode if mode is not ResizeMode.CENTER_CROP)])
def test_without_a_recorded_size_nothing_can_be_undone(mode: ResizeMode | None) -> None:
    for sizes in ((0, 0), (640, 0), (0, 480), (-1, 480)):
        assert content_box(256, 256, Stored(mode, *sizes)) == (0, 0, 256, 256)
        assert original_ratio(256, 256, Stored(mode, *sizes)) == (256, 256)


@given(SIDES, SIDES, SIZES)
def test_what_a_square_cut_from_the_middle_lost_is_lost(width: int, height: int, size: int) -> None:
    box = content_box(size, size, Stored(ResizeMode.CENTER_CROP, width, height))
    if width == height:
        assert box == (0, 0, size, size)
    else:
        assert box is None


def test_a_cut_of_an_unknown_original_cannot_be_told_from_all_of_it() -> None:
    assert content_box(256, 256, Stored(ResizeMode.CENTER_CROP)) is None
    assert content_box(256, 200, Stored(ResizeMode.CENTER_CROP)) == (0, 0, 256, 200)  # no cut leaves this shape


@given(SIDES, SIDES, SIZES)
def test_a_squeezed_picture_gets_its_shape_back(width: int, height: int, size: int) -> None:
    across, down = original_ratio(size, size, Stored(ResizeMode.FIXED, width, height))
    assert max(across, down) == size
    assert min(across, down) >= 1
    if width >= height:
        assert abs(down - size * height / width) <= 0.5 or down == 1
    else:
        assert abs(across - size * width / height) <= 0.5 or across == 1


@pytest.mark.parametrize("mode", [None, *(mode for mode in ResizeMode if mode is not ResizeMode.FIXED)])
def test_only_what_was_squeezed_is_stretched(mode: ResizeMode | None) -> None:
    assert original_ratio(256, 171, Stored(mode, 640, 480)) == (256, 171)
