"""How pictures begin: the formats that are decoded, those that are not, and what is none."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vetset.kernels import begins_as_image, begins_as_picture

DECODED = ("JPEG", "PNG", "GIF", "WEBP")
OTHERS = ("BMP", "TIFF", "ICO", "JPEG2000", "AVIF")


def encoded(kind: str) -> memoryview:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (10, 90, 200)).save(buffer, kind)
    return memoryview(buffer.getvalue())


@pytest.mark.parametrize("kind", DECODED)
def test_formats_that_are_decoded(kind: str) -> None:
    assert begins_as_picture(encoded(kind))
    assert begins_as_image(encoded(kind))


@pytest.mark.parametrize("kind", OTHERS)
def test_formats_that_are_pictures_all_the_same(kind: str) -> None:
    assert not begins_as_picture(encoded(kind))
    assert begins_as_image(encoded(kind))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b"\xff\xd8",
        b"%PDF-1.7",
        b"PK\3\4",
        b"RIFF....WAVE",
        b"....ftypisom",
        b"\x1f\x8b\x08",
        b" BM",
    ],
)
def test_what_is_no_picture(body: bytes) -> None:
    assert not begins_as_image(memoryview(body))


@given(st.binary(max_size=40))
def test_what_is_decoded_is_an_image(body: bytes) -> None:
    if begins_as_picture(memoryview(body)):
        assert begins_as_image(memoryview(body))
