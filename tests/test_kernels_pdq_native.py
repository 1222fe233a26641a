"""PDQ in C: every set of instructions and both ways give the same bits, and no shape that lies gets past the door."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from tests.pdq_pictures import KINDS, SHARED, as_luma, bits_apart, decoded, made, peer, pictures, shared_pictures
from vetset.kernels import native

LIB: Any = native.LIB
pytestmark = pytest.mark.skipif(LIB is None, reason="the native kernels are not built here")

LANES = (4, 8, 16)  # without any extension, AVX2, AVX-512; what the processor lacks falls back to the one before
EITHER_WAY, EXACT_WAY, FUSED_WAY = range(3)


def computed(pixels: np.ndarray, lanes: int = 0, how: int = EXACT_WAY) -> tuple[np.ndarray, int, bool]:
    """Prints, quality, and whether it went the fused way."""
    prints = np.empty((8, 32), np.uint8)
    colours = 3 if pixels.ndim == 3 else 1
    quality, done = LIB.pdq(np.ascontiguousarray(pixels), *pixels.shape[:2], colours, prints, lanes, how)
    return prints, quality, bool(done)


def check(pixels: np.ndarray) -> None:
    expected, quality = peer(pixels)
    for lanes in LANES:
        for how in (EITHER_WAY, EXACT_WAY):
            prints, own, _ = computed(pixels, lanes, how)
            assert own == quality, (lanes, how, pixels.shape)
            assert (prints == expected).all(), (lanes, how, pixels.shape)


@given(pictures(least=5, most=300))
@settings(max_examples=100)
def test_all_instructions_and_ways_say_the_same(pixels: np.ndarray) -> None:
    check(pixels)
    check(as_luma(pixels))


@pytest.mark.parametrize("side", [*range(5, 20), 31, 32, 33, 63, 64, 65, 127, 128, 129, 192, 193, 255, 256, 257, 513])
def test_sizes_around_every_limit(side: int) -> None:
    for other in (5, 17, 64, 100, 256, 385):
        check(made("noise", side, other, side))
        check(made("walk", other, side, side))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(700, 900), (64, 2300), (2300, 64)])
def test_windows_that_outgrow_sixteen_bits(kind: str, shape: tuple[int, int]) -> None:
    check(made(kind, *shape, 5))
    check(as_luma(made(kind, *shape, 6)))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared pictures are not here")
def test_most_photos_take_the_fused_way_and_few_of_its_bits_would_be_wrong() -> None:
    """What the margin is for: without it the fused way would be right almost always, and it must be nearly right."""
    fused = apart = 0
    photos = [decoded(path) for path in shared_pictures("benign/wallpaper", "benign/azure")]
    for pixels in photos:
        expected, quality, _ = computed(pixels)
        fused += computed(pixels, how=EITHER_WAY)[2]
        if quality >= 50:  # bits of plain pictures are the reference's rounding
            apart += bits_apart(computed(pixels, how=FUSED_WAY)[0], expected)
    assert fused > len(photos) / 2
    assert apart <= len(photos) / 10


def test_what_is_too_narrow_or_too_long_for_the_fused_way_goes_the_exact_way() -> None:
    for shape in ((63, 200), (200, 63), (64, 40_000)):
        pixels = made("noise", *shape, 1)
        assert computed(pixels, how=FUSED_WAY)[2] is False
        check(pixels)


def test_flat_pictures_go_the_exact_way() -> None:
    """All coefficients of a flat picture are the reference's rounding and nothing else."""
    assert computed(made("flat", 300, 300, 1), how=EITHER_WAY)[2] is False


def test_threads_do_not_meet() -> None:
    shapes = [(80 + 37 * number % 400, 64 + 91 * number % 500) for number in range(60)]
    pictures = [made("noise", *shape, number) for number, shape in enumerate(shapes)]
    alone = [computed(pixels)[0] for pixels in pictures]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda pixels: computed(pixels)[0], pictures * 5))
    assert all((one == other).all() for one, other in zip(alone * 5, together, strict=True))


def test_nothing_outside_the_pixels_matters() -> None:
    """The answer is the same whatever lies before and behind the pixels: nothing there is used."""
    for shape in ((70, 67, 3), (65, 64), (9, 7, 3)):
        pixels = made("noise", shape[0], shape[1], 1)[: shape[0]]
        pixels = pixels if len(shape) == 3 else np.ascontiguousarray(pixels[:, :, 0])
        seen = set()
        for around in (0, 85, 255):
            room = np.full(pixels.size + 512, around, np.uint8)
            room[256:-256] = pixels.reshape(-1)
            seen.add(computed(room[256:-256].reshape(pixels.shape))[0].tobytes())
        assert len(seen) == 1


@pytest.mark.parametrize(
    ("length", "height", "width", "colours", "room"),
    [
        (300, 10, 10, 3, 255),
        (300, 10, 10, 3, 257),
        (299, 10, 10, 3, 256),
        (301, 10, 10, 3, 256),
        (300, 10, 10, 1, 256),
        (200, 10, 10, 2, 256),
        (400, 10, 10, 4, 256),
        (0, 10, 10, 0, 256),
        (60, 4, 5, 3, 256),
        (60, 5, 4, 3, 256),
        (300, -10, -10, 3, 256),
        (300, 1 << 62, 1 << 62, 3, 256),
        (300, 1 << 63 - 1, 3, 3, 256),
    ],
)
def test_a_shape_that_lies_is_refused(length: int, height: int, width: int, colours: int, room: int) -> None:
    with pytest.raises(ValueError, match="disagree"):
        LIB.pdq(bytes(length), height, width, colours, bytearray(room))


def test_prints_go_into_what_can_be_written_only() -> None:
    with pytest.raises(TypeError):
        LIB.pdq(bytes(300), 10, 10, 3, bytes(256))
