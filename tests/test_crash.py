"""A few minutes of the crash campaign: sampled points, chains, and the shipped command, all with one seed.

The long one is `python -m tests.campaign`. Whether the harness would notice a bug is asked in `test_crash_harness`.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.campaign import few_lengths
from tests.crash_case import JOBS, Case, crash_case
from tests.crash_chain import run_chain
from tests.crash_command import SERIAL, WORKERS, Command, Injection, interrupt, kill_coordinator, kill_worker
from tests.crash_points import KINDS, Points
from tests.faults import DEATHS, REFUSALS, Device, Fault, FaultyDisk, Operation
from vetset.errors import ExitStatus, Stop

SEED = 20261124


@pytest.fixture(scope="module", params=sorted(JOBS))
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    with crash_case(request.param) as made:
        yield made


@pytest.fixture(scope="module")
def audit_case() -> Iterator[Case]:
    with crash_case() as made:
        yield made


@pytest.fixture(scope="module")
def close_case() -> Iterator[Case]:
    with crash_case("close") as made:
        yield made


def test_the_case_has_one_of_everything(audit_case: Case) -> None:
    """What never happens in the workload is never interrupted."""
    outcomes = {outcome for tally in audit_case.wanted["tallies"].values() for outcome in tally}
    assert outcomes == {"hit", "expanded", "held", "policy", "clear"}
    assert {Path(name).suffix for name in audit_case.wanted["cleaned"]} == {".parquet", ".csv", ".jsonl"}
    signals = {match["signal"] for line in audit_case.wanted["findings"] for match in line["matches"]}
    assert signals == {"md5", "url"}
    audit_case.clear()
    audit_case.recover()
    rounds = [path.name for path in (audit_case.place.run / "manifests").iterdir() if path.name.startswith("expand-")]
    assert len([name for name in rounds if not name.endswith(".json")]) >= 2, "the closure takes a second round"


def test_the_case_of_pictures_has_one_of_everything() -> None:
    with crash_case("pictures") as case:
        outcomes = {outcome for tally in case.wanted["tallies"].values() for outcome in tally}
        assert outcomes == {"hit", "near_hit", "expanded", "held", "clear"}
        assert {"00000.tar", "00000.parquet", "00000_stats.json", "cats/a.txt", "p.parquet"} <= set(
            case.wanted["cleaned"]
        )
        assert "cats/c.jpg" not in case.wanted["cleaned"]


def test_every_way_to_the_cleaned_dataset_gives_the_same(case: Case, audit_case: Case) -> None:
    if not case.name.startswith("pictures"):
        assert case.wanted["cleaned"] == audit_case.wanted["cleaned"]
        assert case.wanted["findings"] == audit_case.wanted["findings"]
    elif case.name != "pictures":
        with crash_case("pictures") as pictures:
            assert case.wanted["cleaned"] == pictures.wanted["cleaned"]
            assert case.wanted["findings"] == pictures.wanted["findings"]


def test_points(case: Case) -> None:
    """A share of the operations drawn by the seed, each with every kind of fault, torn at the ends and in between."""
    every = {"audit": 9, "close": 2, "clean": 5, "pictures": 30, "pictures clean": 15}[case.name]
    drawn = set(Random(SEED).sample(range(case.operations), case.operations // every))

    def chosen(at: int, operation: Operation) -> Iterator[Fault]:
        if at in drawn:
            yield from (Fault(at, kind, torn) for torn in few_lengths(operation) for kind in KINDS)

    points = Points(case, chosen)
    points.run()
    assert all(points.counts[kind] >= len(drawn) for kind in KINDS)
    assert points.counts["recovered to the end"] >= 3
    recoveries = [count for name, count in points.counts.items() if name not in KINDS]
    assert sum(recoveries) == sum(points.counts[kind] for kind in KINDS)


@pytest.mark.parametrize("seed", range(SEED, SEED + 6))
def test_chains(case: Case, seed: int) -> None:
    run_chain(case, seed)


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_device_that_refuses_stops_the_audit_with_words(audit_case: Case, kind: str) -> None:
    audit_case.clear()
    with pytest.raises(Stop) as stopped:
        audit_case.go(FaultyDisk(fault=Fault(audit_case.operations // 2, kind)), resume=False)
    words = {"ENOSPC": "No space left on device", "EIO": "Input/output error"}[kind]
    assert words in stopped.value.message
    assert "--resume" in stopped.value.hint
    audit_case.recover()
    audit_case.check()


def test_a_recovery_of_what_was_complete_changes_no_result(audit_case: Case) -> None:
    audit_case.clear()
    audit_case.recover()
    audit_case.recover()
    audit_case.check()


def test_a_close_that_died_twice_is_finished_by_the_third(close_case: Case) -> None:
    for at in range(close_case.operations):
        close_case.clear()
        device = Device()
        assert close_case.strike(Fault(at, DEATHS[at % len(DEATHS)], torn=7, seed=SEED), device, resume=False)
        close_case.strike(Fault(at // 2, "kill", torn=9), device, resume=True)
        close_case.recover()
        close_case.check()


def test_a_power_loss_after_the_end_takes_nothing_that_a_killed_process_left(audit_case: Case) -> None:
    """A product whose name the dead did not sync is taken for done by the next process, which must sync it."""
    audit_case.clear()
    counted = FaultyDisk()
    audit_case.go(counted, resume=False)
    syncs = [number for number, operation in enumerate(counted.operations) if operation.name == "sync_folder"]
    after_manifests = [number for number in syncs if counted.operations[number].path.parent.name == "manifests"]
    for at in (syncs[0], after_manifests[2], after_manifests[-1], *Random(SEED).sample(syncs, 8)):
        device = Device()
        audit_case.clear()
        assert audit_case.strike(Fault(at, "kill"), device, resume=False)
        audit_case.recover(FaultyDisk(device=device))
        device.lose_power()
        audit_case.check()


# --- the shipped command ----------------------------------------------------------------------------------------------


def test_killed_and_refused_at_system_calls(audit_case: Case) -> None:
    command = Command(audit_case, SERIAL)
    drawn = Random(SEED).sample(command.calls(), 4)
    for call, what in zip(drawn, ("KILL", "KILL", "ENOSPC", "EIO"), strict=True):
        command.struck(replace(call, what=what))


def test_workers_killed_at_a_system_call(audit_case: Case) -> None:
    Command(audit_case, WORKERS).struck(Injection("rename", 3, "KILL"))


def test_the_coordinator_killed_with_workers_at_work(audit_case: Case) -> None:
    assert Command(audit_case, WORKERS).signalled(30, kill_coordinator) == -signal.SIGKILL


def test_a_worker_killed_is_replaced(audit_case: Case) -> None:
    assert Command(audit_case, WORKERS).signalled(30, kill_worker) == ExitStatus.DONE


def test_ctrl_c_says_interrupted(audit_case: Case) -> None:
    assert Command(audit_case, WORKERS).signalled(30, interrupt) == ExitStatus.INTERRUPTED
