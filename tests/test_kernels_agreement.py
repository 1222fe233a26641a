"""Where the native column kernels leave the common path: block borders, odd tables, known digests, meetings of hashes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.batches import paddings, sealed, values_of
from vetset import kernels
from vetset.kernels import native, url
from vetset.records import Address, Borne, Column, Sealed, Signal, UrlForm
from vetset.testing.lists import memory_table

pytestmark = pytest.mark.usefixtures("either_kernels")

WIDTHS = {"md5": 16, "sha1": 20, "sha256": 32}


def sliced(values: Sequence[bytes | None], before: int, after: int) -> Sealed[Any]:
    padded = [b"padding"] * before + list(values) + [None] * after
    return Sealed(pa.array(padded, pa.large_binary()).slice(before, len(values)))


# --- digests ----------------------------------------------------------------------------------------------------------

MIXED_LENGTHS = st.lists(st.sampled_from([0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1_000, 5_000, 70_000]), max_size=12)


@settings(max_examples=30)
@given(MIXED_LENGTHS)
def test_bodies_of_lengths_that_end_at_other_times(lengths: list[int]) -> None:
    bodies = [bytes([number + 1]) * length for number, length in enumerate(lengths)]
    for signal, rows in kernels.digests_of_bodies(bodies).items():
        assert [row.tobytes() for row in rows] == [kernels.digest_of(body, signal.value) for body in bodies]


def test_more_values_than_one_portion_holds() -> None:
    values: list[bytes | None] = [None if n % 7 == 0 else str(n).encode() * (n % 5) for n in range(9_000)]
    for name, width_bytes in WIDTHS.items():
        found = kernels.digests_of(values_of(*values), name, width_bytes)
        wanted = [bytes(width_bytes) if value is None else hashlib.new(name, value).digest() for value in values]
        assert found.data.tobytes() == b"".join(wanted)


@given(
    st.lists(st.tuples(*[st.sampled_from([None, b"", b"a", b"aa", b"b" * 100])] * 2), max_size=20),
    st.sampled_from(sorted(WIDTHS)),
    st.tuples(*[st.integers(0, 3)] * 4),
)
def test_known_digests_of_slices(
    pairs: list[tuple[bytes | None, bytes | None]], name: str, cut: tuple[int, int, int, int]
) -> None:
    known, wanted = sliced([one for one, _ in pairs], *cut[:2]), sliced([other for _, other in pairs], *cut[2:])
    plain = kernels.digests_of(wanted, name, WIDTHS[name])
    quick = kernels.digests_of(wanted, name, WIDTHS[name], (known, kernels.digests_of(known, name, WIDTHS[name])))
    assert quick.data.tobytes() == plain.data.tobytes()
    assert (quick.present == plain.present).all()


def test_where_all_is_known_nothing_is_made() -> None:
    array = values_of(b"a", b"b")
    marked = kernels.Digests(np.full((2, 16), 9, np.uint8), np.ones(2, np.bool_))
    assert (kernels.digests_of(values_of(b"a", b"b"), "md5", 16, (array, marked)).data == 9).all()


def test_an_unknown_algorithm_is_an_error() -> None:
    with pytest.raises((ValueError, KeyError)):
        kernels.digests_of(values_of(b"a"), "md4", 16)


# --- membership -------------------------------------------------------------------------------------------------------


def numbered(numbers: Sequence[int]) -> list[bytes]:
    return [number.to_bytes(8, "big") + hashlib.md5(str(number).encode()).digest()[:8] for number in numbers]


SHAPES = {
    "one after the other": list(range(3_000)),
    "all at the end": [2**64 - 1 - n for n in range(3_000)],
    "powers": [2**n for n in range(64)] + [2**n - 1 for n in range(64)],
    "two clusters": [*range(1_000), *range(2**63, 2**63 + 1_000)],
    "squares": [n * n * 2**40 for n in range(3_000)],
    "even": [n * (2**64 // 3_000) for n in range(3_000)],
    "one": [2**63],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_heads_that_are_not_spread_evenly_are_found_all_the_same(shape: str) -> None:
    keys = numbered(SHAPES[shape])
    table, positions = memory_table(Signal.MD5, keys)
    near = [number ^ 1 << bit for number in SHAPES[shape][::7] for bit in (0, 5, 63)]
    asked = keys + numbered(near)
    data = np.frombuffer(b"".join(asked), np.uint8).reshape(-1, 16)
    found = kernels.positions_in(table, kernels.Digests(data, np.ones(len(asked), np.bool_)))
    assert found[: len(keys)].tolist() == positions.tolist()
    listed = set(keys)
    assert [place >= 0 for place in found.tolist()] == [key in listed for key in asked]


@given(st.lists(st.integers(0, 300), max_size=300), st.integers(0, 200))
def test_heads_shared_across_batches(tails: list[int], strangers: int) -> None:
    keys = [b"samehead" + tail.to_bytes(8, "big") for tail in tails]
    table, positions = memory_table(Signal.MD5, keys)
    asked = keys + [b"samehead" + tail.to_bytes(8, "big") for tail in range(1_000, 1_000 + strangers)]
    data = np.frombuffer(b"".join(asked), np.uint8).reshape(-1, 16)
    found = kernels.positions_in(table, kernels.Digests(data, np.ones(len(asked), np.bool_)))
    assert found.tolist() == [*positions.tolist(), *[-1] * strangers]


# --- forms of addresses -----------------------------------------------------------------------------------------------


def check_forms(values: list[bytes | None], padding: dict[str, int] | None = None) -> None:
    rows = sealed(**(padding or {}), url=values)
    for form in UrlForm:
        made = kernels.url_values(rows, form).unseal()
        assert made.to_pylist() == [None if value is None else kernels.FORM_OF[form](value) for value in values], form
        made.validate(full=True)


PUT_IN = [
    b"/.",
    b"/%2e",
    b"//",
    b"?",
    b"/?",
    b"#",
    b"'",
    b"\\",
    b"\xc3\xa9",
    b".",
    b"%",
    b"[",
    b" ",
    b"\t",
    b"?#",
    b"A",
]


@pytest.mark.parametrize("piece", PUT_IN, ids=repr)
@pytest.mark.parametrize("head", [b"http://a.b/", b"https://www.example.org/"])
def test_whatever_stands_at_a_border_of_blocks(head: bytes, piece: bytes) -> None:
    values: list[bytes | None] = []
    for length in [*range(30, 70), *range(110, 140)]:
        for rest in (b"", b"c", b"c" * 70):
            values.append(head + b"p" * length + piece + rest)
    check_forms(values)


@pytest.mark.parametrize("length", [1, 54, 55, 56, 57, 62, 63, 64, 65, 127, 128, 200])
def test_hosts_of_any_length(length: int) -> None:
    label = b"a" * length
    heads = [label, label + b".b", b"b." + label, b"-".join([b"ab"] * (length // 3 + 1)), label + b"-", b"1" * length]
    check_forms([b"http://" + head + tail for head in heads for tail in (b"/", b"/x", b"", b"?q", b"/p/.q")])


CASES = [
    b"HTTP://a.b/C",
    b"hTTps://Example.ORG/Path?Q",
    b"http://A/",
    b"HTTPS://XN--a.b/",
    b"httpS://a.B",
    b"HTTP:/a.b/",
]


@pytest.mark.parametrize("value", CASES, ids=repr)
def test_upper_case_in_scheme_and_host(value: bytes) -> None:
    check_forms([value, None, b"http://plain.example/a", value])


TX = st.text(st.sampled_from("aZ09:/?#[]@.+- \t\r\n\x00\x1f\x7f"), max_size=20).map(str.encode)


@settings(max_examples=300)
@given(
    st.lists(st.one_of(st.none(), TX, TX.map(lambda text: b"HtTp://" + text), st.binary(max_size=9)), max_size=12),
    paddings(),
)
@example([b"//[a", b"a+b://c", b"1a://c", b"?", b"#", b"?#", b"a?#b", b"a#?", b" \t", b"://", b"a://"], {})
def test_tx_of_odd_ascii(values: list[bytes | None], padding: dict[str, int]) -> None:
    check_forms(values, padding)


LANGUAGE = re.compile(url.SETTLED.replace(r"\z", r"\Z").encode())


@settings(max_examples=300)
@given(st.lists(st.from_regex(re.compile(rb"\A[Hh]ttps?://[a-z0-9.A\-]{1,70}[/?#.%a-c\-]{0,140}\Z")), max_size=20))
def test_the_native_language_is_that_of_the_expression(values: list[bytes]) -> None:
    lib = native.LIB
    if lib is None:
        return
    array = pa.array(values, pa.large_binary())
    _, offsets, data = array.buffers()
    marks = np.zeros(len(values), np.uint8)
    lib.settled(offsets or np.zeros(1, np.int64), data or b"", 0, marks)
    for value, mark in zip(values, marks.tolist(), strict=True):
        scheme, slashes, rest = value.partition(b"://")
        host, slash, path = rest.partition(b"/")
        folded = scheme.lower() + slashes + host.lower() + slash + path
        wanted = 1 if LANGUAGE.search(value) else 2 if LANGUAGE.search(folded) else 0
        assert mark == wanted


# --- meetings and addresses -------------------------------------------------------------------------------------------

HASHES = st.lists(st.sampled_from([0, 1, 2, 3, 2**63, 2**64 - 1, 4096, 4097, 8192]), max_size=40)


@given(
    HASHES,
    HASHES,
    st.sampled_from([(Column.URL,), (Column.URL, Column.MD5), (Column.MD5, Column.SHA1)]),
    st.integers(0, 3),
)
def test_meetings_are_those_of_every_pair(
    borne: list[int], asked: list[int], columns: tuple[Column, ...], first: int
) -> None:
    kind = np.dtype([*((column.value, "<u8") for column in columns), ("base", "u1")])
    records = np.zeros(len(borne) + first, kind)
    records[columns[-1].value][first:] = borne
    ranked = np.array(sorted(asked), np.uint64)
    rows, places = kernels.meetings(records[first:], columns[-1], ranked)
    wanted = [(row, sorted(asked).index(hash_)) for row, hash_ in enumerate(borne) if hash_ and hash_ in asked]
    assert list(zip(rows.tolist(), places.tolist(), strict=True)) == wanted


def test_a_row_bears_what_it_records_and_nothing_else() -> None:
    digest = bytes(range(16))
    address = Sealed(Address(b"http://a/", {Signal.MD5: digest}, {Signal.SHA1: b"s" * 20}))
    assert kernels.bears(address, Borne(Column.URL, Sealed(b"http://a/")))
    assert kernels.bears(address, Borne(Column.MD5, Sealed(digest)))
    strangers = [
        Borne(Column.URL, Sealed(b"http://a")),
        Borne(Column.URL, Sealed(digest)),
        Borne(Column.MD5, Sealed(digest[::-1])),
        Borne(Column.SHA1, Sealed(b"s" * 20)),  # made of the bytes, and not recorded
        Borne(Column.SHA256, Sealed(bytes(32))),
    ]
    assert not any(kernels.bears(address, borne) for borne in strangers)
    assert not kernels.bears(Sealed(Address(None, {})), strangers[0])
