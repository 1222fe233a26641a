"""Compiled lists: membership against sets, what is said of entries, forms, one spelling whatever the order, size."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.listing import CREATED, compiled, folder, keys_of, opened, positions, read_back, said_of, table_of
from vetset import kernels
from vetset.errors import Stop
from vetset.hashlists.compiled import compile_list, map_list, open_list
from vetset.hashlists.compiling import payload_of
from vetset.hashlists.file import read_sources
from vetset.hashlists.gathering import Gathered
from vetset.hashlists.layout import About
from vetset.ports import HashList, KeyTable
from vetset.records import URL_ALGORITHM, WIDTH_BYTES, ListEntry, Signal, UrlForm

PICTURES = [Signal.MD5, Signal.SHA1, Signal.SHA256, Signal.PDQ, Signal.PHOTODNA]
DIGESTS = [signal for signal in Signal if signal is not Signal.URL]


@st.composite
def crowded(draw: st.DrawFn, width_bytes: int) -> bytes:
    """Keys that share heads, tails and filter words, so that nothing but the whole key tells them apart."""
    head = draw(st.sampled_from([bytes(8), b"\xff" * 8, b"\x00" * 7 + b"\x01", b"\x80" + bytes(7)]))
    tail = draw(st.sampled_from([bytes(width_bytes - 8), b"\xff" * (width_bytes - 8)]))
    last = draw(st.integers(0, 3))
    return head + tail[:-1] + bytes([last])


@settings(max_examples=60)
@given(signal=st.sampled_from(DIGESTS), data=st.data())
def test_membership_is_that_of_a_set(signal: Signal, data: st.DataObject) -> None:
    width_bytes = WIDTH_BYTES[signal]
    values = st.one_of(crowded(width_bytes), st.binary(min_size=width_bytes, max_size=width_bytes))
    held = data.draw(st.lists(values, min_size=1, max_size=30))
    asked = data.draw(st.lists(values, max_size=30)) + held
    with folder() as place:
        found = read_back(place, "\n".join(value.hex() for value in held), signal=signal)
    assert found.counts == {signal: len(set(held))}
    table = table_of(found, signal)
    places = positions(table, asked)
    assert [at >= 0 for at in places] == [kernels.contains_of(frozenset(held), value) for value in asked]
    for value, at in zip(asked, places, strict=True):
        if at >= 0:
            assert int(table.heads[at]).to_bytes(8, "big") + table.tails[at].tobytes() == value


@settings(max_examples=60)
@given(data=st.data())
def test_entries_are_those_of_a_dict_over_many_signals(data: st.DataObject) -> None:
    words = st.sampled_from(["", "A1", "B2", "ü", "\U0001f600", "a long and winding word " * 3])
    said = st.builds(ListEntry, words, words, words)
    given_ = data.draw(st.lists(st.tuples(st.sampled_from(PICTURES), st.integers(0, 5), said), min_size=1, max_size=30))
    wanted: dict[tuple[Signal, bytes], set[ListEntry]] = {}
    gathered = Gathered()
    for signal, number, entry in given_:
        key = bytes([number]) * WIDTH_BYTES[signal]
        gathered.hold(signal, key, entry)
        wanted.setdefault((signal, key), set()).update({entry} - {ListEntry()})
    with folder() as place:
        source = place / "list.vsl"
        held = opened(written(source, gathered))
    for (signal, key), entries in wanted.items():
        assert said_of(held, signal, key) == (entries or {ListEntry()})
    lines = [line for entries in wanted.values() for line in entries]
    assert held.categories() == {word: [line.category for line in lines].count(word) for word in held.categories()}
    assert sum(held.categories().values()) == len(lines)


def written(target: Path, gathered: Gathered, **about: object) -> Path:
    from vetset.hashlists.sealing import write_list

    said = {"name": "invented", "version": 1, "created": "2026-01-02T03:04:05Z", **about}
    memory = payload_of(gathered, About(**said))  # type: ignore[arg-type]
    write_list(target, memory, ())
    return target


# --- forms of an address ----------------------------------------------------------------------------------------------

URLS = st.one_of(
    st.sampled_from(
        ["http://A.example/", "https://a.example", "HTTP://a.example:80/%7Eb?", "no address", "a.example/#"]
    ),
    st.text(min_size=1, max_size=30).filter(lambda text: text.strip(" \t\r\n") and not set("\r\n") & set(text)),
)


@given(urls=st.lists(URLS, min_size=1, max_size=12), forms=st.sets(st.sampled_from(list(UrlForm)), min_size=1))
def test_raw_urls_are_held_under_every_wanted_form(urls: list[str], forms: set[UrlForm]) -> None:
    values = [url.encode().strip(b" \t\r\n") for url in urls]
    gathered = Gathered(frozenset(forms))
    for value in values:
        gathered.hold(Signal.URL, value)
    wanted = {
        form: {kernels.digest_of(made, "sha256") for value in values if (made := kernels.FORM_OF[form](value))}
        for form in forms
    }
    assert keys_of(gathered) == {(Signal.URL, form): keys for form, keys in wanted.items() if keys}
    if not gathered.keys:
        return
    with folder() as place:
        held = opened(written(place / "list.vsl", gathered))
    assert held.counts == {Signal.URL: max(len(keys) for keys in wanted.values())}
    for table in held.tables:
        (form,) = table.forms
        assert all(at >= 0 for at in positions(table, sorted(wanted[form])))


@pytest.mark.parametrize("forms", [frozenset(UrlForm), frozenset({UrlForm.TX}), frozenset({UrlForm.RAW, UrlForm.TX})])
def test_digests_of_urls_are_compared_with_the_wanted_forms(tmp_path: Path, forms: frozenset[UrlForm]) -> None:
    lines = "".join(f"{signal} {'ab' * WIDTH_BYTES[signal]}\n" for signal in Signal if signal is not Signal.URL)
    held = read_back(tmp_path, lines, url_forms=forms)
    for table in held.tables:
        assert table.forms == (forms if table.signal in URL_ALGORITHM else frozenset())


def test_forms_of_one_url_are_one_value_with_one_set_of_entries(tmp_path: Path) -> None:
    contents = "url,category\nhttp://a.example/,A1\nHTTP://a.example/,B2\nhttp://b.example/,\n"
    held = read_back(tmp_path, contents, suffix=".csv")
    assert held.counts == {Signal.URL: 3}
    assert held.categories() == {"A1": 1, "B2": 1}
    key = kernels.digest_of(b"http://a.example/", "sha256")
    assert said_of(held, Signal.URL, key, UrlForm.RAW) == {ListEntry(category="A1")}
    assert said_of(held, Signal.URL, key, UrlForm.WHATWG) == {ListEntry(category="A1"), ListEntry(category="B2")}


# --- one spelling -----------------------------------------------------------------------------------------------------

LINES = [
    "md5 " + "01" * 16,
    "md5 " + "FE" * 16,
    "md5 " + "fe" * 16,
    "url http://a.example/",
    "sha256 " + "77" * 32,
    "pdq " + "88" * 32,
    "not a value",
]


def test_the_same_values_give_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    digests = set()
    for number, order in enumerate(itertools.islice(itertools.permutations(LINES), 0, 5040, 500)):
        place = tmp_path / str(number)
        place.mkdir()
        digests.add(compiled(place, "\n".join(order))[1].ref.digest)
    assert len(digests) == 1


def test_splitting_a_source_or_doubling_it_makes_no_difference(tmp_path: Path) -> None:
    whole = compiled(tmp_path, "\n".join(LINES))[1].ref
    for number, line in enumerate(LINES):
        (tmp_path / f"{number}.txt").write_text(line)
    parts = [tmp_path / f"{number}.txt" for number in range(len(LINES))]
    for target, sources in (("a.vsl", parts), ("b.vsl", [*reversed(parts), *parts])):
        found = compile_list(sources, tmp_path / target, name="invented", version=1, created=CREATED, recipients=())
        assert found.ref == whole
        assert (tmp_path / target).read_bytes() == (tmp_path / "list.vsl").read_bytes()


@settings(max_examples=40)
@given(data=st.data())
def test_entries_too_are_the_same_bytes_in_any_order(data: st.DataObject) -> None:
    words = st.sampled_from(["", "A1", "B2", "Ω"])
    rows = data.draw(st.lists(st.tuples(st.integers(0, 3), words, words, words), min_size=1, max_size=12))
    files = []
    for order in (rows, data.draw(st.permutations(rows))):
        gathered = Gathered()
        for number, *said in order:
            gathered.hold(Signal.MD5, bytes([number]) * 16, ListEntry(*said))
        with folder() as place:
            files.append(written(place / "list.vsl", gathered).read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("change"),
    [{"name": "other"}, {"version": 2}, {"created": CREATED + timedelta(seconds=1)}, {"purpose": "x"}, {"source": "y"}],
)
def test_another_word_about_a_list_is_another_digest(tmp_path: Path, change: dict) -> None:
    (tmp_path / "a").mkdir()
    assert compiled(tmp_path, LINES[0])[1].ref.digest != compiled(tmp_path / "a", LINES[0], **change)[1].ref.digest


def test_the_time_of_creation_is_kept_in_utc(tmp_path: Path) -> None:
    local = datetime(2026, 1, 1, 1, 30, 0, 999, tzinfo=timezone(timedelta(hours=2)))
    held = read_back(tmp_path, LINES[0], created=local)
    assert held.about.created == "2025-12-31T23:30:00Z"
    assert datetime.fromisoformat(held.about.created).tzinfo == UTC


# --- in use -----------------------------------------------------------------------------------------------------------


def test_a_list_is_what_the_ports_ask_for(tmp_path: Path) -> None:
    held: HashList = read_back(tmp_path, "\n".join(LINES), name="a list", version=7)
    assert (held.ref.name, held.ref.version, len(held.ref.digest)) == ("a list", 7, 64)
    table: KeyTable
    for table in held.tables:
        assert table.heads.dtype == np.uint64
        assert table.tails.shape == (table.count, table.width_bytes - 8)
        assert (table.heads[1:] >= table.heads[:-1]).all()
        assert np.array_equal(table.words, kernels.filter_words(whole_keys(table)))


def whole_keys(table: KeyTable) -> np.ndarray:
    heads = np.ascontiguousarray(table.heads.astype(">u8")).view(np.uint8).reshape(table.count, 8)
    return np.concatenate([heads, table.tails], axis=1)


def test_arrays_are_views_that_cannot_be_written(tmp_path: Path) -> None:
    held = read_back(tmp_path, "\n".join(LINES))
    for table in held.tables:
        for array in (table.heads, table.tails, table.words):
            assert not array.flags.owndata
            with pytest.raises(ValueError, match="read-only"):
                array[:] = 0


def test_a_bare_digest_takes_at_most_20_bytes(tmp_path: Path) -> None:
    values = np.random.default_rng(3).bytes(16 * 5000).hex()
    path, found = compiled(
        tmp_path, "\n".join(values[at : at + 32] for at in range(0, len(values), 32)), signal=Signal.MD5
    )
    assert found.counts == {Signal.MD5: 5000}
    assert path.stat().st_size < 20 * 5000


def test_neither_a_list_nor_its_parts_show_themselves(tmp_path: Path) -> None:
    contents = f"md5,category,entry_id\n{'5a' * 16},Category-Canary,Id-Canary\n"
    held = read_back(tmp_path, contents, suffix=".csv")
    source = tmp_path / "source.csv"
    gathered = Gathered()
    read_sources([source], gathered)
    told = f"{held!r} {held.tables!r} {held.tables[0]!r} {gathered!r} {gathered.keys!r}"
    assert "anary" not in told
    assert "90, 90" not in told  # 0x5a, as numpy and lists print it
    assert "5a5a" not in told.lower()


def test_nothing_valid_is_nothing_to_compile(tmp_path: Path) -> None:
    for contents in ("", "# only words\n\n", "md5 short\nsha1\n"):
        with pytest.raises(Stop, match="nothing to compile") as stop:
            compiled(tmp_path, contents)
        assert stop.value.hint
        assert not (tmp_path / "list.vsl").exists()
    assert "2 fault" in stop.value.message


@pytest.mark.parametrize(
    "about",
    [
        {"name": ""},
        {"name": "a/b"},
        {"name": "a" * 65},
        {"name": " a"},
        {"name": "\x1b[31mred"},
        {"name": "ä"},
        {"version": 0},
        {"version": -1},
        {"version": 2**63},
        {"purpose": "two\nlines"},
        {"purpose": "x" * 501},
        {"source": "\x1b]8;;"},
    ],
)
def test_words_that_cannot_stand_stop_before_anything_is_read(tmp_path: Path, about: dict) -> None:
    with pytest.raises(Stop, match="should be"):
        compile_list(
            [tmp_path / "gone.txt"],
            tmp_path / "list.vsl",
            **{"name": "n", "version": 1, "created": CREATED, "recipients": (), **about},
        )


def test_a_descriptor_of_something_else_is_no_list(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for contents in (b"", b"x" * 20, b"x" * 4096):
        path.write_bytes(contents)
        with path.open("rb") as stream, pytest.raises(Stop, match="holds none"):
            map_list(stream.fileno())


def test_a_list_outlives_its_descriptor_and_its_file(tmp_path: Path) -> None:
    import os

    path, _ = compiled(tmp_path, LINES[0])
    memory = open_list(path, (), today=None)
    held = map_list(memory)
    os.close(memory)
    os.truncate(path, 10)
    path.unlink()
    assert positions(held.tables[0], [bytes.fromhex("01" * 16)]) == [0]
