"""The journal: what was appended is there, in order, whatever a crash left; what is missing or moved is noticed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commanding import MEMORY
from tests.faults import Fault, FaultyDisk, Killed
from tests.vaults import Opened, custodian_identity, made_run
from vetset.errors import ShardError, SinkError
from vetset.ledger import Ledger
from vetset.vault import Vault, age
from vetset.vault.journal import Journal
from vetset.vault.ladder import LEAST_BYTES

STEP = "verify"
APPENDS = 5


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder in memory: every part is synced, and what a sync does to a real device is not what is tested."""
    with tempfile.TemporaryDirectory(prefix="vetset-test-", dir=MEMORY) as name:
        yield Path(name)


@pytest.fixture
def run(place: Path) -> Opened:
    return made_run(place / "run", part_bytes=LEAST_BYTES)


def journal(run: Opened, disk: FaultyDisk | None = None, most_parts: int = 4) -> Journal:
    sink = Ledger(run.root, disk).sink
    vault = Vault(sink, run.keys, run.vault.custodians, part_bytes=LEAST_BYTES)
    return Journal(vault, sink, STEP, most_parts=most_parts)


def numbers(found: Journal) -> list[int]:
    return [line["n"] for line in found.lines]


def names(run: Opened) -> list[str]:
    folder = run.root / "vault" / STEP
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_lines_come_back_in_order_through_any_number_of_folds(run: Opened) -> None:
    first = journal(run)
    for number in range(0, 22, 2):
        first.append([{"n": number}, {"n": number + 1}])
        assert numbers(journal(run)) == list(range(number + 2))
    assert numbers(first) == list(range(22))


def test_nothing_is_written_for_nothing(run: Opened) -> None:
    first = journal(run)
    first.append([])
    first.fold()
    assert names(run) == []


def test_a_folded_journal_is_one_file_whose_name_and_size_tell_no_count(run: Opened) -> None:
    few, many = run, made_run(run.root.parent / "many", part_bytes=LEAST_BYTES)
    for opened, count in ((few, 1), (many, 11)):
        found = journal(opened, most_parts=512)
        for number in range(count):
            found.append([{"n": number}])
        found.fold()
    assert names(few) == names(many) == ["book-1.age"]
    for opened in (few, many):
        sealed = (opened.root / "vault" / STEP / "book-1.age").read_bytes()
        assert len(age.decrypt(sealed, [custodian_identity()])) == LEAST_BYTES


def test_a_missing_part_is_damage(run: Opened) -> None:
    found = journal(run)
    for number in range(3):
        found.append([{"n": number}])
    (run.root / "vault" / STEP / "000002.age").unlink()
    with pytest.raises(ShardError, match="missing or out of its place"):
        journal(run)


def test_a_part_in_anothers_place_is_damage(run: Opened) -> None:
    found = journal(run)
    for number in range(3):
        found.append([{"n": number}])
    folder = run.root / "vault" / STEP
    (folder / "000003.age").replace(folder / "000002.age")
    with pytest.raises(ShardError):
        journal(run)


def test_a_long_book_is_read_whole(run: Opened) -> None:
    found = journal(run)
    text = "x" * 30_000
    for number in range(9):
        found.append([{"n": number, "text": text}])
    assert numbers(journal(run)) == list(range(9))
    assert any(name.count(".") == 2 for name in names(run))


def worked(run: Opened, disk: FaultyDisk, done: list[int]) -> None:
    """Appends of long lines, with folds between them; `done` tells which returned."""
    found = journal(run, disk, most_parts=2)
    for number in range(APPENDS):
        found.append([{"n": number, "text": "x" * 40_000}])
        done.append(number)
    found.fold()


def test_killed_at_any_operation_nothing_that_was_appended_is_lost(run: Opened, place: Path) -> None:
    """Every operation, by a kill, by a power loss and by a disk that is full: what returned is there, and goes on."""
    aside = place / "aside"
    shutil.copytree(run.root, aside)
    counting = FaultyDisk()
    worked(run, counting, [])
    assert numbers(journal(run)) == list(range(APPENDS))
    operations = len(counting.operations)
    assert operations > 60
    for at in range(operations):
        for kind in ("kill", "power", "ENOSPC"):
            shutil.rmtree(run.root)
            shutil.copytree(aside, run.root)
            done: list[int] = []
            disk = FaultyDisk(Fault(at, kind))
            with pytest.raises((Killed, SinkError)):
                worked(run, disk, done)
            after = journal(run)
            assert numbers(after)[: len(done)] == done, (at, kind)
            assert len(numbers(after)) <= len(done) + 1
            following = len(numbers(after))
            after.append([{"n": following}])
            after.fold()
            assert numbers(journal(run)) == list(range(following + 1)), (at, kind)


def test_a_book_left_over_from_a_fold_that_was_cut_off_does_not_spoil_the_next(run: Opened, place: Path) -> None:
    """Two crashes: one before the stale book was taken away, one while the next takes its name."""
    folder = run.root / "vault" / STEP
    first = journal(run, most_parts=512)
    for number in range(3):
        first.append([{"n": number, "text": "x" * 40_000}])
    first.fold()
    stale = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(stale) > 1  # of several parts, so that its head alone is not all of it
    first.append([{"n": 3, "text": "y" * 40_000}])
    first.fold()
    for name, data in stale.items():
        (folder / name).write_bytes(data)
    assert numbers(journal(run)) == [0, 1, 2, 3]
    journal(run, most_parts=512).append([{"n": 4, "text": "z" * 40_000}])
    aside = place / "stale"
    shutil.copytree(run.root, aside)
    counting = FaultyDisk()
    journal(run, counting, most_parts=512).fold()
    for at in range(len(counting.operations)):
        shutil.rmtree(run.root)
        shutil.copytree(aside, run.root)
        with pytest.raises(Killed):
            journal(run, FaultyDisk(Fault(at, "kill")), most_parts=512).fold()
        assert numbers(journal(run)) == [0, 1, 2, 3, 4], at
