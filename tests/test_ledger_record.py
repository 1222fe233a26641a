"""The ledger: what counts as done, what a commit writes, failures, notes, and one coordinator at a time."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import Fault, FaultyDisk, Killed
from vetset.errors import SinkError, Stop
from vetset.ledger import Failure, Ledger, Manifest, Product, create_run


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return create_run(tmp_path / "run", {"schema": 1})


def manifest_of(ledger: Ledger, shard: str = "a", step: str = "index", **changes: object) -> Manifest:
    plain = Manifest(step=step, shard=shard, path=shard, attempt=1, run=ledger.run_digest, previous=ledger.run_digest)
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# --- what is done --------------------------------------------------------------------------------------------------


def test_a_damaged_manifest_stops_and_says_which(ledger: Ledger) -> None:
    ledger.commit(manifest_of(ledger))
    path = ledger.root / "manifests" / "index" / "a.json"
    path.write_bytes(path.read_bytes().replace(b'"rows":0', b'"rows":9'))
    with pytest.raises(Stop, match=r"manifest damaged: manifests/index/a\.json") as caught:
        ledger.done("index", "a")
    assert "--resume" in caught.value.hint
    with pytest.raises(Stop, match="damaged"):
        list(ledger.manifests("index"))


def test_a_step_is_not_done_without_its_products(ledger: Ledger) -> None:
    product = ledger.sink.put("results/index/a.parquet", b"12345")
    ledger.commit(manifest_of(ledger, products={"results": product}))
    assert ledger.done("index", "a") is not None
    path = ledger.root / product.name
    path.write_bytes(b"1234")
    assert ledger.done("index", "a") is None
    path.unlink()
    assert ledger.done("index", "a") is None
    path.mkdir()
    assert ledger.done("index", "a") is None


def test_a_product_elsewhere_is_not_looked_for_in_the_run(ledger: Ledger) -> None:
    cleaned = Product("results/index/a.parquet", "00" * 32, 5, in_run=False)
    ledger.commit(manifest_of(ledger, products={"cleaned": cleaned}))
    assert ledger.done("index", "a") is not None


def test_what_was_never_done_is_none(ledger: Ledger) -> None:
    assert ledger.done("index", "a") is None
    assert list(ledger.manifests("index")) == []


def test_manifests_come_by_shard_id(ledger: Ledger) -> None:
    for shard in ("b", "a%2Fb.parquet", "a"):
        ledger.commit(manifest_of(ledger, shard))
    assert [manifest.shard for manifest in ledger.manifests("index")] == ["a", "a%2Fb.parquet", "b"]


def test_a_second_commit_of_the_same_writes_nothing(tmp_path: Path) -> None:
    create_run(tmp_path / "run", {"schema": 1})
    disk = FaultyDisk()
    ledger = Ledger(tmp_path / "run", disk)
    ledger.commit(manifest_of(ledger))
    count = len(disk.operations)
    ledger.commit(manifest_of(ledger))
    assert len(disk.operations) == count
    ledger.commit(manifest_of(ledger, attempt=2))
    done = ledger.done("index", "a")
    assert done is not None
    assert done.attempt == 2


@pytest.mark.parametrize("kind", ["kill", "power", "ENOSPC", "EIO"])
def test_wherever_a_commit_fails_the_step_is_done_or_not_done(tmp_path: Path, kind: str) -> None:
    for at in range(12):
        root = tmp_path / str(at)
        create_run(root, {"schema": 1})
        ledger = Ledger(root, FaultyDisk(fault=Fault(at, kind, torn=30)))
        wanted = manifest_of(ledger)
        try:
            ledger.commit(wanted)
        except (Killed, SinkError):
            assert Ledger(root).done("index", "a") in [None, wanted]
        again = Ledger(root)
        again.sink.sweep()
        again.commit(wanted)
        assert again.done("index", "a") == wanted
        assert again.verify() == []


def test_a_root_over_a_missing_manifest_stops(ledger: Ledger) -> None:
    with pytest.raises(Stop, match="missing"):
        ledger.write_root("index", ["a"])
    assert not (ledger.root / "manifests" / "index.root.json").exists()


def test_a_root_does_not_hang_on_the_order(ledger: Ledger) -> None:
    for shard in ("a", "b"):
        ledger.commit(manifest_of(ledger, shard))
    one = ledger.write_root("index", ["b", "a"])
    before = files(ledger.root)
    assert ledger.write_root("index", ["a", "b"]) == one
    assert files(ledger.root) == before
    assert ledger.write_root("index", ["a"]) != one


def test_two_runs_of_the_same_work_have_the_same_manifests(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        ledger = create_run(tmp_path / name, {"schema": 1})
        for shard in ("a", "b") if name == "one" else ("b", "a"):
            ledger.commit(manifest_of(ledger, shard))
        ledger.write_root("index", ["a", "b"])
        found.append(files(tmp_path / name))
    assert found[0] == found[1]


# --- beside the manifests ------------------------------------------------------------------------------------------


def test_failures_are_kept_until_they_are_cleared(ledger: Ledger) -> None:
    ledger.record_failure("screen", "a", 1, "unreadable", "x.py:1 in f", "cannot be read")
    ledger.record_failure("screen", "b", 2, "worker_died", "", "")
    ledger.record_failure("screen", "a", 2, "unreadable", "x.py:1 in f", "still")
    assert ledger.failures("screen") == {
        "a": Failure(2, "unreadable", "x.py:1 in f", "still"),
        "b": Failure(2, "worker_died", "", ""),
    }
    ledger.clear_failure("screen", "a")
    ledger.clear_failure("screen", "a")
    assert list(ledger.failures("screen")) == ["b"]
    assert ledger.failures("clean") == {}


def test_steps_with_a_failure_are_known_until_it_is_cleared(ledger: Ledger) -> None:
    assert ledger.failed_steps() == []
    ledger.record_failure("screen", "a", 1, "unreadable", "", "")
    ledger.record_failure("expand-2", "a", 1, "unreadable", "", "")
    assert ledger.failed_steps() == ["expand-2", "screen"]
    ledger.clear_failure("screen", "a")
    assert ledger.failed_steps() == ["expand-2"]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"attempt":1}', b'{"url":"x"}', b"[" * 100_000])
def test_a_damaged_failure_stops_without_showing_it(ledger: Ledger, data: bytes) -> None:
    ledger.sink.put("sidecar/failures/screen/a.json", data)
    with pytest.raises(Stop, match=r"^sidecar/failures/screen/a\.json is damaged$") as caught:
        ledger.failures("screen")
    assert caught.value.hint


def test_notes_are_no_part_of_the_manifests(ledger: Ledger) -> None:
    ledger.commit(manifest_of(ledger))
    before = {name: data for name, data in files(ledger.root).items() if not name.startswith("sidecar/")}
    ledger.note("index", "a", {"seconds": 1.5, "vault": "ab"})
    ledger.note("index", "a", {"seconds": 2.5})
    assert ledger.noted("index", "a") == {"seconds": 2.5}
    assert ledger.noted("index", "b") == {}
    assert {name: data for name, data in files(ledger.root).items() if not name.startswith("sidecar/")} == before


# --- the lock ------------------------------------------------------------------------------------------------------

TRIES = """
import sys
from pathlib import Path
from vetset.errors import Stop
from vetset.ledger import Ledger
try:
    with Ledger(Path(sys.argv[1])).lock():
        sys.exit(0)
except Stop as stop:
    sys.stdout.write(stop.message)
    sys.exit(1)
"""


def other_process(root: Path) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", TRIES, str(root)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_two_processes_never_hold_a_run_at_once(ledger: Ledger) -> None:
    with ledger.lock():
        status, said = other_process(ledger.root)
        assert status == 1
        assert said == f"another vetset is at work in {ledger.root}"
    assert other_process(ledger.root) == (0, "")


def test_nor_does_one_process_hold_it_twice(ledger: Ledger) -> None:
    with ledger.lock(), pytest.raises(Stop, match="another vetset"), Ledger(ledger.root).lock():
        raise AssertionError
    with ledger.lock():
        assert (ledger.root / ".lock").read_bytes() == b""


def test_the_lock_is_let_go_when_the_holder_is_killed(ledger: Ledger) -> None:
    program = TRIES.replace("sys.exit(0)", "sys.stdout.write('held'); sys.stdout.flush(); sys.stdin.read()")
    with subprocess.Popen(
        [sys.executable, "-c", program, str(ledger.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.read(4) == b"held"
        assert other_process(ledger.root)[0] == 1
        holder.kill()
    assert other_process(ledger.root)[0] == 0


def test_what_the_body_raises_comes_out_and_lets_go(ledger: Ledger) -> None:
    with pytest.raises(BlockingIOError), ledger.lock():
        raise BlockingIOError
    assert other_process(ledger.root)[0] == 0


def test_a_run_without_its_lock_file_gets_one(ledger: Ledger) -> None:
    (ledger.root / ".lock").unlink()
    with ledger.lock():
        assert other_process(ledger.root)[0] == 1


def test_a_lock_that_is_a_link_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    (ledger.root / ".lock").unlink()
    os.symlink(tmp_path / "elsewhere", ledger.root / ".lock")  # noqa: PTH211 - the path's own method reads backwards
    with pytest.raises(Stop, match="cannot lock"), ledger.lock():
        raise AssertionError
    assert not (tmp_path / "elsewhere").exists()
