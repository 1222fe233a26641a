"""Spelling: whatever bytes an address or a value has come back as they were, and sealed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vaults import SHARD, hit, match, plain_of, unsealed
from vetset import kernels
from vetset.records import Hit, ListEntry, Match, ScreenOutcome, Sealed, Shard, Signal, UrlForm
from vetset.vault.spelling import FIELDS, hit_from, json_line, line_of, read, spelled

KEY = b"k" * 32
TEXT = st.text(max_size=20)
PLAIN = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
BYTES = st.binary(max_size=40) | st.sampled_from([b"\xff", b"\xed\xa0\x80", b"a\nb\r\xe2\x80\xa8c\0", "ü😀".encode()])
NAMES = TEXT.filter(lambda name: name not in {"text", "base64"})
TREES = st.recursive(
    PLAIN | BYTES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
MATCHES = st.builds(
    Match,
    TEXT,
    st.integers(0, 2**31),
    st.sampled_from(Signal),
    st.none() | st.sampled_from(UrlForm),
    BYTES.map(Sealed),
    st.builds(ListEntry, TEXT, TEXT, TEXT),
)


def sealed_bytes(tree: Any) -> Any:
    """What a tree is expected to come back as, once opened."""
    if isinstance(tree, bytes):
        return ("sealed", tree)
    if isinstance(tree, dict):
        return {name: sealed_bytes(item) for name, item in tree.items()}
    return [sealed_bytes(item) for item in tree] if isinstance(tree, list) else tree


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, 1j, [object()], {"a": range(2)}, Sealed("text of a row")],
    ids=lambda value: type(value).__name__,
)
def test_what_json_lacks_is_refused_without_being_shown(value: object) -> None:
    if isinstance(value, Sealed):
        assert spelled(value) == "text of a row"
        return
    with pytest.raises(TypeError, match=r"^a value of this kind cannot be sealed$"):
        spelled(value)


@pytest.mark.parametrize("name", ["text", "base64"])
def test_a_mapping_that_would_be_taken_for_bytes_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match="stands for bytes"):
        spelled({"deep": [{name: "x"}]})
    assert spelled({name: "x", "other": 1}) == {name: "x", "other": 1}


@pytest.mark.parametrize("tree", [{"base64": "not base64!"}, {"base64": "YQ"}, {"base64": 1}, {"base64": None}])
def test_damaged_bytes_are_an_error(tree: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        read(tree)


@given(tree=TREES)
def test_a_tree_comes_back_with_its_bytes_sealed(tree: Any) -> None:
    line = json_line({"a": spelled(tree)})
    assert line.count(b"\n") == 1
    assert unsealed(read(json.loads(line)))["a"] == sealed_bytes(tree)


@given(value=BYTES)
def test_sealed_and_bare_bytes_are_spelled_alike(value: bytes) -> None:
    assert spelled(Sealed(value)) == spelled(value)


@given(
    url=st.none() | BYTES,
    digests=st.dictionaries(st.sampled_from(Signal), BYTES, max_size=3),
    matches=st.lists(MATCHES, max_size=3),
    row=st.integers(0, 2**63),
    outcome=st.sampled_from(ScreenOutcome),
    noted=st.dictionaries(NAMES.filter(lambda name: name not in FIELDS), TREES, max_size=3),
)
def test_a_hit_comes_back_as_it_was(**given_fields: Any) -> None:
    found = hit(**given_fields)
    line = json_line(line_of(found, "screen", SHARD, KEY))
    again = hit_from(json.loads(line), SHARD.id)
    expected = list(plain_of(found))
    expected[-1] = {name: sealed_bytes(value) for name, value in found.noted.items()}
    assert plain_of(again) == tuple(expected)
    assert isinstance(again.address, Sealed)


def test_a_line_is_what_people_with_stock_tools_read() -> None:
    line = json_line(
        line_of(hit(5, "http://ä.example/".encode(), matches=[match(form=UrlForm.TX)]), "screen", SHARD, KEY)
    )
    assert json.loads(line) == {
        "case": kernels.case_id_of(SHARD.id, 5, KEY),
        "state": "unverified",
        "step": "screen",
        "shard": SHARD.path,
        "row": 5,
        "outcome": "hit",
        "url": "http://ä.example/",
        "digests": {"md5": "000102030405060708090a0b0c0d0e0f"},
        "matches": [
            {
                "list": "made-up",
                "version": 3,
                "signal": "md5",
                "form": "tx",
                "key": "000102030405060708090a0b0c0d0e0f",
                "entry": "entry-7",
                "category": "A1",
                "source": "a body",
            }
        ],
    }
    assert "ä".encode() in line
    assert line_of(hit(url=b"\xff"), "screen", SHARD, KEY)["url"] == {"base64": "/w=="}
    assert line_of(hit(url=None), "screen", SHARD, KEY)["url"] is None


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_nothing_noted_can_take_the_place_of_a_field(name: str) -> None:
    with pytest.raises(TypeError, match="name of a field"):
        line_of(hit(noted={name: 1}), "screen", SHARD, KEY)


def test_a_shard_whose_name_is_no_utf8_is_spelled_all_the_same() -> None:
    shard = Shard("a", b"\xff.csv".decode("utf-8", "surrogateescape"), 1, "")
    line = json_line(line_of(hit(), "screen", shard, KEY))
    assert line.isascii()
    assert json.loads(line)["shard"] == shard.path


def damaged_lines() -> list[Any]:
    whole = line_of(hit(), "screen", SHARD, KEY)
    changes: list[dict[str, Any]] = [
        {"outcome": "safe"},
        {"url": 5},
        {"url": {"base64": "!"}},
        {"url": []},
        {"digests": {"md5": "xyz"}},
        {"digests": {"crc": "00"}},
        {"digests": None},
        {"matches": None},
        {"matches": [{}]},
        {"row": "x"},
    ]
    missing = [{name: value for name, value in whole.items() if name != gone} for gone in ("row", "url", "matches")]
    return [*({**whole, **change} for change in changes), *missing]


@pytest.mark.parametrize("line", damaged_lines(), ids=str)
def test_a_damaged_line_is_one_of_four_errors(line: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        hit_from(line, SHARD.id)


def test_hits_of_these_tests_are_hits() -> None:
    assert isinstance(hit(), Hit)
