"""Addresses as they are asked: the one spelling, hosts, keyed hashes of columns, requests."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vetset import kernels
from vetset.records import Address, Sealed, SealedBatch

KEY = bytes(range(32))


def column(*urls: bytes | None, **others: pa.Array) -> SealedBatch:
    arrays = {"url": pa.array(urls, pa.large_binary()), **others}
    return SealedBatch(pa.record_batch(list(arrays.values()), names=list(arrays)))


@pytest.mark.parametrize(
    ("value", "asked", "host"),
    [
        (b"https://a.example/1.jpg", "https://a.example/1.jpg", "a.example"),
        (b"HTTPS://A.Example:443/x/../1.jpg", "https://a.example/1.jpg", "a.example"),
        (b"http://user:secret@a.example/1#top", "http://a.example/1", "a.example"),
        (b" http://a.example ", "http://a.example/", "a.example"),
        (b"http://127.1/x", "http://127.0.0.1/x", "127.0.0.1"),
        ("https://ü.example/ä".encode(), "https://xn--tda.example/%C3%A4", "xn--tda.example"),
        (b"https://a.example:8443/1", "https://a.example:8443/1", "a.example"),
    ],
)
def test_the_spelling_that_is_asked_and_its_host(value: bytes, asked: str, host: str) -> None:
    assert kernels.web_of(value) == (asked, host)


@pytest.mark.parametrize(
    "value", [b"", b"no address", b"ftp://a.example/1", b"file:///etc/passwd", b"//a.example/1", b"\xff", b"data:,x"]
)
def test_what_is_none_of_the_web_has_none(value: bytes) -> None:
    assert kernels.web_of(value) is None


PIECES = st.sampled_from(
    ["http://", "https://", "HTTP://", "a.example", "A.example", "127.1", "/", "1.jpg", "#x", "?q", "u:p@", ":80", " "]
)


@given(st.lists(PIECES, max_size=7).map("".join))
@example("https://a.example/1.jpg")
def test_the_quick_way_agrees_with_the_parser(text: str) -> None:
    """Whatever is asked is its own spelling, and a fragment or user is never sent."""
    web = kernels.web_of(text.encode())
    if web is not None:
        assert kernels.web_of(web[0].encode()) == web
        assert "#" not in web[0]
        assert "@" not in web[0].split("/")[2]
        assert kernels.host_of(web[0].encode()) == web[1]
        assert kernels.whatwg_of(web[0].encode()) == web[0].encode()


def test_marks_of_a_column() -> None:
    md5 = pa.array([b"0" * 31 + b"1", b"no digest", None, b"d41d8cd98f00b204e9800998ecf8427e"], pa.large_binary())
    punsafe = pa.array([0.5, None, 0.9, 0.1], pa.float64())
    urls = (b"https://a.example/1", b"HTTPS://a.example/1", b"ftp://a.example/1", None)
    marks = kernels.web_marks(column(*urls, md5=md5, punsafe=punsafe), KEY)
    assert marks.asked[0] == marks.asked[1] == kernels.keyed_hash_of(b"https://a.example/1", KEY)
    assert marks.raw[0] != marks.raw[1]
    assert marks.asked[2:].tolist() == marks.host[2:].tolist() == [0, 0]
    assert marks.raw[2] != 0
    assert marks.host[0] == marks.host[1] == kernels.keyed_hash_of(b"a.example", KEY)
    assert (marks.digest != 0).tolist() == [True, False, False, False]  # of nothing is no digest to share
    assert np.isnan(marks.score).tolist() == [False, True, False, False]


def test_without_columns_there_are_no_marks() -> None:
    marks = kernels.web_marks(SealedBatch(pa.record_batch([pa.array([1.0])], names=["punsafe"])), KEY)
    assert [hashes.tolist() for hashes in (marks.raw, marks.asked, marks.host, marks.digest)] == [[0]] * 4


def test_the_first_digest_that_a_row_records_counts() -> None:
    md5, sha1 = pa.array([None, b"1" * 32], pa.large_binary()), pa.array([b"2" * 40, b"3" * 40], pa.large_binary())
    marks = kernels.web_marks(column(b"https://a.example/1", None, md5=md5, sha1=sha1), KEY)
    wanted = [kernels.keyed_hash_of(bytes.fromhex(text), KEY) for text in ("2" * 40, "1" * 32)]
    assert marks.digest.tolist() == wanted


def test_requests_are_made_of_addresses_of_the_web() -> None:
    addresses = [(n, Sealed(Address(url, {}))) for n, url in enumerate((b"http://A.example", b"ftp://x/", None))]
    (request,) = kernels.requests_of(addresses)
    assert request.number == 0
    assert request.url.unseal() == "http://a.example/"
    assert "example" not in repr(request)


def test_rows_whose_addresses_are_asked_alike() -> None:
    one, other, third = (Sealed(Address(url, {})) for url in (b"http://A.example", b"http://a.example/#x", None))
    assert kernels.same_web(one, other)
    assert not kernels.same_web(one, third)
    assert not kernels.same_web(third, third)
    assert kernels.web_hashes_of(one, KEY) == kernels.web_hashes_of(other, KEY) != (0, 0)
    assert kernels.web_hashes_of(third, KEY) == (0, 0)
