"""The list in memory: it is the port that the stages ask, keyed and filtered as compiled lists are."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.batches import CANARY, values_of
from vetset import kernels
from vetset.ports import HashList
from vetset.records import WIDTH_BYTES, ListEntry, ListRef, Signal, UrlForm
from vetset.testing.lists import MemoryList, memory_table

MD5S = [hashlib.md5(bytes([number]), usedforsecurity=False).digest() for number in range(4)]


def test_it_is_a_hash_list() -> None:
    held: HashList = MemoryList("list", 3, {Signal.MD5: {MD5S[0]: []}})
    assert held.ref == ListRef("list", 3, "memory:list:3")
    (table,) = held.tables
    assert (table.signal, table.width_bytes, table.count, table.forms) == (Signal.MD5, 16, 1, frozenset())


@given(st.lists(st.sampled_from(MD5S), unique=True))
def test_each_key_has_its_own_entries_wherever_it_is_sorted(keys: list[bytes]) -> None:
    held = MemoryList("list", 1, {Signal.MD5: {key: [ListEntry(key.hex())] for key in keys}})
    for position, key in enumerate(sorted(keys)):
        assert held.entries(0, position) == [ListEntry(key.hex())]


def test_a_key_of_which_nothing_is_said_has_one_empty_entry() -> None:
    assert MemoryList("list", 1, {Signal.MD5: {MD5S[0]: []}}).entries(0, 0) == [ListEntry()]


def test_an_address_stands_under_every_form_that_it_has() -> None:
    urls = {b"HTTP://Example.org": [ListEntry("a")], b"\xff": [ListEntry("b")], b"example.org": [ListEntry("c")]}
    held = MemoryList("list", 1, {Signal.URL: urls})
    counts = {tuple(table.forms): table.count for table in held.tables}
    assert counts == {(UrlForm.RAW,): 3, (UrlForm.TX,): 1, (UrlForm.WHATWG,): 1}
    assert held.entries(1, 0) == [ListEntry("a"), ListEntry("c")]


@pytest.mark.parametrize("forms", [[UrlForm.TX], [UrlForm.RAW, UrlForm.WHATWG], []])
def test_only_the_given_forms_are_compared(forms: list[UrlForm]) -> None:
    held = MemoryList("list", 1, {Signal.URL: {b"http://a/": []}, Signal.URL_MD5: {MD5S[0]: []}}, forms=forms)
    assert [table.forms for table in held.tables] == [*({form} for form in UrlForm if form in forms), set(forms)]


def test_a_table_finds_its_keys_through_the_kernels() -> None:
    table, positions = memory_table(Signal.MD5, [*MD5S, MD5S[0]])
    values: list[bytes | None] = [bytes([number]) for number in range(4)]
    assert (
        kernels.positions_in(table, kernels.digests_of(values_of(*values), "md5", 16)).tolist()
        == positions[:4].tolist()
    )
    assert positions[4] == positions[0]
    assert table.count == len(MD5S)


@pytest.mark.parametrize("signal", Signal)
def test_every_signal_has_a_table_even_an_empty_one(signal: Signal) -> None:
    table, _ = memory_table(signal, [])
    assert (table.count, table.tails.shape) == (0, (0, WIDTH_BYTES[signal] - 8))


def test_a_list_shows_no_key_and_no_entry() -> None:
    held = MemoryList("list", 1, {Signal.URL: {CANARY: [ListEntry(CANARY.decode())]}})
    assert CANARY.decode() not in repr(held) + str(held) + repr(held.tables)
