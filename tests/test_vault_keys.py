"""A run's keys: who gets at them and who does not, how workers inherit them, and their end."""

from __future__ import annotations

import copy
import fcntl
import json
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import Fault, FaultyDisk, Killed
from tests.vaults import SHARD, Opened, custodian_identity, hit, made_run, recipient
from vetset.errors import SinkError, Stop
from vetset.ledger import Ledger, create_run
from vetset.vault import RunKeys, Vault, age, close_run, new_keys, open_keys


@pytest.fixture
def run(tmp_path: Path) -> Opened:
    return made_run(tmp_path / "run")


def same(one: RunKeys, other: RunKeys) -> bool:
    return (one.case_key, one.join_key, one.identities) == (other.case_key, other.join_key, other.identities)


# --- what is refused -----------------------------------------------------------------------------------------------


def test_a_closed_run_needs_an_identity(run: Opened) -> None:
    close_run(run.ledger)
    with pytest.raises(Stop, match="this run is closed") as caught:
        open_keys(run.ledger)
    assert "--identity" in caught.value.hint


def test_so_does_a_strict_run(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", strict=True)
    assert not (run.root / "run.key").exists()
    with pytest.raises(Stop, match="--strict"):
        open_keys(run.ledger)
    assert open_keys(run.ledger, [custodian_identity()]).case_key == run.keys.case_key


def test_a_strangers_identity_opens_nothing(run: Opened) -> None:
    close_run(run.ledger)
    with pytest.raises(Stop, match="no key given opens"):
        open_keys(run.ledger, [age.new_identity()])


def test_a_custodian_gets_no_join_key(run: Opened) -> None:
    close_run(run.ledger)
    keys = open_keys(run.ledger, [age.new_identity(), custodian_identity()])
    assert keys.case_key == run.keys.case_key
    assert keys.recipients == ()
    with pytest.raises(Stop, match="died with its key") as caught:
        _ = keys.join_key
    assert caught.value.hint


@pytest.mark.parametrize("data", [b"", b"# only words\n", b"AGE-SECRET-KEY-1NOT\n", b"\xff\xfe"])
def test_a_damaged_key_is_said_to_be_so_and_not_shown(run: Opened, data: bytes) -> None:
    (run.root / "run.key").write_bytes(data)
    with pytest.raises(Stop, match=r"run\.key is damaged$"):
        open_keys(run.ledger, [custodian_identity()])


@pytest.mark.parametrize("contents", [b"{}", b"[]", b"no json", b'{"case_key":"xyz"}', b'{"case_key":5}'])
def test_damaged_secrets_are_said_to_be_so(run: Opened, contents: bytes) -> None:
    path = run.root / "vault" / "run.age"
    path.write_bytes(age.encrypt(contents, run.keys.recipients))
    with pytest.raises(Stop, match=r"run\.age of the run is damaged"):
        open_keys(run.ledger)
    path.write_bytes(b"torn")
    with pytest.raises(Stop, match="damaged"):
        open_keys(run.ledger)


def test_a_run_that_never_got_its_keys_is_said_to_be_so(tmp_path: Path) -> None:
    ledger = create_run(tmp_path / "run", {"schema": 1})
    for identities in ([], [custodian_identity()]):
        with pytest.raises(Stop, match="never got its keys, or lost them"):
            open_keys(ledger, identities)


def test_keys_are_neither_shown_nor_pickled(run: Opened) -> None:
    shown = f"{run.keys!r} {run.keys} {run.vault!r} {run!r}"
    for secret in (run.keys.identities[0], run.keys.case_key.hex(), repr(run.keys.case_key)):
        assert secret not in shown
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            act(run.keys)
    assert not hasattr(run.keys, "__dict__")


# --- keys as they are kept -----------------------------------------------------------------------------------------


def test_an_open_run_opens_by_itself(run: Opened) -> None:
    again = open_keys(Ledger(run.root))
    assert same(again, run.keys)
    assert same(open_keys(run.ledger, []), run.keys)
    assert stat.S_IMODE((run.root / "run.key").stat().st_mode) == 0o600


def test_a_run_opened_by_its_own_key_keeps_the_identities_given(run: Opened) -> None:
    other = age.new_identity()
    assert open_keys(run.ledger, [other]).identities == (*run.keys.identities, other)


def test_two_runs_share_no_key() -> None:
    one, other = new_keys(), new_keys()
    assert one.case_key != other.case_key
    assert one.join_key != other.join_key
    assert len({one.case_key, one.join_key, other.case_key, other.join_key}) == 4
    assert {len(one.case_key), len(one.join_key)} == {32}


def test_the_case_key_lies_in_the_run_only_sealed(run: Opened) -> None:
    sealed = (run.root / "vault" / "run.age").read_bytes()
    for identity in (custodian_identity(), run.keys.identities[0]):
        assert json.loads(age.decrypt(sealed, [identity])) == {"case_key": run.keys.case_key.hex()}


# --- workers -------------------------------------------------------------------------------------------------------

WORKER = """
import hashlib, sys
from vetset.vault import RunKeys
keys = RunKeys.from_fd(int(sys.argv[1]))
RunKeys.from_fd(int(sys.argv[1]))
sys.stdout.write(hashlib.sha256(keys.case_key + keys.join_key).hexdigest())
"""


def test_a_worker_inherits_the_keys_by_a_descriptor(run: Opened) -> None:
    import hashlib

    fd = run.keys.to_fd()
    try:
        command = [sys.executable, "-c", WORKER, str(fd)]
        done = subprocess.run(command, pass_fds=[fd], capture_output=True, text=True, check=True)
        assert same(RunKeys.from_fd(fd), run.keys)
    finally:
        os.close(fd)
    assert done.stdout == hashlib.sha256(run.keys.case_key + run.keys.join_key).hexdigest()


def test_a_custodians_keys_reach_a_worker_too(run: Opened) -> None:
    run.vault.seal_hits("screen", SHARD, [hit()], {"hit": 1})
    close_run(run.ledger)
    fd = open_keys(run.ledger, [custodian_identity()]).to_fd()
    try:
        vault = Vault(run.ledger.sink, RunKeys.from_fd(fd), [recipient()])
    finally:
        os.close(fd)
    assert len(list(vault.hits("screen", SHARD))) == 1


def test_the_memory_file_cannot_be_changed_nor_slips_into_other_programs(run: Opened) -> None:
    fd = run.keys.to_fd()
    try:
        for act in (lambda: os.pwrite(fd, b"x", 0), lambda: os.ftruncate(fd, 0), lambda: os.ftruncate(fd, 1 << 16)):
            with pytest.raises(PermissionError):
                act()
        assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    finally:
        os.close(fd)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"identity":null,"case_key":"zz","others":[]}', b"\xff"])
def test_a_descriptor_of_something_else_stops(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with path.open("rb") as file, pytest.raises(Stop, match="did not reach the worker"):
        RunKeys.from_fd(file.fileno())


# --- the end -------------------------------------------------------------------------------------------------------


def closable(root: Path) -> Opened:
    run = made_run(root)
    for name in ("a", "b"):
        run.ledger.sink.put(f"joins/{name}.bin", b"keyed hashes")
    run.vault.seal_hits("screen", SHARD, [hit()], {"hit": 1})
    run.ledger.sink.put("summary.json", b"{}")
    return run


def rest(root: Path) -> dict[str, bytes]:
    gone = ("run.key", "joins")
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return {name: data for name, data in files.items() if not name.startswith(gone)}


def test_closing_takes_key_and_joins_and_leaves_the_rest(tmp_path: Path) -> None:
    run = closable(tmp_path / "run")
    kept = rest(run.root)
    os.link(run.root / "run.key", tmp_path / "witness")
    close_run(run.ledger)
    assert not (run.root / "run.key").exists()
    assert not (run.root / "joins").exists()
    assert set((tmp_path / "witness").read_bytes()) == {0}
    assert rest(run.root) == kept
    close_run(run.ledger)
    assert rest(run.root) == kept
    keys = open_keys(run.ledger, [custodian_identity()])
    assert len(list(Vault(run.ledger.sink, keys, [recipient()]).hits("screen", SHARD))) == 1


def test_after_closing_nothing_in_the_run_opens_it(tmp_path: Path) -> None:
    run = closable(tmp_path / "run")
    secrets = [run.keys.identities[0].encode(), run.keys.case_key, run.keys.join_key]
    close_run(run.ledger)
    for path in run.root.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        for secret in secrets:
            assert secret not in data
            assert secret.hex().encode() not in data


@pytest.mark.parametrize("kind", ["kill", "power", "ENOSPC", "EIO"])
def test_a_closing_that_is_cut_off_anywhere_can_be_done_again(tmp_path: Path, kind: str) -> None:
    counted = FaultyDisk()
    close_run(Ledger(closable(tmp_path / "counted").root, counted))
    for at, operation in enumerate(counted.operations):
        for torn in {0, 1, operation.length // 2, operation.length}:
            run = closable(tmp_path / f"{at}-{torn}")
            kept = rest(run.root)
            with pytest.raises((Killed, SinkError)):
                close_run(Ledger(run.root, FaultyDisk(fault=Fault(at, kind, torn))))
            assert opens_or_is_closed(run)
            close_run(Ledger(run.root))
            assert rest(run.root) == kept
            assert not (run.root / "run.key").exists()
            assert not (run.root / "joins").exists()


def opens_or_is_closed(run: Opened) -> bool:
    """A key of which half is zeros is no damage but half of a closing."""
    try:
        return same(open_keys(run.ledger), run.keys)
    except Stop as stop:
        return "this run is closed" in stop.message
