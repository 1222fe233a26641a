"""The local runner's own doings: its window, its boot, what cannot be pickled, what a worker does to itself."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import reduction
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pytest

from vetset.errors import Stop, Trouble
from vetset.records import Task, TaskReport
from vetset.runners import local
from vetset.runners.local import Local
from vetset.testing.runner_contract import CANARY, PIDS, Standing, carry, task_of, tasks_of


@pytest.fixture(autouse=True)
def _no_worker_is_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


# --- the window ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "window", "bound"), [(2, 1, 1), (1, 2, 2), (2, 5, 5), (2, 0, 3)])
def test_no_more_tasks_are_in_hand_than_the_window_holds(workers: int, window: int, bound: int, tmp_path: Path) -> None:
    drawn = 0

    def drawing() -> Iterator[Task]:
        nonlocal drawn
        for task in tasks_of(["count"] * 12, tmp_path):
            drawn += 1
            yield task

    for reported, _ in enumerate(Local(Standing(), workers, window).run(carry, drawing()), start=1):
        assert drawn <= reported + bound
    assert drawn == 12


def test_without_tasks_no_worker_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(process: SpawnProcess) -> NoReturn:
        raise AssertionError

    monkeypatch.setattr(SpawnProcess, "start", refuse)
    assert list(Local(Standing(), 4).run(carry, [])) == []


def test_no_workers_means_one_for_each_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5})
    made = pools(monkeypatch)
    assert len(list(Local(Standing()).run(carry, tasks_of(["count"], tmp_path)))) == 1
    assert made[0] == 3


def pools(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Notes how many workers each pool is made for."""
    made: list[int] = []

    def noting(workers: int, **options: Any) -> ProcessPoolExecutor:
        made.append(workers)
        return ProcessPoolExecutor(workers, **options)

    monkeypatch.setattr(local, "ProcessPoolExecutor", noting)
    return made


def test_after_a_death_the_suspects_run_alone_and_then_the_pool_is_full_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pools(monkeypatch)
    tasks = tasks_of(["die_once", *["count"] * 8], tmp_path)
    reports = list(Local(Standing(), 2).run(carry, tasks))
    assert len(reports) == 9
    assert (made[0], made[1], made[-1]) == (2, 1, 2)
    assert set(made[1:-1]) == {1}


# --- the boot -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Failing:
    """A boot that fails in the way named."""

    way: str

    def __call__(self) -> contextlib.AbstractContextManager[None]:
        if self.way == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        errors = {"stop": Stop("no key", hint="open the run"), "starve": MemoryError(CANARY)}
        raise errors.get(self.way, ValueError(CANARY))


@pytest.mark.parametrize(
    ("way", "trouble"),
    [("stop", None), ("raise", Trouble.INTERNAL), ("starve", Trouble.OUT_OF_MEMORY), ("die", Trouble.QUARANTINED)],
)
def test_a_boot_that_fails_is_reported_and_does_not_hang(
    way: str, trouble: Trouble | None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (report,) = Local(Failing(way), 2).run(carry, tasks_of(["count"], tmp_path))
    assert report.trouble == trouble
    assert (report.stop, report.hint) == (("no key", "open the run") if way == "stop" else (None, ""))
    captured = capfd.readouterr()
    assert CANARY not in repr(report) + captured.out + captured.err


class Inherited:
    """A descriptor that can be pickled while a process is spawned and at no other time."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __reduce__(self) -> tuple[Any, tuple[Any]]:
        return (_arrived, (reduction.DupFd(self.fd),))


def _arrived(duplicate: Any) -> Inherited:
    return Inherited(duplicate.detach())


_READ: list[str] = []


@dataclass(frozen=True)
class Reading:
    """A boot that reads what it inherited."""

    inherited: Inherited

    def __call__(self) -> contextlib.AbstractContextManager[None]:
        _READ.append(os.pread(self.inherited.fd, 100, 0).decode())
        return contextlib.nullcontext()


def tell(task: Task) -> TaskReport:
    if task.stage == "die_once":
        carry(task)
    return TaskReport(task, detail=",".join(_READ))


def test_workers_of_every_pool_inherit_what_the_boot_holds(tmp_path: Path) -> None:
    fd = os.memfd_create("of-a-test")
    try:
        os.write(fd, b"the list")
        tasks = tasks_of(["count", "die_once", "count"], tmp_path)
        reports = list(Local(Reading(Inherited(fd)), 2).run(tell, tasks))
        assert [report.detail for report in reports] == ["the list"] * 3
    finally:
        os.close(fd)


# --- what does not cross ------------------------------------------------------------------------------------------


def unpicklable_answer(task: Task) -> TaskReport:
    return TaskReport(task, tally={CANARY: threading.Lock()})  # type: ignore[dict-item]


def exit_the_interpreter(task: Task) -> TaskReport:
    raise SystemExit(CANARY)


@pytest.mark.parametrize("run_task", [lambda task: TaskReport(task, 1), unpicklable_answer, exit_the_interpreter])
def test_what_cannot_cross_is_an_internal_error_each_time(
    run_task: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    reports = list(Local(Standing(), 2).run(run_task, tasks_of(["count"] * 4, tmp_path)))
    assert [report.trouble for report in reports] == [Trouble.INTERNAL] * 4
    captured = capfd.readouterr()
    assert CANARY not in repr(reports) + captured.out + captured.err


def test_a_task_that_cannot_cross_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    tasks = tasks_of(["count", "count", "count"], tmp_path)
    tasks[1] = Task("count", tasks[1].shard, basis=threading.Lock())  # type: ignore[arg-type]
    reports = {report.task.shard.size_bytes: report for report in Local(Standing(), 1).run(carry, tasks)}
    assert {number: report.trouble for number, report in reports.items()} == {0: None, 1: Trouble.INTERNAL, 2: None}


# --- ends ---------------------------------------------------------------------------------------------------------


def test_closing_the_reports_kills_workers_in_the_middle_of_a_task(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / PIDS)
    reports = Local(Standing(), 2).run(carry, tasks_of(["count", "await_kill"], tmp_path))
    assert next(reports).trouble is None
    pid = int((tmp_path / PIDS).read_text())
    os.kill(pid, 0)
    reports.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_trouble_in_drawing_tasks_ends_the_workers_and_goes_on_up(tmp_path: Path) -> None:
    def drawing() -> Iterator[Task]:
        yield task_of("count", 0, tmp_path)
        raise Stop("the dataset went away", hint="bring it back")

    with pytest.raises(Stop, match="went away"):
        list(Local(Standing(), 2).run(carry, drawing()))


def test_a_worker_that_cannot_be_started_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(process: SpawnProcess) -> NoReturn:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(SpawnProcess, "start", refuse)
    with pytest.raises(Stop, match="cannot start a worker process: Resource temporarily") as caught:
        list(Local(Standing(), 2).run(carry, tasks_of(["count"], tmp_path)))
    assert "--workers" in caught.value.hint


def test_another_thread_is_refused(tmp_path: Path) -> None:
    raised: list[str] = []

    def run() -> None:
        try:
            list(Local(Standing(), 1).run(carry, tasks_of(["count"], tmp_path)))
        except RuntimeError as error:
            raised.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(raised) == 1
    assert "main thread" in raised[0]


def test_a_future_that_nobody_tells_of_its_broken_pool_does_not_hang_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race in the executor: a task is submitted while its pool breaks, and its future is forgotten."""
    submit = local._Pool.submit
    forgotten: list[Future[TaskReport]] = []

    def forgetting(pool: local._Pool, run_task: Any, task: Task) -> Future[TaskReport]:
        future = submit(pool, run_task, task)
        if not forgotten:
            forgotten.append(future)
            return Future()
        return future

    monkeypatch.setattr(local._Pool, "submit", forgetting)
    monkeypatch.setattr(local, "PATIENCE_SECONDS", 0.05)
    tasks = tasks_of(["die_once", "count", "count"], tmp_path)
    reports = list(Local(Standing(), 1).run(carry, tasks))
    assert sorted(report.rows for report in reports) == [0, 1, 2]
    assert [report.trouble for report in reports] == [None] * 3


def test_patience_alone_gives_up_no_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "PATIENCE_SECONDS", 0.001)
    made = pools(monkeypatch)
    assert len(list(Local(Standing(), 1).run(carry, tasks_of(["count"] * 3, tmp_path)))) == 3
    assert set(made) == {1}
    assert all((tmp_path / f"count-shard-{number:05}").stat().st_size == 1 for number in range(3))


# --- inside a worker ----------------------------------------------------------------------------------------------

PR_GET_PDEATHSIG, PR_GET_DUMPABLE = 2, 3


def look_around(task: Task) -> TaskReport:
    libc, death_signal = ctypes.CDLL(None), ctypes.c_int()
    libc.prctl(PR_GET_PDEATHSIG, ctypes.byref(death_signal))
    return TaskReport(
        task,
        tally={
            "death signal": death_signal.value,
            "dumpable": libc.prctl(PR_GET_DUMPABLE),
            "core bytes": max(resource.getrlimit(resource.RLIMIT_CORE)),
            "interrupt ignored": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
            "signals blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
            "arrow threads": pa.cpu_count(),
            "arrow reading threads": pa.io_thread_count(),
        },
    )


def test_a_worker_dies_with_its_coordinator_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (report,) = Local(Standing(), 1).run(look_around, tasks_of(["count"], tmp_path))
    assert report.tally == {
        "death signal": signal.SIGKILL,
        "dumpable": 0,
        "core bytes": 0,
        "interrupt ignored": True,
        "signals blocked": 0,
        "arrow threads": 1,
        "arrow reading threads": 1,
    }


def test_the_coordinator_keeps_its_own_signals(tmp_path: Path) -> None:
    before = (signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    assert len(list(Local(Standing(), 2).run(carry, tasks_of(["count", "die_once"], tmp_path)))) == 2
    assert (signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, ())) == before
