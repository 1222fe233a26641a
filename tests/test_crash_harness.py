"""Whether the crash harness would notice: its model of a device, and its verdict on a program with bugs put into it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import campaign
from tests.crash_case import Case, blamed, crash_case
from tests.crash_chain import KINDS as CHAINED
from tests.crash_chain import LONGEST, chain_of, run_chain
from tests.crash_command import Command, Injection, calls_in, products_in
from tests.crash_points import KINDS, SMALL_WRITE_BYTES, Points, torn_lengths
from tests.faults import Device, Fault, FaultyDisk, Killed, Operation
from vetset.errors import ExitStatus, SinkError
from vetset.ledger import Sink
from vetset.ledger import sink as sink_module
from vetset.ledger.sink import ProductStream

# --- the device -------------------------------------------------------------------------------------------------------


def test_a_kill_loses_nothing_and_a_power_loss_what_was_not_synced(tmp_path: Path) -> None:
    for kind, stays in (("kill", b"ab"), ("power", None), ("names", b"")):
        disk = FaultyDisk(fault=Fault(2, kind))
        path = tmp_path / kind
        fd = disk.create(path)
        disk.write(fd, b"ab")
        with pytest.raises(Killed):
            disk.sync(fd)
        assert (path.read_bytes() if path.exists() else None) == stays


def test_a_synced_file_without_a_synced_name_is_gone(tmp_path: Path) -> None:
    disk = FaultyDisk()
    fd = disk.create(tmp_path / "file")
    disk.write(fd, b"ab")
    disk.sync(fd)
    disk.close(fd)
    disk.device.lose_power()
    assert not (tmp_path / "file").exists()


def test_what_was_synced_stays(tmp_path: Path) -> None:
    disk = FaultyDisk()
    sink = Sink(tmp_path / "root", disk)
    sink.put("deep/file", b"ab")
    disk.device.lose_power()
    assert (tmp_path / "root/deep/file").read_bytes() == b"ab"
    assert disk.device == Device()


def test_a_rename_that_is_taken_back_gives_back_what_it_replaced(tmp_path: Path) -> None:
    disk = FaultyDisk()
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "new").write_bytes(b"new")
    disk.rename(tmp_path / "new", tmp_path / "old")
    disk.device.lose_power()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"old": b"old", "new": b"new"}


def test_removals_are_taken_back_with_their_folder(tmp_path: Path) -> None:
    disk = FaultyDisk()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_bytes(b"ab")
    disk.unlink(tmp_path / "folder/file")
    disk.unlink(tmp_path / "folder")
    disk.device.lose_power()
    assert (tmp_path / "folder/file").read_bytes() == b"ab"


def test_an_overwritten_file_has_its_old_bytes_until_it_is_synced(tmp_path: Path) -> None:
    disk = FaultyDisk()
    (tmp_path / "file").write_bytes(b"secret")
    fd = disk.reopen(tmp_path / "file")
    disk.write(fd, bytes(6))
    disk.close(fd)
    disk.device.lose_power()
    assert (tmp_path / "file").read_bytes() == b"secret"


@given(st.integers(0, 1 << 30), st.integers(0, 8))
def test_a_mixed_loss_keeps_the_first_names_of_a_folder(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n: int
) -> None:
    folder = tmp_path_factory.mktemp("mixed")
    disk = FaultyDisk()
    for number in range(n):
        disk.close(disk.create(folder / str(number)))
    disk.device.lose_power("mixed", seed)
    left = sorted(int(path.name) for path in folder.iterdir())
    assert left == list(range(len(left)))


def test_one_process_hands_the_unsynced_to_the_next(tmp_path: Path) -> None:
    first = FaultyDisk(fault=Fault(1, "kill"))
    fd = first.create(tmp_path / "file")
    with pytest.raises(Killed):
        first.close(fd)
    FaultyDisk(device=first.device).device.lose_power()
    assert not (tmp_path / "file").exists()


def test_the_dead_do_nothing_more(tmp_path: Path) -> None:
    disk = FaultyDisk(fault=Fault(0, "kill"))
    with pytest.raises(Killed):
        disk.create(tmp_path / "one")
    with pytest.raises(Killed):
        disk.create(tmp_path / "two")
    assert not list(tmp_path.iterdir())


def test_a_refusal_comes_once_and_the_next_operation_works(tmp_path: Path) -> None:
    disk = FaultyDisk(fault=Fault(0, "ENOSPC"))
    with pytest.raises(SinkError):
        disk.make_folder(tmp_path / "one")
    disk.make_folder(tmp_path / "two")
    assert [path.name for path in tmp_path.iterdir()] == ["two"]


# --- the choice of faults ---------------------------------------------------------------------------------------------


@given(st.integers(0, SMALL_WRITE_BYTES))
def test_every_torn_length_of_a_small_write(length: int) -> None:
    assert torn_lengths(Operation("write", Path("p"), length)) == list(range(length + 1))


@given(st.integers(SMALL_WRITE_BYTES + 1, 1 << 24))
def test_of_a_large_write_the_ends_the_middle_and_a_sample(length: int) -> None:
    lengths = torn_lengths(Operation("write", Path("p"), length))
    assert {0, 1, length // 2, length - 1, length} <= set(lengths)
    assert 16 <= len(lengths) <= 24
    assert lengths == sorted(set(lengths))


@given(st.integers(0, 1 << 30), st.integers(1, 1000))
def test_a_chain_is_its_seed(seed: int, operations: int) -> None:
    faults = chain_of(seed, operations)
    assert faults == chain_of(seed, operations)
    assert 1 <= len(faults) <= LONGEST
    assert all(0 <= fault.at < operations and fault.kind in CHAINED for fault in faults)


def test_calls_are_counted_by_name_in_the_first_thread_only() -> None:
    trace = """7 mkdir("/elsewhere", 0700) = 0
8 fsync(3</run/a>) = 0
7 mkdir("/run/a", 0700) = 0
7 fsync(3</run/a>) = 0
7 +++ exited with 0 +++"""
    assert calls_in(trace, ["/run"]) == [Injection("mkdir", 2, "KILL"), Injection("fsync", 1, "KILL")]


def test_products_are_whole_files(tmp_path: Path) -> None:
    assert products_in(tmp_path / "none") == 0
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/one").touch()
    (tmp_path / "two.partial").touch()
    assert products_in(tmp_path) == 1


# --- bugs put in ------------------------------------------------------------------------------------------------------


@pytest.fixture
def case() -> Iterator[Case]:
    with crash_case() as made:
        yield made


def points_at(case: Case, wanted: str, name: str) -> Points:
    """Points at the operations of one name on manifests."""

    def chosen(at: int, operation: Operation) -> Iterator[Fault]:
        if operation.name == name and wanted in str(operation.path):
            yield from (Fault(at, kind, operation.length // 2) for kind in KINDS)

    return Points(case, chosen)


def test_a_program_without_bugs_passes_where_the_bugs_below_do_not(case: Case) -> None:
    points_at(case, "manifests/screen/", "write").run()
    points_at(case, "manifests/screen/", "rename").run()
    points_at(case, "run.toml", "write").run()


def end_of(case: Case, name: str, ending: str) -> int:
    """The number of the last operation of this name on such a path."""
    case.clear()
    disk = FaultyDisk()
    case.go(disk, resume=False)
    case.clear()
    return max(
        number
        for number, operation in enumerate(disk.operations)
        if operation.name == name and str(operation.path).endswith(ending)
    )


def struck_and_recovered(case: Case, fault: Fault) -> None:
    with blamed([fault]):
        assert case.strike(fault, Device(), resume=False)
        case.recover()
        case.check()


def test_manifests_written_in_place_are_noticed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_module, "_partial_name", lambda name: name)
    at = end_of(case, "write", "a.parquet.json")
    with pytest.raises(AssertionError, match=r"kind='kill'.*damaged"):
        struck_and_recovered(case, Fault(at, "kill", torn=100))


def test_products_that_are_not_synced_are_noticed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(stream: ProductStream) -> None:
        stream.closed = True
        stream._drain()
        stream.release()

    monkeypatch.setattr(ProductStream, "finish", hasty)
    at = end_of(case, "sync_folder", "manifests/screen")
    with pytest.raises(AssertionError, match=r"kind='names'.*damaged"):
        struck_and_recovered(case, Fault(at, "names"))


def test_leftovers_that_are_not_swept_are_noticed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leftover is replaced where its product is made again; here under a name that is never used again."""
    partial_name = sink_module._partial_name
    numbers = iter(range(1 << 30))
    monkeypatch.setattr(sink_module, "_partial_name", lambda name: partial_name(f"{next(numbers)}{name}"))
    monkeypatch.setattr(Sink, "sweep", lambda _: None)
    at = end_of(case, "sync_folder", "manifests/screen") - 4
    with pytest.raises(AssertionError, match="left behind"):
        struck_and_recovered(case, Fault(at, "kill", torn=5))


def test_names_left_unsynced_by_the_dead_are_noticed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed process renamed and did not sync was once taken for done, and a later power loss took it away."""
    monkeypatch.setattr(Sink, "sweep", lambda _: None)
    at, device = end_of(case, "sync_folder", "manifests/index"), Device()
    assert case.strike(Fault(at, "kill"), device, resume=False)
    case.recover(FaultyDisk(device=device))
    device.lose_power()
    with pytest.raises(AssertionError, match="index"):
        case.check()


def test_a_refusal_that_is_no_stop_is_noticed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a run into a fault, and in the child that a point goes on in, also inside a worker's shard boundary."""

    def bare(self: FaultyDisk, name: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FaultyDisk, "_strike", bare)
    with pytest.raises(OSError, match="No space"):
        case.strike(Fault(3, "ENOSPC"), Device(), resume=False)
    with pytest.raises(AssertionError, match=r"ENOSPC.*something else than a Stop"):
        points_at(case, "manifests/screen/", "rename").run()


def test_a_chain_names_its_seed_when_it_is_lost(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.wanted["held"] = {("a.parquet", 0)}
    with pytest.raises(AssertionError, match=r"chain 7.*differs from the undisturbed run: held"):
        run_chain(case, 7)


def test_a_traceback_of_the_command_is_noticed(case: Case) -> None:
    command = Command(case)
    with pytest.raises(AssertionError, match="Traceback"):
        command.run(["python3", "-c", "raise KeyError"])
    assert command.run(["true"]) == ExitStatus.DONE


# --- the table --------------------------------------------------------------------------------------------------------


def test_shares_of_one_thing_are_one_line_and_a_loss_is_counted() -> None:
    rows = [
        campaign.Row("points", 1_000, "900 of these, 1,100 of those", (), 2.0),
        campaign.Row("points", 2_000, "1 of these, 2 of those", ("at 7",), 3.0),
        campaign.Row("chains", 5, "seeds 1 to 5", (), 1.0),
    ]
    merged = campaign.merged(rows)
    assert merged[0] == campaign.Row("points", 3_000, "901 of these, 1,102 of those", ("at 7",), 5.0)
    table = campaign.table_of(merged, 12.4, 2)
    assert "| points | 3,000 | 1 | 901 of these, 1,102 of those | 5 s |" in table
    assert "| together | 3,005 | 1 |" in table
    assert "about 12 minutes with 2 processes" in table


def test_the_readme_has_the_place_for_the_table() -> None:
    assert campaign._PLACE.search(campaign.README.read_text("utf-8"))


@pytest.mark.parametrize("part", ["points", "chains", "syscalls"])
def test_all_is_the_sum_of_the_parts(part: str) -> None:
    chosen, everything = (campaign.parts_of(name, 1, quick=False) for name in (part, "all"))
    assert chosen
    assert [str(item) for item in chosen] == [str(item) for item in everything if str(item) in map(str, chosen)]
