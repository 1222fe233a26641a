"""Text sources: lines, comments, signals, hostile bytes, and the quick way for bare digests."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.listing import faults_of, folder, gathered_from, keys_of
from vetset import kernels
from vetset.errors import Stop
from vetset.hashlists import file
from vetset.hashlists.csvfile import ColumnMap
from vetset.hashlists.file import Format, format_of, plain_hex, read_sources
from vetset.hashlists.gathering import Gathered
from vetset.hashlists.value import MAX_VALUE_BYTES
from vetset.records import WIDTH_BYTES, Signal, UrlForm

ONE = "0123456789abcdef0123456789ABCDEF"
TWO = "ffeeddccbbaa99887766554433221100"


def raw(url: bytes) -> bytes:
    return kernels.digest_of(url, "sha256")


def test_each_line_names_its_signal(tmp_path: Path) -> None:
    lines = [f"md5 {ONE}", f"SHA1\t{'ab' * 20}", f"url_md5   {TWO}", f"pdq {'cd' * 32}", f"photodna {'ef' * 144}"]
    gathered = gathered_from(tmp_path, "\n".join(lines))
    assert keys_of(gathered) == {
        (Signal.MD5, None): {bytes.fromhex(ONE)},
        (Signal.SHA1, None): {bytes.fromhex("ab" * 20)},
        (Signal.URL_MD5, None): {bytes.fromhex(TWO)},
        (Signal.PDQ, None): {bytes.fromhex("cd" * 32)},
        (Signal.PHOTODNA, None): {bytes.fromhex("ef" * 144)},
    }
    assert gathered.accounts[0].taken == 5
    assert not faults_of(gathered)


def test_a_url_is_the_rest_of_its_line(tmp_path: Path) -> None:
    gathered = gathered_from(tmp_path, "url   http://A.example/b c #d \r\n")
    held = keys_of(gathered)
    assert held[Signal.URL, UrlForm.RAW] == {raw(b"http://A.example/b c #d")}
    assert held[Signal.URL, UrlForm.TX] == {raw(b"a.example/b c #d")}
    assert held[Signal.URL, UrlForm.WHATWG] == {raw(b"http://a.example/b%20c%20#d")}


def test_a_form_that_cannot_be_made_is_absent(tmp_path: Path) -> None:
    gathered = gathered_from(tmp_path, "url no address at all\n")
    assert set(keys_of(gathered)) == {(Signal.URL, UrlForm.RAW), (Signal.URL, UrlForm.TX)}
    assert not faults_of(gathered)


def test_a_url_without_any_wanted_form_is_counted(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("url no address at all\nurl http://a.example/\n")
    gathered = Gathered(frozenset({UrlForm.WHATWG}))
    read_sources([source], gathered)
    assert faults_of(gathered) == {"no_url_form": [1]}
    assert keys_of(gathered) == {(Signal.URL, UrlForm.WHATWG): {raw(b"http://a.example/")}}


def test_faults_are_counted_with_their_lines(tmp_path: Path) -> None:
    lines = [
        "# a comment",
        "",
        f"md5 {ONE}",
        "md5",
        f"md5 {ONE}0",
        "md5 hello",
        f"crc32 {TWO}",
        "   # another",
        ONE,
        "url http://a.example/\udcff",
        "sha1 " + "z" * 40,
    ]
    gathered = gathered_from(tmp_path, "\n".join(lines).encode("utf-8", "surrogateescape"))
    assert faults_of(gathered) == {
        "no_value": [4],
        "wrong_length": [5],
        "not_hex": [6, 11],
        "unknown_signal": [7, 9],
        "not_utf8": [10],
    }
    assert gathered.accounts[0].taken == 1


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_marks_make_no_difference(
    tmp_path: Path, ending: str, last: bool, mark: bytes
) -> None:
    text = ending.join([ONE, TWO]) + (ending if last else "")
    gathered = gathered_from(tmp_path, mark + text.encode(), signal=Signal.MD5)
    assert keys_of(gathered) == {(Signal.MD5, None): {bytes.fromhex(ONE), bytes.fromhex(TWO)}}
    assert gathered.accounts[0].taken == 2
    assert not faults_of(gathered)


def test_a_mark_in_the_middle_is_no_mark(tmp_path: Path) -> None:
    gathered = gathered_from(tmp_path, f"{ONE}\n".encode() + b"\xef\xbb\xbf" + ONE.encode(), signal=Signal.MD5)
    assert faults_of(gathered) == {"not_hex": [2]}


def test_bare_values_are_bare(tmp_path: Path) -> None:
    gathered = gathered_from(tmp_path, f"md5 {ONE}\n{TWO}\n# no\n\n", signal=Signal.MD5)
    assert faults_of(gathered) == {"not_hex": [1]}
    assert keys_of(gathered) == {(Signal.MD5, None): {bytes.fromhex(TWO)}}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_another_encoding_gives_faults_and_no_crash(tmp_path: Path, encoding: str) -> None:
    gathered = gathered_from(tmp_path, f"{ONE}\n{TWO}\n".encode(encoding), signal=Signal.MD5)
    assert not gathered.keys
    assert sum(gathered.accounts[0].faults.values()) >= 2


def test_a_line_without_end_is_one_fault_and_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "_BLOCK_BYTES", 1000)
    long = b"url http://a.example/" + b"x" * (5 * MAX_VALUE_BYTES)
    gathered = gathered_from(tmp_path, f"md5 {ONE}\n".encode() + long + f"\nmd5 {TWO}\n".encode() + long)
    assert faults_of(gathered) == {"too_long": [2, 4]}
    assert keys_of(gathered) == {(Signal.MD5, None): {bytes.fromhex(ONE), bytes.fromhex(TWO)}}


def test_spaces_cannot_hide_that_a_line_was_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "_BLOCK_BYTES", 1000)
    gathered = gathered_from(tmp_path, b"url " + b" " * (5 * MAX_VALUE_BYTES) + b"http://a.example/\n")
    assert faults_of(gathered) == {"too_long": [1]}
    assert not gathered.keys


def test_blocks_cut_nowhere_but_between_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [kernels.digest_of(str(number).encode(), "md5") for number in range(200)]
    lines = [value.hex() + ("\r\n" if number % 7 == 0 else "\n") for number, value in enumerate(values)]
    lines[50] = "broken\n"
    for block_bytes in (1, 7, 32, 33, 34, 1000):
        monkeypatch.setattr(file, "_BLOCK_BYTES", block_bytes)
        gathered = gathered_from(tmp_path, "".join(lines), signal=Signal.MD5)
        assert keys_of(gathered) == {(Signal.MD5, None): {*values[:50], *values[51:]}}
        assert faults_of(gathered) == {"not_hex": [51]}
        assert gathered.accounts[0].taken == 199


# --- the quick way ----------------------------------------------------------------------------------------------------

LINES = st.lists(
    st.one_of(
        st.binary(min_size=16, max_size=16).map(lambda value: value.hex().encode()),
        st.binary(min_size=16, max_size=16).map(lambda value: value.hex().upper().encode() + b"\r"),
        st.binary(max_size=34).filter(lambda line: b"\n" not in line),
        st.text("0123456789abcdef \tg", min_size=30, max_size=34).map(str.encode),
    ),
    max_size=6,
)


@given(lines=LINES, ended=st.booleans())
def test_the_quick_way_agrees_with_the_definition(lines: list[bytes], ended: bool) -> None:
    contents = b"\n".join(lines) + (b"\n" if ended else b"")
    mark = b"\xef\xbb\xbf"
    counted = contents.removeprefix(mark).split(b"\n")
    wanted = {digest for line in counted if (digest := kernels.hex_digest_of(line, 16)) is not None}
    with folder() as place:
        gathered = gathered_from(place, contents, signal=Signal.MD5)
    assert keys_of(gathered).get((Signal.MD5, None), set()) == wanted
    bad = [
        number
        for number, line in enumerate(counted, 1)
        if line.strip(b" \t\r\n")
        and not line.strip(b" \t\r\n").startswith(b"#")
        and kernels.hex_digest_of(line, 16) is None
    ]
    assert sorted(line for kept in faults_of(gathered).values() for line in kept) == bad


@given(values=st.lists(st.binary(min_size=20, max_size=20), min_size=1, max_size=9), ended=st.booleans())
def test_the_quick_way_takes_blocks_of_plain_lines(values: list[bytes], ended: bool) -> None:
    block = b"\n".join(value.hex().encode() for value in values) + (b"\n" if ended else b"")
    assert plain_hex(block, 20) == b"".join(values)
    assert plain_hex(block.replace(b"\n", b"\r\n"), 20) == b"".join(values)


@pytest.mark.parametrize(
    "block",
    [
        b"0123456789abcdef\n",
        ONE.encode() + b"\n\n",
        ONE.encode()[:-1] + b" \n",
        b"01 3456789abcdef0123456789abcdef0\n",
        ONE.encode()[:15] + b"\n" + ONE.encode()[15:] + b"\n" + b"0" * 32,
        b"\xd9\xa0" * 16 + b"\n",
        b"# " + b"0" * 30 + b"\n",
        b"",
    ],
)
def test_the_quick_way_leaves_the_rest_alone(block: bytes) -> None:
    assert plain_hex(block, WIDTH_BYTES[Signal.MD5]) is None


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("a.txt", Format.TEXT), ("a.CSV", Format.CSV), ("a.b.tsv", Format.CSV), ("page.Xml", Format.NCMEC)],
)
def test_a_name_tells_the_format(name: str, wanted: Format) -> None:
    assert format_of(Path(name)) is wanted


@pytest.mark.parametrize("name", ["a", "a.json", "txt", ".txt/a"])
def test_a_name_that_tells_nothing_stops(name: str) -> None:
    with pytest.raises(Stop, match="not clear from its name") as stop:
        format_of(Path(name))
    assert "--format" in stop.value.hint


@pytest.mark.parametrize("make", [lambda _: None, lambda path: path.mkdir()])
def test_what_cannot_be_read_stops(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "gone.txt"
    make(path)
    with pytest.raises(Stop, match=r"cannot read .*gone\.txt"):
        read_sources([path], Gathered())


def test_options_without_use_stop(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("md5\n")
    with pytest.raises(Stop, match="--signal is of no use"):
        read_sources([path], Gathered(), signal=Signal.MD5)
    with pytest.raises(Stop, match="--map is of no use"):
        read_sources([tmp_path / "a.txt"], Gathered(), columns=ColumnMap({Signal.MD5: "a"}, {}))


def test_a_pipe_is_a_source_too(tmp_path: Path) -> None:
    path = tmp_path / "pipe.txt"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(f"md5 {ONE}\n".encode(),))
    writer.start()
    gathered = Gathered()
    read_sources([path], gathered)
    writer.join()
    assert keys_of(gathered) == {(Signal.MD5, None): {bytes.fromhex(ONE)}}


def test_every_source_has_its_own_account(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"md5 {ONE}\nbad\n")
    (tmp_path / "b.txt").write_text(f"md5 {TWO}\nmd5 {ONE}\n")
    gathered = Gathered()
    read_sources([tmp_path / "a.txt", tmp_path / "b.txt"], gathered)
    assert [(Path(account.source).name, account.taken) for account in gathered.accounts] == [("a.txt", 1), ("b.txt", 2)]
    assert [sum(account.faults.values()) for account in gathered.accounts] == [1, 0]
