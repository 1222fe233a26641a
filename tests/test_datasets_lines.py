"""CSV and JSON lines: hostile text first, then exact values and exact bytes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vetset.config import RunSettings, Settings
from vetset.datasets.formats import ByFormat
from vetset.datasets.location import find_shards
from vetset.errors import ShardError, Trouble
from vetset.records import Column, Shard
from vetset.testing.dataset_contract import Collected, into

ALL = frozenset(Column)
CANARY = b"https://canary.example/never-shown"


class Text:
    """One text file and its dataset."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def opened(
        self, name: str, data: bytes, *, columns: dict[str, str] | None = None, **run: Any
    ) -> tuple[ByFormat, Shard]:
        (self.folder / name).write_bytes(data)
        found = find_shards(str(self.folder / name))
        return ByFormat(found.root, Settings(run=RunSettings(**run), columns=columns or {})), found.shards[0]

    def rows(self, name: str, data: bytes, column: Column = Column.URL, **more: Any) -> list[Any]:
        dataset, shard = self.opened(name, data, **more)
        batches = list(dataset.batches(shard, frozenset({column})))
        return [cell for batch in batches for cell in batch.values.unseal().column(column.value).to_pylist()]

    def cut(self, name: str, data: bytes, *removed: int) -> bytes:
        dataset, shard = self.opened(name, data)
        sink = Collected()
        dataset.write_without(shard, np.array(removed, np.int64), into(sink))
        return sink.data

    def trouble(self, name: str, data: bytes, **more: Any) -> ShardError:
        with pytest.raises(ShardError) as caught:
            self.rows(name, data, **more)
        assert CANARY.decode() not in str(caught.value)
        return caught.value


@pytest.fixture
def text(tmp_path: Path) -> Text:
    return Text(tmp_path)


# --- trouble with a whole file -----------------------------------------------------------------------------------------


def test_a_csv_without_header_does_not_show_its_first_row(text: Text) -> None:
    error = text.trouble("a.csv", CANARY + b",a caption\n" + CANARY + b",another\n")
    assert error.trouble is Trouble.COLUMN_MISSING
    assert "caption" not in error.detail
    assert "header" in error.detail


def test_an_empty_csv_has_no_header(text: Text) -> None:
    for data in (b"", b"\n\r\n\n"):
        assert text.trouble("a.csv", data).trouble is Trouble.NOT_THE_FORMAT


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_utf16_is_refused_by_name(text: Text, name: str) -> None:
    error = text.trouble(name, 'url\n{"url": "x"}\n'.encode("utf-16"))
    assert (error.trouble, "UTF-16" in error.detail) == (Trouble.NOT_THE_FORMAT, True)


def test_an_unclosed_quote_does_not_hide_the_rest_of_the_file(text: Text) -> None:
    data = b'url,text\na,b\n"' + CANARY + b",c\nd,e\n"
    assert text.trouble("a.csv", data).trouble is Trouble.TRUNCATED
    with pytest.raises(ShardError) as caught:
        text.cut("a.csv", data, 0)
    assert caught.value.trouble is Trouble.TRUNCATED


def test_a_record_above_the_cap(text: Text) -> None:
    long = CANARY * 100
    for name, data in (
        ("a.csv", b"url\n" + long + b"\n"),
        ("b.csv", b'url\n"' + b"\n" * 1000 + b'"\n'),
        ("c.jsonl", b'{"url": "' + long + b'"}\n'),
        ("d.csv", b"url" + b"x" * 2000),
    ):
        assert text.trouble(name, data, max_record_bytes=500).trouble is Trouble.RECORD_TOO_LARGE
        assert text.opened(name, data, max_record_bytes=len(data)) is not None
    exact = b"x" * 499 + b"\n"
    assert text.rows("e.csv", b"url\n" + exact, max_record_bytes=500) == [exact[:-1]]


def test_a_field_beyond_the_csv_modules_own_limit(text: Text) -> None:
    long = b"x" * 200_000
    csv.field_size_limit(131_072)
    assert text.rows("a.csv", b'url\n"' + long + b'"\n') == [long]


def test_json_that_is_no_json_lines(text: Text) -> None:
    for data in (b"[\n1,\n2\n]\n", CANARY + b"\n", b"\x00\xff\xfe\n", b"5\n"):
        assert text.trouble("a.jsonl", data).trouble is Trouble.NOT_THE_FORMAT


def test_json_keys_without_any_to_compare(text: Text) -> None:
    error = text.trouble("a.jsonl", b'{"link": "x", "words": "y"}\n')
    assert error.trouble is Trouble.COLUMN_MISSING
    assert "link, words" in error.detail
    assert CANARY.decode() not in str(text.trouble("a.jsonl", b'{"' + CANARY + b'": 1}\n'))


@pytest.mark.parametrize(
    ("late", "trouble"),
    [(b'{"url": "x", "MD5": "y"}', Trouble.COLUMN_MISSING), (b'{"URL": "x"}', Trouble.COLUMN_AMBIGUOUS)],
)
def test_a_column_that_comes_late_is_not_left_uncompared(text: Text, late: bytes, trouble: Trouble) -> None:
    data = b'{"url": "x"}\n' * 1000 + late + b"\n"
    error = text.trouble("a.jsonl", data)
    assert error.trouble is trouble
    assert "[columns]" in error.detail
    named = {"md5": "MD5"} if trouble is Trouble.COLUMN_MISSING else {"url": "url"}
    assert len(text.rows("a.jsonl", data, columns=named)) == 1001


def test_a_file_that_shrank_since_it_was_found(text: Text) -> None:
    dataset, shard = text.opened("a.csv", b"url\n" + b"x\n" * 100)
    (text.folder / "a.csv").write_bytes(b"url\n")
    with pytest.raises(ShardError) as caught:
        dataset.write_without(shard, np.array([0]), into(Collected()))
    assert caught.value.trouble is Trouble.SOURCE_CHANGED


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_rows_that_are_none(text: Text, name: str) -> None:
    data = b"url\na\nb\n" if name == "a.csv" else b'{"url": "a"}\n{"url": "b"}\n'
    dataset, shard = text.opened(name, data)
    for rows in ([2], [-1], [1, 0], [0, 0]):
        asked = np.array(rows, np.int64)
        with pytest.raises(ShardError) as looking:
            list(dataset.lookup(shard, asked, ALL))
        with pytest.raises(ShardError) as writing:
            dataset.write_without(shard, asked, into(Collected()))
        assert looking.value.trouble is writing.value.trouble is Trouble.BOOKS


# --- rows that are in trouble are rows all the same ------------------------------------------------------------------------


def test_json_lines_that_are_no_objects_are_rows_of_nulls(text: Text) -> None:
    lines = [
        b'{"url": "a"}',
        b"not json",
        b"[1]",
        b"7",
        b'{"url": 5}',
        b'{"url": null}',
        b"{}",
        b"[" * 100_000,
        b'{"url": "b"}',
        b'{"url": ["c"]}',
        b'{"url": true}',
    ]
    data = b"\n".join(lines)
    assert text.rows("a.jsonl", data) == [b"a", *[None] * 7, b"b", None, None]
    assert text.cut("a.jsonl", data, 1, 7) == b"\n".join(
        line for place, line in enumerate(lines) if place not in {1, 7}
    )


def test_json_values_of_other_types_are_null(text: Text) -> None:
    values = ["1", "-5", str(2**63), "1.5", "true", '"7"', "null", "1e400", "NaN"]
    data = "".join(f'{{"url": "x", "hash": {value}, "punsafe": {value}}}\n' for value in values).encode()
    assert text.rows("a.jsonl", data, Column.HASH) == [1, -5, *[None] * 7]
    assert text.rows("a.jsonl", data, Column.PUNSAFE)[:-2] == [1.0, -5.0, float(2**63), 1.5, None, None, None]
    huge = b'{"url": "x", "punsafe": 1' + b"0" * 400 + b"}\n"
    assert text.rows("a.jsonl", huge, Column.PUNSAFE) == [None]


def test_csv_numbers_that_are_none_are_null(text: Text) -> None:
    values = ["1", " -5 ", str(2**63), "1_0", "x", "", "0.5", "nan", "\u0661"]
    data = ("url,hash,punsafe\n" + "".join(f"u,{value},{value}\n" for value in values)).encode()
    assert text.rows("a.csv", data, Column.HASH) == [1, -5, *[None] * 7]
    got = text.rows("a.csv", data, Column.PUNSAFE)
    assert got[6] == 0.5
    assert (got[4], got[5]) == (None, None)


def test_csv_rows_that_are_short_or_long(text: Text) -> None:
    data = b"text,url\nonly\nt,u,extra\n,\n"
    assert text.rows("a.csv", data) == [None, b"u", b""]
    assert text.rows("a.csv", data, Column.TEXT) == [b"only", b"t", b""]


@pytest.mark.parametrize(
    "raw",
    [b"\xff\xfe\x80", "\ud800".encode("utf-8", "surrogatepass"), b"a\x00b", b"caf\xe9", b"\xed\xb2\x80", "🚲".encode()],
)
def test_raw_bytes_of_a_url_survive(text: Text, raw: bytes) -> None:
    assert text.rows("a.csv", b"url\n" + raw + b"\n") == [raw]
    if b"\x00" not in raw:  # no control character stands in a JSON string
        assert text.rows("a.jsonl", b'{"url": "' + raw + b'"}\n') == [raw]


def test_lone_surrogates_by_escape(text: Text) -> None:
    assert text.rows("a.jsonl", b'{"url": "\\ud800"}\n') == ["\ud800".encode("utf-8", "surrogatepass")]


def test_bare_carriage_returns_are_content(text: Text) -> None:
    data = b'url,text\r\na\rb,c\r\n"d\r\ne",f\r\r\n'
    assert text.rows("a.csv", data) == [b"a\rb", b"d\r\ne"]
    assert text.rows("a.csv", data, Column.TEXT) == [b"c", b"f\r"]
    assert text.cut("a.csv", data, 0) == b'url,text\r\n"d\r\ne",f\r\r\n'


# --- exact bytes ----------------------------------------------------------------------------------------------------------


def test_csv_is_cut_by_byte_ranges(text: Text) -> None:
    data = b'\xef\xbb\xbf"URL";"TEXT"\r\n\r\n"a""x";"1\r\n2"\r\nb;  2\n\nc;"q;r"\n"d";3'
    assert text.rows("a.csv", data) == [b'a"x', b"b", b"c", b"d"]
    assert text.rows("a.csv", data, Column.TEXT) == [b"1\r\n2", b"  2", b"q;r", b"3"]
    assert text.cut("a.csv", data, 0) == b'\xef\xbb\xbf"URL";"TEXT"\r\n\r\nb;  2\n\nc;"q;r"\n"d";3'
    assert text.cut("a.csv", data, 1, 3) == b'\xef\xbb\xbf"URL";"TEXT"\r\n\r\n"a""x";"1\r\n2"\r\n\nc;"q;r"\n'
    assert text.cut("a.csv", data, 0, 1, 2, 3) == b'\xef\xbb\xbf"URL";"TEXT"\r\n\r\n\n'


def test_json_lines_are_cut_by_byte_ranges(text: Text) -> None:
    data = b'\xef\xbb\xbf{"url": "a"}\r\n\n  \n{"url": "b", "x": [1, 2]}\n{"url": "c"}'
    assert text.rows("a.jsonl", data) == [b"a", b"b", b"c"]
    assert text.cut("a.jsonl", data, 1) == b'\xef\xbb\xbf{"url": "a"}\r\n\n  \n{"url": "c"}'
    assert text.cut("a.jsonl", data, 0, 2) == b'\n  \n{"url": "b", "x": [1, 2]}\n'
    assert text.cut("a.jsonl", data, 0, 1, 2) == b"\n  \n"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.csv", b"url,text"),
        ("a.csv", b"url;text"),
        ("a.csv", b"url\ttext"),
        ("a.tsv", b"url\ttext"),
        ("a.tsv", b"url\tte,xt,a"),
    ],
)
def test_delimiters(text: Text, name: str, header: bytes) -> None:
    delimiter = header[3:4]
    assert text.rows(name, header + b"\na" + delimiter + b"b\n") == [b"a"]


def test_facts_of_text(text: Text) -> None:
    dataset, shard = text.opened("a.csv", b"Caption,URL\nx,y\n")
    facts = dataset.facts(shard)
    assert (facts.rows, facts.columns) == (None, {Column.URL: "URL", Column.TEXT: "Caption"})
    dataset, shard = text.opened("a.jsonl", b'{"txt": 1}\n{"md5": "x"}\n')
    assert dataset.facts(shard).columns == {Column.TEXT: "txt", Column.MD5: "md5"}


def test_batches_stay_small_when_records_are_large(text: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vetset.datasets.lines._BATCH_BYTES", 1000)
    dataset, shard = text.opened("a.csv", b"url\n" + (b"x" * 400 + b"\n") * 10)
    assert [batch.rows for batch in dataset.batches(shard, ALL)] == [3, 3, 3, 1]


def test_a_lookup_in_text_ends_with_the_last_row_asked_for(text: Text) -> None:
    dataset, shard = text.opened("a.csv", b'url\na\nb\nc\nd\n"never closed')
    batches = list(dataset.lookup(shard, np.array([0, 2, 3]), ALL))
    assert [(batch.first_row, batch.rows) for batch in batches] == [(0, 1), (2, 2)]


FIELDS = st.lists(st.sampled_from(['"', ",", "\n", "\r\n", "a", "🚲", " ", "\\"]), max_size=6).map("".join)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=8), data=st.data())
def test_what_is_cut_and_what_stays_make_the_file(text: Text, rows: list[tuple[str, str]], data: st.DataObject) -> None:
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row).encode() + b"\n" for row in rows]
    objects = [json.dumps({"url": url, "text": words}).encode() + b"\n" for url, words in rows]
    removed = sorted(data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=1)))
    for name, head, records in (("a.csv", b"url,text\n", quoted), ("a.jsonl", b"", objects)):
        source = head + b"".join(records)
        left = [record for place, record in enumerate(records) if place not in removed]
        assert text.cut(name, source, *removed) == head + b"".join(left)
        assert text.rows(name, source) == [url.encode() for url, _ in rows]
