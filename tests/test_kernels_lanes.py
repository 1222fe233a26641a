"""The native column kernels against hashlib: lengths around every block, slices, nulls, many values at once."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset import kernels
from vetset.kernels import native
from vetset.records import Column, Sealed, SealedBatch, Signal, UrlForm

pytestmark = pytest.mark.usefixtures("either_kernels")

VALUES = st.lists(st.none() | st.binary(max_size=300), max_size=90)
WIDTHS = {"md5": 16, "sha1": 20, "sha256": 32}


def digests(values: list[bytes | None], name: str, start: int = 0) -> kernels.Digests:
    array = pa.array([b"before"] * start + values + [b"after"], pa.large_binary()).slice(start, len(values))
    return kernels.digests_of(Sealed(array), name, WIDTHS[name])


@pytest.mark.parametrize("name", WIDTHS)
@given(values=VALUES, start=st.integers(0, 5))
def test_a_column_of_any_values(name: str, values: list[bytes | None], start: int) -> None:
    found = digests(values, name, start)
    assert found.present.tolist() == [value is not None for value in values]
    for row, value in zip(found.data, values, strict=True):
        assert row.tobytes() == (bytes(WIDTHS[name]) if value is None else hashlib.new(name, value).digest())


@pytest.mark.parametrize("name", WIDTHS)
def test_every_length_around_the_blocks(name: str) -> None:
    values: list[bytes | None] = [bytes([length % 251]) * length for length in [*range(400), 5_000, 70_000]]
    found = digests(values, name)
    assert [row.tobytes() for row in found.data] == [hashlib.new(name, value or b"").digest() for value in values]


@given(st.lists(st.binary(max_size=500), max_size=70))
def test_bodies_of_pictures(bodies: list[bytes]) -> None:
    views = [memoryview(body) if number % 2 else body for number, body in enumerate(bodies)]
    found = kernels.digests_of_bodies(views)
    assert set(found) == {Signal.MD5, Signal.SHA1, Signal.SHA256}
    for signal, rows in found.items():
        assert [row.tobytes() for row in rows] == [hashlib.new(signal.value, body).digest() for body in bodies]


def test_one_long_body_among_many_short_ones() -> None:
    bodies = [b"x" * 1_000_000, *(bytes([number]) * number for number in range(200))]
    assert [row.tobytes() for row in kernels.digests_of_bodies(bodies)[Signal.MD5]] == [
        hashlib.md5(body).digest() for body in bodies
    ]


@given(VALUES, st.binary(min_size=1, max_size=64), st.integers(0, 3))
def test_keyed_hashes_of_a_column(values: list[bytes | None], key: bytes, start: int) -> None:
    array = pa.array([b"x"] * start + values, pa.large_binary())
    batch = SealedBatch(pa.record_batch([array], names=["url"]).slice(start, len(values)))
    wanted = [kernels.keyed_hash_of(value, key) if value else 0 for value in values]
    assert kernels.keyed_hashes(batch, Column.URL, key).tolist() == wanted


ADDRESS = st.from_regex(r"\Ahttps?://[a-z0-9.\-]{1,12}/?[A-Za-z0-9._~%/?&=\-]{0,20}#?\Z") | st.text(max_size=30)


@given(st.lists(st.none() | ADDRESS, max_size=40), st.sampled_from(list(UrlForm)), st.integers(0, 3))
def test_forms_of_a_column(addresses: list[str | None], form: UrlForm, start: int) -> None:
    values = [None if text is None else text.encode("utf-8", "surrogatepass") for text in addresses]
    array = pa.array([b"http://x.y/z"] * start + values, pa.large_binary())
    batch = SealedBatch(pa.record_batch([array], names=["url"]).slice(start, len(values)))
    wanted = [kernels.FORM_OF[form](value) if value is not None else None for value in values]
    assert kernels.url_values(batch, form).unseal().to_pylist() == wanted


def test_buffers_that_disagree_are_an_error_and_no_read(either_kernels: str) -> None:
    lib = native.LIB
    if either_kernels == "plain" or lib is None:
        return
    offsets, mask, out = np.array([0, 5, 3], np.int64), np.ones(2, np.bool_), np.zeros((2, 16), np.uint8)
    wrong = [
        (offsets, b"data!", 0, mask, out),
        (np.array([0, 2, 9], np.int64), b"data!", 0, mask, out),
        (np.array([-1, 2, 3], np.int64), b"data!", 0, mask, out),
        (np.array([0, 2, 3], np.int64), b"data!", 1, mask, out),
        (np.array([0, 2, 3], np.int64), b"data!", 0, mask, out[:1]),
    ]
    for arguments in wrong:
        with pytest.raises(ValueError, match="disagree"):
            lib.column_digests("md5", *arguments)
