"""What every `ports.Runner` must do, as functions that a runner's tests call.

In it: the laws of carrying tasks, and the tasks that try them: some die, starve or raise.
Not in it: any real work, any test runner. Rules: state that must outlive a worker lies in files under the caller's
folder; a breach raises AssertionError; nothing here resembles a row.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NoReturn

from vetset.errors import Stop, Trouble
from vetset.ports import Boot, Runner
from vetset.records import Shard, Task, TaskReport

MakeRunner = Callable[[Boot, int], Runner]

#: Stands in for a value of a row in the messages of exceptions; it may be in no report.
CANARY = "canary-of-the-runner-contract"

#: Deaths alone after which a task is quarantined.
CHARGES = 3

#: How many tasks a runner of two workers may have drawn beyond those it reported.
MAX_AHEAD = 8


def check_runner(make_runner: MakeRunner, folder: Path, *, survives_kills: bool) -> None:
    """Every law. `survives_kills` is False for a runner that carries tasks in the process of its caller."""
    checks = [check_one_report_each, check_sameness, check_laziness, check_raising, check_stopping, check_starving]
    if survives_kills:
        checks += [check_hunger, check_death, check_quarantine, check_kill_from_outside]
    for check in checks:
        (folder / check.__name__).mkdir()
        check(make_runner, folder / check.__name__)


# --- what any runner does -----------------------------------------------------------------------------------------


def check_one_report_each(make_runner: MakeRunner, folder: Path) -> None:
    """No task, one and many: exactly one report each, and each in a process that stands, once."""
    for number in (0, 1, 20):
        tasks = tasks_of(["count"] * number, folder)
        reports = list(make_runner(Standing(), 2).run(carry, tasks))
        _expect(len(reports) == number, "number of reports")
        _expect_reports(reports, [_counted(task) for task in tasks])


def check_sameness(make_runner: MakeRunner, folder: Path) -> None:
    """The reports are the same whatever the order of the tasks and the number of workers."""
    tasks = tasks_of(["count", "raise", "count", "odd", "count", "count"], folder)
    runs = [
        list(make_runner(Standing(), workers).run(carry, order)) for workers, order in ((1, tasks), (3, tasks[::-1]))
    ]
    _expect_reports(runs[0], runs[1])


def check_laziness(make_runner: MakeRunner, folder: Path) -> None:
    """Tasks without end are drawn a few ahead only, and closing the reports ends the run."""
    drawn = 0

    def endless() -> Iterator[Task]:
        nonlocal drawn
        for number in count():
            drawn += 1
            yield task_of("count", number, folder)

    reports = make_runner(Standing(), 2).run(carry, endless())
    for reported in range(1, 6):
        next(reports)
        _expect(drawn <= reported + MAX_AHEAD, "tasks drawn ahead")
    if not isinstance(reports, Generator):
        raise AssertionError("runner contract: reports that can be closed")  # noqa: TRY004 - a breach like any other
    reports.close()
    _expect(next(reports, None) is None, "no report after the close")


def check_raising(make_runner: MakeRunner, folder: Path) -> None:
    """An exception that slips through is `internal_error` without its message; the neighbours are not touched."""
    tasks = tasks_of(["count", "raise", "odd", "count"], folder)
    reports = list(make_runner(Standing(), 2).run(carry, tasks))
    _expect_troubles(reports, {1: Trouble.INTERNAL, 2: Trouble.INTERNAL})
    _expect(not any(CANARY in repr(report) for report in reports), "no message in a report")


def check_stopping(make_runner: MakeRunner, folder: Path) -> None:
    """Trouble of the operator is handed on with its message and hint; whoever called decides."""
    tasks = tasks_of(["count", "stop", "count"], folder)
    reports = _by_id(make_runner(Standing(), 2).run(carry, tasks))
    stopped = reports[tasks[1].shard.id]
    _expect((stopped.stop, stopped.hint, stopped.trouble) == (STOP.message, STOP.hint, None), "the stop handed on")
    _expect(all(reports[task.shard.id] == _counted(task) for task in (tasks[0], tasks[2])), "neighbours of a stop")


def check_starving(make_runner: MakeRunner, folder: Path) -> None:
    """A task that never has enough memory ends as `out_of_memory`, whether it says so or raises; others are done."""
    tasks = tasks_of(["count", "starve", "count", "say_starved", "count"], folder)
    reports = list(make_runner(Standing(), 2).run(carry, tasks))
    _expect_troubles(reports, {1: Trouble.OUT_OF_MEMORY, 3: Trouble.OUT_OF_MEMORY})


# --- what a runner with workers does ------------------------------------------------------------------------------


def check_hunger(make_runner: MakeRunner, folder: Path) -> None:
    """A task for which memory did not suffice once is tried again, alone, and then counts."""
    tasks = tasks_of(["count", "starve_once", "say_starved_once", "exhaust_once", "count"], folder)
    reports = list(make_runner(Standing(), 2).run(carry, tasks))
    _expect_reports(reports, [_counted(task) for task in tasks])
    _expect(all(_times_run(task) == 2 for task in tasks[1:4]), "tried once more")  # noqa: PLR2004


def check_death(make_runner: MakeRunner, folder: Path) -> None:
    """Tasks that kill their worker once are done at last, and so are those that were in hand beside them."""
    for workers in (1, 3):
        place = folder / f"{workers}-workers"
        place.mkdir()
        tasks = tasks_of(["die_once", "count", "count", "die_once", "exit_once", "count", "count"], place)
        reports = list(make_runner(Standing(), workers).run(carry, tasks))
        _expect_reports(reports, [_counted(task) for task in tasks])


def check_quarantine(make_runner: MakeRunner, folder: Path) -> None:
    """Tasks that always kill their worker are quarantined after three deaths alone; nobody else is charged."""
    tasks = tasks_of(["count", "die", "count", "count", "die", "count", "count", "count"], folder)
    reports = list(make_runner(Standing(), 3).run(carry, tasks))
    _expect_troubles(reports, {1: Trouble.QUARANTINED, 4: Trouble.QUARANTINED})
    poison = [_times_run(tasks[1]), _times_run(tasks[4])]
    _expect(all(CHARGES <= times <= CHARGES + 1 for times in poison), "three charges, and at most one death in company")


def check_kill_from_outside(make_runner: MakeRunner, folder: Path) -> None:
    """A worker killed in the middle of a task by somebody else: the task and its neighbours are done all the same."""
    os.mkfifo(folder / PIDS)
    killer = threading.Thread(target=_kill_whoever_writes, args=(folder / PIDS,), daemon=True)
    killer.start()
    tasks = tasks_of(["count", "await_kill", "count", "count", "count"], folder)
    reports = list(make_runner(Standing(), 2).run(carry, tasks))
    _expect_reports(reports, [_counted(task) for task in tasks])
    _expect(_times_run(tasks[1]) == 2, "killed once")  # noqa: PLR2004


def _kill_whoever_writes(fifo: Path) -> None:
    os.kill(int(fifo.read_text("ascii")), signal.SIGKILL)


# --- tasks, and the worker that carries them ----------------------------------------------------------------------

PIDS = "pids"
STOP = Stop("the disk is full", hint="free some space")
_ROOM: list[str] = []


@dataclass(frozen=True, slots=True)
class Standing:
    """A `ports.Boot` that leaves a trace which tasks look for."""

    def __call__(self) -> contextlib.AbstractContextManager[None]:
        return _standing()


@contextlib.contextmanager
def _standing() -> Iterator[None]:
    _ROOM.append("standing")
    try:
        yield
    finally:
        _ROOM.pop()


def tasks_of(conducts: Sequence[str], folder: Path) -> list[Task]:
    """Tasks that behave as named, one shard each."""
    return [task_of(conduct, number, folder) for number, conduct in enumerate(conducts)]


def task_of(conduct: str, number: int, folder: Path) -> Task:
    """A task that behaves as named; `folder` is where it counts how often it was run."""
    return Task(conduct, Shard(f"shard-{number:05}", f"{number}", number, ""), basis=str(folder))


def carry(task: Task) -> TaskReport:
    """The `run_task` of this suite: notes in a file that the task runs, then does what the task's stage names."""
    with _notes(task).open("ab") as notes:
        notes.write(b".")
    conduct, once, _ = task.stage.partition("_once")
    if not once or _times_run(task) == 1:
        reported = CONDUCTS[conduct](task)
        if reported is not None:
            return reported
    return TaskReport(task, rows=task.shard.size_bytes, tally={"standing": len(_ROOM)})


def _notes(task: Task) -> Path:
    return Path(task.basis) / f"{task.stage}-{task.shard.id}"


def _times_run(task: Task) -> int:
    return _notes(task).stat().st_size


class OddError(Exception):
    """Cannot be unpickled: its constructor wants more than its arguments tell."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def _raise(_: Task) -> NoReturn:
    raise ValueError(CANARY)


def _odd(_: Task) -> NoReturn:
    raise OddError(CANARY, CANARY)


def _stop(_: Task) -> NoReturn:
    raise STOP


def _starve(_: Task) -> NoReturn:
    raise MemoryError(CANARY)


def _say_starved(task: Task) -> TaskReport:
    return TaskReport(task, trouble=Trouble.OUT_OF_MEMORY.value)


def _exhaust(_: Task) -> None:
    """Runs out of memory in earnest: address space for 64 MiB more, and a wish for 1 GiB."""
    used_bytes = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used_bytes + (64 << 20), before[1]))
    try:
        bytearray(1 << 30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _die(_: Task) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _exit(_: Task) -> NoReturn:
    os._exit(0)


def _await_kill(task: Task) -> None:
    if _times_run(task) == 1:
        (Path(task.basis) / PIDS).write_text(str(os.getpid()), "ascii")
        while True:
            signal.pause()


CONDUCTS: Mapping[str, Callable[[Task], TaskReport | None]] = {
    "count": lambda _: None,
    "raise": _raise,
    "odd": _odd,
    "stop": _stop,
    "starve": _starve,
    "say_starved": _say_starved,
    "exhaust": _exhaust,
    "die": _die,
    "exit": _exit,
    "await_kill": _await_kill,
}


# --- expectations -------------------------------------------------------------------------------------------------


def _counted(task: Task) -> TaskReport:
    return TaskReport(task, rows=task.shard.size_bytes, tally={"standing": 1})


def _by_id(reports: Iterable[TaskReport]) -> dict[str, TaskReport]:
    return {report.task.shard.id: report for report in reports}


def _expect(holds: bool, what: str) -> None:  # noqa: FBT001 - a condition is what it takes
    if not holds:
        raise AssertionError(f"runner contract: {what}")


def _expect_reports(reports: Sequence[TaskReport], expected: Sequence[TaskReport]) -> None:
    _expect(len(reports) == len(expected), "one report for each task")
    _expect(_by_id(reports) == _by_id(expected), "the reports themselves")


def _expect_troubles(reports: Sequence[TaskReport], troubles: Mapping[int, Trouble]) -> None:
    """Trouble with the tasks of these numbers, and none with any other."""
    found = {report.task.shard.size_bytes: report.trouble for report in reports if report.trouble is not None}
    _expect(found == {number: trouble.value for number, trouble in troubles.items()}, "who had which trouble")
    innocent = [report for report in reports if report.trouble is None]
    _expect_reports(innocent, [_counted(report.task) for report in innocent])
    _expect(len(_by_id(reports)) == len(reports), "one report for each task")
