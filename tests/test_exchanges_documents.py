"""Lists given out as one document: CSV, JSON and text, over HTTP and as files, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.exchanging import as_csv, as_json, as_text
from vetset.errors import Stop
from vetset.hashlists.account import Account
from vetset.hashlists.csvfile import column_map
from vetset.hashlists.document import Document, FromFile, FromService, reader_of
from vetset.hashlists.exchange import Collected, Part
from vetset.hashlists.service import Service
from vetset.records import ListEntry, Signal
from vetset.testing.document_server import Documents, document_server
from vetset.testing.hashlist_contract import invented

MAP = column_map({"md5": "Digest", "entry_id": "ID", "category": "Class"}, "here")
ENTRIES = invented("a", "b", "c")


def read(
    kind: str, data: bytes, *, columns: object = MAP, items: str = "", signal: Signal | None = None
) -> tuple[Collected, Account]:
    import io

    account, collected = Account("a document"), Collected()
    reader_of(kind, columns=columns, items=items, signal=signal)(io.BytesIO(data), account, collected)  # type: ignore[arg-type]
    return collected, account


def md5s(collected: Collected) -> set[bytes]:
    return {data for values in collected.entries.values() for signal, data, _ in values if signal is Signal.MD5}


@pytest.mark.parametrize(
    ("kind", "write", "items"), [("csv", as_csv, ""), ("json", as_json, "hashes"), ("text", as_text, "")]
)
def test_every_kind_gives_the_same_values(kind: str, write: Callable[[dict[str, bytes]], bytes], items: str) -> None:
    columns = column_map({"md5": "Digest", "entry_id": "ID"}, "here") if kind != "text" else None
    collected, account = read(kind, write(ENTRIES), columns=columns, items=items)
    assert md5s(collected) == set(ENTRIES.values())
    assert account.taken == 3
    if kind != "text":
        assert set(collected.entries) == {"id a", "id b", "id c"}


def test_text_with_bare_values() -> None:
    data = b"".join(digest.hex().encode() + b"\n" for digest in ENTRIES.values())
    collected, _ = read("text", data, columns=None, signal=Signal.MD5)
    assert md5s(collected) == set(ENTRIES.values())
    assert len(collected.entries) == 3


# --- JSON -------------------------------------------------------------------------------------------------------------

ITEM = {"ID": "x", "Digest": "01" * 16, "Class": "A"}


@pytest.mark.parametrize(
    ("tree", "items"),
    [([ITEM], ""), ({"data": {"list": [ITEM]}}, "data.list"), ({"list": [ITEM]}, "list"), (ITEM, "")],
)
def test_where_entries_may_stand(tree: object, items: str) -> None:
    collected, _ = read("json", json.dumps(tree).encode(), items=items)
    assert collected.entries == {"id x": {(Signal.MD5, b"\1" * 16, ListEntry("x", "A"))}}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_object_a_line(end: str) -> None:
    lines = [json.dumps(ITEM), "", json.dumps(ITEM | {"ID": "y", "Digest": "02" * 16})]
    collected, _ = read("json", end.join(lines).encode())
    assert md5s(collected) == {b"\1" * 16, b"\2" * 16}


def test_members_by_path_and_lists_of_values() -> None:
    columns = column_map({"md5": "hashes.md5", "sha1": "hashes.sha1", "source": "who"}, "here")
    tree = [{"hashes": {"md5": ["01" * 16, "02" * 16], "sha1": "03" * 20}, "who": 7}]
    collected, account = read("json", json.dumps(tree).encode(), columns=columns)
    assert md5s(collected) == {b"\1" * 16, b"\2" * 16}
    assert account.taken == 3
    assert {said.source for values in collected.entries.values() for _, _, said in values} == {"7"}


def test_members_by_their_own_names() -> None:
    collected, _ = read("json", json.dumps([{"md5": "01" * 16, "category": "A"}]).encode(), columns=None)
    assert md5s(collected) == {b"\1" * 16}


def test_what_is_no_entry_is_counted_by_its_number() -> None:
    tree = [ITEM, 7, None, {}, {"Digest": ""}, {"Digest": 12}, {"Digest": "zz"}, {"Digest": None, "ID": "q"}]
    _, account = read("json", json.dumps(tree).encode())
    assert {reason.value: lines for reason, lines in account.lines.items()} == {
        "no_value": [2, 3, 4, 5, 6, 8],
        "not_hex": [7],
    }
    assert account.taken == 1


@pytest.mark.parametrize("data", [b"", b"{", b'{"a": 1}\n{', b"[1,", b"\xff\xfe", b"[" * 100_000, b"7", b'"x"'])
def test_what_is_not_whole_json_stops_or_gives_nothing(data: bytes) -> None:
    try:
        collected, _ = read("json", data)
    except Stop as stop:
        assert stop.hint  # noqa: PT017 - either outcome is a case of its own
    else:
        assert not collected.entries


def test_entries_that_are_not_where_they_should_be() -> None:
    with pytest.raises(Stop, match="no list of entries"):
        read("json", json.dumps({"data": {"list": [ITEM]}}).encode(), items="data.hashes")


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["ID", "Digest", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(trees, st.sampled_from(["", "x", "x.Digest"]))
def test_no_shape_of_json_breaks_it(tree: object, items: str) -> None:
    try:
        collected, account = read("json", json.dumps(tree).encode(), items=items)
    except Stop:
        return
    assert account.taken == sum(len(values) for values in collected.entries.values()) or account.taken > len(
        collected.entries
    )


# --- whence -----------------------------------------------------------------------------------------------------------


def parts(
    documents: Documents, checkpoint: dict[str, str] | None = None, read_with: str = "one", kind: str = "csv"
) -> list[Part]:
    with document_server(documents) as at:
        service = Service.sandbox("body", f"{at.url}/list", pause=lambda _: None)
        columns = None if kind == "text" else column_map({"md5": "Digest", "entry_id": "ID"}, "here")
        reader = reader_of(kind, columns=columns, items="hashes", signal=None)
        with closing(service):
            return list(Document(FromService(service, 10_000), reader, read_with).parts(checkpoint or {}))


def test_a_document_is_one_whole_part() -> None:
    (part,) = parts(Documents({"/list": as_csv(ENTRIES)}))
    assert part.whole
    assert len(part.entries) == 3
    assert part.checkpoint["read_with"] == "one"


def test_one_that_has_not_changed_is_no_part() -> None:
    documents = Documents({"/list": as_csv(ENTRIES)})
    (part,) = parts(documents)
    assert parts(documents, dict(part.checkpoint)) == []
    documents.by_path["/list"] += b"d,%s\n" % (b"04" * 16)
    assert len(parts(documents, dict(part.checkpoint))) == 1


def test_one_that_is_read_in_another_way_is_read_again() -> None:
    """The map in the settings changed: what the entity tag says is of no use then."""
    documents = Documents({"/list": as_csv(ENTRIES)})
    (part,) = parts(documents)
    assert len(parts(documents, dict(part.checkpoint), read_with="two")) == 1


@pytest.mark.parametrize("data", [b"", b"ID,Digest\n", b"ID,Digest\na,zz\n", b"<html>sorry</html>"])
def test_a_document_without_a_value_withdraws_nothing(data: bytes) -> None:
    """A page of excuses under HTTP 200 must not empty a list."""
    with pytest.raises(Stop):
        parts(Documents({"/list": data}))


def test_one_that_is_too_large() -> None:
    with pytest.raises(Stop, match="10,000 bytes"):
        parts(Documents({"/list": bytes(10_001)}))


def test_left_out_lines_are_counted() -> None:
    (part,) = parts(Documents({"/list": as_csv(ENTRIES) + b"x,zz\ny,01\n"}))
    assert dict(part.faults) == {"not_hex": 1, "wrong_length": 1}


def file_parts(path: Path, mark: str = "", max_bytes: int = 10_000) -> list[Part]:
    columns = column_map({"md5": "Digest", "entry_id": "ID"}, "here")
    reader = reader_of("csv", columns=columns, items="", signal=None)
    return list(Document(FromFile(path, max_bytes), reader, "one").parts({"mark": mark, "read_with": "one"}))


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(as_csv(ENTRIES))
    (part,) = file_parts(path)
    assert len(part.entries) == 3
    assert file_parts(path, part.checkpoint["mark"]) == []
    path.write_bytes(as_csv(ENTRIES | invented("z")))
    assert len(file_parts(path, part.checkpoint["mark"])[0].entries) == 4


def test_a_file_that_is_not_there_or_too_large(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="cannot read"):
        file_parts(tmp_path / "none.csv")
    (tmp_path / "list.csv").write_bytes(bytes(11))
    with pytest.raises(Stop, match="larger"):
        file_parts(tmp_path / "list.csv", max_bytes=10)


def test_a_query_is_not_told() -> None:
    service = Service.live("body", "https://made-up.example/list?format=made-up-word")
    shown = FromService(service, 1).origin
    assert "made-up-word" not in shown
    assert shown != FromService(Service.live("body", "https://made-up.example/list?format=other"), 1).origin
