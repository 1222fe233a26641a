"""A run that is taken away before it began: nothing is left, and nothing that a crash leaves stands in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import REFUSALS, Fault, FaultyDisk, Killed
from vetset.errors import SinkError
from vetset.ledger import Disk, Ledger, Sink, create_run, discard_run, open_run


def begun(root: Path, disk: Disk | None = None) -> Ledger:
    """A run as it is when the index is through: keys, a manifest, a result, a failure noted."""
    ledger = create_run(root, {"schema": 1}, disk, prepared)
    ledger.sink.put("manifests/index/a.json", b"{}\n")
    ledger.sink.put("manifests/index.root.json", b"{}\n")
    ledger.sink.put("results/index/a.parquet", b"PAR1")
    ledger.record_failure("index", "b", 1, "truncated", "", "")
    return ledger


def prepared(sink: Sink) -> None:
    sink.put("vault/run.age", b"sealed")
    sink.put("run.key", b"key", mode=0o600)


def operations(root: Path) -> int:
    disk = FaultyDisk()
    ledger = begun(root, disk)
    before = len(disk.operations)
    discard_run(ledger)
    return len(disk.operations) - before


def test_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "beside").write_text("mine")
    discard_run(begun(tmp_path / "run"))
    assert [path.name for path in tmp_path.iterdir()] == ["beside"]


def test_a_folder_that_cannot_be_removed_stays_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where RUN is a mount point."""
    ledger = begun(tmp_path / "run")
    whole = Disk.unlink

    def busy(self: Disk, path: Path, *, name: str = "") -> None:
        if path == ledger.root:
            raise SinkError("remove", name, 16)
        whole(self, path, name=name)

    monkeypatch.setattr(Disk, "unlink", busy)
    discard_run(ledger)
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("kind", ["kill", *REFUSALS])
def test_cut_off_anywhere_it_leaves_a_run_or_room_for_one(tmp_path: Path, kind: str) -> None:
    """Either `--resume` finds the run with its keys, or a new run is made in its place."""
    count = operations(tmp_path / "counted")
    assert count > 10
    left = set()
    for at in range(count):
        root = tmp_path / f"run-{at}"
        begun(root)
        disk = FaultyDisk(fault=Fault(at, kind))
        try:
            discard_run(Ledger(root, disk))
        except (Killed, SinkError):
            left.add("cut off")
        if (root / "run.toml").is_file():
            ledger, known = open_run(root)
            assert known == {"schema": 1}
            assert (root / "vault/run.age").is_file()
            assert (root / "run.key").is_file()
            left.add("a run")
            discard_run(ledger)
        else:
            create_run(root, {"schema": 1}, None, prepared)
            left.add("room for one")
        assert not (root / "results").exists()
    assert left == {"cut off", "a run", "room for one"}
