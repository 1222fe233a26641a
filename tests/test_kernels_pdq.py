"""PDQ: bit for bit what pdqhash says of the same pixels, near what upstream published, by both kernels."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.pdq_pictures import KINDS, SHARED, as_luma, bits_apart, decoded, made, peer, pictures, shared_pictures
from vetset import kernels
from vetset.kernels import native

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared pictures are not here")

EVERY = shared_pictures("pdq", "benign")
#: The definition takes a tenth of a second a picture.
SAMPLED = 40
EXPECTED = SHARED / "pdq" / "expected.csv"
BOTH = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def some(paths: list[Path], kernels_used: str) -> list[Path]:
    return paths if kernels_used == "native" else paths[:: max(1, len(paths) // SAMPLED)]


def check(pixels: np.ndarray, what: object = "") -> None:
    prints, quality = kernels.pdq(pixels)
    expected, expected_quality = peer(pixels)
    assert prints.shape == (8, 32)
    assert prints.dtype == np.uint8
    assert quality == expected_quality, what
    assert (prints == expected).all(), f"{what}: {bits_apart(prints, expected)} bits of all orientations"


def test_there_are_pictures() -> None:
    assert len(EVERY) > 2000


def test_every_shared_picture_as_pillow_decodes_it(either_kernels: str) -> None:
    for path in some(EVERY, either_kernels):
        check(decoded(path), path.name)


def test_every_shared_jpeg_as_simplejpeg_decodes_it(either_kernels: str) -> None:
    jpegs = [path for path in EVERY if simplejpeg.is_jpeg(path.read_bytes())]
    assert len(jpegs) > 900
    for path in some(jpegs, either_kernels):
        body = path.read_bytes()
        if simplejpeg.decode_jpeg_header(body)[2] != "CMYK":
            check(simplejpeg.decode_jpeg(body, "RGB"), path.name)


def test_every_shared_picture_in_luma(either_kernels: str) -> None:
    for path in some(EVERY, either_kernels):
        check(as_luma(decoded(path)), path.name)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("row", rows_of(EXPECTED) if EXPECTED.is_file() else [], ids=lambda row: row["file"])
def test_as_near_to_what_upstream_published_as_pdqhash_is(row: dict[str, str], either_kernels: str) -> None:
    prints, quality = kernels.pdq(decoded(EXPECTED.parent / row["file"]))
    assert prints[0].tobytes().hex() == row["pdqhash_0_2_8"]
    assert quality == int(row["pdqhash_quality"])
    published = [value for name, value in row.items() if name.startswith("expected_pdq") and value]
    assert published
    for value in published:
        assert bits_apart(prints[0], np.frombuffer(bytes.fromhex(value), np.uint8)) <= int(row["max_bits_apart"])


def turned(pixels: np.ndarray) -> list[np.ndarray]:
    """The picture in the reference's order of orientations."""
    return [
        pixels,
        np.rot90(pixels),
        np.rot90(pixels, 2),
        np.rot90(pixels, 3),
        pixels[::-1],
        pixels[:, ::-1],
        pixels.swapaxes(0, 1),
        np.rot90(pixels, 2).swapaxes(0, 1),
    ]


def distances(path: Path) -> list[list[int]]:
    """For each orientation, how far the upright print of the turned picture is from the eight of the picture."""
    prints, _ = kernels.pdq(decoded(path))
    return [[bits_apart(kernels.pdq(one)[0][0], other) for other in prints] for one in turned(decoded(path))]


def test_orientations_come_in_the_published_order(either_kernels: str) -> None:
    for place, apart in enumerate(distances(SHARED / "pdq" / "bridge-mods" / "aaa-orig.jpg")):
        assert apart[place] <= 8, (place, apart)
        assert min(other for at, other in enumerate(apart) if at != place) > 80


def test_turned_photos_meet_the_orientation_and_no_other(either_kernels: str) -> None:
    """Further apart than the published picture, for these are small: the reference samples them off their middle."""
    paths = [path for path in shared_pictures("benign/wallpaper") if kernels.pdq(decoded(path))[1] == 100]
    for path in paths[:2] if either_kernels == "plain" else paths[:30]:
        for place, apart in enumerate(distances(path)):
            assert apart[place] == min(apart), (path.name, place, apart)
            assert apart[place] <= 40, (path.name, place, apart)


@given(pixels=pictures())
@example(pixels=made("noise", 5, 12, 0))  # the size at which a prototype of this was wrong
@example(pixels=made("noise", 64, 64, 0))
@example(pixels=made("noise", 128, 129, 0))
@example(pixels=made("noise", 200, 200, 0))
@BOTH
def test_generated_pictures_of_any_size(pixels: np.ndarray, either_kernels: str) -> None:
    check(pixels)
    check(as_luma(pixels))


@pytest.mark.parametrize("kind", KINDS)
def test_larger_pictures(kind: str, either_kernels: str) -> None:
    for height, width in ((257, 300), (640, 256), (520, 777))[: 1 if either_kernels == "plain" else None]:
        check(made(kind, height, width, 1), (kind, height, width))
        check(as_luma(made(kind, height, width, 2)), (kind, height, width))


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (4, 300), (300, 4), (1, 100_000), (100_000, 1), (0, 0), (0, 9)])
def test_a_picture_too_small_for_pdq_has_no_bits(shape: tuple[int, int], either_kernels: str) -> None:
    for pixels in (np.full((*shape, 3), 7, np.uint8), np.full(shape, 7, np.uint8)):
        prints, quality = kernels.pdq(pixels)
        assert prints.shape == (8, 32)
        assert not prints.any()
        assert quality == 0


def test_extreme_shapes(either_kernels: str) -> None:
    long = 100_000 if either_kernels == "native" else 3_000
    for shape in ((5, long), (long, 5), (64, long), (long, 64)):
        check(made("noise", *shape, 3), shape)


def test_what_is_no_picture_is_refused(either_kernels: str) -> None:
    for wrong in ((9, 9, 4), (9, 9, 1), (9,), (9, 9, 3, 1)):
        with pytest.raises(ValueError, match="PDQ is computed of"):
            kernels.pdq(np.zeros(wrong, np.uint8))
    for kind in (np.float32, np.int8, np.uint16, np.bool_):
        with pytest.raises(ValueError, match="PDQ is computed of"):
            kernels.pdq(np.zeros((9, 9, 3), kind))


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pixels_may_lie_in_memory_as_they_like(seed: int, either_kernels: str) -> None:
    wide = made("noise", 80, 150, seed)
    for view in (
        wide[::2],
        wide[:, ::2],
        wide[::-1, ::-1],
        wide[3:70, 5:99],
        wide[:, :, ::-1],
        np.asfortranarray(wide),
    ):
        assert (kernels.pdq(view)[0] == kernels.pdq(np.ascontiguousarray(view))[0]).all()
    luma = wide[:, :, 1]
    assert (kernels.pdq(luma)[0] == kernels.pdq(luma.copy())[0]).all()
    frozen = wide.copy()
    frozen.flags.writeable = False
    assert (kernels.pdq(frozen)[0] == kernels.pdq(wide)[0]).all()


def test_luma_is_the_standard_mix_rounded_once() -> None:
    pixels = np.array([[[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [1, 2, 3]]], np.uint8)
    exact = [255.0, 76.245, 149.685, 29.07, 1.815]
    assert kernels.luma_of(pixels).tolist() == [[float(np.float32(value)) for value in exact]]
    assert kernels.luma_of(pixels[:, :, 0]).tolist() == [[255, 255, 0, 0, 1]]


def test_a_flat_picture_has_no_quality(either_kernels: str) -> None:
    assert kernels.pdq(np.full((100, 100, 3), 200, np.uint8))[1] == 0


def test_the_variants_have_names() -> None:
    assert (kernels.PDQ_VARIANT_RGB, kernels.PDQ_VARIANT_LUMA) == kernels.VARIANTS == ("rgb", "luma")


def test_the_fixture_takes_the_native_kernels_away(either_kernels: str) -> None:
    assert (native.LIB is None) == (either_kernels == "plain")
