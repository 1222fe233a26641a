"""No leak: canaries of a hit are nowhere in a run, in any spelling, nor in any error that damage brings about."""

from __future__ import annotations

import base64
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.canaries import sightings, spellings_of
from tests.vaults import SHARD, Opened, custodian_identity, hit, made_run, match, recipient
from vetset.errors import ShardError, Stop
from vetset.ledger import Manifest
from vetset.records import Sealed, Signal, merged
from vetset.vault import Vault, close_run, open_keys

URL = b"http://canary-4711.example/f\xc3\xb6lder?secret=\xff-0815"
DIGEST = bytes.fromhex("c0ffee00c0ffee11c0ffee22c0ffee33")
CANARIES = (URL, DIGEST, b"canary-4711")


def worked(root: Path) -> Opened:
    """A run with findings in every kind of file that the ledger and the vault write."""
    run = made_run(root, part_bytes=1 << 16)
    found = [
        hit(row, URL, digests={Signal.MD5: DIGEST}, matches=[match(DIGEST)], noted={"of": Sealed(URL)})
        for row in range(400)
    ]
    tally = {"hit": 400, "clear": 3}
    run.ledger.note("screen", SHARD.id, {"vault": run.vault.seal_hits("screen", SHARD, found, tally)})
    run.vault.seal(
        "expand-1", "frontier", [{"column": "url", "value": Sealed(URL)}, {"column": "md5", "value": DIGEST}]
    )
    manifest = Manifest(
        step="screen",
        shard=SHARD.id,
        path=SHARD.path,
        attempt=1,
        run=run.ledger.run_digest,
        previous=run.ledger.run_digest,
        rows=403,
        tally=merged(tally),
    )
    run.ledger.commit(manifest)
    run.ledger.write_root("screen", [SHARD.id])
    run.ledger.record_failure("screen", "other", 1, "vault_unreadable", "x.py:1 in f", "")
    return run


@given(before=st.binary(max_size=9), after=st.binary(max_size=9))
def test_the_search_finds_what_it_looks_for(before: bytes, after: bytes) -> None:
    """A search that finds nothing proves nothing unless it would have found something."""
    planted = before + URL + after
    for data in (
        planted,
        planted.hex().encode(),
        planted.hex().upper().encode(),
        base64.b64encode(planted),
        base64.urlsafe_b64encode(planted),
        quote(planted, safe="").encode(),
        planted.decode("latin-1").encode("utf-16-le"),
        planted.decode("latin-1").encode("utf-16"),
        planted[::-1],
    ):
        assert any(needle in data for needle in spellings_of(URL).values())


def test_nothing_of_a_hit_is_anywhere_in_an_open_run(tmp_path: Path) -> None:
    run = worked(tmp_path / "run")
    assert (run.root / "vault" / "screen" / f"{SHARD.id}.2.age").is_file()
    assert sightings(tmp_path, CANARIES) == []
    (tmp_path / "witness").write_bytes(b"x" + base64.b64encode(b"ab" + URL))
    assert len(sightings(tmp_path, CANARIES)) >= 1


def test_nor_is_the_full_tally(tmp_path: Path) -> None:
    run = worked(tmp_path / "run")
    for folder in ("manifests", "sidecar"):
        for path in (run.root / folder).rglob("*.json"):
            assert b'"hit"' not in path.read_bytes()
            assert b'"clear"' not in path.read_bytes()


def test_what_a_closed_run_holds_opens_only_with_an_identity(tmp_path: Path) -> None:
    run = worked(tmp_path / "run")
    close_run(run.ledger)
    assert sightings(tmp_path, CANARIES) == []
    with pytest.raises(Stop):
        open_keys(run.ledger)
    opened = Vault(run.ledger.sink, open_keys(run.ledger, [custodian_identity()]), [recipient()])
    assert {found.address.unseal().url for found in opened.hits("screen", SHARD)} == {URL}


def test_case_ids_tell_nothing_without_the_key(tmp_path: Path) -> None:
    cases = []
    for name in ("one", "two"):
        run = worked(tmp_path / name)
        cases.append({line["case"] for line in run.vault.finding_lines("screen", SHARD.id)})
        assert len(cases[-1]) == 400
    assert not cases[0] & cases[1]


def test_no_error_on_the_way_shows_a_value(tmp_path: Path) -> None:
    """Damage where the plaintext is at hand: errors of JSON, base64 and hex quote what they were given."""
    run = worked(tmp_path / "run")
    said = []
    bad_hits = [hit(0, URL, noted={"bad": {URL.decode("latin-1")}}), hit(0, URL, noted={"url": URL})]
    for bad in bad_hits:
        with pytest.raises(TypeError) as error:
            run.vault.seal_hits("screen", SHARD, [bad], {})
        said.append("".join(traceback.format_exception(error.value)))
    text = URL.decode("latin-1")
    for tree in ({"url": 5, "row": text}, {"row": 1, "outcome": text}, {"row": 1, "digests": {"md5": text}}, {text: 1}):
        run.vault.seal("screen", SHARD.id, [tree])
        with pytest.raises(ShardError) as trouble:
            list(run.vault.hits("screen", SHARD))
        said.append("".join(traceback.format_exception(trouble.value)))
    for line in said:
        assert not any(needle.decode("latin-1") in line for needle in spellings_of(b"canary-4711").values())
    assert len(said) == 6
