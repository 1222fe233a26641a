"""Lists that are refused, each with its message: damaged anywhere, cut anywhere, expired, sealed to others, newer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.listing import TODAY, compiled, folder, leaks, opened
from vetset.errors import Stop
from vetset.hashlists import entries, sealing
from vetset.hashlists.compiled import open_list
from vetset.hashlists.layout import About, Layout, NotCanonical, Shape, canonical_json, layout_of
from vetset.records import ListEntry, Signal

VALUE = "c0ffee" * 5 + "42"
CONTENTS = f"md5,category,entry_id\n{VALUE},Category-Canary,Id-Canary\n{'01' * 16},,\n"
CANARIES = [bytes.fromhex(VALUE), VALUE.encode(), b"Category-Canary", b"Id-Canary"]
IDENTITY = pyrage.x25519.Identity.generate()
STRANGER = pyrage.x25519.Identity.generate()


def list_bytes(place: Path, **options: object) -> bytes:
    return compiled(place, CONTENTS, suffix=".csv", **options)[0].read_bytes()


def refusal(path: Path, identities: tuple[str, ...] = (), today: date | None = TODAY) -> Stop:
    """The Stop of a refused list, which names no value, has a hint, and leaves no descriptor open."""
    before = descriptors()
    stop = caught(path, identities, today)
    assert stop.hint
    assert stop.__cause__ is None
    assert not leaks(f"{stop!r} {stop.message} {stop.hint} {stop.__context__!r}".encode(), CANARIES)
    stop.__context__ = None  # its frames too hold mappings
    assert descriptors() == before
    return stop


def descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def caught(path: Path, identities: tuple[str, ...], today: date | None) -> Stop:
    try:
        open_list(path, identities, today=today)
    except Stop as stop:
        return stop.with_traceback(None)
    raise AssertionError("the list was taken")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return list_bytes(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return list_bytes(tmp_path_factory.mktemp("sealed"), recipients=[str(IDENTITY.to_public())])


DAMAGES = ("is damaged", "is cut short", "is not a compiled list", "written by a newer", "is sealed and")


def test_a_plain_list_with_any_byte_flipped_is_refused(tmp_path: Path, plain: bytes) -> None:
    path = tmp_path / "list.vsl"
    for at in range(len(plain)):
        path.write_bytes(plain[:at] + bytes([plain[at] ^ (1 + at % 255)]) + plain[at + 1 :])
        assert any(what in refusal(path).message for what in DAMAGES)


@pytest.mark.parametrize("stride", [7])
def test_a_sealed_list_with_a_byte_flipped_is_refused(tmp_path: Path, sealed: bytes, stride: int) -> None:
    path = tmp_path / "list.vsl"
    for at in [*range(0, len(sealed), stride), len(sealed) - 1]:
        path.write_bytes(sealed[:at] + bytes([sealed[at] ^ (1 + at % 255)]) + sealed[at + 1 :])
        assert any(what in refusal(path, (str(IDENTITY),)).message for what in DAMAGES)


@given(data=st.data())
def test_any_damage_of_any_list_is_refused(plain: bytes, sealed: bytes, data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([plain, sealed]))
    at = data.draw(st.integers(0, len(whole) - 1))
    cut = data.draw(st.integers(0, 3))
    put = data.draw(st.binary(max_size=3))
    damaged = whole[:at] + put + whole[at + cut :]
    if damaged == whole:
        return
    with folder() as place:
        path = place / "list.vsl"
        path.write_bytes(damaged)
        assert any(what in refusal(path, (str(IDENTITY),)).message for what in DAMAGES)


def test_a_list_cut_anywhere_is_refused(tmp_path: Path, plain: bytes, sealed: bytes) -> None:
    path = tmp_path / "list.vsl"
    for whole, step in ((plain, 13), (sealed, 31)):
        line = whole.index(b"\n") + 1
        for length in range(0, len(whole), step):
            path.write_bytes(whole[:length])
            wanted = "is cut short" if length >= line else "is not a compiled list"
            assert wanted in refusal(path, (str(IDENTITY),)).message


def test_a_list_with_more_behind_it_is_refused(tmp_path: Path, plain: bytes, sealed: bytes) -> None:
    path = tmp_path / "list.vsl"
    for whole in (plain, sealed):
        path.write_bytes(whole + b"\0")
        assert "is damaged: 1 bytes more" in refusal(path, (str(IDENTITY),)).message


# --- keys and days ----------------------------------------------------------------------------------------------------


def test_a_sealed_list_wants_the_right_identity(tmp_path: Path, sealed: bytes) -> None:
    path = tmp_path / "list.vsl"
    path.write_bytes(sealed)
    assert "is sealed and no identity was given" in refusal(path).message
    assert "none of 1 identities opens it" in refusal(path, (str(STRANGER),)).message
    assert opened(path, (str(STRANGER), str(IDENTITY))).counts == {Signal.MD5: 2}


def test_an_identity_that_is_none_stops_and_is_not_shown(tmp_path: Path, sealed: bytes) -> None:
    path = tmp_path / "list.vsl"
    path.write_bytes(sealed)
    stop = refusal(path, ("AGE-SECRET-KEY-1NONSENSE",))
    assert "identity cannot be read" in stop.message
    assert "NONSENSE" not in f"{stop!r}{stop.hint}"


def test_a_list_is_good_through_its_last_day(tmp_path: Path) -> None:
    path, _ = compiled(tmp_path, CONTENTS, suffix=".csv", expires=TODAY)
    assert opened(path, today=TODAY).about.expires == "2026-06-01"
    assert "expired after 2026-06-01" in refusal(path, today=TODAY + timedelta(days=1)).message
    assert opened(path, today=None).about.expired(TODAY + timedelta(days=1))


# --- other files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[]\n",
        b"null\n",
        b'{"format":1}\n',
        b'{"format":"vetset-list/1"}\n',
        b'{"format":"vetset-list/x","sealed":true,"payload_bytes":1,"digest":""}\n',
        b'{"format":"vetset-list/1","sealed":true,"payload_bytes":1e999,"digest":""}\n',
        b"[" * 10_000 + b"\n",
        b"PAR1" * 100,
        b"\xff" * 100_000,
        f"md5 {VALUE}\n".encode(),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "list.vsl"
    path.write_bytes(contents)
    assert "is not a compiled list" in refusal(path).message


@pytest.mark.parametrize("make", [lambda _: None, lambda path: path.mkdir()])
def test_what_cannot_be_read_is_refused(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "list.vsl")
    assert "cannot read the list" in refusal(tmp_path / "list.vsl").message


def test_a_newer_format_is_named_as_such(tmp_path: Path, plain: bytes) -> None:
    path = tmp_path / "list.vsl"
    path.write_bytes(plain.replace(b"vetset-list/1", b"vetset-list/2", 1))
    stop = refusal(path)
    assert "newer vetset (list format 2)" in stop.message
    assert "update" in stop.hint


# --- lists forged with a right digest ---------------------------------------------------------------------------------


def forged(path: Path, payload: bytes, **changes: object) -> Path:
    """A plain file around a payload, its digest and length right, its first line as the payload's where it has one."""
    digest = hashlib.sha256(payload).hexdigest()
    try:
        layout, _ = layout_of(memoryview(payload))
        line = json.loads(sealing.outer_line(layout, digest, len(payload), sealed=False))
    except NotCanonical:
        line = {"format": "vetset-list/1", "sealed": False, "digest": digest, "payload_bytes": len(payload)}
    path.write_bytes(canonical_json({**line, **changes}) + b"\n" + payload)
    return path


def payload_from(plain: bytes) -> bytes:
    return plain[plain.index(b"\n") + 1 :]


def test_forging_itself_works(tmp_path: Path, plain: bytes) -> None:
    path = forged(tmp_path / "list.vsl", payload_from(plain))
    assert path.read_bytes() == plain
    assert opened(path).counts == {Signal.MD5: 2}


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"version": 2},
        {"expires": "2030-01-01"},
        {"entries": 1},
        {"more": 1},
        {"purpose": "x"},
        {"sealed": 0},
    ],
)
def test_a_first_line_that_disagrees_is_damage(tmp_path: Path, plain: bytes, changes: dict) -> None:
    path = forged(tmp_path / "list.vsl", payload_from(plain), **changes)
    assert "first line does not agree" in refusal(path).message


ABOUT = About("invented", 1, "2026-01-02T03:04:05Z")
ONE_KEY = Shape(Signal.MD5, (), 1, 1, 0)


def bare_payload(layout: Layout, stream: bytes = b"") -> bytes:
    _, start, stop = layout.places()
    return layout.header() + bytes(start) + stream.ljust(stop - start, b"\0")[: stop - start]


def test_a_list_without_entries_is_refused_as_empty(tmp_path: Path) -> None:
    path = forged(tmp_path / "list.vsl", bare_payload(Layout(ABOUT, (), 0)))
    assert "is empty" in refusal(path).message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"count":1', b'"count":2'),
        (b'"count":1', b'"count":0'),
        (b'"count":1', b'"count":-1'),
        (b'"count":1', b'"count":true'),
        (b'"count":1', b'"count":1.0'),
        (b'"count":1', b'"count":281474976710656'),
        (b'"words":1', b'"words":0'),
        (b'"words":1', b'"words":9'),
        (b'"entries":0', b'"entries":-1'),
        (b'"heads_offset":0', b'"heads_offset":64'),
        (b'"tails_offset":64', b'"tails_offset":0'),
        (b'"width_bytes":16', b'"width_bytes":20'),
        (b'"signal":"md5"', b'"signal":"md6"'),
        (b'"signal":"md5"', b'"signal":"sha1"'),
        (b'"forms":[]', b'"forms":["raw"],"forms":[]'),
        (b'"forms":[]', b'"forms":["cooked"]'),
        (b'"version":1', b'"version":0'),
        (b'"version":1', b'"version":"1"'),
        (b'"name":"invented"', b'"name":"\\u001b[31m"'),
        (b'"name":"invented"', b'"name":null'),
        (b'"created":"2026', b'"created":"x026'),
        (b'"expires":""', b'"expires":"20300101"'),
        (b'"purpose":""', b'"purpose": ""'),
        (b'"data_bytes":', b'"data_bytes":1'),
        (b'{"counts"', b'{"a":1,"counts"'),
        (b"{", b"["),
    ],
)
def test_no_header_but_the_canonical_one_is_taken(tmp_path: Path, old: bytes, new: bytes) -> None:
    whole = bare_payload(Layout(ABOUT, (ONE_KEY,), 0))
    length = int.from_bytes(whole[16:24], "little")
    text = whole[24 : 24 + length]
    assert old in text
    changed = text.replace(old, new, 1)
    header = whole[:16] + len(changed).to_bytes(8, "little") + changed
    data = whole[-(-(24 + length) // 64) * 64 :]
    path = forged(tmp_path / "list.vsl", header.ljust(-(-len(header) // 64) * 64, b"\0") + data)
    assert "is damaged" in refusal(path).message


@pytest.mark.parametrize("length", [0, 2**63, 64 * 1024 + 1, 23])
def test_a_header_of_impossible_length_is_damage(tmp_path: Path, length: int) -> None:
    whole = bare_payload(Layout(ABOUT, (ONE_KEY,), 0))
    path = forged(tmp_path / "list.vsl", whole[:16] + length.to_bytes(8, "little") + whole[24:])
    assert "is damaged" in refusal(path).message


@pytest.mark.parametrize("payload", [b"", b"x", b"x" * 5000, b"vetset-list/1\0\0\0"])
def test_a_payload_that_is_none_is_damage(tmp_path: Path, payload: bytes) -> None:
    assert "is damaged" in refusal(forged(tmp_path / "list.vsl", payload)).message


def stream_of(positions: list[int | None], schema: pa.Schema = entries.SCHEMA, batches: int = 1) -> bytes:
    columns = {
        "position": pa.array(positions, pa.int64()),
        "entry_id": pa.array(["i"] * len(positions), pa.large_string()),
        "category": pa.array(["c"] * len(positions)).dictionary_encode().cast(schema.field("category").type),
        "source": pa.array(["s"] * len(positions)).dictionary_encode().cast(schema.field("source").type),
    }
    batch = pa.record_batch([columns[name] for name in schema.names], schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for _ in range(batches):
            writer.write_batch(batch)
    return bytes(sink.getvalue())


OTHER_SCHEMA = pa.schema(
    [*list(entries.SCHEMA)[:2], pa.field("category", pa.string()), pa.field("source", pa.string())]
)


@pytest.mark.parametrize(
    ("stream", "lines"),
    [
        (stream_of([0, 2]), 2),
        (stream_of([-1, 0]), 2),
        (stream_of([1, 0]), 2),
        (stream_of([0, None]), 2),
        (stream_of([0]), 2),
        (stream_of([0, 1, 1]), 2),
        (stream_of([0, 1], batches=2), 2),
        (stream_of([0, 1], OTHER_SCHEMA), 2),
        (stream_of([0, 1])[:200], 2),
        (b"no stream at all", 2),
        (b"", 2),
    ],
)
def test_entries_that_do_not_fit_are_damage(tmp_path: Path, stream: bytes, lines: int) -> None:
    layout = Layout(ABOUT, (Shape(Signal.MD5, (), 2, 1, lines),), len(stream))
    assert "is damaged" in refusal(forged(tmp_path / "list.vsl", bare_payload(layout, stream))).message


def test_entries_that_fit_are_taken(tmp_path: Path) -> None:
    stream = stream_of([0, 1])
    layout = Layout(ABOUT, (Shape(Signal.MD5, (), 2, 1, 2),), len(stream))
    held = opened(forged(tmp_path / "list.vsl", bare_payload(layout, stream)))
    assert held.entries(0, 1) == [ListEntry("i", "c", "s")]
    assert held.entries(0, 7) == [ListEntry()]


@settings(max_examples=150)
@given(data=st.data())
def test_damaged_entries_under_a_right_digest_never_crash(data: st.DataObject) -> None:
    stream = bytearray(stream_of([0, 1]))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    layout = Layout(ABOUT, (Shape(Signal.MD5, (), 2, 1, 2),), len(stream))
    with folder() as place:
        path = forged(place / "list.vsl", bare_payload(layout, bytes(stream)))
        try:
            held = opened(path)
        except Stop as stop:
            assert "is damaged" in stop.message  # noqa: PT017 - either is right, a crash is not
        else:
            assert all(isinstance(entry, ListEntry) for at in range(3) for entry in held.entries(0, at))
