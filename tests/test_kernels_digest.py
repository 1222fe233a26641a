"""Kernels: digests of values and as columns record them, each column function against its definition."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.batches import EMPTY_MD5, EMPTY_SHA1, EMPTY_SHA256, paddings, sealed, values_of
from vetset import kernels
from vetset.records import DIGEST_COLUMNS, URL_ALGORITHM, WIDTH_BYTES, Column, Signal, UrlForm

pytestmark = pytest.mark.usefixtures("either_kernels")

WIDTHS = {column: WIDTH_BYTES[signal] for column, signal in DIGEST_COLUMNS.items()}
Values = Sequence[bytes | None]


def as_listed(digests: kernels.Digests) -> list[bytes | None]:
    """A column of digests as plain values."""
    return [row.tobytes() if here else None for row, here in zip(digests.data, digests.present, strict=True)]


def hex_of(width_bytes: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=width_bytes, max_size=width_bytes).map(lambda digest: digest.hex().encode())


def recorded(width_bytes: int) -> st.SearchStrategy[bytes | None]:
    """What a column of digests holds in practice: mostly digests, and everything that goes wrong."""
    right = hex_of(width_bytes)
    return st.one_of(
        right,
        right.map(bytes.upper),
        right.map(lambda value: b" \t" + value + b"\r\n"),
        right.map(lambda value: value[:-1]),
        right.map(lambda value: value + b"0"),
        right.map(lambda value: value[:-1] + b"g"),
        right.map(lambda value: b"0x" + value[2:]),
        right.map(lambda value: value[:-1] + b" "),
        st.sampled_from(
            [None, b"", b" ", b"\xff" * 2 * width_bytes, b"\x00" * 2 * width_bytes, b"-" * 2 * width_bytes]
        ),
        st.binary(max_size=2 * width_bytes + 2),
    )


# --- hex_digest_of: the definition --------------------------------------------------------------------------------


@pytest.mark.parametrize("width_bytes", [16, 20, 32])
@given(data=st.data())
def test_a_recorded_digest_is_hex_of_any_case_with_space_around(width_bytes: int, data: st.DataObject) -> None:
    digest = data.draw(st.binary(min_size=width_bytes, max_size=width_bytes))
    cased = "".join(data.draw(st.sampled_from([char, char.upper()])) for char in digest.hex())
    around = data.draw(st.text(" \t\r\n", max_size=3)), data.draw(st.text(" \t\r\n", max_size=3))
    assert kernels.hex_digest_of(f"{around[0]}{cased}{around[1]}".encode(), width_bytes) == digest


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"   ",
        b"0" * 31,
        b"0" * 33,
        b"0" * 40,
        b"0" * 30 + b"0g",
        b"0x" + b"0" * 30,
        b"0" * 16 + b" " + b"0" * 15,
        b"0" * 16 + b" " + b"0" * 16,
        b"0" * 31 + b"\n0",
        b"\x0b" + b"0" * 32,
        b"\x00" + b"0" * 32,
        b"+" + b"0" * 31,
        b"0_0" + b"0" * 29,
        "\uff10".encode() * 32,
        "\u0660".encode() * 16,
        b"md5:" + b"0" * 32,
        b'"' + b"0" * 32 + b'"',
    ],
)
def test_what_is_not_exactly_a_digest_is_none(value: bytes | None) -> None:
    assert kernels.hex_digest_of(value, 16) is None


@given(st.one_of(st.none(), st.binary(max_size=70)), st.sampled_from([16, 20, 32]))
def test_no_value_at_all_makes_the_definition_raise(value: bytes | None, width_bytes: int) -> None:
    digest = kernels.hex_digest_of(value, width_bytes)
    assert digest is None or (value is not None and digest.hex().encode() == value.strip(b" \t\r\n").lower())


# --- recorded_digests: the column ---------------------------------------------------------------------------------


def check_recorded(column: Column, values: Values, padding: dict[str, int]) -> kernels.Digests:
    """The column function against its definition, row by row; then the books of blank, malformed and present."""
    columns: dict[str, Any] = {column.value: values}
    digests = kernels.recorded_digests(sealed(**padding, **columns), column)
    defined = [kernels.hex_digest_of(value, WIDTHS[column]) for value in values]
    assert as_listed(digests) == defined
    assert digests.data.shape == (len(values), WIDTHS[column])
    assert digests.malformed == sum(1 for value, digest in zip(values, defined, strict=True) if value and not digest)
    assert not digests.data[~digests.present].any()
    return digests


@pytest.mark.parametrize("column", list(WIDTHS))
@given(data=st.data(), padding=paddings())
def test_recorded_digests_agree_with_the_definition(
    column: Column, data: st.DataObject, padding: dict[str, int]
) -> None:
    values = data.draw(st.lists(recorded(WIDTHS[column]), max_size=12))
    check_recorded(column, values, padding)


@pytest.mark.parametrize("column", list(WIDTHS))
@given(data=st.data(), padding=paddings())
def test_recorded_digests_agree_where_every_row_has_the_right_length(
    column: Column, data: st.DataObject, padding: dict[str, int]
) -> None:
    width_bytes = WIDTHS[column]
    right = st.one_of(hex_of(width_bytes), hex_of(width_bytes).map(bytes.upper))
    wrong = st.binary(min_size=2 * width_bytes, max_size=2 * width_bytes)
    values = data.draw(st.lists(st.one_of(right, right, wrong), min_size=1, max_size=12))
    check_recorded(column, values, padding)


@pytest.mark.parametrize("column", list(WIDTHS))
@pytest.mark.parametrize("before", [0, 1, 5])
def test_a_whole_column_of_digests_goes_the_quick_way_and_agrees(column: Column, before: int) -> None:
    values = [hashlib.sha512(str(n).encode()).hexdigest()[: 2 * WIDTHS[column]].encode() for n in range(50)]
    whole = check_recorded(column, values, {"before": before, "after": 3})
    assert whole.present.all()
    slow = check_recorded(column, [*values, None], {"before": before, "after": 3})
    assert (slow.data[:-1] == whole.data).all()


@pytest.mark.parametrize("character", range(256))
def test_every_character_is_hex_on_both_ways_or_on_neither(character: int) -> None:
    value = bytes([character]) + b"0" * 31
    check_recorded(Column.MD5, [value], {"before": 0, "after": 0})
    check_recorded(Column.MD5, [value, None], {"before": 0, "after": 0})


@pytest.mark.parametrize("column", list(WIDTHS))
def test_no_rows_and_rows_without_a_digest(column: Column) -> None:
    check_recorded(column, [], {"before": 0, "after": 0})
    check_recorded(column, [], {"before": 2, "after": 2})
    nothing = check_recorded(column, [None, None], {"before": 1, "after": 0})
    assert not nothing.present.any()
    assert nothing.malformed == 0


def test_null_and_empty_are_blank_and_not_malformed() -> None:
    digests = check_recorded(Column.MD5, [None, b"", b" ", b"x", EMPTY_MD5], {"before": 0, "after": 0})
    assert digests.malformed == 2


# --- digests_of and url_values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("algorithm", "width_bytes"), [("md5", 16), ("sha1", 20), ("sha256", 32)])
@given(values=st.lists(st.one_of(st.none(), st.binary(max_size=200)), max_size=10))
@example(values=[])
@example(values=[None])
@example(values=[b""])
def test_digests_of_agree_with_digest_of(algorithm: str, width_bytes: int, values: list[bytes | None]) -> None:
    digests = kernels.digests_of(values_of(*values), algorithm, width_bytes)
    assert as_listed(digests) == [None if value is None else kernels.digest_of(value, algorithm) for value in values]
    assert digests.data.shape == (len(values), width_bytes)
    assert digests.malformed == 0


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [  # RFC 1321 A.5, FIPS 180-4's examples for "abc"
        ("md5", "900150983cd24fb0d6963f7d28e17f72"),
        ("sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ],
)
def test_a_digest_is_the_standards_own(algorithm: str, expected: str) -> None:
    assert kernels.digest_of(b"abc", algorithm).hex() == expected


@pytest.mark.parametrize("signal", list(URL_ALGORITHM))
def test_a_urls_digest_has_the_width_of_its_signal(signal: Signal) -> None:
    assert len(kernels.digest_of(b"", URL_ALGORITHM[signal])) == WIDTH_BYTES[signal]


@pytest.mark.parametrize("form", UrlForm)
@given(
    values=st.lists(st.one_of(st.none(), st.binary(max_size=30), st.just(b"http://a/?#")), max_size=8),
    padding=paddings(),
)
def test_url_values_agree_with_the_forms_definition(
    form: UrlForm, values: list[bytes | None], padding: dict[str, int]
) -> None:
    made = kernels.url_values(sealed(**padding, url=values), form)
    assert made.unseal().to_pylist() == [None if value is None else kernels.FORM_OF[form](value) for value in values]


@given(st.lists(st.one_of(st.none(), st.just(b""), st.binary(max_size=3)), max_size=8), paddings())
def test_blank_rows_are_null_or_empty(values: list[bytes | None], padding: dict[str, int]) -> None:
    assert kernels.blank_rows(sealed(**padding, text=values), Column.TEXT) == sum(1 for value in values if not value)


def test_the_digests_of_nothing_are_the_known_ones() -> None:
    assert {digest.hex().encode() for digest in kernels.EMPTY_DIGESTS} == {EMPTY_MD5, EMPTY_SHA1, EMPTY_SHA256}


def test_a_rows_key_is_its_digest_sealed() -> None:
    digests = kernels.digests_of(values_of(b"a", b"b"), "md5", 16)
    key = kernels.key_at(digests, 1)
    assert key.unseal() == hashlib.md5(b"b", usedforsecurity=False).digest()
    assert repr(key) == "<sealed>"


def test_a_column_of_digests_shows_nothing_of_itself() -> None:
    digests = kernels.digests_of(values_of(b"a"), "md5", 16)
    assert re.fullmatch(r"<[\w.]*Digests object at 0x[0-9a-f]+>", repr(digests))
    assert str(digests) == repr(digests)
