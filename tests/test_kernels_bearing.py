"""Kernels: what a row bears, its keyed names, its address; each column function against its definition."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.batches import CANARY, EMPTY_MD5, EMPTY_SHA1, EMPTY_SHA256, paddings, sealed
from vetset import kernels
from vetset.kernels import native
from vetset.records import DIGEST_COLUMNS, WIDTH_BYTES, Address, Borne, Column, ListEntry, Match, Sealed, Signal

pytestmark = pytest.mark.usefixtures("either_kernels")

KEY = b"k" * 32
OTHER_KEY = b"o" * 32
SPREADING = (Column.URL, *DIGEST_COLUMNS)
EMPTY = {Column.MD5: EMPTY_MD5, Column.SHA1: EMPTY_SHA1, Column.SHA256: EMPTY_SHA256}


def cells(column: Column) -> st.SearchStrategy[bytes | None]:
    """Values of a column that do and do not spread."""
    blank = st.sampled_from([None, b""])
    if column is Column.URL:
        return st.one_of(blank, st.binary(max_size=12), st.just(b" "))
    width_bytes = WIDTH_BYTES[DIGEST_COLUMNS[column]]
    right = st.binary(min_size=width_bytes, max_size=width_bytes).map(lambda digest: digest.hex().encode())
    nothing = EMPTY[column]
    odd = st.sampled_from([nothing, nothing.upper(), b" " + nothing, nothing[:-1], b"none"])
    return st.one_of(blank, right, right.map(bytes.upper), odd)


def bearable(column: Column, value: bytes | None) -> bytes | None:
    """The definition: what of a value may spread."""
    if column is Column.URL:
        return value or None
    digest = kernels.hex_digest_of(value, WIDTH_BYTES[DIGEST_COLUMNS[column]])
    return None if digest in kernels.EMPTY_DIGESTS else digest


# --- keyed hashes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", SPREADING)
@given(data=st.data(), padding=paddings(), key=st.binary(min_size=1, max_size=64))
def test_keyed_hashes_agree_with_the_definition(
    column: Column, data: st.DataObject, padding: dict[str, int], key: bytes
) -> None:
    values = data.draw(st.lists(cells(column), max_size=10))
    columns: dict[str, Any] = {column.value: values}
    rows = sealed(**padding, **columns)
    expected = [bearable(column, value) for value in values]
    hashes = kernels.keyed_hashes(rows, column, key)
    assert hashes.dtype == np.uint64
    assert hashes.tolist() == [0 if value is None else kernels.keyed_hash_of(value, key) for value in expected]
    for place, value in enumerate(expected):
        found = kernels.bearable_value(rows, column, place)
        assert (None if found is None else found.unseal()) == value


@pytest.mark.parametrize("column", list(DIGEST_COLUMNS))
def test_the_digest_of_nothing_never_spreads_in_any_spelling(column: Column) -> None:
    values = [EMPTY[column], EMPTY[column].upper(), b" " + EMPTY[column] + b"\n", None, b"", b"no digest"]
    columns: dict[str, Any] = {column.value: values}
    assert kernels.keyed_hashes(sealed(**columns), column, KEY).tolist() == [0] * len(values)


@given(st.binary(max_size=40))
def test_a_keyed_hash_is_keyed_and_never_zero(value: bytes) -> None:
    one = kernels.keyed_hash_of(value, KEY)
    assert 0 < one < 2**64
    assert one == kernels.keyed_hash(Sealed(value), KEY)
    assert one != kernels.keyed_hash_of(value, OTHER_KEY)
    assert one.to_bytes(8, "little") != hashlib.blake2b(value, digest_size=8).digest()


class Zeros:
    """A hash that gives nothing but zeros: the one value that 64 bits of a keyed hash may not have."""

    def __init__(self, *_: object, **__: object) -> None:
        self.size_bytes = 8

    def copy(self) -> Zeros:
        return self

    def update(self, value: bytes) -> None:
        assert value

    def digest(self) -> bytes:
        return bytes(self.size_bytes)


def test_a_hash_of_zero_is_not_taken_for_an_absent_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashlib, "blake2b", Zeros)
    monkeypatch.setattr(native, "LIB", None)  # which no value known makes answer 0
    assert kernels.keyed_hash_of(b"value", KEY) == 1
    assert kernels.keyed_hashes(sealed(url=[b"value", None, b""]), Column.URL, KEY).tolist() == [1, 0, 0]


# --- names of cases and values ------------------------------------------------------------------------------------


def test_a_case_id_is_an_hmac_of_the_rows_identity() -> None:
    expected = hmac.new(KEY, b"part-0.parquet\x007", "sha256").hexdigest()[:32]
    assert kernels.case_id_of("part-0.parquet", 7, KEY) == expected


@given(
    st.text("abc0129-.%", max_size=8), st.integers(0, 10**9), st.text("abc0129-.%", max_size=8), st.integers(0, 10**9)
)
def test_two_rows_have_two_case_ids(shard: str, row: int, other_shard: str, other_row: int) -> None:
    same = (shard, row) == (other_shard, other_row)
    assert (kernels.case_id_of(shard, row, KEY) == kernels.case_id_of(other_shard, other_row, KEY)) == same
    assert kernels.case_id_of(shard, row, KEY) != kernels.case_id_of(shard, row, OTHER_KEY)


@given(st.sampled_from(SPREADING), st.binary(max_size=20), st.sampled_from(SPREADING), st.binary(max_size=20))
def test_a_values_name_tells_column_and_value(column: Column, value: bytes, other: Column, other_value: bytes) -> None:
    one, two = Borne(column, Sealed(value)), Borne(other, Sealed(other_value))
    assert (kernels.name_of(one, KEY) == kernels.name_of(two, KEY)) == ((column, value) == (other, other_value))
    assert kernels.name_of(one, KEY) != kernels.name_of(one, OTHER_KEY)
    assert len(bytes.fromhex(kernels.name_of(one, KEY))) == 16


def test_an_entrys_name_is_opaque_keyed_and_the_same_for_every_row_it_hit() -> None:
    def match(name: str = "list", signal: Signal = Signal.MD5, key: bytes = CANARY, entry: str = "") -> Match:
        return Match(name, 1, signal, None, Sealed(key), ListEntry(entry))

    named = kernels.entry_name_of(match(), KEY)
    assert kernels.entry_name_of(match(entry="said otherwise"), KEY) == named
    others = [match("other"), match(signal=Signal.SHA1), match(key=CANARY + b"0")]
    assert (
        len({named, kernels.entry_name_of(match(), OTHER_KEY), *(kernels.entry_name_of(m, KEY) for m in others)}) == 5
    )
    assert len(bytes.fromhex(named)) == 8
    assert CANARY.hex() not in named


@given(st.binary(max_size=5), st.binary(max_size=5))
def test_sealed_values_are_compared_whole(one: bytes, other: bytes) -> None:
    assert kernels.same_value(Sealed(one), Sealed(other)) == (one == other)


# --- addresses and what they bear ---------------------------------------------------------------------------------

DIGEST = {column: hashlib.new(column.value, b"picture", usedforsecurity=False).digest() for column in DIGEST_COLUMNS}


def test_an_address_holds_the_url_and_every_well_formed_digest() -> None:
    rows = sealed(
        before=2,
        url=[b"http://example.org/a", None, b"\xff"],
        md5=[DIGEST[Column.MD5].hex().upper().encode(), b"bad", None],
        sha256=[b"", DIGEST[Column.SHA256].hex().encode(), EMPTY_SHA256],
    )
    first, second, third = (address.unseal() for address in kernels.addresses(rows, [0, 1, 2]))
    assert first == Address(b"http://example.org/a", {Signal.MD5: DIGEST[Column.MD5]})
    assert second == Address(None, {Signal.SHA256: DIGEST[Column.SHA256]})
    assert third == Address(b"\xff", {Signal.SHA256: bytes.fromhex(EMPTY_SHA256.decode())})


def test_addresses_come_in_the_order_asked_and_without_the_columns_that_are_not_there() -> None:
    rows = sealed(md5=[b"0" * 32, b"1" * 32], text=[b"caption", b"caption"])
    found = [address.unseal() for address in kernels.addresses(rows, [1, 0, 1])]
    assert [address.digests[Signal.MD5][0] for address in found] == [0x11, 0, 0x11]
    assert all(address.url is None for address in found)
    assert list(kernels.addresses(rows, [])) == []


@given(st.data())
def test_an_address_bears_what_the_columns_keyed_hashes_say(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 5))
    chosen = data.draw(st.sets(st.sampled_from(SPREADING), min_size=1))
    columns: dict[str, Any] = {
        column.value: data.draw(st.lists(cells(column), min_size=count, max_size=count)) for column in sorted(chosen)
    }
    rows = sealed(**columns)
    hashes = {column: kernels.keyed_hashes(rows, column, KEY).tolist() for column in chosen}
    for place, address in enumerate(kernels.addresses(rows, range(count))):
        borne = {(value.column, kernels.keyed_hash(value.value, KEY)) for value in kernels.borne_by(address)}
        assert borne == {(column, hashes[column][place]) for column in chosen if hashes[column][place]}


def test_an_address_without_anything_bears_nothing() -> None:
    nothing = {DIGEST_COLUMNS[column]: bytes.fromhex(value.decode()) for column, value in EMPTY.items()}
    assert kernels.borne_by(Sealed(Address(None, {}))) == []
    assert kernels.borne_by(Sealed(Address(b"", nothing))) == []


def test_a_column_that_is_not_there_bears_nothing() -> None:
    assert kernels.bearable_value(sealed(url=[b"a"]), Column.MD5, 0) is None
