"""CSV sources: the column map, headers, several signals in a row, broken quoting, and headers that are values."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.listing import faults_of, folder, gathered_from, keys_of, leaks, read_back, said_of
from vetset import kernels
from vetset.errors import Stop
from vetset.hashlists.csvfile import ColumnMap, read_map
from vetset.records import ListEntry, Signal, UrlForm

ONE = "0123456789abcdef0123456789ABCDEF"
TWO = "ffeeddccbbaa99887766554433221100"
SHA1 = "ab" * 20
URL = "http://a.example/b,c d"


def test_columns_are_found_by_their_own_names_case_aside(tmp_path: Path) -> None:
    gathered = gathered_from(tmp_path, f" MD5 ,note,Sha1\r\n{ONE},x,{SHA1}\r\n", suffix=".csv")
    assert keys_of(gathered) == {
        (Signal.MD5, None): {bytes.fromhex(ONE)},
        (Signal.SHA1, None): {bytes.fromhex(SHA1)},
    }
    assert gathered.accounts[0].taken == 2


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_map_names_columns_and_what_is_said(tmp_path: Path, delimiter: str, mark: str) -> None:
    rows = [["Hash", "Link", "Cat", "Ref", "By"], [ONE, f'"{URL}"', "A1", "r-1", "someone"], [TWO, "", "B2", "r-2", ""]]
    contents = mark + "\n".join(delimiter.join(row) for row in rows)
    columns = ColumnMap(
        {Signal.MD5: "hash", Signal.URL: "LINK"}, {"category": "cat", "entry_id": "Ref", "source": "by"}
    )
    held = read_back(tmp_path, contents, suffix=".csv", columns=columns)
    assert said_of(held, Signal.MD5, bytes.fromhex(ONE)) == {ListEntry("r-1", "A1", "someone")}
    assert said_of(held, Signal.MD5, bytes.fromhex(TWO)) == {ListEntry("r-2", "B2", "")}
    key = kernels.digest_of(URL.encode(), "sha256")
    assert said_of(held, Signal.URL, key, UrlForm.RAW) == {ListEntry("r-1", "A1", "someone")}
    assert held.categories() == {"A1": 2, "B2": 1}


def test_one_key_may_have_several_entries(tmp_path: Path) -> None:
    rows = [("A1", "1"), ("A1", "1"), ("B2", "1"), ("A1", "2")]
    contents = "md5,category,entry_id\n" + "".join(f"{ONE},{category},{name}\n" for category, name in rows)
    held = read_back(tmp_path, contents, suffix=".csv")
    assert held.counts == {Signal.MD5: 1}
    said = held.entries(0, 0)
    assert len(said) == 3
    assert set(said) == {ListEntry("1", "A1"), ListEntry("1", "B2"), ListEntry("2", "A1")}


def test_faults_have_the_line_where_the_record_starts(tmp_path: Path) -> None:
    lines = ["md5,sha1,note", f"{ONE},,", ",,", f'{ONE}0,{SHA1},"two\nlines"', f"x,{SHA1}", "", '"a"b,,', f"{TWO}"]
    gathered = gathered_from(tmp_path, "\n".join(lines), suffix=".csv")
    assert faults_of(gathered) == {
        "no_value": [3],
        "wrong_length": [4],
        "spans_lines": [4],
        "not_hex": [6],
        "bad_csv": [8],
    }
    assert gathered.accounts[0].taken == 4


def test_undecodable_bytes_are_faults_of_their_cell(tmp_path: Path) -> None:
    contents = b"url,md5,category\nhttp://a.example/\xff," + ONE.encode() + b",\xfe\n"
    held = read_back(tmp_path, contents, suffix=".csv")
    assert held.counts == {Signal.MD5: 1}
    assert held.entries(0, 0) == [ListEntry(category="?")]


def test_a_url_with_a_line_break_is_none(tmp_path: Path) -> None:
    gathered = gathered_from(tmp_path, 'url\n"http://a.example/\nb"\nhttp://b.example/\n', suffix=".csv")
    assert faults_of(gathered) == {"line_break": [2], "spans_lines": [2]}
    assert gathered.accounts[0].taken == 1


@pytest.mark.parametrize("rest", [f"{ONE},\n", f'{ONE},"x\n{TWO}\n'])
def test_a_quote_that_would_swallow_lines_stops(tmp_path: Path, rest: str) -> None:
    with pytest.raises(Stop, match="a quote that opens in line 3 is not closed") as stop:
        gathered_from(tmp_path, f'md5,note\n{TWO},\n{ONE},"open\n{rest}{TWO},\n', suffix=".csv")
    assert not leaks(str(stop.value).encode(), [ONE.encode(), TWO.encode()])


def test_lines_that_a_stray_quote_hides_are_named(tmp_path: Path) -> None:
    gathered = gathered_from(tmp_path, f'md5,note\n{TWO},"open\n{ONE},"\n', suffix=".csv")
    assert faults_of(gathered) == {"spans_lines": [2]}
    assert gathered.accounts[0].taken == 1


def test_a_line_without_end_stops(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="a line of over"):
        gathered_from(tmp_path, "md5\n" + "a" * (1 << 21), suffix=".csv")


def test_a_field_beyond_the_csv_modules_limit_is_a_fault(tmp_path: Path) -> None:
    csv.field_size_limit(131_072)  # the module's own; a dataset that was read in this process may have raised it
    gathered = gathered_from(tmp_path, "md5\n" + "a" * 200_000 + f"\n{ONE}\n", suffix=".csv")
    assert faults_of(gathered) == {"bad_csv": [2]}
    assert gathered.accounts[0].taken == 1


@pytest.mark.parametrize(
    "contents",
    [
        f"{ONE},{SHA1}\n{TWO},{SHA1}\n",
        "",
        "\n",
        f'"{ONE}\n{TWO}"\n',
        f'"{ONE}"{TWO}\n',
        b"\xff\xfe" + ONE.encode("utf-16-le"),
    ],
)
def test_a_file_without_header_is_refused_and_its_first_line_not_shown(tmp_path: Path, contents: str | bytes) -> None:
    for columns in (None, ColumnMap({Signal.MD5: "MD5"}, {})):
        with pytest.raises(Stop) as stop:
            gathered_from(tmp_path, contents, suffix=".csv", columns=columns)
        told = f"{stop.value!r} {stop.value.message} {stop.value.hint}".encode()
        assert not leaks(told, [bytes.fromhex(ONE), ONE.encode(), TWO.encode(), SHA1.encode()])
        assert stop.value.hint


def test_a_column_of_the_map_that_is_twice_there_stops(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="2 columns 'MD5'"):
        gathered_from(tmp_path, f"md5,Md5\n{ONE},{TWO}\n", suffix=".csv", columns=ColumnMap({Signal.MD5: "MD5"}, {}))


def test_a_column_of_the_map_that_is_missing_stops(tmp_path: Path) -> None:
    columns = ColumnMap({Signal.MD5: "md5"}, {"category": "class"})
    with pytest.raises(Stop, match="no column 'class'"):
        gathered_from(tmp_path, f"md5\n{ONE}\n", suffix=".csv", columns=columns)


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=12)


@given(rows=st.lists(st.tuples(st.binary(min_size=16, max_size=16), CELLS, CELLS), min_size=1, max_size=8))
def test_whatever_is_said_comes_back(rows: list[tuple[bytes, str, str]]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    contents = "md5,category,entry_id\n" + "".join(
        f"{key.hex()},{quoted(category)},{quoted(name)}\n" for key, category, name in rows
    )
    wanted: dict[bytes, set[ListEntry]] = {}
    for key, category, name in rows:
        entry = ListEntry(name.strip(" \t\r\n"), category.strip(" \t\r\n"))
        wanted.setdefault(key, set()).update({entry} - {ListEntry()})
    with folder() as place:
        held = read_back(place, contents, suffix=".csv")
    for key, said in wanted.items():
        assert said_of(held, Signal.MD5, key) == (said or {ListEntry()})


# --- the map's file ---------------------------------------------------------------------------------------------------


def map_file(place: Path, text: str) -> Path:
    path = place / "map.toml"
    path.write_text(text)
    return path


def test_a_map_is_one_table(tmp_path: Path) -> None:
    path = map_file(tmp_path, '[columns]\nmd5 = "MD5 (hex)"\nurl = "Link"\ncategory = "Cat"\n')
    assert read_map(path) == ColumnMap({Signal.MD5: "MD5 (hex)", Signal.URL: "Link"}, {"category": "Cat"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "one table"),
        ("columns = 3", "one table"),
        ('[columns]\nmd5 = "a"\n[more]\nb = 1', "one table"),
        ("not toml", "is not TOML"),
        ('[columns]\nmd6 = "a"', "unknown name 'md6'"),
        ("[columns]\nmd5 = 5", "not text"),
        ('[columns]\nmd5 = " "', "not text"),
        ('[columns]\ncategory = "a"', "maps no signal"),
        ("[columns]", "maps no signal"),
        ('[columns]\nmd5 = "a"\ncategory = " A"', "both as a value and as"),
    ],
)
def test_other_maps_stop_and_say_what_a_map_is(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(Stop, match=message) as stop:
        read_map(map_file(tmp_path, text))
    assert stop.value.hint


@pytest.mark.parametrize("make", [lambda _: None, lambda path: path.mkdir()])
def test_a_map_that_cannot_be_read_stops(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "map.toml")
    with pytest.raises(Stop, match="cannot read --map"):
        read_map(tmp_path / "map.toml")


def test_a_map_in_another_encoding_stops(tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_bytes(b'[columns]\nmd5 = "\xff"')
    with pytest.raises(Stop, match="is not TOML"):
        read_map(tmp_path / "map.toml")
