"""Kernels: no exception, repr or traceback of any of them holds a value of a row, whatever is wrong with the input."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.batches import CANARY, TYPES, values_of
from vetset import kernels
from vetset.records import (
    DIGEST_COLUMNS,
    WIDTH_BYTES,
    Address,
    Borne,
    Column,
    ListEntry,
    Match,
    Sealed,
    SealedBatch,
    Signal,
    UrlForm,
)
from vetset.testing.lists import memory_table

pytestmark = pytest.mark.usefixtures("either_kernels")

KEY = b"k" * 32

#: One canary in each shape a value may have: address, caption, whole digest, broken digest, bytes that are no text.
VALUES: dict[str, bytes] = {
    "address": b"http://" + CANARY + b".example/" + CANARY,
    "broken address": b"http://[" + CANARY,
    "port": b"http://example.org:" + CANARY,
    "digest": CANARY.hex().encode()[:32],
    "short digest": CANARY.hex().encode()[:31],
    "long digest": CANARY.hex().encode() * 4,
    "not text": b"\xff" + CANARY + b"\xfe",
    "nothing but the canary": CANARY,
}

#: What a library may fail with when a kernel gets what it was never promised.
LIBRARY_ERRORS = (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError, pa.ArrowException)

#: Arrow types that no dataset of ours gives, for every column: the kernels must fail without quoting.
WRONG_TYPES = (pa.string(), pa.large_string(), pa.binary(), pa.list_(pa.large_binary()), pa.large_binary())

Kernel = Callable[[SealedBatch, Column], object]


def on_digests(work: Callable[[SealedBatch, Column], object]) -> Kernel:
    """Kernels of digest columns are asked of digest columns alone."""
    return lambda rows, column: work(rows, column) if column in DIGEST_COLUMNS else None


KERNELS: dict[str, Kernel] = {
    "recorded_digests": on_digests(kernels.recorded_digests),
    "blank_rows": kernels.blank_rows,
    "url_values": lambda rows, _: [kernels.url_values(rows, form) for form in UrlForm],
    "keyed_hashes": lambda rows, column: kernels.keyed_hashes(rows, column, KEY),
    "keyed_hashes with a key too long": lambda rows, column: kernels.keyed_hashes(rows, column, KEY * 3),
    "bearable_value": lambda rows, column: kernels.bearable_value(rows, column, 0),
    "bearable_value beyond the rows": lambda rows, column: kernels.bearable_value(rows, column, 9),
    "addresses": lambda rows, _: list(kernels.addresses(rows, [0])),
    "addresses beyond the rows": lambda rows, _: list(kernels.addresses(rows, [9])),
    "above": lambda rows, column: kernels.above(rows, column, 0.5),
    "one_of": lambda rows, column: kernels.one_of(rows, column, frozenset({"word"})),
    "with_words": lambda rows, column: kernels.with_words(rows, column, kernels.word_pattern(["word"])),
    "on_hosts": lambda rows, _: kernels.on_hosts(rows, frozenset({"example.org"})),
}


def spellings(value: bytes) -> Iterator[str]:
    """The canary as a message might hold it."""
    yield value.decode("ascii")
    yield value.hex()
    yield base64.b64encode(value).decode().rstrip("=")
    yield value[::-1].decode("ascii")
    yield value.hex()[:24]


def assert_silent(text: str, why: str) -> None:
    lowered = text.lower()
    assert not any(spelling.lower() in lowered for spelling in spellings(CANARY)), why


def said_by(work: Callable[[], object]) -> str:
    """All that is shown of a call: the repr and text of what it gives, or the whole traceback of what it raises."""
    try:
        given = work()
    except LIBRARY_ERRORS as error:
        return f"{error!r} {error} {''.join(traceback.format_exception(error))}"
    return repr(given) + str(given)


def wrongly_typed(value: bytes, kind: pa.DataType) -> pa.Array:
    if pa.types.is_list(kind):
        return pa.array([[value]], kind)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array([value], kind)
    return pa.array([value.decode("utf-8", "replace")], kind)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("what", VALUES)
def test_a_kernel_shows_no_value_whatever_the_columns_type(name: str, what: str) -> None:
    for kind in WRONG_TYPES:
        for column in Column:
            array = wrongly_typed(VALUES[what], kind)
            rows = SealedBatch(pa.RecordBatch.from_arrays([array] * len(Column), names=[one.value for one in Column]))
            assert_silent(said_by(partial(KERNELS[name], rows, column)), f"{name} {column}")


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_shows_no_value_where_its_column_is_missing(name: str) -> None:
    rows = SealedBatch(pa.RecordBatch.from_arrays([pa.array([CANARY], pa.large_binary())], names=["text"]))
    for column in Column:
        assert_silent(said_by(partial(KERNELS[name], rows, column)), f"{name} {column}")


@pytest.mark.parametrize("what", VALUES)
def test_the_definitions_show_no_value(what: str) -> None:
    value = VALUES[what]
    calls: list[Callable[[], object]] = [
        lambda: kernels.digest_of(value, "no such algorithm"),
        lambda: kernels.digests_of(values_of(value, None), "no such algorithm", 16),
        lambda: kernels.digests_of(values_of(value, None), "md5", 20),
        lambda: kernels.digests_of(
            values_of(value),
            "md5",
            16,
            (values_of(value, None), kernels.Digests(np.zeros((2, 16), np.uint8), np.ones(2, np.bool_))),
        ),
        lambda: kernels.keyed_hash_of(value, b"k" * 65),
        lambda: kernels.keyed_hash(Sealed(value), b"k" * 65),
        lambda: kernels.name_of(Borne(Column.URL, Sealed(value)), b"k" * 65),
        lambda: kernels.Digests(np.frombuffer(value, np.uint8).reshape(1, len(value)), np.ones(1, np.bool_)),
        lambda: kernels.key_at(kernels.Digests(np.frombuffer(value, np.uint8).reshape(1, -1), np.ones(1, np.bool_)), 7),
    ]
    for call in calls:
        assert_silent(said_by(call), what)


def test_a_table_and_a_probe_of_other_widths_show_no_key() -> None:
    key = (CANARY * 3)[:32]
    table, _ = memory_table(Signal.SHA256, [key])
    narrow = kernels.Digests(np.frombuffer(key[:16], np.uint8).reshape(1, 16), np.ones(1, np.bool_))
    tiny = kernels.Digests(np.frombuffer(key[:4], np.uint8).reshape(1, 4), np.ones(1, np.bool_))
    assert_silent(said_by(lambda: kernels.positions_in(table, narrow)), "narrow")
    assert_silent(said_by(lambda: kernels.positions_in(table, tiny)), "tiny")
    assert_silent(said_by(lambda: memory_table(Signal.SHA256, [key, key[:7]])), "ragged")
    assert_silent(repr(table) + str(table), "table")


SENSITIVE: dict[str, Any] = {
    "sealed": Sealed(CANARY),
    "sealed batch": SealedBatch(
        pa.RecordBatch.from_arrays([pa.array([CANARY], TYPES[Column.URL])], names=[Column.URL.value])
    ),
    "address": Address(CANARY, {Signal.MD5: (CANARY * 2)[:16]}),
    "borne": Borne(Column.URL, Sealed(CANARY)),
    "match": Match("list", 1, Signal.MD5, None, Sealed(CANARY), ListEntry(CANARY.decode())),
    "digests": kernels.Digests(np.frombuffer(CANARY, np.uint8).reshape(1, -1), np.ones(1, np.bool_)),
}


@pytest.mark.parametrize("name", SENSITIVE)
def test_what_holds_a_value_shows_none_of_it(name: str) -> None:
    thing = SENSITIVE[name]
    assert_silent(repr(thing), name)
    assert_silent(str(thing), name)
    assert_silent(repr([thing]) + repr({name: thing}) + repr((thing,)), name)
    assert_silent(said_by(lambda: f"{thing}"), name)
    assert_silent(said_by(lambda: hash(thing)), name)


@pytest.mark.parametrize("column", list(DIGEST_COLUMNS))
def test_the_canaries_really_reach_the_kernels(column: Column) -> None:
    width_bytes = WIDTH_BYTES[DIGEST_COLUMNS[column]]
    whole = (CANARY * 4)[:width_bytes]
    rows = SealedBatch(
        pa.RecordBatch.from_arrays(
            [pa.array([whole.hex().encode()], TYPES[column]), pa.array([VALUES["address"]], TYPES[Column.URL])],
            names=[column.value, "url"],
        )
    )
    assert kernels.recorded_digests(rows, column).data[0].tobytes() == whole
    (address,) = kernels.addresses(rows, [0])
    assert CANARY in (address.unseal().url or b"")


def test_a_message_that_did_quote_a_value_would_be_noticed() -> None:
    for text in (f"bad value {VALUES['address']!r}", f"key {CANARY.hex().upper()}", repr(base64.b64encode(CANARY))):
        with pytest.raises(AssertionError):
            assert_silent(text, "quoted")
