"""Both runners under their contract, the serial one by itself, and mixtures of every conduct."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from vetset.errors import ShardError, SinkError, Stop, Trouble
from vetset.ports import Boot, Runner
from vetset.records import Task, TaskReport
from vetset.runners.local import Local
from vetset.runners.serial import Serial, reported
from vetset.testing import runner_contract as contract
from vetset.testing.runner_contract import CANARY, Standing, carry, task_of, tasks_of


def serial(boot: Boot, workers: int) -> Runner:
    return Serial(boot)


# --- the contract -------------------------------------------------------------------------------------------------


def test_serial_keeps_the_contract(tmp_path: Path) -> None:
    contract.check_runner(serial, tmp_path, survives_kills=False)


def test_local_keeps_the_contract(tmp_path: Path) -> None:
    contract.check_runner(Local, tmp_path, survives_kills=True)


class Doubling:
    """Reports every task twice."""

    def run(self, run_task: object, tasks: object) -> Iterator[TaskReport]:
        for report in Serial(Standing()).run(run_task, tasks):  # type: ignore[arg-type]
            yield report
            yield report


class Losing:
    """Passes over the last task."""

    def run(self, run_task: object, tasks: object) -> Iterator[TaskReport]:
        reports = list(Serial(Standing()).run(run_task, tasks))  # type: ignore[arg-type]
        yield from reports[:-1]


class Unbooted:
    """Never starts its worker."""

    def run(self, run_task: object, tasks: object) -> Iterator[TaskReport]:
        return Serial(contextlib.nullcontext).run(run_task, tasks)  # type: ignore[arg-type]


class Greedy:
    """Draws many tasks before it does the first."""

    def run(self, run_task: object, tasks: Iterator[Task]) -> Iterator[TaskReport]:
        drawn = [task for _, task in zip(range(50), tasks, strict=False)]
        yield from Serial(Standing()).run(run_task, drawn)  # type: ignore[arg-type]


class Talkative:
    """Lets an exception's message into the report."""

    def run(self, run_task: object, tasks: Iterator[Task]) -> Iterator[TaskReport]:
        for report in Serial(Standing()).run(run_task, tasks):  # type: ignore[arg-type]
            yield TaskReport(report.task, report.rows, report.tally, report.trouble, detail=CANARY)


@pytest.mark.parametrize(
    ("check", "faulty"),
    [
        (contract.check_one_report_each, Doubling),
        (contract.check_one_report_each, Losing),
        (contract.check_one_report_each, Unbooted),
        (contract.check_laziness, Greedy),
        (contract.check_raising, Talkative),
        (contract.check_hunger, lambda: Serial(Standing())),
    ],
)
def test_the_contract_finds_a_faulty_runner(check: object, faulty: object, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="runner contract"):
        check(lambda *_: faulty(), tmp_path)  # type: ignore[operator]


# --- mixtures -----------------------------------------------------------------------------------------------------

DESERVED: dict[str, set[Trouble | None]] = {
    "count": {None},
    "die_once": {None},
    "exit_once": {None},
    "odd": {Trouble.INTERNAL},
    "starve": {Trouble.OUT_OF_MEMORY},
    "die": {Trouble.QUARANTINED},
    # Run again for another's sake, it has nothing left to raise.
    "raise_once": {Trouble.INTERNAL, None},
    # It may be alone already when it starves: then that is its answer.
    "starve_once": {Trouble.OUT_OF_MEMORY, None},
    "say_starved_once": {Trouble.OUT_OF_MEMORY, None},
}


@settings(max_examples=5, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(conducts=st.lists(st.sampled_from(sorted(DESERVED)), max_size=4), workers=st.integers(1, 3))
def test_any_mixture_ends_with_what_each_task_deserves(conducts: list[str], workers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tasks = tasks_of(conducts, Path(folder))
        reports = list(Local(Standing(), workers).run(carry, tasks))
    assert sorted(report.task.shard.id for report in reports) == [task.shard.id for task in tasks]
    assert all(report.trouble in DESERVED[report.task.stage] for report in reports)
    assert CANARY not in repr(reports)


@given(numbers=st.lists(st.integers(0, 99), unique=True, max_size=20))
def test_serial_reports_in_the_order_of_the_tasks(numbers: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tasks = [task_of("count", number, Path(folder)) for number in numbers]
        assert [report.task for report in Serial(Standing()).run(carry, tasks)] == tasks


# --- the serial runner --------------------------------------------------------------------------------------------


def test_serial_leaves_its_boot_however_the_run_ends(tmp_path: Path) -> None:
    tasks = tasks_of(["count"] * 3, tmp_path)
    reports = Serial(Standing()).run(carry, tasks)
    assert next(reports).tally == {"standing": 1}
    assert contract._ROOM == ["standing"]
    reports.close()  # type: ignore[attr-defined]
    assert contract._ROOM == []
    with pytest.raises(KeyboardInterrupt):
        list(Serial(Standing()).run(interrupt, tasks))
    assert contract._ROOM == []


def interrupt(task: Task) -> TaskReport:
    raise KeyboardInterrupt


def test_serial_does_not_boot_before_it_is_asked(tmp_path: Path) -> None:
    Serial(Standing()).run(carry, tasks_of(["count"], tmp_path))
    assert contract._ROOM == []


# --- what slips past the shard boundary ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (ValueError(CANARY), Trouble.INTERNAL),
        (ShardError(Trouble.UNREADABLE, CANARY), Trouble.INTERNAL),
        (SinkError("write", CANARY, 28), Trouble.INTERNAL),
        (RecursionError(CANARY), Trouble.INTERNAL),
        (MemoryError(CANARY), Trouble.OUT_OF_MEMORY),
    ],
)
def test_an_exception_becomes_a_code_without_its_message(error: Exception, trouble: Trouble, tmp_path: Path) -> None:
    task = task_of("count", 1, tmp_path)

    def raising(_: Task) -> TaskReport:
        raise error

    report = reported(raising, task)
    assert report == TaskReport(task, trouble=trouble.value, place=report.place)
    assert report.place.startswith(f"{type(error).__name__} at test_runners.py:")
    assert CANARY not in repr(report)


def test_a_stop_keeps_its_words(tmp_path: Path) -> None:
    task = task_of("count", 1, tmp_path)

    def stopping(_: Task) -> TaskReport:
        raise Stop("no space", hint="make some")

    assert reported(stopping, task) == TaskReport(task, stop="no space", hint="make some")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_a_process_is_not_held_up(error: type[BaseException], tmp_path: Path) -> None:
    def ending(_: Task) -> TaskReport:
        raise error

    with pytest.raises(error):
        reported(ending, task_of("count", 1, tmp_path))
