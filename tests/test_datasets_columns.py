"""Which column is which, in every spelling, and the normal form of their values."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset.datasets.columns import ARROW_TYPE, SPELLINGS, map_columns, normalised, sealed_batch
from vetset.errors import ShardError, Stop, Trouble
from vetset.records import DIGEST_COLUMNS, Column

CANARY = "https://canary.example/never-shown.jpg"


def untyped(*names: str) -> list[tuple[str, Any]]:
    return [(name, None) for name in names]


def trouble_of(columns: list[tuple[str, Any]], **overrides: str) -> ShardError:
    with pytest.raises(ShardError) as caught:
        map_columns(columns, overrides)
    return caught.value


# --- hostile names -----------------------------------------------------------------------------------------------------


def test_no_url_and_no_digest_lists_the_columns_escaped_and_says_how_to_map() -> None:
    error = trouble_of(untyped("TEXT", "im\x1b]8;;age", *(f"c{number}" for number in range(40))))
    assert error.trouble is Trouble.COLUMN_MISSING
    assert "TEXT, im\\x1b]8;;age, c0" in error.detail
    assert "and 12 more" in error.detail
    assert "[columns]" in error.detail
    assert "\x1b" not in str(error)


def test_a_header_that_may_be_a_row_is_not_shown() -> None:
    for names in ((CANARY, "caption of it"), ("plain", CANARY), ("a" * 32, "b"), ("two words",)):
        with pytest.raises(ShardError) as caught:
            map_columns(untyped(*names), {}, from_schema=False)
        assert caught.value.trouble is Trouble.COLUMN_MISSING
        assert "header" in caught.value.detail
        assert not any(name in str(caught.value) for name in names if len(name) > 1)


def test_a_header_that_surely_is_one_is_shown() -> None:
    with pytest.raises(ShardError, match="image_link, words"):
        map_columns(untyped("image_link", "words"), {}, from_schema=False)


@pytest.mark.parametrize("pair", [("URL", "url"), ("Url", " url "), ("md5", "MD5"), ("url", "url")])
def test_two_columns_that_read_as_the_same_are_no_guess(pair: tuple[str, str]) -> None:
    error = trouble_of(untyped("url", *pair) if "md5" in pair else untyped(*pair))
    assert error.trouble is Trouble.COLUMN_AMBIGUOUS
    assert pair[0] in error.detail


def test_synonyms_are_no_guess_either_and_the_settings_decide() -> None:
    columns = untyped("url", "caption", "alt")
    assert trouble_of(columns).trouble is Trouble.COLUMN_AMBIGUOUS
    assert map_columns(columns, {"text": "alt"}) == {Column.URL: "url", Column.TEXT: "alt"}
    assert map_columns(columns, {"text": ""}) == {Column.URL: "url"}


# --- spellings -----------------------------------------------------------------------------------------------------------

LAION = {
    "400m": "SAMPLE_ID URL TEXT LICENSE NSFW similarity WIDTH HEIGHT",
    "joined en": "SAMPLE_ID URL TEXT WIDTH HEIGHT similarity hash punsafe pwatermark",
    "joined multi": "SAMPLE_ID URL TEXT WIDTH HEIGHT similarity LANGUAGE hash pwatermark punsafe",
    "md5": "URL TEXT WIDTH HEIGHT similarity hash punsafe pwatermark AESTHETIC_SCORE md5 __index_level_0__",
    "clip-retrieval": "image_path caption NSFW similarity LICENSE url key status error_message width height exif sha256",
    "img2dataset": "url txt sha256hash",
}


@pytest.mark.parametrize("names", LAION.values(), ids=list(LAION))
@pytest.mark.parametrize("spell", [str, str.lower, str.upper, str.title])
def test_the_releases_are_read_by_name_in_any_order_and_case(names: str, spell: Any) -> None:
    spelled = [spell(name) for name in names.split()]
    mapping = map_columns(untyped(*spelled), {})
    assert map_columns(untyped(*reversed(spelled)), {}) == mapping
    for column, name in mapping.items():
        assert name.lower() in SPELLINGS[column]
    assert mapping[Column.URL].lower() == "url"
    assert {name.lower() for name in mapping.values()} == {
        name for name in names.lower().split() if any(name in spellings for spellings in SPELLINGS.values())
    }


@given(
    st.permutations([(column, spelling) for column, spellings in SPELLINGS.items() for spelling in spellings]),
    st.data(),
)
def test_any_choice_of_spellings_in_any_order(pairs: list[tuple[Column, str]], data: st.DataObject) -> None:
    chosen = dict(pairs)  # one spelling for each column
    cased = {
        column: "".join(data.draw(st.sampled_from([str.lower, str.upper]))(letter) for letter in name)
        for column, name in chosen.items()
    }
    assert map_columns(untyped("similarity", *cased.values(), "WIDTH"), {}) == cased


def test_a_digest_column_is_enough_and_hash_is_not() -> None:
    for column in DIGEST_COLUMNS:
        assert map_columns(untyped(column), {}) == {column: column}
    assert trouble_of(untyped("hash", "text")).trouble is Trouble.COLUMN_MISSING


def test_overrides_win_and_are_checked() -> None:
    columns = untyped("url", "link")
    assert map_columns(columns, {"url": "link"})[Column.URL] == "link"
    assert trouble_of(columns, url="gone").trouble is Trouble.COLUMN_MISSING
    assert trouble_of(untyped("link", "link"), url="link").trouble is Trouble.COLUMN_AMBIGUOUS
    with pytest.raises(Stop, match="unknown column uri") as caught:
        map_columns(columns, {"uri": "link"})
    assert "url, text" in caught.value.hint


# --- types -----------------------------------------------------------------------------------------------------------------

TEXTS = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.binary_view(),
    pa.dictionary(pa.int32(), pa.string()),
    pa.null(),
]
WHOLE = [pa.int8(), pa.int32(), pa.int64(), pa.uint16(), pa.uint64(), pa.null()]
NUMBERS = [pa.float16(), pa.float32(), pa.float64(), pa.int64(), pa.decimal128(9, 4), pa.decimal256(40, 4), pa.null()]
ODD = [pa.list_(pa.string()), pa.struct([("url", pa.string())]), pa.bool_(), pa.timestamp("us")]


@pytest.mark.parametrize("column", Column)
def test_types_that_pass_and_types_that_do_not(column: Column) -> None:
    good = {Column.HASH: WHOLE, Column.PUNSAFE: NUMBERS}.get(column, TEXTS)
    bad = [
        *ODD,
        *(
            [pa.float64(), pa.string()]
            if column is Column.HASH
            else [pa.string()]
            if column is Column.PUNSAFE
            else [pa.int64()]
        ),
    ]
    beside = [] if column is Column.URL else [("url", pa.string())]
    for kind in good:
        assert map_columns([*beside, (column.value, kind)], {})[column] == column.value
    for kind in bad:
        error = trouble_of([*beside, (column.value, kind)])
        assert error.trouble is Trouble.COLUMN_TYPE
        assert column.value in error.detail
        assert str(kind) in error.detail
        assert map_columns([("md5", pa.string()), ("odd", kind)], {}) == {Column.MD5: "md5"}


def test_fixed_size_binary_is_for_digests_only() -> None:
    assert map_columns([("md5", pa.binary(16))], {}) == {Column.MD5: "md5"}
    assert trouble_of([("url", pa.binary(16))]).trouble is Trouble.COLUMN_TYPE


@pytest.mark.parametrize("kind", TEXTS[:-1], ids=str)
def test_texts_become_large_binary_and_keep_nulls_and_empties(kind: Any) -> None:
    values = ["", None, "naïve 🚲", "x"]
    array = (
        pa.array(values, pa.string()).cast(kind)
        if not pa.types.is_dictionary(kind)
        else pa.array(values).dictionary_encode()
    )
    result = normalised(array, Column.TEXT)
    assert result.type == pa.large_binary()
    assert result.to_pylist() == [None if value is None else value.encode() for value in values]


def test_bytes_that_are_no_utf8_survive() -> None:
    raw = pa.array([b"http://\xff\xfe/"], pa.binary())
    as_text = pa.Array.from_buffers(pa.string(), 1, raw.buffers())
    assert normalised(as_text, Column.URL).to_pylist() == [b"http://\xff\xfe/"]


@pytest.mark.parametrize("column", sorted(DIGEST_COLUMNS))
@pytest.mark.parametrize("make", [pa.binary, lambda _: pa.binary(), lambda _: pa.large_binary()])
def test_raw_digests_become_hex_text(column: Column, make: Any) -> None:
    width = {Column.MD5: 16, Column.SHA1: 20, Column.SHA256: 32}[column]
    raw = bytes(range(width))
    result = normalised(pa.array([raw, None, raw], make(width)), column)
    assert result.to_pylist() == [raw.hex().encode(), None, raw.hex().encode()]


def test_hex_in_binary_stays_and_text_of_a_digests_length_is_no_digest() -> None:
    hexed = b"0123456789abcdef" * 2
    assert normalised(pa.array([hexed, None], pa.binary(32)), Column.MD5).to_pylist() == [hexed, None]
    assert normalised(pa.array(["sixteen letters!"]), Column.MD5).to_pylist() == [b"sixteen letters!"]
    mixed = pa.array([b"\x00" * 16, hexed], pa.binary()).dictionary_encode()
    assert normalised(mixed, Column.MD5).to_pylist() == [b"0" * 32, hexed]


def test_numbers_become_the_documented_types() -> None:
    assert normalised(pa.array([2**63 + 5, None], pa.uint64()), Column.HASH).to_pylist() == [5 - 2**63, None]
    assert normalised(pa.array([-3, None], pa.int32()), Column.HASH).to_pylist() == [-3, None]
    for array in (pa.array([0.5, None], pa.float16()), pa.array([Decimal("0.50"), None], pa.decimal128(5, 2))):
        assert normalised(array, Column.PUNSAFE).to_pylist() == [0.5, None]
    assert normalised(pa.nulls(2), Column.MD5).to_pylist() == [None, None]


def test_a_batch_has_our_names_in_our_order_and_counts_rows_without_columns() -> None:
    arrays = {column: pa.nulls(3, ARROW_TYPE[column]) for column in reversed(Column)}
    batch = sealed_batch(arrays, 3)
    assert batch.unseal().schema.names == [str(column) for column in Column]
    assert (sealed_batch({}, 3).rows, sealed_batch({}, 3).columns) == (3, frozenset())
