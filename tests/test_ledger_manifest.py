"""Manifests and roots as bytes: any change is damage, and what is written is read back."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vetset.errors import Stop
from vetset.ledger import Manifest, Product, StepRoot

NAMES = st.text(max_size=12)
COUNTS = st.integers(0, 2**63)
PRODUCTS = st.builds(Product, NAMES, NAMES, COUNTS, st.booleans())
MANIFESTS = st.builds(
    Manifest,
    step=NAMES,
    shard=NAMES,
    path=st.text(st.characters(), max_size=12),
    attempt=COUNTS,
    run=NAMES,
    previous=NAMES,
    materials=st.dictionaries(NAMES, NAMES, max_size=3),
    products=st.dictionaries(NAMES, PRODUCTS, max_size=3),
    rows=COUNTS,
    tally=st.dictionaries(NAMES, COUNTS, max_size=3),
)
EXAMPLE = Manifest(
    step="screen",
    shard="part-0.parquet",
    path="part-0.parquet",
    attempt=1,
    run="ab" * 32,
    previous="cd" * 32,
    materials={"source": "ef" * 32, "basis": ""},
    products={"results": Product("results/screen/part-0.parquet.parquet", "01" * 32, 512)},
    rows=10,
    tally={"assessed": 9, "not_assessable": 1},
)
ROOT = StepRoot(step="screen", run="ab" * 32, shards=(("a", "01" * 32), ("b", "02" * 32)))


def is_damaged(kind: type[Manifest | StepRoot], data: bytes) -> bool:
    with pytest.raises(Stop, match=r"damaged: manifests/x\.json") as caught:
        kind.from_bytes(data, "manifests/x.json")
    return bool(caught.value.hint)


@pytest.mark.parametrize("record", [EXAMPLE, ROOT], ids=["manifest", "root"])
def test_every_change_of_one_byte_is_damage(record: Manifest | StepRoot) -> None:
    data = record.to_bytes()
    for place in range(len(data)):
        for flipped in (1, 2, 32, 128):
            changed = bytearray(data)
            changed[place] ^= flipped
            assert is_damaged(type(record), bytes(changed))


@pytest.mark.parametrize("record", [EXAMPLE, ROOT], ids=["manifest", "root"])
def test_every_cut_and_every_addition_is_damage(record: Manifest | StepRoot) -> None:
    data = record.to_bytes()
    for size in range(len(data)):
        assert is_damaged(type(record), data[:size])
    for more in (b"\n", b" ", b"{}", data):
        assert is_damaged(type(record), data + more)
        assert is_damaged(type(record), more + data)


def reforged(**changes: Any) -> bytes:
    """A manifest changed by someone who knows how its digest is made."""
    tree = json.loads(EXAMPLE.to_bytes())
    tree.update(changes)
    tree.pop("digest")
    plain = json.dumps(tree, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    tree["digest"] = hashlib.sha256(plain).hexdigest()
    return json.dumps(tree, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def test_the_forger_of_these_tests_can_forge() -> None:
    assert Manifest.from_bytes(reforged(rows=11)).rows == 11


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": 10.0},
        {"rows": True},
        {"rows": "10"},
        {"rows": None},
        {"extra": 1},
        {"version": 2},
        {"version": "1"},
        {"version": True},
        {"tally": {"assessed": 9.5}},
        {"tally": []},
        {"materials": {"source": None}},
        {"products": {"results": {}}},
        {"products": {"results": None}},
        {"products": {"results": {"name": "a", "sha256": "b", "bytes": 1, "in_run": 1}}},
        {"products": {"results": {"name": "a", "sha256": "b", "bytes": 1, "in_run": True, "mode": 1}}},
        {"step": 1},
    ],
    ids=str,
)
def test_what_is_not_known_is_damage_even_with_a_right_digest(changes: dict[str, Any]) -> None:
    assert is_damaged(Manifest, reforged(**changes))


def test_a_key_that_is_missing_or_there_twice_is_damage() -> None:
    data = EXAMPLE.to_bytes()
    assert is_damaged(Manifest, data.replace(b'"rows":10,', b""))
    assert is_damaged(Manifest, data.replace(b'"rows":10,', b'"rows":10,"rows":10,'))


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"1", b"{}", b"\xff", b"[" * 100_000, b'{"version":1}'])
def test_what_is_no_record_at_all_is_damage(data: bytes) -> None:
    assert is_damaged(Manifest, data)
    assert is_damaged(StepRoot, data)


@given(data=st.binary(max_size=200))
def test_no_bytes_raise_anything_but_stop(data: bytes) -> None:
    assert is_damaged(Manifest, data)


@given(manifest=MANIFESTS)
def test_a_manifest_comes_back_as_it_was(manifest: Manifest) -> None:
    data = manifest.to_bytes()
    assert Manifest.from_bytes(data) == manifest
    assert Manifest.from_bytes(data).digest == manifest.digest
    assert data.isascii()
    assert data.count(b"\n") == 1


@given(one=MANIFESTS, other=MANIFESTS)
def test_digests_tell_manifests_apart(one: Manifest, other: Manifest) -> None:
    assert (one.digest == other.digest) == (one == other)


def test_the_order_in_which_things_were_said_changes_nothing() -> None:
    turned = Manifest.from_bytes(EXAMPLE.to_bytes())
    for name in ("materials", "tally"):
        kept = dict(reversed(list(getattr(EXAMPLE, name).items())))
        object.__setattr__(turned, name, kept)
    assert turned.to_bytes() == EXAMPLE.to_bytes()


def test_the_form_of_a_manifest_is_fixed() -> None:
    """Another form would be another digest for the same work: a change here is a change of version."""
    small = Manifest(step="s", shard="i", path="p", attempt=1, run="r", previous="q")
    assert small.to_bytes().replace(small.digest.encode(), b"D") == (
        b'{"attempt":1,"digest":"D","materials":{},"path":"p","previous":"q","products":{},"rows":0,"run":"r",'
        b'"shard":"i","step":"s","tally":{},"version":1}\n'
    )
    plain = small.to_bytes().replace(f'"digest":"{small.digest}",'.encode(), b"")
    assert small.digest == hashlib.sha256(plain).hexdigest()


@given(shards=st.lists(st.tuples(NAMES, NAMES), max_size=4))
def test_a_root_comes_back_as_it_was(shards: list[tuple[str, str]]) -> None:
    root = StepRoot(step="screen", run="ab", shards=tuple(shards))
    assert StepRoot.from_bytes(root.to_bytes()) == root
