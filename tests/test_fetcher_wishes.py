"""Headers: wishes not to be used, waiting, length, encoding; against what img2dataset honours, too."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset.fetcher.wishes import headers_of, is_encoded, length_of, opted_out, wait_of

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()


def headers(*lines: str) -> dict[str, tuple[str, ...]]:
    return dict(headers_of("\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode("latin-1")))


@pytest.mark.parametrize(
    "value",
    [
        "noai", "NoAI", "noimageai", "noindex", "noimageindex", "none", "noindex, nofollow", "nofollow , noai", "all,noai",
        "vetset: noai", "VETSET: noindex", "*: noai", "other: all, vetset: noai", "max-snippet: 3, noai",
        "unavailable_after: 25 Jun 2030 15:00:00 PST, noindex",
    ],
)  # fmt: skip
def test_wishes_that_concern_us(value: str) -> None:
    assert opted_out(headers(f"X-Robots-Tag: {value}"), "vetset")


@pytest.mark.parametrize(
    "value",
    ["", "all", "nofollow", "noarchive", "notranslate", "googlebot: noindex", "other: noai, noindex", "index", "no ai"],
)
def test_wishes_that_do_not(value: str) -> None:
    assert not opted_out(headers(f"X-Robots-Tag: {value}"), "vetset")


def test_wishes_in_several_headers_and_by_reservation() -> None:
    assert opted_out(headers("X-Robots-Tag: all", "x-robots-tag: noai"), "vetset")
    assert opted_out(headers("TDM-Reservation: 1"), "vetset")
    assert not opted_out(headers("TDM-Reservation: 0", "tdm-policy: x"), "vetset")
    assert not opted_out(headers(), "vetset")


@given(
    st.lists(
        st.sampled_from(["noai", "noimageai", "noindex", "noimageindex", "nofollow", "all"]), min_size=1, max_size=4
    )
)
def test_whatever_img2dataset_honours_is_honoured(directives: list[str]) -> None:
    """Its rule (`is_disallowed`, 1.47): a value's part behind the colon, split at commas, meets one of four words."""
    theirs = any(word in {"noai", "noimageai", "noindex", "noimageindex"} for word in directives)
    assert opted_out(headers(f"X-Robots-Tag: {', '.join(directives)}"), "vetset") or not theirs


def test_only_whole_names_at_the_start_of_a_line_count() -> None:
    found = headers("LOCATION :  /x \t", "X-Location: /y", "Server: Location: /z", "Locations: /a", " location: /b")
    assert found == {"location": ("/x",)}


def test_encodings() -> None:
    for value in ("gzip", "br", "GZIP", "identity, deflate", "zstd", "x-gzip"):
        assert is_encoded(headers(f"Content-Encoding: {value}"))
    for value in ("identity", "", "utf-8", "none", "binary"):  # careless servers: the bytes speak for themselves
        assert not is_encoded(headers(f"Content-Encoding: {value}"))


def test_lengths() -> None:
    for value, length in {"5": 5, " 7 ": 7, "-1": 0, "x": 0, "9" * 30: 0, "": 0, "1_0": 0}.items():
        assert length_of(headers(f"Content-Length: {value}")) == length


def test_waiting() -> None:
    for value, seconds in {
        "120": 120.0, "0": 0.0, "-5": 0.0, "soon": 0.0, "": 0.0, "9" * 20: 0.0, "²": 0.0,
        "Mon, 30 Nov 2026 12:01:00 GMT": 60.0, "Mon, 30 Nov 2026 11:00:00 GMT": 0.0, "Mon, 99 Nov 2026 12:01:00 GMT": 0.0,
    }.items():  # fmt: skip
        assert wait_of(headers(f"Retry-After: {value}"), NOW) == pytest.approx(seconds)
    assert wait_of(headers(), NOW) == 0


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_no_header_line_makes_it_stumble(lines: list[bytes]) -> None:
    found = headers_of(b"\r\n".join([b"HTTP/1.1 200 OK", *lines, *(b"X-Robots-Tag:" + line for line in lines)]))
    assert opted_out(found, "vetset") in {True, False}
    assert is_encoded(found) in {True, False}
    assert length_of(found) >= 0
    assert wait_of(found, NOW) >= 0
